//! A message comes in, is stored, is acknowledged, and goes out to module inputs.
//!
//! The order of promises: stored, then acknowledged; delivered and acknowledged by the module, then removed. A crash in
//! between repeats a message and never loses one.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::ClientId;
use hemline_protocol::properties::Properties;
use jiff::Timestamp;

use super::{Core, connections::End, topics::Said};
use crate::{
    cloud_queue::Carrier,
    effect::{CloseReason, Effect, Notice, Outbound},
    event::{AckToken, ConnectionId, DeliveryId, Feature, Qos, Will},
    message::{AuthMethod, Endpoint, Message, QueueEntry, Sequence},
    queue::{self, History, Line},
    route::{self, Above},
    service::{ServiceError, ServiceReply},
    session::Session,
    write::Write,
};

/// Messages sent in one go to a client that wants no acknowledgements; the rest follows at the next tick.
const UNACKNOWLEDGED_BURST: usize = 256;

/// A message as it arrived.
pub(super) struct Incoming {
    pub(super) connection: ConnectionId,
    pub(super) properties: Properties,
    pub(super) body: Bytes,
    pub(super) token: Option<AckToken>,
}

/// Who a message is from.
pub(super) struct Sender {
    pub(super) client: ClientId,
    pub(super) generation: Arc<str>,
    pub(super) auth: AuthMethod,
    pub(super) message_type: Option<&'static str>,
    pub(super) routing: Routing,
}

/// Who decides where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routing {
    /// The routes of this hub.
    Here,
    /// The hub of an edge device did: it goes on upwards.
    Done,
}

/// A will, and in whose name it is.
pub(super) struct LastWords {
    pub(super) will: Box<Will>,
    pub(super) generation: Arc<str>,
    pub(super) auth: AuthMethod,
}

/// The property that says it. Receivers find it among those of the application, so no client may write it there.
const MESSAGE_TYPE: &str = "iothub-MessageType";

/// What marks a will (reference device-protocol §4.1).
const WILL: &str = "Will";

/// Why a message is not taken in.
pub(super) enum NotTaken {
    TooLarge,
    Full,
}

impl Core {
    pub(super) fn telemetry(&mut self, incoming: Incoming, now: Timestamp, out: &mut Vec<Effect>) {
        let Incoming { connection, properties, body, token } = incoming;
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        let sender = Sender {
            client: client.clone(),
            generation: connected.generation.clone(),
            auth: connected.auth,
            message_type: None,
            routing: Routing::Here,
        };
        match self.take_in(sender, properties, body, now, out) {
            Ok(()) => {
                if let Some(token) = token {
                    out.push(Effect::Ack { connection, token });
                }
            }
            Err(NotTaken::TooLarge) => self.end(&client, End::Closed(CloseReason::ProtocolError), now, out),
            Err(NotTaken::Full) => self.end(&client, End::Closed(CloseReason::QueueFull), now, out),
        }
    }

    /// The last message of a client that vanished.
    pub(super) fn publish_will(
        &mut self,
        client: &ClientId,
        last: LastWords,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let LastWords { will, generation, auth } = last;
        let published = match *will {
            Will::Message { properties, body } => {
                let (message_type, routing) = (Some(WILL), Routing::Here);
                let sender = Sender { client: client.clone(), generation, auth, message_type, routing };
                self.take_in(sender, properties, body, now, out).is_ok()
            }
            Will::Topic { topic, retain, body } => {
                let said = Said { topic, body, qos: Qos::AtLeastOnce, retain };
                self.publish_as(client, said, now, out).is_ok()
            }
        };
        if published {
            self.counters.wills += 1;
        } else {
            self.counters.wills_lost += 1;
        }
    }

