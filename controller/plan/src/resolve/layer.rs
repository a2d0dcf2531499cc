//! A deployment as a tree and as a list of leaves, and the merge of several such lists by path, which knows the origin of
//! every value. Whole fleets are merged as trees (`tree.rs`).
//!
//! The rules are those of IoT Edge (reference edge-runtime §1.7), but Git has no time of creation: two layers of the same
//! priority that disagree on a path are reported, never decided.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use hemline_model::{
    DeploymentDoc, Fleet,
    valid::{EdgeDeploymentSpec, ModuleSpec, RouteSettings},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::clash::Taken;
use crate::desired::{self, ReadyModule};

/// The steps from the root of a config to a value.
pub(crate) type Path = Vec<String>;

/// One deployment, made ready once for all its devices.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    pub(crate) deployment: &'a Arc<DeploymentDoc>,
    tree: OnceLock<Map<String, Value>>,
    has_null: OnceLock<bool>,
    leaves: OnceLock<BTreeMap<Path, Value>>,
    taken: OnceLock<BTreeMap<String, Option<Taken>>>,
    ready: OnceLock<BTreeMap<String, Result<Arc<ReadyModule>, &'static str>>>,
}

/// Several layers merged: each leaf and the place of its layer in the list.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) leaves: BTreeMap<Path, (Value, usize)>,
    /// What lower layers say in the place of a leaf, the nearest one first.
    pub(crate) overruled: BTreeMap<Path, Vec<Overruled>>,
    pub(crate) conflicts: Vec<Conflict>,
}

/// A value that a higher layer took the place of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overruled {
    pub(crate) path: Path,
    pub(crate) value: Value,
    /// Place in the list of layers.
    pub(crate) place: usize,
}

/// Two layers of the same priority that disagree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    pub(crate) path: Path,
    /// Places in the list of layers.
    pub(crate) one: usize,
    pub(crate) other: usize,
}

impl<'a> Layer<'a> {
    /// Those of a fleet, the lowest first.
    pub(crate) fn all(fleet: &'a Fleet) -> Vec<Self> {
        let mut layers: Vec<Self> = fleet.deployments.values().map(Self::new).collect();
        // They come in order of their names, which makes the order of equals the same on every run.
        layers.sort_by_key(|layer| layer.deployment.spec.priority);
        layers
    }

    pub(crate) fn new(deployment: &'a Arc<DeploymentDoc>) -> Self {
        Self {
            deployment,
            tree: OnceLock::new(),
            has_null: OnceLock::new(),
            leaves: OnceLock::new(),
            taken: OnceLock::new(),
            ready: OnceLock::new(),
        }
    }

    /// What it says, section by section.
    pub(crate) fn tree(&self) -> &Map<String, Value> {
        self.tree.get_or_init(|| tree_of(&self.deployment.spec))
    }

    /// Is there a `null` in it, which takes something away?
    pub(crate) fn has_null(&self) -> bool {
        *self.has_null.get_or_init(|| self.tree().values().any(super::tree::has_null))
    }

    /// A module of it as it is when no other layer speaks of the module.
    pub(crate) fn ready(&self, module: &str) -> Option<Result<Arc<ReadyModule>, &'static str>> {
        let all = self.ready.get_or_init(|| {
            let modules = desired::object(self.tree(), "modules").iter();
            let objects = modules.filter_map(|(name, module)| Some((name, module.as_object()?)));
            objects.map(|(name, module)| (name.clone(), desired::ready(module).map(Arc::new))).collect()
        });
        all.get(module).cloned()
    }

    /// What a module of it takes of its host when no other layer speaks of the module.
    pub(crate) fn taken(&self, module: &str) -> Option<&Taken> {
        let all = self.taken.get_or_init(|| {
            let modules = desired::object(self.tree(), "modules").iter();
            let objects = modules.filter_map(|(name, module)| Some((name, module.as_object()?)));
            objects.map(|(name, module)| (name.clone(), Taken::by(module))).collect()
        });
        all.get(module)?.as_ref()
    }

    /// Every value that it says. A route is one.
    fn leaves(&self) -> &BTreeMap<Path, Value> {
        self.leaves.get_or_init(|| {
            let mut leaves = BTreeMap::new();
            for (section, members) in self.tree() {
                for (name, value) in members.as_object().into_iter().flatten() {
                    let path = vec![section.clone(), name.clone()];
                    if section == "routes" {
                        leaves.insert(path, value.clone());
                    } else {
                        flatten(path, value.clone(), &mut leaves);
                    }
                }
            }
            leaves
        })
    }
}

