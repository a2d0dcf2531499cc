//! Who is beneath an edge device, as a parent hub tells the hub of that device: what it needs to let them in by itself.
//!
//! The wire shape is Hemline's own and is read leniently: a newer parent may say more.

use std::sync::Arc;

use hemline_model::id::{ClientId, DeviceId};
use serde::{Deserialize, Serialize};

use crate::{service::Authentication, write::Identity};

/// Identities in one page.
pub(crate) const PAGE: usize = 100;

/// A part of those beneath an edge device, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopePage {
    /// Devices before their modules.
    pub identities: Vec<ScopeIdentity>,
    /// There are more after these.
    pub more: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeIdentity {
    /// Who.
    pub client: ClientId,
    /// Changes when the identity is made anew.
    pub generation: Arc<str>,
    /// May it connect?
    pub enabled: bool,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// IoT Edge capability.
    #[serde(default)]
    pub edge: bool,
    /// See [`Identity::device_scope`].
    #[serde(default)]
    pub device_scope: Option<String>,
    /// The parent; none for the edge device itself.
    #[serde(default)]
    pub parent: Option<DeviceId>,
    /// Who manages a module identity.
    #[serde(default)]
    pub managed_by: Option<String>,
}

impl ScopeIdentity {
    /// As `edge`, the edge device that asks, is told of it.
    pub(crate) fn of(identity: &Identity, edge: &DeviceId) -> Self {
        let is_top = identity.client.device == *edge;
        Self {
            client: identity.client.clone(),
            generation: identity.generation.clone(),
            enabled: identity.enabled,
            authentication: identity.authentication.clone(),
            edge: identity.edge,
            device_scope: identity.device_scope.clone(),
            // What is above the edge device is none of its hub's business.
            parent: identity.parent.clone().filter(|_| !is_top),
            managed_by: identity.managed_by.clone(),
        }
    }

    /// As it is kept: in place of `current`, if there is one.
    pub(crate) fn identity(self, current: Option<&Identity>, first_etag: u64) -> Identity {
        let Self { client, generation, enabled, authentication, edge, device_scope, parent, managed_by } =
            self;
        Identity {
            client,
            generation,
            etag: current.map_or(first_etag, |current| current.etag),
            enabled,
            status_reason: None,
            status_updated: None,
            authentication,
            edge,
            device_scope,
            parent,
            managed_by,
            from_parent: true,
        }
    }
}