    /// Messages that came over HTTPS. One that is too large refuses all of them; after a full queue those before it
    /// are taken, and come again with the rest.
    pub(super) fn telemetry_asked(
        &mut self,
        client: &ClientId,
        auth: AuthMethod,
        messages: Vec<(Properties, Bytes)>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let generation = self.registry.require(client)?.generation.clone();
        let limit = self.config.limits.message_bytes;
        self.saw(client, now);
        if messages.iter().any(|(properties, body)| self.is_too_large(properties, body)) {
            self.counters.messages_refused_large += 1;
            return Err(ServiceError::MessageTooLarge(limit));
        }
        for (properties, body) in messages {
            let (message_type, routing) = (None, Routing::Here);
            let sender = Sender {
                client: client.clone(),
                generation: generation.clone(),
                auth,
                message_type,
                routing,
            };
            self.take_in(sender, properties, body, now, out).map_err(|not_taken| match not_taken {
                NotTaken::TooLarge => ServiceError::MessageTooLarge(limit),
                NotTaken::Full => ServiceError::Throttled,
            })?;
        }
        Ok(ServiceReply::Done)
    }

    fn is_too_large(&self, properties: &Properties, body: &Bytes) -> bool {
        let described = queue::properties_bytes(properties);
        described > self.config.limits.properties_bytes
            || body.len() + described > self.config.limits.message_bytes
    }

