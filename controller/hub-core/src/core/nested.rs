//! The hub of an edge device speaks for those beneath it: its own modules, the device itself, its children and theirs
//! (reference edge-runtime §6.2, "indirect").
//!
//! Nothing but the registry says who is beneath whom. What is asked for anybody else is refused, and acknowledged: a child
//! hub that was told "not now" would repeat it for ever, with everything behind it.

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::properties::Properties;
use jiff::Timestamp;

use super::{
    Core,
    connections::End,
    messages::{NotTaken, Routing, Sender},
};
use crate::{
    effect::{CloseReason, Effect, Nested, Outbound},
    event::{AckToken, ConnectionId},
    message::AuthMethod,
    upstream::Act,
};

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
                        let outbound = Outbound::Nested { client: client.clone(), what: Nested::Refused };
                        out.push(Effect::Send { connection, outbound });
                    }
                    Err(Full) => return self.end(&hub, End::Closed(CloseReason::QueueFull), now, out),
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
