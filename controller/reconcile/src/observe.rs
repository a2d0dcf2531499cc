//! Stage 6, I/O: what the hub holds, followed change by change, so that a pass asks and looks only for what moved.
//!
//! The picture is the whole registry, packed and shared with the hub. What a pass looks at is opened for it, as the planner
//! wants to see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_hub_core::{
    changes::ChangeCursor,
    service::{Authentication, RegistryChanges, SeenClient, SeenDevice, ServiceError},
    write::Identity,
};
use hemline_model::{
    document::{Auth, AuthType},
    id::{ClientId, DeviceId},
};
use hemline_plan::{Facts, Observed, ObservedDevice, ObservedModule};
use serde_json::{Map, Value};

use crate::registry::Registry;

/// Devices that a pass looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    These(BTreeSet<DeviceId>),
}

/// The registry as it was when somebody looked last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    upto: ChangeCursor,
    devices: BTreeMap<DeviceId, Arc<SeenDevice>>,
    /// Changed since a pass took them.
    moved: BTreeSet<DeviceId>,
    /// Was there a look at all?
    known: bool,
}

impl Scope {
    /// With these devices too.
    pub(crate) fn and(self, more: &BTreeSet<DeviceId>) -> Self {
        match self {
            Self::All => Self::All,
            Self::These(devices) => Self::These(&devices | more),
        }
    }
}

impl Picture {
    /// Takes in what changed since the last look. On an error some of it may be missing; the next look goes on there.
    pub(crate) async fn follow(&mut self, hub: &impl Registry) -> Result<(), ServiceError> {
        loop {
            let changes = hub.changes(self.upto).await?;
            let more = changes.more;
            self.take(changes);
            if !more {
                self.known = true;
                return Ok(());
            }
        }
    }

    fn take(&mut self, RegistryChanges { upto, anew, more: _, devices }: RegistryChanges) {
        if anew {
            self.moved.extend(std::mem::take(&mut self.devices).into_keys());
        }
        self.upto = upto;
        for (id, seen) in devices {
            match seen {
                Some(seen) => drop(self.devices.insert(id.clone(), Arc::new(seen))),
                None => drop(self.devices.remove(&id)),
            }
            self.moved.insert(id);
        }
    }

    /// What changed since this was asked last.
    pub(crate) fn take_moved(&mut self) -> BTreeSet<DeviceId> {
        std::mem::take(&mut self.moved)
    }

    /// What has changed and nobody took yet.
    pub(crate) fn moved(&self) -> &BTreeSet<DeviceId> {
        &self.moved
    }

    /// Where the last look ended; `None` before the first.
    pub(crate) fn upto(&self) -> Option<ChangeCursor> {
        self.known.then_some(self.upto)
    }

    /// The devices of a scope.
    pub(crate) fn open(&self, scope: &Scope) -> Observed {
        let open = |(id, seen): (&DeviceId, &Arc<SeenDevice>)| (id.clone(), device(seen));
        Observed {
            devices: match scope {
                Scope::All => self.devices.iter().map(open).collect(),
                Scope::These(ids) => {
                    ids.iter().filter_map(|id| self.devices.get_key_value(id)).map(open).collect()
                }
            },
        }
    }

    /// One device.
    pub(crate) fn device(&self, id: &DeviceId) -> Option<ObservedDevice> {
        self.devices.get(id).map(|seen| device(seen))
    }

    /// When the desired properties of a client were written.
    pub(crate) fn desired_metadata(&self, client: &ClientId) -> Option<Map<String, Value>> {
        let seen = self.devices.get(&client.device)?;
        let mut all = std::iter::once(&seen.device).chain(&seen.modules);
        let found = all.find(|seen| seen.identity.client == *client)?;
        Some(found.twin.desired.metadata.open())
    }

    /// What target conditions may know of devices.
    pub(crate) fn facts(&self) -> Facts {
        let reported = |seen: &SeenClient| Value::Object(seen.twin.reported.properties.open());
        let modules = |seen: &SeenDevice| {
            let named =
                seen.modules.iter().filter_map(|seen| Some((seen.identity.client.module.clone()?, seen)));
            let own = named.filter(|(module, _)| !module.is_system());
            own.map(|(module, seen)| (module, reported(seen))).collect()
        };
        let all = || self.devices.iter();
        Facts {
            reported: all().map(|(id, seen)| (id.clone(), reported(&seen.device))).collect(),
            modules: all().map(|(id, seen)| (id.clone(), modules(seen))).collect(),
        }
    }
}

fn device(seen: &SeenDevice) -> ObservedDevice {
    let SeenClient { identity, connected, twin } = &seen.device;
    let modules = seen.modules.iter();
    ObservedDevice {
        enabled: identity.enabled,
        edge: identity.edge,
        parent: identity.parent.clone(),
        auth: auth(identity),
        connected: *connected,
        tags: twin.tags.open(),
        desired: twin.desired.properties.open(),
        reported: twin.reported.properties.open(),
        modules: modules
            .filter_map(|seen| Some((seen.identity.client.module.clone()?, module(seen))))
            .collect(),
    }
}

fn module(SeenClient { identity, connected, twin }: &SeenClient) -> ObservedModule {
    ObservedModule {
        desired: twin.desired.properties.open(),
        desired_version: twin.desired.version,
        reported: twin.reported.properties.open(),
        managed_by: identity.managed_by.clone(),
        connected: *connected,
    }
}

fn auth(identity: &Identity) -> Auth {
    let given = |thumbprint: &Option<String>| thumbprint.clone().filter(|text| !text.is_empty());
    match &identity.authentication {
        Authentication::SelfSigned { primary, secondary } => Auth {
            kind: AuthType::SelfSigned,
            primary_thumbprint: given(primary),
            secondary_thumbprint: given(secondary),
        },
        Authentication::CertificateAuthority => {
            Auth { kind: AuthType::CertificateAuthority, ..Auth::default() }
        }
        Authentication::Sas { .. } | Authentication::None => Auth { kind: AuthType::Sas, ..Auth::default() },
    }
}
