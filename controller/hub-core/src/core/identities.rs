//! Identities are made, changed and removed, with all that hangs on them.

use std::sync::Arc;

use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::etag;
use jiff::Timestamp;

use super::{Core, connections::End};
use crate::{
    authenticate::Authority,
    change_event::Change,
    clock::ticks,
    effect::{CloseReason, Effect, Notice},
    event::Entropy,
    registry::{Writing, first_etag, settle_authentication, writing},
    service::{Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply},
    session::Session,
    twin, view,
    write::{Identity, Write},
};

/// Who manages the two modules that every edge device has (reference service-api §4.1).
const RUNTIME: &str = "iotEdge";

/// The circumstances of a write.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) if_match: &'a IfMatch,
    pub(super) entropy: Entropy,
    pub(super) authority: &'a Authority,
}

impl Core {
    pub(super) fn put_device(
        &mut self,
        device: &DeviceId,
        settings: DeviceSettings,
        how: How<'_>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let How { if_match, entropy, authority: _ } = how;
        let client = ClientId::device(device.clone());
        let current = self.registry.identity(&client).cloned();
        let writing = writing(&client, current.as_ref(), if_match)?;
        let DeviceSettings { enabled, status_reason, authentication, edge, parent } = settings;
        let authentication =
            settle_authentication(authentication, current.as_ref().map(|c| &c.authentication), entropy)?;
        let was_edge = current.as_ref().is_some_and(|current| current.edge);
        let edge = edge.unwrap_or(was_edge);
        let parent = parent.unwrap_or_else(|| current.as_ref().and_then(|current| current.parent.clone()));
        if let Some(parent) = &parent {
            self.check_parent(device, parent)?;
        }
        let device_scope = match (edge, &current) {
            (true, Some(current)) if was_edge => current.device_scope.clone(),
            (true, _) => Some(format!("ms-azure-iot-edge://{device}-{}", ticks(now))),
            (false, _) => {
                parent.as_ref().and_then(|parent| self.registry.edge_scope(parent)).map(str::to_owned)
            }
        };
        let was_enabled = current.as_ref().is_none_or(|current| current.enabled);
        let enabled = enabled.unwrap_or(was_enabled);
        let identity = match current {
            None => Identity {
                client: client.clone(),
                generation: self.registry.generation(now),
                etag: first_etag(now),
                enabled,
                status_reason,
                status_updated: None,
                authentication,
                edge,
                device_scope,
                parent,
                managed_by: None,
                from_parent: false,
            },
            Some(current) => Identity {
                etag: current.etag + 1,
                enabled,
                status_reason: status_reason.or(current.status_reason),
                status_updated: if enabled == was_enabled { current.status_updated } else { Some(now) },
                authentication,
                edge,
                device_scope,
                parent,
                ..current
            },
        };
        self.put_identity(identity, writing, now, out);
        match (was_edge, edge) {
            (false, true) => {
                self.add_system_modules(device, now, out);
                self.take_routes(device, now, out);
            }
            (true, false) => {
                self.routes.remove(device);
                self.release_children(device, out);
            }
            (true, true) | (false, false) => {}
        }
        self.enter_topics_of(device);
        if was_enabled && !enabled {
            self.close_device(device, now, out);
        }
        self.close_withdrawn(device, now, out);
        self.identity_reply(&client)
    }

    pub(super) fn put_module(
        &mut self,
        client: &ClientId,
        settings: ModuleSettings,
        how: How<'_>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let How { if_match, entropy, authority } = how;
        let Some(module) = &client.module else {
            return Err(ServiceError::ArgumentNull("moduleId"));
        };
        let device = self
            .registry
            .device(&client.device)
            .ok_or_else(|| ServiceError::DeviceNotFound(client.device.clone()))?;
        let others = device.modules.keys().filter(|module| !module.is_system()).count();
        if module.is_system() && matches!(authority, Authority::Policy) {
            return Err(ServiceError::SystemModule(client.clone()));
        }
        let current = device.modules.get(module).map(|current| Identity::clone(current));
        let writing = writing(client, current.as_ref(), if_match)?;
        let is_new = matches!(writing, Writing::Create);
        if is_new && !module.is_system() && others >= self.config.limits.modules {
            return Err(ServiceError::TooManyModules(client.device.clone()));
        }
        let ModuleSettings { authentication, managed_by } = settings;
        let authentication =
            settle_authentication(authentication, current.as_ref().map(|c| &c.authentication), entropy)?;
        let identity = match current {
            None => self.new_module(client.clone(), authentication, managed_by, now),
            Some(current) => Identity {
                etag: current.etag + 1,
                authentication,
                managed_by: managed_by.or(current.managed_by),
                ..current
            },
        };
        self.put_identity(identity, writing, now, out);
        self.close_withdrawn(&client.device, now, out);
        self.identity_reply(client)
    }

