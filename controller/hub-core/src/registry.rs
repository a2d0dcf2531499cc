//! The identity registry: who exists, with which keys, beneath whom; and the policies.
//!
//! Holds and checks; what a change means for sessions, twins and queues is decided in `core/identities.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{etag, sas::SymmetricKey};
use jiff::Timestamp;

use crate::{
    clock::ticks,
    event::Entropy,
    service::{Authentication, IfMatch, ServiceError},
    write::{Identity, Permission, Policy},
};

/// All identities and policies.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: BTreeMap<DeviceId, Device>,
    /// Devices by their parent.
    by_parent: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
    policies: BTreeMap<String, Policy>,
    last_generation: u64,
}

/// A device with its modules.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) identity: Arc<Identity>,
    pub(crate) modules: BTreeMap<ModuleId, Arc<Identity>>,
}

/// What a write finds and may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    Create,
    Update,
}

/// Names and permissions of the policies that every hub has (reference service-api §2.1).
pub(crate) const DEFAULT_POLICIES: [(&str, &[Permission]); 5] = [
    (
        "iothubowner",
        &[
            Permission::RegistryRead,
            Permission::RegistryWrite,
            Permission::ServiceConnect,
            Permission::DeviceConnect,
        ],
    ),
    ("service", &[Permission::ServiceConnect]),
    ("device", &[Permission::DeviceConnect]),
    ("registryRead", &[Permission::RegistryRead]),
    ("registryReadWrite", &[Permission::RegistryRead, Permission::RegistryWrite]),
];

impl Registry {
    /// As the store gives it back. Modules without their device are left out.
    pub(crate) fn restore(identities: Vec<Identity>, policies: Vec<Policy>) -> Self {
        let mut registry = Self::default();
        let (modules, devices): (Vec<_>, Vec<_>) =
            identities.into_iter().partition(|identity| identity.client.module.is_some());
        for identity in devices.into_iter().chain(modules) {
            let generation = identity.generation.parse().unwrap_or(0);
            registry.last_generation = registry.last_generation.max(generation);
            registry.put(identity);
        }
        for policy in policies {
            registry.put_policy(policy);
        }
        registry
    }

    /// All devices in the order of their ids.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// Devices from this id on, itself included, in the order of their ids.
    pub(crate) fn devices_from(&self, first: Option<&DeviceId>) -> impl Iterator<Item = &Device> {
        let from = first.map_or(Bound::Unbounded, |first| Bound::Included(first.clone()));
        self.devices.range((from, Bound::Unbounded)).map(|(_, device)| device)
    }

    /// A device with its modules.
    pub(crate) fn device(&self, device: &DeviceId) -> Option<&Device> {
        self.devices.get(device)
    }

    /// The identity of a device or module.
    pub(crate) fn identity(&self, client: &ClientId) -> Option<&Identity> {
        let device = self.devices.get(&client.device)?;
        match &client.module {
            None => Some(&device.identity),
            Some(module) => device.modules.get(module).map(Arc::as_ref),
        }
    }

    /// The identity, or which of its parts does not exist.
    pub(crate) fn require(&self, client: &ClientId) -> Result<&Identity, ServiceError> {
        let device = self
            .devices
            .get(&client.device)
            .ok_or_else(|| ServiceError::DeviceNotFound(client.device.clone()))?;
        match &client.module {
            None => Ok(&device.identity),
            Some(module) => {
                let module = device.modules.get(module).map(Arc::as_ref);
                module.ok_or_else(|| ServiceError::ModuleNotFound(client.clone()))
            }
        }
    }

    /// May it connect? A module may when its device may.
    pub(crate) fn enabled(&self, client: &ClientId) -> bool {
        let device = self.devices.get(&client.device).is_some_and(|device| device.identity.enabled);
        device && self.identity(client).is_some_and(|identity| identity.enabled)
    }

    /// Is this device an edge device?
    pub(crate) fn is_edge(&self, device: &DeviceId) -> bool {
        self.devices.get(device).is_some_and(|device| device.identity.edge)
    }

    /// The edge device whose routes decide over messages of this client: the own one of a module, the parent of a
    /// device. `None`: straight to the event log.
    pub(crate) fn routed_by(&self, client: &ClientId) -> Option<&DeviceId> {
        let device = &self.devices.get(&client.device)?.identity;
        match (&client.module, &device.parent) {
            (Some(_), _) => device.edge.then_some(&device.client.device),
            (None, Some(parent)) => self.is_edge(parent).then_some(parent),
            (None, None) => None,
        }
    }

