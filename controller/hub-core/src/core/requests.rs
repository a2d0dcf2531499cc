//! Requests of the service side: authority first, then the operation, then exactly one reply.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId};
use hemline_query::select::{Query, Source};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Core,
    cloud_to_device::Outgoing,
    identities::How,
    methods::Invocation,
    reply,
    twins::{Patch, Replacement},
};
use crate::{
    authenticate::{self, Authority},
    call::Asker,
    changes::{ChangeCursor, Page},
    effect::{Effect, Notice},
    event::{Caller, Entropy, RequestId},
    message::AuthMethod,
    query::{self, Cursor},
    registry::Device,
    service::{RegistryChanges, SeenClient, SeenDevice, ServiceError, ServiceReply, ServiceRequest},
    session::Session,
    view,
    write::Identity,
};

/// Devices in one answer about changes: what a hub does between two other events.
const CHANGES_AT_ONCE: usize = 500;

/// Says in the notices of a request whose it was. Only where something changed is the token read once more.
fn sign(effects: &mut [Effect], caller: &Caller) {
    let notices = effects.iter_mut().filter_map(|effect| {
        let Effect::Notify(Notice::Registry { by, .. }) = effect else { return None };
        Some(by)
    });
    let mut name = None;
    for by in notices {
        by.clone_from(name.get_or_insert_with(|| authenticate::name_of(caller)));
    }
}

/// A request as it was asked.
pub(super) struct Asked {
    pub(super) request: RequestId,
    pub(super) caller: Caller,
    pub(super) operation: ServiceRequest,
    pub(super) entropy: Entropy,
}

impl Core {
    pub(super) fn service(&mut self, asked: Asked, now: Timestamp, out: &mut Vec<Effect>) {
        let Asked { request, caller, operation, entropy } = asked;
        let authority = match self.gate(now).service(&caller, &operation) {
            Ok(authority) => authority,
            Err(failure) => {
                *self.counters.unauthorised.entry(failure).or_default() += 1;
                out.push(reply(request, Err(ServiceError::Unauthorised(failure))));
                return;
            }
        };
        let before = out.len();
        let answer = match operation {
            ServiceRequest::GetDevice(device) => self.identity_reply(&ClientId::device(device)),
            ServiceRequest::ListDevices { top } => Ok(self.list_devices(top)),
            ServiceRequest::PutDevice { device, settings, if_match } => {
                let how = How { if_match: &if_match, entropy, authority: &authority };
                self.put_device(&device, settings, how, now, out)
            }
            ServiceRequest::DeleteIdentity { client, if_match } => {
                self.delete_identity(&client, &if_match, now, out)
            }
            ServiceRequest::ListModules(device) => self.list_modules(&device),
            ServiceRequest::GetModule(client) => self.identity_reply(&client),
            ServiceRequest::PutModule { client, settings, if_match } => {
                let how = How { if_match: &if_match, entropy, authority: &authority };
                self.put_module(&client, settings, how, now, out)
            }
            ServiceRequest::GetTwin(client) => self.get_twin(&client),
            ServiceRequest::PatchTwin { client, tags, desired, if_match } => {
                self.patch_twin(&client, Patch { tags, desired }, &if_match, now, out)
            }
            ServiceRequest::ReplaceTwin { client, tags, desired, if_match } => {
                self.replace_twin(&client, Replacement { tags, desired }, &if_match, now, out)
            }
            ServiceRequest::Query { text, page_size, continuation } => {
                let size = self.rows_at_once(&authority, page_size);
                self.query(&text, size, continuation.as_deref())
            }
            ServiceRequest::InvokeMethod { client, name, payload, response_timeout, connect_timeout } => {
                // Replies by itself, now or when the client has answered.
                let (asker, payload) = (Asker::Request(request), payload.unwrap_or(Value::Null));
                let payload = Bytes::from(payload.to_string());
                let asked = Invocation { asker, client, name, payload, response_timeout, connect_timeout };
                return self.invoke(asked, now, out);
            }
            ServiceRequest::SendTelemetry { client, messages } => {
                let auth = match authority {
                    Authority::Device(method) => method,
                    Authority::Internal | Authority::Policy | Authority::Client => AuthMethod::PolicySas,
                };
                self.telemetry_asked(&client, auth, messages, now, out)
            }
            ServiceRequest::ReceiveCloudToDevice(client) => self.receive_cloud(&client, entropy, now, out),
            ServiceRequest::SettleCloudToDevice { client, lock, settlement } => {
                self.settle_cloud(&client, lock, settlement, now, out)
            }
            ServiceRequest::SendCloudToDevice { device, properties, body } => {
                self.send_to_device(Outgoing { device, properties, body, entropy }, now, out)
            }
            ServiceRequest::PurgeCloudToDevice(device) => self.purge_cloud(&device, now, out),
            ServiceRequest::ReceiveFeedback => Ok(self.receive_feedback(entropy, now, out)),
            ServiceRequest::SettleFeedback { lock, settlement } => {
                self.settle_feedback(lock, settlement, now, out)
            }
            ServiceRequest::TellOfFile(file) => Ok(self.tell_of_file(*file, now, out)),
            ServiceRequest::ReceiveFileNotice => Ok(self.receive_file_notice(entropy, now, out)),
            ServiceRequest::SettleFileNotice { lock, settlement } => {
                self.settle_file_notice(lock, settlement, now, out)
            }
            ServiceRequest::Statistics => Ok(self.statistics()),
            ServiceRequest::GetPolicy(name) => self.policy_reply(&name),
            ServiceRequest::Changes { since } => Ok(ServiceReply::Changes(self.changes_since(since))),
            ServiceRequest::ActAs(_) | ServiceRequest::Identify { .. } | ServiceRequest::Authorize(_) => {
                Ok(ServiceReply::Done)
            }
        };
        sign(out.get_mut(before..).unwrap_or_default(), &caller);
        out.push(reply(request, answer));
    }

