//! Twins asked for and changed, from both sides; desired properties on their way to the client; routes taken from the
//! twin of `$edgeHub`.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{
    error::{ErrorCode, ErrorDocument},
    etag,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Core, nested::to_child};
use crate::{
    change_event::{Change, TwinUpdate},
    effect::{Effect, Nested, Notice, Outbound},
    event::{AckToken, ConnectionId, Feature},
    route::{self, RouteTable},
    service::{IfMatch, ServiceError, ServiceReply},
    session::Session,
    twin, view,
    write::Write,
};

/// A reported patch as it arrived.
pub(super) struct Report {
    pub(super) connection: ConnectionId,
    pub(super) rid: Option<String>,
    pub(super) if_version: Option<u64>,
    pub(super) patch: Bytes,
    pub(super) token: Option<AckToken>,
}

/// What the service side merges into a twin. `None`: untouched.
pub(super) struct Patch {
    pub(super) tags: Option<Map<String, Value>>,
    pub(super) desired: Option<Map<String, Value>>,
}

/// What the service side puts in the place of a twin.
pub(super) struct Replacement {
    pub(super) tags: Map<String, Value>,
    pub(super) desired: Map<String, Value>,
}

impl Core {
    pub(super) fn twin_get(
        &mut self,
        connection: ConnectionId,
        rid: String,
        token: Option<AckToken>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        // Every identity has a twin; without one there is nothing to say, and silence is better than an error, which
        // the Python client would repeat without pause (reference device-protocol §5.2).
        if let Some(twin) = self.twins.get(&client) {
            self.counters.twin_gets += 1;
            let body = twin::for_client(twin);
            let outbound = Outbound::TwinResponse { rid, status: 200, version: None, body };
            // The response goes before the acknowledgement, subscribed or not.
            out.push(Effect::Send { connection, outbound });
        }
        if let Some(token) = token {
            out.push(Effect::Ack { connection, token });
        }
    }

    pub(super) fn reported(&mut self, report: Report, now: Timestamp, out: &mut Vec<Effect>) {
        let Report { connection, rid, if_version, patch, token } = report;
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        let tracking = rid.as_deref().unwrap_or_default();
        let (status, version, body) = self.report_answer(&client, (tracking, if_version), &patch, now, out);
        if let Some(rid) = rid {
            let outbound = Outbound::TwinResponse { rid, status, version, body };
            out.push(Effect::Send { connection, outbound });
        }
        if let Some(token) = token {
            out.push(Effect::Ack { connection, token });
        }
    }