    /// The edge device among whose clients this one is on user-defined topics: the one whose routes decide over it, but for
    /// the hub of an edge device beneath another. That comes to the other for what its bridges exchange.
    pub(crate) fn meets_at(&self, client: &ClientId) -> Option<&DeviceId> {
        let parent = || self.devices.get(&client.device)?.identity.parent.as_ref();
        let is_hub = client.module.as_ref() == Some(&ModuleId::edge_hub());
        let above = if is_hub { parent().filter(|parent| self.is_edge(parent)) } else { None };
        above.or_else(|| self.routed_by(client))
    }

    /// Scope of an edge device, which its children carry too.
    pub(crate) fn edge_scope(&self, device: &DeviceId) -> Option<&str> {
        let identity = &self.devices.get(device)?.identity;
        if identity.edge { identity.device_scope.as_deref() } else { None }
    }

    /// Devices whose parent this is.
    pub(crate) fn children(&self, parent: &DeviceId) -> Vec<DeviceId> {
        self.by_parent.get(parent).into_iter().flatten().cloned().collect()
    }

    /// An edge device and everything beneath it, modules included, in the order of their ids.
    pub(crate) fn scope(&self, edge: &DeviceId) -> Vec<&Arc<Identity>> {
        let mut beneath = BTreeSet::new();
        let mut look = vec![edge];
        while let Some(device) = look.pop() {
            if self.devices.contains_key(device) && beneath.insert(device) {
                look.extend(self.by_parent.get(device).into_iter().flatten());
            }
        }
        let devices = beneath.into_iter().filter_map(|device| self.devices.get(device));
        devices.flat_map(|device| std::iter::once(&device.identity).chain(device.modules.values())).collect()
    }

    /// Identities that the parent of this hub told of, modules before their devices, so that they can go in this order.
    pub(crate) fn told_by_parent(&self) -> Vec<ClientId> {
        let told = |identity: &&Arc<Identity>| identity.from_parent;
        let of = |device: &'_ Device| {
            let modules = device.modules.values().filter(told).map(|module| module.client.clone());
            modules.chain(Some(&device.identity).filter(told).map(|it| it.client.clone())).collect::<Vec<_>>()
        };
        self.devices.values().flat_map(of).collect()
    }

    /// A device, its parent, and so on upwards.
    pub(crate) fn line_of(&self, device: &DeviceId) -> Vec<DeviceId> {
        let mut line = vec![device.clone()];
        let mut next = self.devices.get(device).and_then(|device| device.identity.parent.clone());
        // There are no circles; if there were one, this ends all the same.
        while let Some(above) = next.filter(|above| !line.contains(above)) {
            next = self.devices.get(&above).and_then(|device| device.identity.parent.clone());
            line.push(above);
        }
        line
    }

    /// Is `device` this one, or beneath it?
    pub(crate) fn is_beneath(&self, device: &DeviceId, above: &DeviceId) -> bool {
        let mut next = Some(device);
        // There are no circles; if there were one, this ends all the same.
        for _ in 0..=self.devices.len() {
            match next {
                None => return false,
                Some(id) if id == above => return true,
                Some(id) => next = self.devices.get(id).and_then(|device| device.identity.parent.as_ref()),
            }
        }
        false
    }

    /// Would `parent` above `device` close a circle?
    pub(crate) fn is_circle(&self, device: &DeviceId, parent: &DeviceId) -> bool {
        let mut above = Some(parent);
        for _ in 0..=self.devices.len() {
            match above {
                None => return false,
                Some(id) if id == device => return true,
                Some(id) => above = self.devices.get(id).and_then(|device| device.identity.parent.as_ref()),
            }
        }
        true
    }

    /// Inserts or replaces an identity.
    pub(crate) fn put(&mut self, identity: Identity) {
        let identity = Arc::new(identity);
        if identity.client.module.is_none() {
            let device = &identity.client.device;
            let before = self.devices.get(device).and_then(|device| device.identity.parent.clone());
            self.forget_parent(device, before.as_ref());
            if let Some(parent) = &identity.parent {
                self.by_parent.entry(parent.clone()).or_default().insert(device.clone());
            }
        }
        match &identity.client.module {
            None => match self.devices.get_mut(&identity.client.device) {
                Some(device) => device.identity = identity,
                None => {
                    let id = identity.client.device.clone();
                    self.devices.insert(id, Device { identity, modules: BTreeMap::new() });
                }
            },
            Some(module) => {
                if let Some(device) = self.devices.get_mut(&identity.client.device) {
                    device.modules.insert(module.clone(), Arc::clone(&identity));
                }
            }
        }
    }

    /// Removes an identity; a device takes its modules along. Gives everything that went, modules first.
    pub(crate) fn remove(&mut self, client: &ClientId) -> Vec<ClientId> {
        match &client.module {
            None => {
                let removed = self.devices.remove(&client.device);
                let parent = removed.as_ref().and_then(|device| device.identity.parent.clone());
                self.forget_parent(&client.device, parent.as_ref());
                let modules = removed.map(|device| device.modules).unwrap_or_default();
                modules.values().map(|module| module.client.clone()).chain([client.clone()]).collect()
            }
            Some(module) => {
                if let Some(device) = self.devices.get_mut(&client.device) {
                    device.modules.remove(module);
                }
                vec![client.clone()]
            }
        }
    }

    fn forget_parent(&mut self, device: &DeviceId, parent: Option<&DeviceId>) {
        if let Some(parent) = parent
            && let Some(children) = self.by_parent.get_mut(parent)
        {
            children.remove(device);
            if children.is_empty() {
                self.by_parent.remove(parent);
            }
        }
    }

    /// A generation id that has never been used: the time, or one more than the last.
    pub(crate) fn generation(&mut self, now: Timestamp) -> Arc<str> {
        self.last_generation = ticks(now).max(self.last_generation + 1);
        Arc::from(self.last_generation.to_string())
    }

    /// A policy by name.
    pub(crate) fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(name)
    }

    /// Is there no policy yet?
    pub(crate) fn has_no_policies(&self) -> bool {
        self.policies.is_empty()
    }

    /// Inserts or replaces a policy.
    pub(crate) fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(policy.name.clone(), policy);
    }
}

