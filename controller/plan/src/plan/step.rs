//! How a plan is carried out: operations on a hub with the values in clear, in the order they must be done.

use std::sync::Arc;

use hemline_model::{
    document::Auth,
    id::{DeviceId, ModuleId},
};
use serde_json::{Map, Value};

use crate::{MANAGED_BY, Observed, ObservedDevice, ObservedModule};

/// One operation on the hub. Each may be done twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make a device identity.
    CreateDevice {
        /// Which.
        device: DeviceId,
        /// With these values.
        identity: IdentityStep,
    },
    /// Change a device identity.
    UpdateDevice {
        /// Which.
        device: DeviceId,
        /// Only what is set changes.
        identity: IdentityStep,
    },
    /// Remove a device identity with its modules.
    DeleteDevice {
        /// Which.
        device: DeviceId,
    },
    /// Make a module identity.
    CreateModule {
        /// Of which device.
        device: DeviceId,
        /// Which.
        module: ModuleId,
    },
    /// Remove a module identity.
    DeleteModule {
        /// Of which device.
        device: DeviceId,
        /// Which.
        module: ModuleId,
    },
    /// Merge into a twin; `null` removes.
    PatchTwin {
        /// Of which device.
        device: DeviceId,
        /// Of which module; of the device when absent.
        module: Option<ModuleId>,
        /// Tags, when they change.
        tags: Option<Map<String, Value>>,
        /// Desired properties, when they change; shared by all devices with the same patch.
        desired: Option<Arc<Map<String, Value>>>,
    },
}

/// Values of a device identity; `None` leaves what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityStep {
    /// May it connect?
    pub enabled: Option<bool>,
    /// Does it run modules?
    pub edge: Option<bool>,
    /// The edge device it connects through; `Some(None)` removes it.
    pub parent: Option<Option<DeviceId>>,
    /// How it proves who it is.
    pub auth: Option<Auth>,
}

impl IdentityStep {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Step {
    /// Does the step to a picture of a hub: what a real one does, without one. For simulations and for the property that a
    /// plan leaves nothing to plan.
    pub fn apply_to(&self, observed: &mut Observed) {
        match self {
            Self::CreateDevice { device, identity } => {
                let entry = observed.devices.entry(device.clone()).or_default();
                identity.apply_to(entry);
            }
            Self::UpdateDevice { device, identity } => {
                if let Some(entry) = observed.devices.get_mut(device) {
                    identity.apply_to(entry);
                }
            }
            Self::DeleteDevice { device } => {
                observed.devices.remove(device);
            }
            Self::CreateModule { device, module } => {
                if let Some(entry) = observed.devices.get_mut(device) {
                    entry.modules.entry(module.clone()).or_insert_with(|| ObservedModule {
                        managed_by: Some(MANAGED_BY.to_owned()),
                        ..ObservedModule::default()
                    });
                }
            }
            Self::DeleteModule { device, module } => {
                if let Some(entry) = observed.devices.get_mut(device) {
                    entry.modules.remove(module);
                }
            }
            Self::PatchTwin { device, module, tags, desired } => {
                let Some(entry) = observed.devices.get_mut(device) else { return };
                if let Some(tags) = tags {
                    hemline_model::twin::merge(&mut entry.tags, tags);
                }
                let target = match module {
                    None => Some(&mut entry.desired),
                    Some(module) => entry.modules.get_mut(module).map(|module| &mut module.desired),
                };
                if let (Some(target), Some(desired)) = (target, desired) {
                    hemline_model::twin::merge(target, desired);
                }
            }
        }
    }
}

impl IdentityStep {
    fn apply_to(&self, device: &mut ObservedDevice) {
        let Self { enabled, edge, parent, auth } = self;
        if let Some(enabled) = enabled {
            device.enabled = *enabled;
        }
        if let Some(edge) = edge {
            device.edge = *edge;
            // The hub makes the two system modules of an edge device itself.
            if *edge {
                device.modules.entry(ModuleId::edge_agent()).or_default();
                device.modules.entry(ModuleId::edge_hub()).or_default();
            }
        }
        if let Some(parent) = parent {
            device.parent.clone_from(parent);
        }
        if let Some(auth) = auth {
            device.auth = auth.clone();
        }
    }
}
