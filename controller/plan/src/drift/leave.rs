//! What the documents want reported or ignored stays as somebody put it: the planner is shown what was said in its place, so
//! it finds nothing to do there, and carries out what documents change themselves.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    document::DriftMode,
    id::{DeviceId, ModuleId},
};
use serde_json::{Map, Value};

use super::Found;
use crate::{
    Effective, Observed, ObservedDevice, Plan, Resolution, change::join, desired::object, plan::replan,
};

/// The plan without what is to be left alone. `observed` is the same afterwards.
#[must_use]
pub fn leave(
    plan: Plan,
    found: &[Found],
    desired: &Resolution,
    said: &Resolution,
    observed: &mut Observed,
) -> Plan {
    let mut drifted: BTreeMap<&DeviceId, Vec<&Found>> = BTreeMap::new();
    for found in found {
        drifted.entry(&found.device).or_default().push(found);
    }
    drifted.retain(|_, found| found.iter().any(|found| found.mode != DriftMode::Heal));
    if drifted.is_empty() {
        return plan;
    }
    let mut real: BTreeMap<DeviceId, ObservedDevice> = BTreeMap::new();
    for (id, found) in drifted {
        let (Some(there), Some(said)) = (observed.devices.get_mut(id), said.devices.get(id)) else {
            continue;
        };
        real.insert(id.clone(), there.clone());
        Left { found: &found }.hide(there, said);
    }
    let devices: BTreeSet<&DeviceId> = real.keys().collect();
    let plan = replan(plan, &devices, desired, Some(said), observed);
    observed.devices.extend(real);
    plan
}

/// The differences of one device.
#[derive(Clone, Copy)]
struct Left<'a> {
    found: &'a [&'a Found],
}

impl Left<'_> {
    /// Is this very value to be left alone?
    fn is(self, path: &str) -> bool {
        self.found.iter().any(|found| found.path == path && found.mode != DriftMode::Heal)
    }

    /// Is something off there or below, and all of it to be left alone?
    fn all(self, path: &str) -> bool {
        let below = |found: &&&Found| {
            found.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut here = self.found.iter().filter(below).peekable();
        here.peek().is_some() && here.all(|found| found.mode != DriftMode::Heal)
    }

    fn hide(self, there: &mut ObservedDevice, effective: &Effective) {
        let said = Observed::of(effective);
        if self.is("enabled") {
            there.enabled = said.enabled;
        }
        if self.is("edge") {
            there.edge = said.edge;
        }
        if self.is("parent") {
            there.parent = said.parent;
        }
        if self.is("auth") {
            there.auth = said.auth;
        }
        self.values(&mut there.tags, &said.tags, "tags");
        self.values(&mut there.desired, &said.desired, "desired");
        for (module, said) in &said.modules {
            // One that has no identity is made again, whatever the rules are: nothing could be left as it is.
            let Some(there) = there.modules.get_mut(module) else { continue };
            if *module == ModuleId::edge_agent() {
                self.agent(&mut there.desired, &said.desired);
            } else if *module == ModuleId::edge_hub() {
                self.hub(&mut there.desired, &said.desired);
            } else {
                self.values(&mut there.desired, &said.desired, &format!("modules.{module}.desired"));
            }
        }
    }

    /// The same walk as that of [`crate::change::changes`], so that paths are the same.
    fn values(self, there: &mut Map<String, Value>, said: &Map<String, Value>, prefix: &str) {
        let keys: BTreeSet<String> = there.keys().chain(said.keys()).cloned().collect();
        for key in keys {
            let path = join(prefix, &key);
            match (there.get_mut(&key), said.get(&key)) {
                (Some(Value::Object(there)), Some(Value::Object(said))) => self.values(there, said, &path),
                (None, Some(Value::Object(said))) if !said.is_empty() => {
                    let mut new = Map::new();
                    self.values(&mut new, said, &path);
                    if !new.is_empty() {
                        there.insert(key, Value::Object(new));
                    }
                }
                (Some(Value::Object(inner)), None) if !inner.is_empty() => {
                    self.values(inner, &Map::new(), &path);
                    if inner.is_empty() {
                        there.remove(&key);
                    }
                }
                (_, said) => {
                    if self.is(&path) {
                        put(there, &key, said);
                    }
                }
            }
        }
    }

    fn agent(self, there: &mut Map<String, Value>, said: &Map<String, Value>) {
        let (mut modules, want) = (taken(there, "modules"), object(said, "modules"));
        let names: BTreeSet<String> = modules.keys().chain(want.keys()).cloned().collect();
        for name in names {
            let path = format!("modules.{name}");
            if self.is(&path) {
                put(&mut modules, &name, want.get(&name));
            } else if let (Some(Value::Object(there)), Some(Value::Object(said))) =
                (modules.get_mut(&name), want.get(&name))
            {
                self.module(there, said, &path);
            }
        }
        self.rest(there, said, "modules", &ModuleId::edge_agent());
        there.insert("modules".to_owned(), Value::Object(modules));
    }

    /// A module as it stands in the twin of the agent; paths are those of the documents.
    fn module(self, there: &mut Map<String, Value>, said: &Map<String, Value>, path: &str) {
        let (mut env, mut settings) = (taken(there, "env"), taken(there, "settings"));
        for (name, value) in object(said, "env") {
            if self.is(&format!("{path}.env.{name}")) {
                env.insert(name.clone(), value.clone());
            }
        }
        env.retain(|name, _| {
            object(said, "env").contains_key(name) || !self.is(&format!("{path}.env.{name}"))
        });
        let options = |key: &str| key.starts_with("createOptions");
        let said_settings = object(said, "settings");
        let some = |map: &Map<String, Value>, which: &dyn Fn(&str) -> bool| -> Map<String, Value> {
            map.iter()
                .filter(|(key, _)| which(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        // A text in pieces is left alone as a whole, or not.
        let of = if self.all(&format!("{path}.createOptions")) { said_settings } else { &settings };
        let pieces = some(of, &options);
        settings.retain(|key, _| !options(key));
        self.values(&mut settings, &some(said_settings, &|key| !options(key)), path);
        settings.extend(pieces);
        let mut others = said.clone();
        others.retain(|key, _| key != "env" && key != "settings");
        self.values(there, &others, path);
        if !env.is_empty() {
            there.insert("env".to_owned(), Value::Object(env));
        }
        there.insert("settings".to_owned(), Value::Object(settings));
    }

    fn hub(self, there: &mut Map<String, Value>, said: &Map<String, Value>) {
        let mut routes = taken(there, "routes");
        let want = object(said, "routes");
        let names: BTreeSet<String> = routes.keys().chain(want.keys()).cloned().collect();
        for name in names.into_iter().filter(|name| self.all(&format!("routes.{name}"))) {
            put(&mut routes, &name, want.get(&name));
        }
        self.rest(there, said, "routes", &ModuleId::edge_hub());
        there.insert("routes".to_owned(), Value::Object(routes));
    }

    /// What stands beside the member that was taken out.
    fn rest(self, there: &mut Map<String, Value>, said: &Map<String, Value>, without: &str, of: &ModuleId) {
        let mut said = said.clone();
        said.remove(without);
        self.values(there, &said, of.as_str());
    }
}

/// A member that is an object, taken out; an empty one when it is none.
fn taken(map: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match map.remove(key) {
        Some(Value::Object(inner)) => inner,
        Some(_) | None => Map::new(),
    }
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => {
            map.insert(key.to_owned(), value.clone());
        }
        None => {
            map.remove(key);
        }
    }
}
