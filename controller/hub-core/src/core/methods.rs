//! Direct methods: a call waits for its client, goes out, and is answered or fails (reference device-protocol §6).

use bytes::Bytes;
use hemline_model::id::{ClientId, ModuleId};
use hemline_protocol::method::MAX_NAME;
use jiff::Timestamp;
use serde_json::Value;

use super::{Core, nested::to_child, reply};
use crate::{
    call::{Asker, Call, CallId, Stage},
    clock::later,
    effect::{Effect, Nested, Outbound},
    event::{AckToken, ConnectionId, Feature, Qos},
    service::{ServiceError, ServiceReply},
    session::Session,
    upstream::ToParent,
};

/// A call as it was asked for.
pub(super) struct Invocation {
    pub(super) asker: Asker,
    pub(super) client: ClientId,
    pub(super) name: String,
    /// JSON.
    pub(super) payload: Bytes,
    pub(super) response_timeout: u32,
    pub(super) connect_timeout: u32,
}

/// What a client answered.
pub(super) struct Answer {
    pub(super) connection: ConnectionId,
    pub(super) rid: String,
    pub(super) status: i32,
    pub(super) payload: Bytes,
    pub(super) token: Option<AckToken>,
}

impl Core {
    pub(super) fn invoke(&mut self, asked: Invocation, now: Timestamp, out: &mut Vec<Effect>) {
        let Invocation { asker, client, name, payload, response_timeout, connect_timeout } = asked;
        let problem = self.refuse_call(&client, &name, &payload, response_timeout, connect_timeout);
        if let Some(error) = problem {
            out.push(outcome(asker, client, Err(error)));
            return;
        }
        self.counters.method_calls += 1;
        let until = later(now, connect_timeout.into());
        let call = Call {
            asker,
            client: client.clone(),
            name,
            payload,
            response_timeout,
            connect_timeout,
            stage: Stage::Waiting { until },
        };
        let id = self.calls.add(call);
        self.send_calls(&client, now, out);
        let still_waiting =
            self.calls.get(id).is_some_and(|call| matches!(call.stage, Stage::Waiting { .. }));
        if still_waiting && connect_timeout == 0 {
            self.fail_call(id, out, |call| ServiceError::NotOnline {
                client: call.client.clone(),
                timeout_seconds: call.connect_timeout,
            });
        }
    }

    fn refuse_call(
        &self,
        client: &ClientId,
        name: &str,
        payload: &Bytes,
        response_timeout: u32,
        connect_timeout: u32,
    ) -> Option<ServiceError> {
        if let Err(error) = self.registry.require(client) {
            return Some(error);
        }
        let invalid = |text: String| Some(ServiceError::ArgumentInvalid(text));
        let length = name.chars().count();
        let limit = self.config.limits.method_bytes;
        if name.is_empty() {
            return Some(ServiceError::ArgumentNull("methodName"));
        }
        // The name is a topic segment, and not every client decodes it.
        if length > MAX_NAME || name.contains(['/', '+', '#', '?', '&']) || name.contains(char::is_control) {
            return invalid(format!(
                "method name {name:?} is longer than {MAX_NAME} characters or holds one of / + # ? &"
            ));
        }
        if !(5..=300).contains(&response_timeout) {
            return invalid(format!("responseTimeoutInSeconds is {response_timeout}, allowed are 5 to 300"));
        }
        if connect_timeout > 300 {
            return invalid(format!("connectTimeoutInSeconds is {connect_timeout}, allowed are 0 to 300"));
        }
        if payload.len() > limit {
            return invalid(format!("the payload has {} bytes, at most {limit} are allowed", payload.len()));
        }
        if self.calls.len() >= self.config.limits.calls {
            return Some(ServiceError::Unavailable);
        }
        None
    }

    /// Sends calls that wait for this client, if it is there and listens for methods.
    pub(super) fn send_calls(&mut self, client: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(way) = self.way_to(client) else {
            return;
        };
        for id in self.calls.of(client) {
            let Some(call) = self.calls.get(id) else {
                continue;
            };
            match call.stage {
                Stage::Sent { .. } => {}
                Stage::Waiting { .. } => {
                    let (rid, name, payload) = (id.rid(), call.name.clone(), call.payload.clone());
                    let (connect, response) = (call.connect_timeout, call.response_timeout);
                    let (connection, seconds) = match way {
                        Way::Direct { connection, qos } => {
                            let outbound = Outbound::MethodCall { rid, name, payload, qos };
                            out.push(Effect::Send { connection, outbound });
                            (connection, i64::from(response))
                        }
                        Way::Child(connection) => {
                            let what = Nested::MethodCall { rid, name, payload, connect, response };
                            out.push(to_child(connection, client.clone(), what));
                            (connection, i64::from(connect) + i64::from(response))
                        }
                    };
                    let until = later(now, seconds);
                    self.calls.set_stage(id, Stage::Sent { connection, until });
                }
            }
        }
    }

    /// How a call reaches a client: over its own connection, else through the nearest hub beneath that speaks for it.
    fn way_to(&self, client: &ClientId) -> Option<Way> {
        let connected = self.sessions.get(client).and_then(Session::connected);
        let own = connected.and_then(|connected| {
            let qos = connected.grants.qos(Feature::Methods)?;
            Some(Way::Direct { connection: connected.connection, qos })
        });
        own.or_else(|| {
            self.child_hubs(&client.device).first().map(|(_, connection, _)| Way::Child(*connection))
        })
    }

