//! Where each value of the modules and routes of a device comes from: worked out when somebody asks, because nearly nobody
//! does, and never about nearly all devices.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use hemline_model::DeploymentDoc;
use serde_json::Value;

use super::{
    LayerKind, Opinion, Provenance,
    layer::{Layer, Merged, pointer},
};

/// The origins of the values of one merged config. Shared by all devices with the same deployments.
#[derive(Debug, Default)]
pub struct Origins {
    /// Base first.
    deployments: Vec<Arc<DeploymentDoc>>,
    by_path: OnceLock<BTreeMap<String, Provenance>>,
}

impl Origins {
    pub(super) fn new(deployments: Vec<Arc<DeploymentDoc>>) -> Self {
        Self { deployments, by_path: OnceLock::new() }
    }

    /// The origin of one value, by path: `modules.camera.image`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Provenance> {
        self.all().get(path)
    }

    /// All of them, in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Provenance)> {
        self.all().iter()
    }

    fn all(&self) -> &BTreeMap<String, Provenance> {
        self.by_path.get_or_init(|| {
            let layers: Vec<Layer<'_>> = self.deployments.iter().map(Layer::new).collect();
            let merged = Merged::of(&layers.iter().collect::<Vec<_>>());
            let opinion = |path: &[String], value: &Value, place: usize| {
                let deployment = self.deployments.get(place)?;
                Some(Opinion {
                    path: path.join("."),
                    document: deployment.name.clone(),
                    layer: if deployment.spec.layered { LayerKind::Layer } else { LayerKind::Base },
                    value: value.clone(),
                    position: deployment.position(&pointer(path)),
                })
            };
            let origin = |(path, (value, place)): (&Vec<String>, &(Value, usize))| {
                let said = opinion(path, value, *place)?;
                let overruled = merged.overruled.get(path).into_iter().flatten();
                let overrides = overruled.filter_map(|lost| opinion(&lost.path, &lost.value, lost.place));
                Some((said.path.clone(), Provenance { overrides: overrides.collect(), said }))
            };
            merged.leaves.iter().filter_map(origin).collect()
        })
    }
}