    /// Takes a report, or says why not: status, the new version, body.
    pub(super) fn report_answer(
        &mut self,
        client: &ClientId,
        (tracking, if_version): (&str, Option<u64>),
        patch: &Bytes,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> (u16, Option<u64>, Bytes) {
        match self.take_report(client, if_version, patch, now, out) {
            Ok(version) => {
                self.counters.reported_patches += 1;
                (204, Some(version), Bytes::new())
            }
            Err((code, message)) => {
                self.counters.reported_refused += 1;
                let document = ErrorDocument { code, message: &message, tracking, at: now };
                (code.status(), None, Bytes::from(document.twin().to_string()))
            }
        }
    }

    fn take_report(
        &mut self,
        client: &ClientId,
        if_version: Option<u64>,
        patch: &Bytes,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<u64, (ErrorCode, String)> {
        let invalid = |text: String| (ErrorCode::ArgumentInvalid, text);
        let patch: Map<String, Value> = serde_json::from_slice(patch)
            .map_err(|error| invalid(format!("the patch is not a JSON object: {error}")))?;
        let Some(twin) = self.twins.get_mut(client) else {
            return Err((ErrorCode::ServerError, "the twin is missing".to_owned()));
        };
        if let Some(wanted) = if_version.filter(|wanted| *wanted != twin.reported.version) {
            let text = format!("the reported version is {}, not {wanted}", twin.reported.version);
            return Err((ErrorCode::PreconditionFailed, text));
        }
        let told = self.config.change_events.then(|| patch.clone());
        let mirrored = self.registry.identity(client).is_some_and(|identity| identity.from_parent);
        let record = Arc::make_mut(twin);
        twin::report(record, patch, now).map_err(|refused| invalid(refused.to_string()))?;
        // In the same write as the report itself: no crash forgets to tell the parent.
        record.unsynced |= mirrored;
        let (version, reported) = (twin.version, twin.reported.version);
        out.push(Effect::Persist(Write::PutTwin(Arc::clone(twin))));
        out.push(Effect::Notify(Notice::Reported { client: client.clone() }));
        if mirrored {
            self.twin_due(client, out);
        }
        self.happened(client, now, out, || {
            let reported = Some((without_marks(told?), reported));
            Some(Change::TwinUpdated(TwinUpdate { version, reported, ..TwinUpdate::default() }))
        });
        Ok(reported)
    }

    pub(super) fn get_twin(&self, client: &ClientId) -> Result<ServiceReply, ServiceError> {
        self.registry.require(client)?;
        self.twin_reply(client)
    }

    pub(super) fn patch_twin(
        &mut self,
        client: &ClientId,
        change: Patch,
        if_match: &IfMatch,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let Patch { tags, desired } = change;
        let before = self.twin_for_writing(client, if_match)?.version;
        let Some(record) = self.twins.get_mut(client).map(Arc::make_mut) else {
            return Err(ServiceError::Unavailable);
        };
        let told = self.config.change_events.then(|| tags.clone()).flatten();
        let patch = twin::patch(record, tags, desired, now)
            .map_err(|refused| ServiceError::ArgumentInvalid(refused.to_string()))?;
        if record.version != before {
            let update = self.config.change_events.then(|| TwinUpdate {
                version: record.version,
                tags: told.map(without_marks).filter(|tags| !tags.is_empty()),
                desired: patch.clone().map(|patch| (patch, record.desired.version)),
                reported: None,
            });
            // Before what the hub itself may report because of it.
            self.happened(client, now, out, || update.map(Change::TwinUpdated));
            self.twin_changed(client, patch, now, out);
        }
        self.twin_reply(client)
    }

    pub(super) fn replace_twin(
        &mut self,
        client: &ClientId,
        change: Replacement,
        if_match: &IfMatch,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let Replacement { tags, desired } = change;
        self.twin_for_writing(client, if_match)?;
        let Some(record) = self.twins.get_mut(client).map(Arc::make_mut) else {
            return Err(ServiceError::Unavailable);
        };
        let patch = twin::replace(record, tags, desired, now)
            .map_err(|refused| ServiceError::ArgumentInvalid(refused.to_string()))?;
        self.happened(client, now, out, || self.twins.get(client).cloned().map(Change::TwinReplaced));
        self.twin_changed(client, Some(patch), now, out);
        self.twin_reply(client)
    }

    fn twin_for_writing(
        &self,
        client: &ClientId,
        if_match: &IfMatch,
    ) -> Result<&crate::write::TwinRecord, ServiceError> {
        self.registry.require(client)?;
        let twin = self.twins.get(client).ok_or(ServiceError::Unavailable)?;
        match if_match {
            IfMatch::Absent | IfMatch::Any => Ok(twin),
            IfMatch::Etag(given) if *given == etag::twin(twin.etag) => Ok(twin),
            IfMatch::Etag(_) => Err(ServiceError::PreconditionFailed),
        }
    }

    /// Stores a twin that the service changed and tells everybody whom it concerns.
    pub(super) fn twin_changed(
        &mut self,
        client: &ClientId,
        desired: Option<Map<String, Value>>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(twin) = self.twins.get(client) else {
            return;
        };
        out.push(Effect::Persist(Write::PutTwin(Arc::clone(twin))));
        if let Some(patch) = desired {
            let version = twin.desired.version;
            let body = twin::patch_body(patch, version);
            // Patches are never kept for a client that is away or does not listen: it asks for its twin when it comes.
            if let Some(Session::Connected(connected)) = self.sessions.get(client)
                && let Some(qos) = connected.grants.qos(Feature::DesiredPatches)
            {
                self.counters.desired_patches += 1;
                let outbound = Outbound::DesiredPatch { version, body: body.clone(), qos };
                out.push(Effect::Send { connection: connected.connection, outbound });
            }
            // A hub beneath has a copy, whether the client is there or here.
            for (_, connection, _) in self.child_hubs(&client.device) {
                let what = Nested::DesiredPatch { version, body: body.clone() };
                out.push(to_child(connection, client.clone(), what));
            }
            if client.module.as_ref() == Some(&ModuleId::edge_hub()) {
                self.take_routes(&client.device, now, out);
            }
        }
        out.push(Effect::Notify(Notice::Registry { client: client.clone(), by: None }));
    }

    /// Takes routes and topic policy of an edge device from the twin of its `$edgeHub`, and reports there what came of it. A refused
    /// set leaves the one before in force.
    pub(super) fn take_routes(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) {
        let before = self.policy_in_force(device);
        self.compile_routes(device, now, out);
        self.policy_changed(device, before.as_ref(), now, out);
        self.bridges_changed(device, out);
    }

    fn compile_routes(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.registry.is_edge(device) {
            self.routes.remove(device);
            return;
        }
        let hub = ClientId::module(device.clone(), ModuleId::edge_hub());
        let Some(twin) = self.twins.get_mut(&hub) else {
            return;
        };
        let version = twin.desired.version;
        if version == 1 {
            return; // never written: nothing to take, nothing to say
        }
        let report = match RouteTable::compile(device, &twin.desired.properties.open(), version) {
            Ok(table) => {
                self.routes.insert(device.clone(), table);
                route::report(version, Ok(()), None)
            }
            Err(refused) => route::report(version, Err(&refused), self.routes.get(device)),
        };
        let mut without_in_force = report.clone();
        without_in_force.insert("inForce".to_owned(), Value::Null);
        // The set in force may be too large to be repeated; the rest of the report never is.
        let reporting = Arc::make_mut(twin);
        let told = if twin::report(reporting, report.clone(), now).is_ok() {
            report
        } else if twin::report(reporting, without_in_force.clone(), now).is_ok() {
            without_in_force
        } else {
            return;
        };
        let (version, reported) = (twin.version, twin.reported.version);
        if self.registry.identity(&hub).is_some_and(|identity| identity.from_parent) {
            Arc::make_mut(twin).unsynced = true;
        }
        out.push(Effect::Persist(Write::PutTwin(Arc::clone(twin))));
        out.push(Effect::Notify(Notice::Reported { client: hub.clone() }));
        self.twin_due(&hub, out);
        self.happened(&hub, now, out, || {
            let reported = Some((told, reported));
            Some(Change::TwinUpdated(TwinUpdate { version, reported, ..TwinUpdate::default() }))
        });
    }

    fn twin_reply(&self, client: &ClientId) -> Result<ServiceReply, ServiceError> {
        let (Some(identity), Some(twin)) = (self.registry.identity(client), self.twins.get(client)) else {
            return Err(ServiceError::Unavailable);
        };
        let parent_scope = self.parent_scope(identity);
        let document = view::twin(identity, parent_scope, twin, self.presence(client));
        Ok(ServiceReply::Twin { document, etag: etag::twin(twin.etag) })
    }
}

/// A patch without what clients echo and nobody stores.
fn without_marks(mut patch: Map<String, Value>) -> Map<String, Value> {
    patch.remove("$version");
    patch.remove("$metadata");
    patch
}