    /// A hub beneath could not reach the client, or got no answer.
    pub(super) fn method_failed(
        &mut self,
        connection: ConnectionId,
        rid: &str,
        code: u32,
        out: &mut Vec<Effect>,
    ) {
        let Some(id) = self.sent_on(connection, rid) else {
            return;
        };
        self.fail_call(id, out, |call| {
            let client = call.client.clone();
            match code {
                NO_ANSWER => ServiceError::NoAnswer { client, timeout_seconds: call.response_timeout },
                CLOSED => ServiceError::ConnectionClosed(client),
                BAD_ANSWER => ServiceError::BadAnswer(client),
                _ => ServiceError::NotOnline { client, timeout_seconds: call.connect_timeout },
            }
        });
    }

    fn sent_on(&self, connection: ConnectionId, rid: &str) -> Option<CallId> {
        CallId::from_rid(rid).filter(|id| {
            self.calls.get(*id).is_some_and(|call| match call.stage {
                Stage::Sent { connection: sent_to, .. } => sent_to == connection,
                Stage::Waiting { .. } => false,
            })
        })
    }

    /// An answer that nobody waits for, because it is late, comes twice or was never asked for, is acknowledged and
    /// forgotten.
    pub(super) fn method_result(&mut self, answer: Answer, now: Timestamp, out: &mut Vec<Effect>) {
        let Answer { connection, rid, status, payload, token } = answer;
        let limit = self.config.limits.method_bytes;
        let Some((_, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        let id = self.sent_on(connection, &rid);
        if let Some(call) = id.and_then(|id| self.calls.remove(id)) {
            let payload = if payload.is_empty() {
                Some(Value::Null)
            } else if payload.len() > limit {
                None
            } else {
                serde_json::from_slice(&payload).ok()
            };
            let result = match payload {
                Some(payload) => Ok(ServiceReply::Method { status, payload }),
                None => {
                    self.counters.method_failures += 1;
                    Err(ServiceError::BadAnswer(call.client.clone()))
                }
            };
            out.push(outcome(call.asker, call.client, result));
        }
        if let Some(token) = token {
            out.push(Effect::Ack { connection, token });
        }
    }

    /// A connection ended before its client answered.
    pub(super) fn fail_calls_on(
        &mut self,
        client: &ClientId,
        connection: ConnectionId,
        out: &mut Vec<Effect>,
    ) {
        // The hub of an edge device carries calls to everybody beneath it.
        let is_hub = client.module.as_ref() == Some(&ModuleId::edge_hub());
        let ids = if is_hub { self.calls.all() } else { self.calls.of(client) };
        for id in ids {
            let on_it = self.calls.get(id).is_some_and(|call| match call.stage {
                Stage::Sent { connection: sent_to, .. } => sent_to == connection,
                Stage::Waiting { .. } => false,
            });
            if on_it {
                self.fail_call(id, out, |call| ServiceError::ConnectionClosed(call.client.clone()));
            }
        }
    }

    /// The identity is gone: nobody will come to answer.
    pub(super) fn fail_calls_to(&mut self, client: &ClientId, out: &mut Vec<Effect>) {
        for id in self.calls.of(client) {
            self.fail_call(id, out, |call| match &call.client.module {
                None => ServiceError::DeviceNotFound(call.client.device.clone()),
                Some(_) => ServiceError::ModuleNotFound(call.client.clone()),
            });
        }
    }

    /// Calls whose time has run out.
    pub(super) fn fail_overdue_calls(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some(call) = self.calls.overdue(now) {
            self.counters.method_failures += 1;
            let Call { asker, client: called, response_timeout, connect_timeout, stage, .. } = call;
            let client = called.clone();
            let error = match stage {
                Stage::Waiting { .. } => ServiceError::NotOnline { client, timeout_seconds: connect_timeout },
                Stage::Sent { .. } => ServiceError::NoAnswer { client, timeout_seconds: response_timeout },
            };
            out.push(outcome(asker, called, Err(error)));
        }
    }

    fn fail_call(&mut self, id: CallId, out: &mut Vec<Effect>, error: impl Fn(&Call) -> ServiceError) {
        if let Some(call) = self.calls.remove(id) {
            self.counters.method_failures += 1;
            let error = error(&call);
            out.push(outcome(call.asker, call.client, Err(error)));
        }
    }
}

/// How a call reaches its client.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct {
        connection: ConnectionId,
        qos: Qos,
    },
    /// The connection of the hub beneath.
    Child(ConnectionId),
}

/// Error codes that the hub of an edge device tells its parent (reference device-protocol §6).
const NOT_ONLINE: u32 = 404_103;
const CLOSED: u32 = 404_104;
const NO_ANSWER: u32 = 504_101;
const BAD_ANSWER: u32 = 400_000;

/// What became of a call, for whoever waits for that.
pub(super) fn outcome(asker: Asker, client: ClientId, result: Result<ServiceReply, ServiceError>) -> Effect {
    match asker {
        Asker::Request(request) => reply(request, result),
        Asker::Parent { link, rid } => {
            let what = match result {
                Ok(ServiceReply::Method { status, payload }) => {
                    ToParent::MethodResult { client, rid, status, payload: Bytes::from(payload.to_string()) }
                }
                Err(ServiceError::NoAnswer { .. }) => ToParent::MethodFailed { client, rid, code: NO_ANSWER },
                Err(ServiceError::ConnectionClosed(_)) => {
                    ToParent::MethodFailed { client, rid, code: CLOSED }
                }
                Err(ServiceError::BadAnswer(_)) => ToParent::MethodFailed { client, rid, code: BAD_ANSWER },
                Ok(_) | Err(_) => ToParent::MethodFailed { client, rid, code: NOT_ONLINE },
            };
            Effect::Upstream { link, what }
        }
    }
}