    /// Rows of one page of a query: whoever is not of this process is bounded.
    fn rows_at_once(&self, authority: &Authority, asked: usize) -> usize {
        match authority {
            Authority::Internal => asked.max(1),
            Authority::Policy | Authority::Client | Authority::Device(_) => {
                asked.clamp(1, self.config.limits.page)
            }
        }
    }

    fn policy_reply(&self, name: &str) -> Result<ServiceReply, ServiceError> {
        match self.registry.policy(name) {
            Some(policy) => Ok(ServiceReply::Policy(policy.clone())),
            None => Err(ServiceError::ArgumentInvalid(format!("there is no policy {name:?}"))),
        }
    }

    fn statistics(&self) -> ServiceReply {
        let (mut total, mut enabled, mut connected) = (0, 0, 0);
        let is_connected =
            |client: &ClientId| self.sessions.get(client).and_then(Session::connected).is_some();
        for device in self.registry.devices() {
            total += 1;
            enabled += u64::from(device.identity.enabled);
            let any = is_connected(&device.identity.client)
                || device.modules.values().any(|module| is_connected(&module.client));
            connected += u64::from(any);
        }
        ServiceReply::Statistics { total, enabled, connected }
    }

    fn changes_since(&self, since: ChangeCursor) -> RegistryChanges {
        let Page { upto, anew, more, devices } = self.changes.page(since, CHANGES_AT_ONCE);
        let seen = |device: DeviceId| {
            let now = self.seen(&device);
            (device, now)
        };
        RegistryChanges { upto, anew, more, devices: devices.into_iter().map(seen).collect() }
    }

    /// A device with its modules, as it is now.
    fn seen(&self, device: &DeviceId) -> Option<SeenDevice> {
        let device = self.registry.device(device)?;
        let client = |identity: &Arc<Identity>| {
            let twin = Arc::clone(self.twins.get(&identity.client)?);
            let connected = self.presence(&identity.client).connected;
            Some(SeenClient { identity: Arc::clone(identity), connected, twin })
        };
        let modules = device.modules.values().filter_map(client).collect();
        Some(SeenDevice { device: client(&device.identity)?, modules })
    }

    fn query(&self, text: &str, size: usize, token: Option<&str>) -> Result<ServiceReply, ServiceError> {
        let invalid = |text: String| Err(ServiceError::ArgumentInvalid(text));
        if text.trim().is_empty() {
            return Err(ServiceError::ArgumentNull("query"));
        }
        let limit = self.config.limits.query_characters;
        if text.chars().count() > limit {
            return invalid(format!("the query is longer than {limit} characters"));
        }
        let query = match Query::parse(text) {
            Ok(query) => query,
            Err(diagnostics) => {
                // With the picture of every place: the text is the caller's own.
                let pictures: Vec<String> = diagnostics.iter().map(|found| found.render(text)).collect();
                return invalid(pictures.join("\n\n"));
            }
        };
        let cursor = match token {
            None => None,
            Some(token) => match Cursor::parse(token) {
                Some(cursor) => Some(cursor),
                None => return invalid("the continuation token is none of this hub".to_owned()),
            },
        };
        let after = cursor.as_ref().map(|cursor| &cursor.after);
        let (rows, continuation) = match query.source() {
            Source::Devices => query::page(&query, self.device_rows(after), size, cursor.as_ref()),
            Source::Modules => query::page(&query, self.module_rows(after), size, cursor.as_ref()),
            // There are no jobs yet.
            Source::Jobs => query::page(&query, std::iter::empty(), size, cursor.as_ref()),
        };
        Ok(ServiceReply::Rows { item_type: query::item_type(&query), rows, continuation })
    }

    fn device_rows<'a>(
        &'a self,
        after: Option<&'a ClientId>,
    ) -> impl Iterator<Item = (ClientId, Value)> + 'a {
        self.devices_from(after)
            .map(|device| device.identity.client.clone())
            .filter(move |client| after.is_none_or(|after| client > after))
            .filter_map(|client| self.row(client))
    }

    fn module_rows<'a>(
        &'a self,
        after: Option<&'a ClientId>,
    ) -> impl Iterator<Item = (ClientId, Value)> + 'a {
        self.devices_from(after)
            .flat_map(|device| device.modules.values().map(|module| module.client.clone()))
            .filter(move |client| after.is_none_or(|after| client > after))
            .filter_map(|client| self.row(client))
    }

    fn devices_from<'a>(&'a self, after: Option<&'a ClientId>) -> impl Iterator<Item = &'a Device> {
        self.registry.devices_from(after.map(|client| &client.device))
    }

    fn row(&self, client: ClientId) -> Option<(ClientId, Value)> {
        let (identity, twin) = (self.registry.identity(&client)?, self.twins.get(&client)?);
        let row = view::twin(identity, self.parent_scope(identity), twin, self.presence(&client));
        Some((client, row))
    }
}
