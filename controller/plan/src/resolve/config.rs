//! Merged configs, one per distinct list of deployments: a thousand devices with the same base and layers share one.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use hemline_model::{
    DeploymentDoc,
    id::{DeviceId, DocumentName, ModuleId},
};
use serde_json::{Map, Value};

use super::{
    Provenance, clash,
    fault::Fault,
    layer::{Conflict, Layer, Merged, pointer},
    limits,
};
use crate::desired::{self, Incomplete};

/// One merged config.
#[derive(Debug)]
pub(super) struct Config {
    /// Base first.
    pub(super) deployments: Vec<DeploymentDocRef>,
    pub(super) modules: Arc<BTreeMap<ModuleId, Map<String, Value>>>,
    pub(super) provenance: Arc<BTreeMap<String, Provenance>>,
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
    /// Positions per deployment and path, so that a document is searched once and not once per device.
    positions: BTreeMap<(DocumentName, String), hemline_model::Position>,
    documents: BTreeMap<DocumentName, DeploymentDoc>,
}

impl Configs {
    pub(super) fn get(&mut self, chosen: &[&Layer<'_>]) -> Rc<Config> {
        let names: Vec<DocumentName> = chosen.iter().map(|layer| layer.deployment.name.clone()).collect();
        if let Some(config) = self.by_names.get(&names) {
            return Rc::clone(config);
        }
        let merged = Merged::of(chosen);
        let mut provenance = BTreeMap::new();
        for (path, (value, place)) in &merged.leaves {
            if let Some(layer) = chosen.get(*place) {
                let position = self.position(layer.deployment, path);
                let document = layer.deployment.name.clone();
                provenance.insert(path.join("."), Provenance { document, value: value.clone(), position });
            }
        }
        let tree = merged.tree();
        let (modules, incomplete) = desired::modules(&tree);
        let mut faults = clash::find(&merged, &tree);
        faults.extend(limits::find(&merged, &modules));
        let config = Rc::new(Config {
            deployments: names.clone(),
            modules: Arc::new(modules),
            provenance: Arc::new(provenance),
            conflicts: merged.conflicts,
            incomplete,
            faults,
            users: RefCell::default(),
        });
        for layer in chosen {
            self.documents.entry(layer.deployment.name.clone()).or_insert_with(|| layer.deployment.clone());
        }
        self.by_names.insert(names, Rc::clone(&config));
        config
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Config> {
        self.by_names.values().map(Rc::as_ref)
    }

    /// The document of a deployment that some config uses.
    pub(super) fn document(&self, name: &DocumentName) -> Option<&DeploymentDoc> {
        self.documents.get(name)
    }

    fn position(&mut self, deployment: &DeploymentDoc, path: &[String]) -> hemline_model::Position {
        let pointer = pointer(path);
        self.positions
            .entry((deployment.name.clone(), pointer))
            .or_insert_with_key(|(_, pointer)| deployment.position(pointer))
            .clone()
    }
}
