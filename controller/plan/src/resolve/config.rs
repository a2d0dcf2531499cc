//! Merged configs, one per distinct list of deployments: a thousand devices with the same base and layers share one.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use hemline_model::{
    DeploymentDoc,
    id::{DeviceId, DocumentName, ModuleId},
};
use serde_json::{Map, Value};

use super::{
    clash::{self, Container, Taken},
    fault::Fault,
    layer::{Conflict, Layer},
    limits,
    origins::Origins,
    tree::{Node, Tree},
};
use crate::desired::{self, Incomplete};

/// One merged config.
#[derive(Debug)]
pub(super) struct Config {
    /// Base first.
    pub(super) deployments: Vec<DeploymentDocRef>,
    pub(super) modules: Arc<BTreeMap<ModuleId, Map<String, Value>>>,
    /// The layer of each route.
    pub(super) routes: BTreeMap<String, usize>,
    pub(super) origins: Arc<Origins>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) incomplete: Vec<Incomplete>,
    /// What else is wrong with it.
    pub(super) faults: Vec<Fault>,
    /// Devices that have it. Filled while the fleet is walked.
    pub(super) users: RefCell<Vec<DeviceId>>,
}

/// The name of a deployment; the document is looked up when there is something to say.
pub(super) type DeploymentDocRef = DocumentName;

/// All merged configs by their list of deployments.
#[derive(Debug, Default)]
pub(super) struct Configs {
    by_names: BTreeMap<Vec<DocumentName>, Rc<Config>>,
    documents: BTreeMap<DocumentName, Arc<DeploymentDoc>>,
}

impl Configs {
    pub(super) fn get(&mut self, chosen: &[&Layer<'_>]) -> Rc<Config> {
        let names: Vec<DocumentName> = chosen.iter().map(|layer| layer.deployment.name.clone()).collect();
        if let Some(config) = self.by_names.get(&names) {
            return Rc::clone(config);
        }
        let config = Rc::new(merge(chosen, names.clone()));
        for layer in chosen {
            let document = || Arc::clone(layer.deployment);
            self.documents.entry(layer.deployment.name.clone()).or_insert_with(document);
        }
        self.by_names.insert(names, Rc::clone(&config));
        config
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Config> {
        self.by_names.values().map(Rc::as_ref)
    }

    /// The document of a deployment that some config uses.
    pub(super) fn document(&self, name: &DocumentName) -> Option<&DeploymentDoc> {
        self.documents.get(name).map(Arc::as_ref)
    }
}

fn merge(chosen: &[&Layer<'_>], deployments: Vec<DocumentName>) -> Config {
    let tree = Tree::of(chosen);
    let modules: Vec<(&str, Cow<'_, Map<String, Value>>)> =
        tree.section("modules").filter_map(|(name, node)| Some((name, node.object()?))).collect();
    // What only one layer speaks of is worked out once for all configs with that layer.
    let alone = |name: &str| tree.only_layer("modules", name).and_then(|place| chosen.get(place));
    let mut incomplete = Vec::new();
    let mut ready = Vec::new();
    for (name, module) in &modules {
        let Ok(id) = ModuleId::new(name) else { continue };
        let made = alone(name).and_then(|layer| layer.ready(name));
        let made = match made {
            Some(made) => made.as_ref().map(Cow::Borrowed).map_err(|missing| *missing),
            None => desired::ready(module).map(Cow::Owned),
        };
        match made {
            Ok(made) => ready.push((id, made)),
            Err(missing) => incomplete.push(Incomplete { module: id, missing }),
        }
    }
    // What only our agent reads is not counted there; a deadline is short, rules of drift may be long.
    let within = tree.section("drift").next().is_none()
        && desired::surely_within(ready.iter().map(|(id, ready)| (id, &**ready)));
    let twins = desired::twins(ready.into_iter(), &tree.map(|section| section != "modules"));
    let mixed: Vec<Option<Taken>> = modules
        .iter()
        .map(|(name, module)| alone(name).map_or_else(|| Taken::by(module), |_| None))
        .collect();
    let containers = modules.iter().zip(&mixed).filter_map(|((name, _), mixed)| {
        let taken = alone(name).map_or(mixed.as_ref(), |layer| layer.taken(name));
        Some(Container { name, taken: taken? })
    });
    let mut faults = clash::find(&tree, &containers.collect::<Vec<_>>());
    faults.extend(limits::find(&tree, &twins, within));
    let route = |(name, node): (&str, &Node<'_>)| Some((name.to_owned(), node.only_layer()?));
    Config {
        deployments,
        modules: Arc::new(twins),
        routes: tree.section("routes").filter_map(route).collect(),
        origins: Arc::new(Origins::new(chosen.iter().map(|layer| Arc::clone(layer.deployment)).collect())),
        conflicts: tree.conflicts,
        incomplete,
        faults,
        users: RefCell::default(),
    }
}
