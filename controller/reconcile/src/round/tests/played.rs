//! A hub with devices that are played, and clocks that stand until somebody moves them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hemline_hub_core::{
    changes::ChangeCursor,
    service::{Authentication, RegistryChanges, SeenClient, SeenDevice, ServiceError},
    write::{Collection, Identity, TwinRecord},
};
use hemline_model::{
    id::{ClientId, DeviceId},
    packed::Packed,
};
use hemline_plan::{
    ObservedDevice, ObservedModule, Step,
    simulate::{Devices, Faults},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{clock::Clocks, registry::Registry};

/// One for all that hold it; it outlives every kill.
#[derive(Debug, Clone)]
pub(super) struct Played(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    devices: Devices,
    begin: Timestamp,
    now: Timestamp,
    /// The devices as they were when somebody asked last; `None` when nobody did since the start.
    seen: Option<BTreeMap<DeviceId, ObservedDevice>>,
}

impl Played {
    pub(super) fn new(faults: Faults, now: Timestamp) -> Self {
        let devices = Devices::new(faults);
        Self(Arc::new(Mutex::new(Inner { devices, begin: now, now, seen: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A kill may come while somebody looks.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// It is later, and devices did what they did until now.
    pub(super) fn set(&self, now: Timestamp) {
        let mut inner = self.lock();
        inner.now = now;
        inner.devices.tick(now);
    }

    /// When a device does something by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let inner = self.lock();
        inner.devices.next(inner.now)
    }

    /// Who asked before asks no more; the next one begins anew.
    pub(super) fn forget_who_asked(&self) {
        self.lock().seen = None;
    }

    pub(super) fn devices(&self) -> BTreeMap<DeviceId, ObservedDevice> {
        self.lock().devices.observed.devices.clone()
    }
}

impl Registry for Played {
    async fn changes(&self, _: ChangeCursor) -> Result<RegistryChanges, ServiceError> {
        let mut inner = self.lock();
        let there = inner.devices.observed.devices.clone();
        let before = inner.seen.replace(there.clone());
        let anew = before.is_none();
        let before = before.unwrap_or_default();
        let gone = before.keys().filter(|id| !there.contains_key(*id)).map(|id| (id.clone(), None));
        let moved = there.iter().filter(|(id, device)| before.get(*id) != Some(*device));
        let devices = moved.map(|(id, device)| (id.clone(), Some(seen(id, device)))).chain(gone).collect();
        Ok(RegistryChanges { upto: ChangeCursor::default(), anew, more: false, devices })
    }

    async fn step(&self, step: &Step) -> Result<(), ServiceError> {
        let mut inner = self.lock();
        let now = inner.now;
        inner.devices.apply(step, now);
        Ok(())
    }
}

impl Clocks for Played {
    fn wall(&self) -> Timestamp {
        self.now()
    }

    fn steady(&self) -> Duration {
        let inner = self.lock();
        inner.now.duration_since(inner.begin).unsigned_abs()
    }
}

fn seen(id: &DeviceId, device: &ObservedDevice) -> SeenDevice {
    let ObservedDevice { enabled, edge, parent, auth: _, connected, tags, desired, reported, modules } =
        device;
    let own = ClientId::device(id.clone());
    let identity =
        Identity { enabled: *enabled, edge: *edge, parent: parent.clone(), ..identity_of(own.clone(), None) };
    let twin = TwinRecord { tags: Packed::of(tags), ..twin_of(own, (desired, 1), reported) };
    let modules = modules.iter().map(|(name, module)| {
        let ObservedModule { desired, desired_version, reported, managed_by, connected } = module;
        let client = ClientId::module(id.clone(), name.clone());
        SeenClient {
            identity: Arc::new(identity_of(client.clone(), managed_by.clone())),
            connected: *connected,
            twin: Arc::new(twin_of(client, (desired, *desired_version), reported)),
        }
    });
    SeenDevice {
        device: SeenClient { identity: Arc::new(identity), connected: *connected, twin: Arc::new(twin) },
        modules: modules.collect(),
    }
}

fn identity_of(client: ClientId, managed_by: Option<String>) -> Identity {
    Identity {
        client,
        generation: "1".into(),
        etag: 1,
        enabled: true,
        status_reason: None,
        status_updated: None,
        authentication: Authentication::Sas { primary: String::new(), secondary: String::new() },
        edge: false,
        device_scope: None,
        parent: None,
        managed_by,
        from_parent: false,
    }
}

fn twin_of(
    client: ClientId,
    (desired, version): (&Map<String, Value>, u64),
    reported: &Map<String, Value>,
) -> TwinRecord {
    let collection = |properties: &Map<String, Value>, version: u64| Collection {
        properties: Packed::of(properties),
        version,
        metadata: Packed::default(),
    };
    TwinRecord {
        client,
        version: 1,
        etag: 1,
        tags: Packed::default(),
        desired: collection(desired, version),
        reported: collection(reported, 1),
        model_id: String::new(),
        unsynced: false,
    }
}