fn tree_of(spec: &EdgeDeploymentSpec) -> Map<String, Value> {
    let modules = spec.modules.iter();
    let modules = modules.map(|(name, module)| (name.to_string(), Value::Object(module_object(module))));
    let routes = spec.routes.iter().map(|(name, route)| (name.clone(), route_value(&route.1)));
    let mut tree = Map::new();
    let mut section = |name: &str, members: Map<String, Value>| {
        if !members.is_empty() {
            tree.insert(name.to_owned(), Value::Object(members));
        }
    };
    section("modules", modules.collect());
    section("routes", routes.collect());
    if let Some(seconds) = spec.store_and_forward_secs {
        section("storeAndForward", Map::from_iter([("timeToLiveSecs".to_owned(), json!(seconds))]));
    }
    // One list, one value: the order of its statements decides, so two layers cannot be mixed.
    if let Ok(Value::Object(broker)) = serde_json::to_value(&spec.broker) {
        section("broker", broker);
    }
    // Of a rollout the devices need to know one thing only; the rest is the controller's.
    if let Some(deadline) = spec.rollout.as_ref().and_then(|rollout| rollout.deadline.as_ref()) {
        section("rollout", Map::from_iter([("deadline".to_owned(), json!(deadline))]));
    }
    if let Some(Ok(Value::Object(drift))) = spec.drift.as_ref().map(serde_json::to_value) {
        section("drift", drift);
    }
    tree
}

/// What one document says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// Two of the same priority may not disagree; one without a priority settles everything before it.
    pub(crate) priority: Option<u32>,
    pub(crate) leaves: &'a BTreeMap<Path, Value>,
}