    /// Removes an identity. A device takes along its modules, twins, sessions and what waits for them.
    pub(super) fn delete_identity(
        &mut self,
        client: &ClientId,
        if_match: &IfMatch,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let identity = self.registry.require(client)?;
        match if_match {
            IfMatch::Absent | IfMatch::Any => {}
            IfMatch::Etag(given) if *given == etag::identity(identity.etag) => {}
            IfMatch::Etag(_) => return Err(ServiceError::PreconditionFailed),
        }
        let is_system = client.module.as_ref().is_some_and(ModuleId::is_system);
        if is_system && self.registry.is_edge(&client.device) {
            return Err(ServiceError::SystemModule(client.clone()));
        }
        self.remove_identity(client, now, out);
        Ok(ServiceReply::Done)
    }

    /// Whatever it is, it goes.
    pub(super) fn remove_identity(&mut self, client: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        self.tell_scope(&client.device, out);
        let gone = self.registry.remove(client);
        out.push(Effect::Persist(Write::DeleteIdentity(client.clone())));
        for gone in gone {
            self.end(&gone, End::Closed(CloseReason::IdentityGone), now, out);
            self.fail_calls_to(&gone, out);
            self.sessions.remove(&gone);
            self.queues.forget(&gone);
            self.forget_mirror(&gone);
            self.forget_topics(&gone);
            if gone.module.is_none() {
                self.forget_cloud(&gone.device, now, out);
            }
            let twin = self.twins.remove(&gone);
            self.happened(&gone, now, out, || twin.map(Change::Deleted));
            out.push(Effect::Notify(Notice::Registry { client: gone, by: None }));
        }
        if client.module.is_none() {
            self.routes.remove(&client.device);
            self.release_children(&client.device, out);
        }
    }

    pub(super) fn identity_reply(&self, client: &ClientId) -> Result<ServiceReply, ServiceError> {
        let identity = self.registry.require(client)?;
        let document = view::identity(identity, self.parent_scope(identity), self.presence(client));
        Ok(ServiceReply::Identity { document, etag: etag::identity(identity.etag) })
    }

    pub(super) fn list_modules(&self, device: &DeviceId) -> Result<ServiceReply, ServiceError> {
        let device =
            self.registry.device(device).ok_or_else(|| ServiceError::DeviceNotFound(device.clone()))?;
        let modules = device.modules.values();
        let documents = modules.map(|module| view::identity(module, None, self.presence(&module.client)));
        Ok(ServiceReply::Identities(documents.collect()))
    }

    pub(super) fn list_devices(&self, top: usize) -> ServiceReply {
        let top = if (1..=1000).contains(&top) { top } else { 1000 };
        let devices = self.registry.devices().take(top).map(|device| &device.identity);
        let document = |identity: &Arc<Identity>| {
            view::identity(identity, self.parent_scope(identity), self.presence(&identity.client))
        };
        ServiceReply::Identities(devices.map(document).collect())
    }

    /// Scope of the parent of an edge device, which its document shows.
    pub(super) fn parent_scope(&self, identity: &Identity) -> Option<&str> {
        self.registry.edge_scope(identity.parent.as_ref()?)
    }

    fn check_parent(&self, device: &DeviceId, parent: &DeviceId) -> Result<(), ServiceError> {
        let invalid = |text: String| Err(ServiceError::ArgumentInvalid(text));
        if self.registry.is_circle(device, parent) {
            return invalid(format!(
                "{parent} cannot be the parent of {device}: it is {device} itself or beneath it"
            ));
        }
        if !self.registry.is_edge(parent) {
            return invalid(format!("the parent {parent} of {device} is no edge device of this hub"));
        }
        Ok(())
    }

