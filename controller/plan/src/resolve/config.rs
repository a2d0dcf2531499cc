//! Merged configs, one per distinct list of deployments: a thousand devices with the same base and layers share one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hemline_model::{
    DeviceDoc,
    id::{DeviceId, DocumentName, ModuleId},
    valid::EdgeDeploymentSpec,
};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::{
    clash::{self, Container, Taken},
    fault::Fault,
    layer::{Conflict, Layer},
    limits,
    origins::Origins,
    tree::{Node, Tree},
};
use crate::{
    ModuleTwins,
    desired::{self, Incomplete},
};

/// A merged config and who has it.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) merged: Arc<MergedConfig>,
    pub(super) origins: Arc<Origins>,
    /// Devices that have it.
    pub(super) users: Vec<DeviceId>,
}

/// One list of deployments, merged. Says nothing about places in files, so that revisions may share it.
#[derive(Debug)]
pub(crate) struct MergedConfig {
    /// Base first.
    pub(super) deployments: Vec<DocumentName>,
    /// Those above the base.
    pub(super) layers: Arc<[DocumentName]>,
    /// What they say.
    specs: Vec<Arc<EdgeDeploymentSpec>>,
    pub(super) modules: Arc<ModuleTwins>,
    /// The layer of each route.
    pub(super) routes: BTreeMap<String, usize>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) incomplete: Vec<Incomplete>,
    /// What else is wrong with it.
    pub(super) faults: Vec<Fault>,
}

/// Which devices have which deployments: places of layers, base first.
#[derive(Debug, Default)]
pub(super) struct Chosen<'d> {
    lists: HashMap<Vec<usize>, Vec<&'d DeviceId>>,
}

impl<'d> Chosen<'d> {
    pub(super) fn add(&mut self, device: &'d DeviceDoc, places: Vec<usize>) {
        self.lists.entry(places).or_default().push(&device.id);
    }
}

/// All merged configs.
#[derive(Debug)]
pub(super) struct Configs<'d> {
    /// In order of the names of their deployments.
    all: Vec<Config>,
    of: HashMap<&'d DeviceId, usize>,
}

impl<'d> Configs<'d> {
    /// Merges each list of deployments once. What `known` ones have merged from the same deployments stays as it is.
    pub(super) fn merge(chosen: Chosen<'d>, layers: &[Layer<'_>], known: &[Arc<MergedConfig>]) -> Self {
        let named = |(places, users): (Vec<usize>, Vec<&'d DeviceId>)| {
            let chosen: Vec<&Layer<'_>> = places.iter().filter_map(|place| layers.get(*place)).collect();
            let names: Vec<DocumentName> = chosen.iter().map(|layer| layer.deployment.name.clone()).collect();
            (names, chosen, users)
        };
        let mut lists: Vec<_> = chosen.lists.into_iter().map(named).collect();
        // The same order on every run, whatever the order of the map.
        lists.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut uses: HashMap<&DocumentName, usize> = HashMap::new();
        for layer in lists.iter().flat_map(|(_, chosen, _)| chosen) {
            *uses.entry(&layer.deployment.name).or_default() += 1;
        }
        let places = lists.iter().enumerate();
        let of = places.flat_map(|(place, (_, _, users))| users.iter().map(move |id| (*id, place))).collect();
        let all = lists
            .into_par_iter()
            .map(|(names, chosen, users)| {
                let same = known.binary_search_by(|one| one.deployments.cmp(&names)).ok();
                let same = same.and_then(|place| known.get(place)).filter(|one| one.is_of(&chosen));
                let merged = same.cloned().unwrap_or_else(|| {
                    // What only one config is made of is made for it and goes with it.
                    let once = |layer: &&Layer<'_>| uses.get(&layer.deployment.name) == Some(&1);
                    let own = chosen.iter().map(|layer| once(layer).then(|| Layer::new(layer.deployment)));
                    let own: Vec<Option<Layer<'_>>> = own.collect();
                    let layers = own.iter().zip(&chosen).map(|(own, layer)| own.as_ref().unwrap_or(layer));
                    Arc::new(merge(&layers.collect::<Vec<_>>(), names))
                });
                let documents = chosen.iter().map(|layer| Arc::clone(layer.deployment)).collect();
                let origins = Arc::new(Origins::new(documents));
                Config { merged, origins, users: users.into_iter().cloned().collect() }
            })
            .collect();
        Self { all, of }
    }

    /// For a later revision: in order of the names of their deployments.
    pub(super) fn into_known(self) -> Vec<Arc<MergedConfig>> {
        self.all.into_iter().map(|config| config.merged).collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Config> {
        self.all.iter()
    }

    /// The config of a device; `None` for one that runs nothing.
    pub(super) fn of(&self, device: &DeviceDoc) -> Option<&Config> {
        self.all.get(*self.of.get(&device.id)?)
    }
}

impl MergedConfig {
    /// Is it made of these very deployments?
    fn is_of(&self, chosen: &[&Layer<'_>]) -> bool {
        self.specs.len() == chosen.len()
            && self.specs.iter().zip(chosen).all(|(spec, layer)| Arc::ptr_eq(spec, &layer.deployment.spec))
    }
}

fn merge(chosen: &[&Layer<'_>], deployments: Vec<DocumentName>) -> MergedConfig {
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
        match made.unwrap_or_else(|| desired::ready(module).map(Arc::new)) {
            Ok(made) => ready.push((id, made)),
            Err(missing) => incomplete.push(Incomplete { module: id, missing }),
        }
    }
    // What only our agent reads is not counted there; a deadline is short, rules of drift may be long.
    let within = tree.section("drift").next().is_none()
        && desired::surely_within(ready.iter().map(|(id, ready)| (id, &**ready)));
    let rest = tree.map(|section| section != "modules");
    let hub = desired::hub_twin(&rest);
    let twins = ModuleTwins::new(ready, &desired::agent_twin(&rest), &hub);
    let mixed: Vec<Option<Taken>> = modules
        .iter()
        .map(|(name, module)| alone(name).map_or_else(|| Taken::by(module), |_| None))
        .collect();
    let containers = modules.iter().zip(&mixed).filter_map(|((name, _), mixed)| {
        let taken = alone(name).map_or(mixed.as_ref(), |layer| layer.taken(name));
        Some(Container { name, taken: taken? })
    });
    let mut faults = clash::find(&tree, &containers.collect::<Vec<_>>());
    faults.extend(limits::find(&tree, &twins, &hub, within));
    let route = |(name, node): (&str, &Node<'_>)| Some((name.to_owned(), node.only_layer()?));
    MergedConfig {
        layers: deployments.get(1..).unwrap_or_default().into(),
        deployments,
        specs: chosen.iter().map(|layer| Arc::clone(&layer.deployment.spec)).collect(),
        modules: Arc::new(twins),
        routes: tree.section("routes").filter_map(route).collect(),
        conflicts: tree.conflicts,
        incomplete,
        faults,
    }
}