/// First value of an etag counter. The time, so that an etag of an earlier generation does not fit the new one.
pub(crate) fn first_etag(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(1)
}

/// Does `If-Match` allow this write (reference service-api §3.1)? The errors are those of the kind of identity.
pub(crate) fn writing(
    client: &ClientId,
    current: Option<&Identity>,
    if_match: &IfMatch,
) -> Result<Writing, ServiceError> {
    match (current, if_match) {
        (None, IfMatch::Absent) => Ok(Writing::Create),
        (None, IfMatch::Any | IfMatch::Etag(_)) => Err(match &client.module {
            None => ServiceError::DeviceNotFound(client.device.clone()),
            Some(_) => ServiceError::ModuleNotFound(client.clone()),
        }),
        (Some(_), IfMatch::Absent) => Err(match &client.module {
            None => ServiceError::DeviceAlreadyExists(client.device.clone()),
            Some(_) => ServiceError::ModuleAlreadyExists(client.clone()),
        }),
        (Some(_), IfMatch::Any) => Ok(Writing::Update),
        (Some(current), IfMatch::Etag(given)) => {
            if *given == etag::identity(current.etag) {
                Ok(Writing::Update)
            } else {
                Err(ServiceError::PreconditionFailed)
            }
        }
    }
}

/// The keys to store: what was given, what there is, or new ones (reference service-api §4.1, write rules).
pub(crate) fn settle_authentication(
    wanted: Option<Authentication>,
    current: Option<&Authentication>,
    entropy: Entropy,
) -> Result<Authentication, ServiceError> {
    let (primary_key, secondary_key) = keys(entropy);
    match (wanted, current) {
        (None, Some(current)) => Ok(current.clone()),
        (None, None) => Ok(Authentication::Sas { primary: primary_key, secondary: secondary_key }),
        (Some(Authentication::Sas { primary, secondary }), _) => Ok(Authentication::Sas {
            primary: given_or(primary, primary_key)?,
            secondary: given_or(secondary, secondary_key)?,
        }),
        (Some(Authentication::SelfSigned { primary, secondary }), _) => {
            let given: Vec<&String> =
                primary.iter().chain(&secondary).filter(|print| !print.is_empty()).collect();
            if given.is_empty() {
                return Err(ServiceError::ArgumentInvalid(
                    "selfSigned needs at least one thumbprint".to_owned(),
                ));
            }
            let is_hash = |print: &&String| {
                matches!(print.len(), 40 | 64) && print.chars().all(|c| c.is_ascii_hexdigit())
            };
            if let Some(bad) = given.iter().find(|print| !is_hash(print)) {
                return Err(ServiceError::ArgumentInvalid(format!(
                    "thumbprint {bad:?} is not 40 (SHA-1) or 64 (SHA-256) hexadecimal digits"
                )));
            }
            Ok(Authentication::SelfSigned { primary, secondary })
        }
        (Some(Authentication::CertificateAuthority), _) => Ok(Authentication::CertificateAuthority),
        (Some(Authentication::None), _) => Ok(Authentication::None),
    }
}

fn given_or(given: String, generated: String) -> Result<String, ServiceError> {
    if given.is_empty() {
        return Ok(generated);
    }
    match SymmetricKey::from_base64(&given) {
        Ok(_) => Ok(given),
        Err(error) => Err(ServiceError::ArgumentInvalid(format!("symmetric key: {error}"))),
    }
}

/// Two keys of 32 bytes each.
pub(crate) fn keys(entropy: Entropy) -> (String, String) {
    let (first, second) = entropy.0.split_at(32);
    (STANDARD.encode(first), STANDARD.encode(second))
}
