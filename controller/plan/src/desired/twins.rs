//! The module twins of a merged config, made when somebody looks at them: a reviewer looks at those of the devices that
//! change, and a fleet has many more.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use hemline_model::{Packed, id::ModuleId};
use serde_json::{Map, Value};

use super::ReadyModule;

/// Desired properties of the module twins of a device by module, `$edgeAgent` and `$edgeHub` included. Empty for a device that
/// is no edge device. Reads like the map that it stands for.
#[derive(Debug, Clone, Default)]
pub struct ModuleTwins {
    of: Option<Parts>,
    made: OnceLock<BTreeMap<ModuleId, Map<String, Value>>>,
}

/// What twins are made of.
#[derive(Debug, Clone)]
struct Parts {
    modules: Vec<(ModuleId, Arc<ReadyModule>)>,
    /// `$edgeAgent` without its modules.
    agent: Packed,
    hub: Packed,
}

impl ModuleTwins {
    /// Those of modules that are ready, of `$edgeAgent` without its modules, and of `$edgeHub`.
    pub(crate) fn new(
        modules: Vec<(ModuleId, Arc<ReadyModule>)>,
        agent: &Map<String, Value>,
        hub: &Map<String, Value>,
    ) -> Self {
        let (agent, hub) = (Packed::of(agent), Packed::of(hub));
        Self { of: Some(Parts { modules, agent, hub }), made: OnceLock::new() }
    }

    /// The user modules, in order; makes nothing.
    pub fn names(&self) -> impl Iterator<Item = &ModuleId> {
        let parts = self.of.iter().flat_map(|of| of.modules.iter().map(|(module, _)| module));
        let made = self.made.get().filter(|_| self.of.is_none()).into_iter().flat_map(BTreeMap::keys);
        parts.chain(made).filter(|module| !module.is_system())
    }

    fn make(Parts { modules, agent, hub }: &Parts) -> BTreeMap<ModuleId, Map<String, Value>> {
        let mut agent = agent.open();
        let agents =
            modules.iter().map(|(module, ready)| (module.to_string(), Value::Object(ready.agent.open())));
        agent.insert("modules".to_owned(), Value::Object(agents.collect()));
        let twins = modules.iter().map(|(module, ready)| (module.clone(), ready.desired.open()));
        let system = [(ModuleId::edge_agent(), agent), (ModuleId::edge_hub(), hub.open())];
        twins.chain(system).collect()
    }
}

impl Deref for ModuleTwins {
    type Target = BTreeMap<ModuleId, Map<String, Value>>;

    fn deref(&self) -> &Self::Target {
        self.made.get_or_init(|| self.of.as_ref().map(Self::make).unwrap_or_default())
    }
}

impl From<BTreeMap<ModuleId, Map<String, Value>>> for ModuleTwins {
    fn from(made: BTreeMap<ModuleId, Map<String, Value>>) -> Self {
        Self { of: None, made: OnceLock::from(made) }
    }
}

impl PartialEq for ModuleTwins {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