    /// Stores a message wherever it is to go.
    pub(super) fn take_in(
        &mut self,
        sender: Sender,
        mut properties: Properties,
        body: Bytes,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<(), NotTaken> {
        if self.is_too_large(&properties, &body) {
            self.counters.messages_refused_large += 1;
            return Err(NotTaken::TooLarge);
        }
        let Sender { client, generation, auth, message_type, routing } = sender;
        stamp(&mut properties, &client, message_type);
        let sequence = Sequence(self.last_sequence + 1);
        let message =
            Arc::new(Message { sequence, enqueued: now, generation, auth, sender: client, properties, body });
        let above = if self.config.parent.is_some() { Above::Parent } else { Above::EventLog };
        let routed_by = match routing {
            Routing::Here => self.registry.routed_by(&message.sender),
            Routing::Done => None,
        };
        let mut entries = match routed_by {
            None => route::straight_up(&message, above),
            Some(device) => match self.routes.get(device) {
                Some(table) => table.destinations(&message, above),
                None => Vec::new(),
            },
        };
        // Nobody could ever fetch it there, and it would wait without an owner.
        entries.retain(|entry| match &entry.endpoint {
            Endpoint::Events | Endpoint::Upstream => true,
            Endpoint::Module(module) => self.registry.identity(module).is_some(),
        });
        if !self.make_room(&message, &entries, now, out) {
            self.counters.messages_refused_full += 1;
            return Err(NotTaken::Full);
        }
        self.counters.messages_accepted += 1;
        self.counters.messages_accepted_bytes += message.body.len() as u64;
        if entries.is_empty() {
            self.counters.messages_no_route += 1;
        } else {
            self.append(&message, entries, now, out);
        }
        Ok(())
    }

    fn append(
        &mut self,
        message: &Arc<Message>,
        entries: Vec<QueueEntry>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        self.last_sequence = message.sequence.0;
        out.push(Effect::Persist(Write::Append { message: message.clone(), entries: entries.clone() }));
        let mut receivers: Vec<ClientId> = Vec::new();
        let mut upwards = false;
        for entry in entries {
            match &entry.endpoint {
                Endpoint::Events => {
                    self.counters.messages_to_events += 1;
                    out.push(Effect::Notify(Notice::Message(message.clone())));
                    let charge = queue::charge(message) as u64;
                    if let Some(keep_from) = self.events.push(message.sequence, charge) {
                        out.push(Effect::Persist(Write::TrimEvents { keep_from }));
                    }
                }
                Endpoint::Module(module) => {
                    if !receivers.contains(module) {
                        receivers.push(module.clone());
                    }
                    self.queues.push(entry, message.clone());
                }
                Endpoint::Upstream => {
                    upwards = true;
                    // What leaves upwards is shown where it is, as at the authority.
                    out.push(Effect::Notify(Notice::Message(message.clone())));
                    self.queues.push(entry, message.clone());
                }
            }
        }
        for module in receivers {
            self.pump(&module, now, out);
        }
        if upwards {
            self.pump_upstream(now, out);
        }
    }

    /// Is there room for a message at all its places? Makes some by dropping what has expired.
    fn make_room(
        &mut self,
        message: &Message,
        entries: &[QueueEntry],
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> bool {
        let (bounds, charge) = (self.queue_bounds(), queue::charge(message));
        let lines: Vec<Line<'_>> = entries.iter().filter_map(|entry| line_of(&entry.endpoint)).collect();
        for line in &lines {
            let places = lines.iter().filter(|other| *other == line).count();
            if self.queues.has_room(*line, places, charge, bounds) {
                continue;
            }
            self.expire(*line, now, out);
            if !self.queues.has_room(*line, places, charge, bounds) {
                return false;
            }
        }
        true
    }

    /// Drops what waited too long in one queue.
    pub(super) fn expire(&mut self, line: Line<'_>, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some(write) = self.queues.expire(line, now) {
            self.counters.messages_expired += 1;
            out.push(Effect::Persist(write));
        }
    }

    /// Sends what waits for a module, as far as its window goes, if it is there and listens.
    pub(super) fn pump(&mut self, module: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        let (window, window_bytes) = (self.config.limits.in_flight, self.config.limits.in_flight_bytes);
        let Some(Session::Connected(connected)) = self.sessions.get_mut(module) else {
            return;
        };
        let Some(qos) = connected.grants.qos(Feature::Inputs) else {
            return;
        };
        let mut sent = 0;
        loop {
            let has_room = match qos {
                Qos::AtLeastOnce => connected.flight.has_room(window, window_bytes),
                Qos::AtMostOnce => sent < UNACKNOWLEDGED_BURST,
            };
            if !has_room {
                return;
            }
            let Some((place, waiting)) = self.queues.next(Line::Module(module)) else {
                return;
            };
            if waiting.expires.is_some_and(|expires| expires <= now) {
                self.counters.messages_expired += 1;
                out.push(Effect::Persist(self.queues.done(Line::Module(module), place, &waiting.message)));
                continue;
            }
            sent += 1;
            let duplicate = match waiting.history {
                History::Fresh => {
                    self.counters.messages_sent += 1;
                    false
                }
                History::SentBefore => {
                    self.counters.messages_redelivered += 1;
                    true
                }
            };
            let (input, message) = (place.input.clone(), waiting.message.clone());
            let delivery = match qos {
                Qos::AtLeastOnce => {
                    let delivery = connected.delivery();
                    connected.flight.insert(delivery, place, waiting);
                    Some(delivery)
                }
                Qos::AtMostOnce => {
                    out.push(Effect::Persist(self.queues.done(Line::Module(module), place, &message)));
                    None
                }
            };
            let outbound = Outbound::Input { delivery, input, message, duplicate };
            out.push(Effect::Send { connection: connected.connection, outbound });
        }
    }

    pub(super) fn delivered(
        &mut self,
        connection: ConnectionId,
        delivery: DeliveryId,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        let Some((place, waiting)) = connected.flight.remove(&delivery) else {
            let carrier = Carrier { connection, delivery };
            if !self.delivered_topic(&client, delivery, out) {
                self.delivered_cloud(&client, carrier, now, out);
            }
            return;
        };
        self.counters.messages_delivered += 1;
        out.push(Effect::Persist(self.queues.done(Line::Module(&client), place, &waiting.message)));
        self.pump(&client, now, out);
    }
}

/// Writes into the properties what only the hub may say, over whatever the client wrote there.
fn stamp(properties: &mut Properties, client: &ClientId, message_type: Option<&'static str>) {
    properties.system.message_type = message_type.map(str::to_owned);
    properties.application.retain(|(name, _)| !name.eq_ignore_ascii_case(MESSAGE_TYPE));
    properties.system.connection_device_id = Some(client.device.to_string());
    properties.system.connection_module_id = client.module.as_ref().map(ToString::to_string);
}

fn line_of(endpoint: &Endpoint) -> Option<Line<'_>> {
    match endpoint {
        Endpoint::Events => None,
        Endpoint::Module(module) => Some(Line::Module(module)),
        Endpoint::Upstream => Some(Line::Upstream),
    }
}