impl Merged {
    /// Merges layers that are sorted by priority, the base first.
    pub(crate) fn of(layers: &[&Layer<'_>]) -> Self {
        let all: Vec<Said<'_>> = layers
            .iter()
            .map(|layer| Said { priority: Some(layer.deployment.spec.priority), leaves: layer.leaves() })
            .collect();
        Self::of_all(&all)
    }

    /// Merges what several documents say, the lowest first.
    pub(crate) fn of_all(all: &[Said<'_>]) -> Self {
        let mut merged = Self::default();
        for (place, said) in all.iter().enumerate() {
            for (path, value) in said.leaves {
                merged.set(all, place, path, value);
            }
        }
        merged
    }

    fn set(&mut self, all: &[Said<'_>], place: usize, path: &Path, value: &Value) {
        // An empty object says that there is an object, not that it should be emptied.
        let says_nothing = value.as_object().is_some_and(Map::is_empty);
        let overlapping = self.overlapping(path);
        if says_nothing && overlapping.iter().any(|have| have.starts_with(path)) {
            return;
        }
        let mut overruled = Vec::new();
        let priority = |place: usize| all.get(place).and_then(|said| said.priority);
        for overlapped in overlapping {
            let Some((before, lower)) = self.leaves.remove(&overlapped) else { continue };
            let agrees =
                (overlapped == *path && before == *value) || before.as_object().is_some_and(Map::is_empty);
            if lower != place && priority(place).is_some() && priority(lower) == priority(place) && !agrees {
                self.conflicts.push(Conflict { path: path.clone(), one: lower, other: place });
            }
            let earlier = self.overruled.remove(&overlapped);
            if !before.as_object().is_some_and(Map::is_empty) {
                overruled.push(Overruled { path: overlapped, value: before, place: lower });
            }
            overruled.extend(earlier.into_iter().flatten());
        }
        if !value.is_null() {
            self.leaves.insert(path.clone(), (value.clone(), place));
            if !overruled.is_empty() {
                overruled.sort_by_key(|overruled| std::cmp::Reverse(overruled.place));
                self.overruled.insert(path.clone(), overruled);
            }
        }
    }

    /// Paths that a new value at `path` takes the place of: itself, everything below it, and any leaf above it.
    fn overlapping(&self, path: &[String]) -> Vec<Path> {
        let below = self
            .leaves
            .range(path.to_vec()..)
            .map(|(have, _)| have)
            .take_while(|have| have.starts_with(path))
            .cloned();
        let above =
            (1..path.len()).map(|steps| path[..steps].to_vec()).filter(|p| self.leaves.contains_key(p));
        below.chain(above).collect()
    }

    /// The leaves as a tree again.
    pub(crate) fn tree(&self) -> Map<String, Value> {
        let mut root = Map::new();
        for (path, (value, _)) in &self.leaves {
            plant(&mut root, path, value.clone());
        }
        root
    }
}

/// The JSON pointer of a path inside the document.
pub(crate) fn pointer(path: &[String]) -> String {
    let mut pointer = String::from("/spec");
    for step in path {
        pointer.push('/');
        pointer.push_str(&match step.as_str() {
            // The document says it with a unit.
            "timeToLiveSecs" => "timeToLive".to_owned(),
            step => step.replace('~', "~0").replace('/', "~1"),
        });
    }
    pointer
}

fn plant(map: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            map.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = map.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            // Leaves never stand above other leaves, so what is here is an object.
            if let Value::Object(inner) = inner {
                plant(inner, rest, value);
            }
        }
    }
}

pub(crate) fn flatten(path: Path, value: Value, leaves: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let mut path = path.clone();
                path.push(key);
                flatten(path, value, leaves);
            }
        }
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => {
            leaves.insert(path, value);
        }
    }
}

/// What a module says, and nothing that it does not say. Destructured so that a new field cannot be forgotten.
fn module_object(module: &ModuleSpec) -> Map<String, Value> {
    let ModuleSpec {
        kind,
        image,
        create_options,
        env,
        restart_policy,
        status,
        startup_order,
        image_pull_policy,
        health,
        desired,
        command,
        working_directory,
        limits,
    } = module;
    let mut object = Map::new();
    for (key, packed) in [("createOptions", create_options), ("desired", desired)] {
        if let Some(packed) = packed {
            object.insert(key.to_owned(), Value::Object(packed.open()));
        }
    }
    put(&mut object, "type", kind.as_ref());
    put(&mut object, "image", image.as_ref());
    put(&mut object, "env", (!env.is_empty()).then_some(env));
    put(&mut object, "restartPolicy", restart_policy.as_ref());
    put(&mut object, "status", status.as_ref());
    put(&mut object, "startupOrder", startup_order.as_ref());
    put(&mut object, "imagePullPolicy", image_pull_policy.as_ref());
    put(&mut object, "health", health.as_ref());
    put(&mut object, "command", command.as_ref());
    put(&mut object, "workingDirectory", working_directory.as_ref());
    put(&mut object, "limits", limits.as_ref());
    object
}

fn put<T: Serialize>(object: &mut Map<String, Value>, key: &str, value: Option<&T>) {
    if let Some(Ok(value)) = value.map(serde_json::to_value) {
        object.insert(key.to_owned(), value);
    }
}

/// A route is one leaf: half a route of one layer and half of another is no route.
fn route_value(route: &RouteSettings) -> Value {
    let RouteSettings { text, priority, time_to_live_secs } = route;
    let mut object = Map::new();
    put(&mut object, "route", Some(text));
    put(&mut object, "priority", priority.as_ref());
    put(&mut object, "timeToLiveSecs", time_to_live_secs.as_ref());
    Value::Object(object)
}