    fn new_module(
        &mut self,
        client: ClientId,
        authentication: Authentication,
        managed_by: Option<String>,
        now: Timestamp,
    ) -> Identity {
        Identity {
            client,
            generation: self.registry.generation(now),
            etag: first_etag(now),
            enabled: true,
            status_reason: None,
            status_updated: None,
            authentication,
            edge: false,
            device_scope: None,
            parent: None,
            managed_by,
            from_parent: false,
        }
    }

    /// Stores an identity; a new one gets its twin.
    pub(super) fn put_identity(
        &mut self,
        identity: Identity,
        writing: Writing,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let client = identity.client.clone();
        out.push(Effect::Persist(Write::PutIdentity(identity.clone())));
        let parent = identity.parent.clone();
        let moved = client.module.is_none()
            && self.registry.identity(&client).is_some_and(|current| current.parent != parent);
        if moved {
            // The hub that it was beneath has to hear of it, too.
            self.tell_scope(&client.device, out);
        }
        self.registry.put(identity);
        self.tell_scope(&client.device, out);
        match writing {
            Writing::Update => {}
            Writing::Create => {
                let record = Arc::new(twin::fresh(client.clone(), now, first_etag(now)));
                out.push(Effect::Persist(Write::PutTwin(Arc::clone(&record))));
                self.twins.insert(client.clone(), Arc::clone(&record));
                self.happened(&client, now, out, || Some(Change::Created(record)));
            }
        }
        out.push(Effect::Notify(Notice::Registry { client, by: None }));
    }

    /// Gives an edge device the two modules of the runtime that it does not have yet. They have no keys of their own:
    /// the key of the device speaks for them.
    fn add_system_modules(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) {
        for module in [ModuleId::edge_agent(), ModuleId::edge_hub()] {
            let client = ClientId::module(device.clone(), module);
            if self.registry.identity(&client).is_none() {
                let identity = self.new_module(client, Authentication::None, Some(RUNTIME.to_owned()), now);
                self.put_identity(identity, Writing::Create, now, out);
            }
        }
    }

    /// The parent is gone, or no edge device any more: its children stand alone.
    fn release_children(&mut self, parent: &DeviceId, out: &mut Vec<Effect>) {
        for child in self.registry.children(parent) {
            let client = ClientId::device(child);
            // Beneath whom those are that the parent told of, the parent says.
            let local = self.registry.identity(&client).filter(|identity| !identity.from_parent);
            let Some(mut identity) = local.cloned() else {
                continue;
            };
            identity.parent = None;
            identity.etag += 1;
            if !identity.edge {
                identity.device_scope = None;
            }
            out.push(Effect::Persist(Write::PutIdentity(identity.clone())));
            self.registry.put(identity);
            self.enter_topics_of(&client.device);
            out.push(Effect::Notify(Notice::Registry { client, by: None }));
        }
    }

    /// A disabled device is cut off, with its modules.
    pub(super) fn close_device(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) {
        for client in self.clients_of(device) {
            self.end(&client, End::Closed(CloseReason::IdentityGone), now, out);
        }
    }

    /// Whoever came in with a certificate that is no longer its own goes at once. A key that was replaced closes nobody:
    /// its token runs out within hours, a certificate within years, and a fleet whose keys are rotated must not come
    /// back all at the same moment.
    pub(super) fn close_withdrawn(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) {
        for client in self.clients_of(device) {
            let certificate = self.sessions.get(&client).and_then(Session::connected);
            let Some(certificate) = certificate.and_then(|connected| connected.certificate.clone()) else {
                continue;
            };
            if self.gate(now).certified(&client, &certificate).is_err() {
                self.end(&client, End::Closed(CloseReason::IdentityGone), now, out);
            }
        }
    }

    /// A device and its modules, modules first.
    pub(super) fn clients_of(&self, device: &DeviceId) -> Vec<ClientId> {
        let Some(entry) = self.registry.device(device) else { return Vec::new() };
        let modules = entry.modules.values().map(|module| module.client.clone());
        modules.chain([entry.identity.client.clone()]).collect()
    }
}
