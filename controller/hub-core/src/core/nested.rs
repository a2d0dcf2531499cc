//! The hub of an edge device speaks for those beneath it: its own modules, the device itself, its children and theirs
//! (reference edge-runtime §6.2, "indirect").
//!
//! Nothing but the registry says who is beneath whom. What is asked for anybody else is refused, and acknowledged: a child
//! hub that was told "not now" would repeat it for ever, with everything behind it.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{
    error::{ErrorCode, ErrorDocument},
    properties::Properties,
};
use jiff::Timestamp;

use super::{
    Core,
    connections::End,
    messages::{NotTaken, Routing, Sender},
    methods::Answer,
};
use crate::{
    effect::{CloseReason, Effect, Nested, Outbound},
    event::{AckToken, ConnectionId, Feature, Qos},
    message::AuthMethod,
    scope::{PAGE, ScopeIdentity, ScopePage},
    session::Session,
    twin,
    upstream::Act,
    write::Identity,
};

/// What is said to a child hub for somebody beneath it.
pub(super) fn to_child(connection: ConnectionId, client: ClientId, what: Nested) -> Effect {
    Effect::Send { connection, outbound: Outbound::Nested { client, what } }
}

/// The answer about somebody who is not beneath the hub that asks: whether there is one is none of its business.
fn unknown(client: &ClientId, rid: &str, now: Timestamp) -> (u16, Bytes) {
    let message = format!("{client} is not beneath this edge device");
    let document =
        ErrorDocument { code: ErrorCode::DeviceNotFound, message: &message, tracking: rid, at: now };
    (ErrorCode::DeviceNotFound.status(), Bytes::from(document.twin().to_string()))
}

/// What the hub of an edge device said.
pub(super) struct Spoken {
    pub(super) connection: ConnectionId,
    pub(super) client: ClientId,
    pub(super) act: Act,
    pub(super) token: Option<AckToken>,
}

