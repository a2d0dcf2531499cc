//! One side of a comparison: a device as a hub holds it, or as documents describe it. What documents say is shared by many
//! devices and never copied to be compared.

use hemline_model::{
    document::Auth,
    id::{DeviceId, ModuleId},
};
use serde_json::{Map, Value};

use crate::{Effective, MANAGED_BY, ObservedDevice};

/// A device on one side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    /// In a hub.
    Hub(&'a ObservedDevice),
    /// In documents: as a hub would hold it after they were applied to an empty one.
    Documents(&'a Effective),
}

impl<'a> Side<'a> {
    pub(super) fn enabled(self) -> bool {
        match self {
            Self::Hub(device) => device.enabled,
            Self::Documents(device) => device.identity.enabled,
        }
    }

    pub(super) fn edge(self) -> bool {
        match self {
            Self::Hub(device) => device.edge,
            Self::Documents(device) => device.identity.edge,
        }
    }

    pub(super) fn parent(self) -> Option<&'a DeviceId> {
        match self {
            Self::Hub(device) => device.parent.as_ref(),
            Self::Documents(device) => device.identity.parent.as_ref(),
        }
    }

    pub(super) fn auth(self) -> &'a Auth {
        match self {
            Self::Hub(device) => &device.auth,
            Self::Documents(device) => &device.identity.auth,
        }
    }

    pub(super) fn tags(self) -> &'a Map<String, Value> {
        match self {
            Self::Hub(device) => &device.tags,
            Self::Documents(device) => &device.twins.tags,
        }
    }

    pub(super) fn desired(self) -> &'a Map<String, Value> {
        match self {
            Self::Hub(device) => &device.desired,
            Self::Documents(device) => &device.twins.device,
        }
    }

    /// Desired properties of a module, when it exists.
    pub(super) fn module(self, module: &ModuleId) -> Option<&'a Map<String, Value>> {
        match self {
            Self::Hub(device) => device.modules.get(module).map(|module| &module.desired),
            Self::Documents(device) => device.twins.modules.get(module),
        }
    }

    /// The user modules that Hemline made, in order.
    pub(super) fn own_modules(self) -> Vec<&'a ModuleId> {
        match self {
            Self::Hub(device) => {
                let ours = device.modules.iter().filter(|(module, have)| {
                    !module.is_system() && have.managed_by.as_deref() == Some(MANAGED_BY)
                });
                ours.map(|(module, _)| module).collect()
            }
            Self::Documents(device) => device.twins.modules.names().collect(),
        }
    }
}
