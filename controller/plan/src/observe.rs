//! What a hub holds, as the planner wants to see it: registry and twins, without `$version` and `$metadata`.
//!
//! Not here: how it is read (`reconcile::observe`).

use std::collections::BTreeMap;

use hemline_model::{
    document::Auth,
    id::{DeviceId, ModuleId},
};
use serde_json::{Map, Value};

use crate::{Effective, Resolution};

/// `managedBy` of module identities that Hemline made. Only these are removed by Hemline.
pub const MANAGED_BY: &str = "hemline";

/// All devices of a hub, managed by us or not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// By hub id. A device that is not here does not exist.
    pub devices: BTreeMap<DeviceId, ObservedDevice>,
}

/// One device identity with its twin and modules.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedDevice {
    /// May it connect?
    pub enabled: bool,
    /// Does it run modules?
    pub edge: bool,
    /// The edge device it connects through.
    pub parent: Option<DeviceId>,
    /// How it proves who it is.
    pub auth: Auth,
    /// Has it, or one of its modules, a connection?
    pub connected: bool,
    /// Tags of its twin.
    pub tags: Map<String, Value>,
    /// Desired properties of its twin.
    pub desired: Map<String, Value>,
    /// Reported properties of its twin.
    pub reported: Map<String, Value>,
    /// Its modules, `$edgeAgent` and `$edgeHub` included.
    pub modules: BTreeMap<ModuleId, ObservedModule>,
}

/// One module identity with its twin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedModule {
    /// Desired properties.
    pub desired: Map<String, Value>,
    /// `$version` of the desired properties; compared with what the agent says it has read.
    pub desired_version: u64,
    /// Reported properties.
    pub reported: Map<String, Value>,
    /// Who made the identity.
    pub managed_by: Option<String>,
    /// Has it a connection?
    pub connected: bool,
}

impl Default for ObservedDevice {
    fn default() -> Self {
        Self {
            enabled: true,
            edge: false,
            parent: None,
            auth: Auth::default(),
            connected: false,
            tags: Map::new(),
            desired: Map::new(),
            reported: Map::new(),
            modules: BTreeMap::new(),
        }
    }
}

impl ObservedDevice {
    /// Can it take a change now? An edge device takes it through its agent.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        if self.edge {
            self.modules.get(&ModuleId::edge_agent()).is_some_and(|agent| agent.connected)
        } else {
            self.connected
        }
    }
}

impl Observed {
    /// The hub as it would look if a resolution had been applied to an empty one: "before" of a plan between revisions.
    #[must_use]
    pub fn after(resolution: &Resolution) -> Self {
        let devices = resolution.devices.iter().map(|(id, effective)| (id.clone(), Self::of(effective)));
        Self { devices: devices.collect() }
    }

    /// One device of it.
    pub(crate) fn of(effective: &Effective) -> ObservedDevice {
        let modules = effective.twins.modules.iter().map(|(module, desired)| {
            let managed_by = (!module.is_system()).then(|| MANAGED_BY.to_owned());
            (
                module.clone(),
                ObservedModule { desired: desired.clone(), managed_by, ..ObservedModule::default() },
            )
        });
        ObservedDevice {
            enabled: effective.identity.enabled,
            edge: effective.identity.edge,
            parent: effective.identity.parent.clone(),
            auth: effective.identity.auth.clone(),
            tags: Map::clone(&effective.twins.tags),
            desired: Map::clone(&effective.twins.device),
            modules: modules.collect(),
            ..ObservedDevice::default()
        }
    }
}