impl Core {
    pub(super) fn nested(&mut self, spoken: Spoken, now: Timestamp, out: &mut Vec<Effect>) {
        let Spoken { connection, client, act, token } = spoken;
        let Some((hub, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        let auth = connected.auth;
        if hub.module.as_ref() != Some(&ModuleId::edge_hub()) || !self.registry.is_edge(&hub.device) {
            return self.end(&hub, End::Closed(CloseReason::ProtocolError), now, out);
        }
        let may_speak = self.may_speak_for(&hub.device, &client);
        match act {
            Act::Telemetry { properties, body } => {
                let taken = if may_speak {
                    self.relayed_message(&client, auth, (properties, body), now, out)
                } else {
                    Ok(Relayed::Refused)
                };
                match taken {
                    Ok(Relayed::Taken) => self.counters.nested_messages += 1,
                    Ok(Relayed::Refused) => {
                        self.counters.nested_refused += 1;
                        out.push(to_child(connection, client, Nested::Refused));
                    }
                    Err(Full) => return self.end(&hub, End::Closed(CloseReason::QueueFull), now, out),
                }
            }
            Act::TwinGet { rid } => {
                let body = self.twins.get(&client).filter(|_| may_speak).map(|twin| twin::for_client(twin));
                let (status, body) = body.map_or_else(|| unknown(&client, &rid, now), |body| (200, body));
                let what = Nested::TwinResponse { rid, status, body };
                out.push(to_child(connection, client, what));
            }
            Act::ReportedPatch { rid, patch } => {
                let (status, body) = if may_speak {
                    let (status, _, body) = self.report_answer(&client, (&rid, None), &patch, now, out);
                    (status, body)
                } else {
                    unknown(&client, &rid, now)
                };
                let what = Nested::TwinResponse { rid, status, body };
                out.push(to_child(connection, client, what));
            }
            Act::MethodResult { rid, status, payload } => {
                // The call itself knows over which connection it went.
                return self.method_result(Answer { connection, rid, status, payload, token }, now, out);
            }
            Act::MethodFailed { rid, code } => self.method_failed(connection, &rid, code, out),
            Act::TopicsWanted { filters } => self.topics_wanted(&hub, filters, out),
            Act::ScopeGet { rid, after } => {
                if client.module.is_none() && client.device == hub.device {
                    let page = self.scope_page(&hub.device, after.as_ref());
                    out.push(to_child(connection, client, Nested::Scope { rid, page }));
                }
            }
        }
        if let Some(token) = token {
            out.push(Effect::Ack { connection, token });
        }
    }

    fn relayed_message(
        &mut self,
        client: &ClientId,
        auth: AuthMethod,
        (properties, body): (Properties, Bytes),
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Relayed, Full> {
        let Some(generation) = self.registry.identity(client).map(|identity| identity.generation.clone())
        else {
            return Ok(Relayed::Refused);
        };
        self.saw(client, now);
        let (message_type, routing) = (None, Routing::Done);
        let sender = Sender { client: client.clone(), generation, auth, message_type, routing };
        match self.take_in(sender, properties, body, now, out) {
            Ok(()) => Ok(Relayed::Taken),
            // The child's limits are wider than ours; it will never be smaller.
            Err(NotTaken::TooLarge) => Ok(Relayed::Refused),
            Err(NotTaken::Full) => Err(Full),
        }
    }

    fn scope_page(&self, edge: &DeviceId, after: Option<&ClientId>) -> Bytes {
        let is_after = |identity: &&Arc<Identity>| after.is_none_or(|after| identity.client > *after);
        let mut rest = self.registry.scope(edge).into_iter().filter(is_after);
        let identities: Vec<ScopeIdentity> =
            rest.by_ref().take(PAGE).map(|identity| ScopeIdentity::of(identity, edge)).collect();
        let page = ScopePage { identities, more: rest.next().is_some() };
        // Texts and numbers only: it has a JSON form.
        Bytes::from(serde_json::to_vec(&page).unwrap_or_default())
    }

    /// Tells the hubs above this device that their list has changed.
    pub(super) fn tell_scope(&self, device: &DeviceId, out: &mut Vec<Effect>) {
        for (edge, connection, _) in self.child_hubs(device) {
            out.push(to_child(connection, ClientId::device(edge), Nested::ScopeChanged));
        }
    }

    /// The hubs of edge devices above this device, its own included, that are connected and speak for those beneath them;
    /// the nearest first.
    pub(super) fn child_hubs(&self, device: &DeviceId) -> Vec<(DeviceId, ConnectionId, Qos)> {
        let line = self.registry.line_of(device).into_iter().filter(|above| self.registry.is_edge(above));
        line.filter_map(|above| {
            let hub = ClientId::module(above.clone(), ModuleId::edge_hub());
            let connected = self.sessions.get(&hub).and_then(Session::connected)?;
            Some((above, connected.connection, connected.grants.qos(Feature::Nested)?))
        })
        .collect()
    }

    /// A child hub has come: calls and messages that wait for those beneath it.
    pub(super) fn serve_beneath(&mut self, hub: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        let speaks = self.sessions.get(hub).and_then(Session::connected);
        if speaks.is_none_or(|connected| connected.grants.qos(Feature::Nested).is_none()) {
            return;
        }
        let waiting = self.calls.clients().into_iter().chain(self.cloud.devices().map(ClientId::device));
        let beneath: Vec<ClientId> =
            waiting.filter(|client| self.registry.is_beneath(&client.device, &hub.device)).collect();
        for client in beneath {
            self.send_calls(&client, now, out);
            self.pump_cloud(&client, now, out);
        }
    }

    /// Is this the hub of an edge device that speaks for those beneath it?
    pub(super) fn speaks_nested(&self, client: &ClientId) -> bool {
        let connected = self.sessions.get(client).and_then(Session::connected);
        client.module.as_ref() == Some(&ModuleId::edge_hub())
            && connected.is_some_and(|connected| connected.grants.qos(Feature::Nested).is_some())
    }

    /// Is this identity there, enabled, and the edge device itself, one of its modules, or beneath it?
    fn may_speak_for(&self, edge: &DeviceId, client: &ClientId) -> bool {
        self.registry.enabled(client) && self.registry.is_beneath(&client.device, edge)
    }
}

/// What became of a relayed message.
enum Relayed {
    Taken,
    /// It never will be taken.
    Refused,
}

/// There is no room now.
struct Full;
