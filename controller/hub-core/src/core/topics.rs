//! A message on a user-defined topic: is it allowed, whom does it reach, what has to be on disk first.
//!
//! The order of promises is that of all messages: stored for every subscriber whose session outlives its connection, and
//! retained if that was asked, then acknowledged; acknowledged by the subscriber, then removed.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use jiff::Timestamp;

use super::{Core, connections::End, nested::to_child};
use crate::{
    authorization::Operation,
    effect::{CloseReason, Effect, Nested, Outbound},
    event::{AckToken, ConnectionId, DeliveryId, Qos},
    message::Sequence,
    queue::History,
    session::{Keep, Session},
    topics::{Candidate, Entry, QueueBounds, RetainedBounds, TopicMessage, TopicReceiver},
    write::Write,
};

/// Messages sent in one go to a client that wants no acknowledgements; the rest follows at the next tick.
const UNACKNOWLEDGED_BURST: usize = 256;

/// What a client published.
pub(super) struct Publication {
    pub(super) connection: ConnectionId,
    pub(super) said: Said,
    pub(super) token: Option<AckToken>,
}

/// A message, and how it is meant.
pub(super) struct Said {
    pub(super) topic: String,
    pub(super) body: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

/// How a message waits for somebody.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) qos: Qos,
    pub(super) keep: Keep,
    pub(super) retained: bool,
}

/// Somebody who gets a message.
struct Receiver {
    qos: Qos,
    keep: Keep,
    connected: bool,
}

impl Core {
    pub(super) fn publish(&mut self, publication: Publication, now: Timestamp, out: &mut Vec<Effect>) {
        let Publication { connection, said, token } = publication;
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        connected.active = now;
        match self.publish_as(&client, said, now, out) {
            Ok(()) => {
                if let Some(token) = token {
                    out.push(Effect::Ack { connection, token });
                }
            }
            // The hub of an edge device carries much else: it is told, and goes on.
            Err(_) if self.speaks_nested(&client) => {
                self.counters.nested_refused += 1;
                out.push(to_child(connection, client, Nested::Refused));
                out.extend(token.map(|token| Effect::Ack { connection, token }));
            }
            Err(reason) => self.end(&client, End::Closed(reason), now, out),
        }
    }

    /// Publishes in the name of a client, connected or not.
    pub(super) fn publish_as(
        &mut self,
        client: &ClientId,
        said: Said,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<(), CloseReason> {
        self.check_size(&said)?;
        let decision = self.may(client, Operation::Publish(&said.topic));
        let Some(space) = self.registry.meets_at(client).filter(|_| decision.is_allowed()).cloned() else {
            self.counters.topics_denied += 1;
            return Err(CloseReason::TopicDenied);
        };
        // Before anything is kept: what cannot go up as promised is not taken.
        let crossing = self.crossing(&space, &said)?;
        // What the hub of an edge device brought over its bridge does not go back there.
        let is_hub = client.module.as_ref() == Some(&ModuleId::edge_hub());
        self.publish_in(&space, said, is_hub.then_some(client), now, out)?;
        if let Some(crossing) = crossing {
            self.cross(crossing, now, out);
        }
        Ok(())
    }

    pub(super) fn check_size(&mut self, said: &Said) -> Result<(), CloseReason> {
        let limits = &self.config.limits;
        let Said { topic, body, .. } = said;
        if topic.len() + body.len() > limits.message_bytes || topic.split('/').count() > limits.topic_levels {
            self.counters.messages_refused_large += 1;
            return Err(CloseReason::ProtocolError);
        }
        Ok(())
    }

    /// Publishes what may be published, to everybody but one.
    pub(super) fn publish_in(
        &mut self,
        space: &DeviceId,
        said: Said,
        but: Option<&ClientId>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<(), CloseReason> {
        let Said { topic, body, qos, retain } = said;
        self.last_sequence += 1;
        let sequence = Sequence(self.last_sequence);
        let message = Arc::new(TopicMessage { sequence, at: now, topic: topic.into(), qos, body });
        if retain {
            self.keep_retained(space, &message, out)?;
        }
        self.counters.topics_published += 1;
        self.spread(space, &message, but, out);
        Ok(())
    }

    /// An empty message takes the one before away (MQTT 3.1.1, §3.3.1.3).
    fn keep_retained(
        &mut self,
        space: &DeviceId,
        message: &Arc<TopicMessage>,
        out: &mut Vec<Effect>,
    ) -> Result<(), CloseReason> {
        let device = space.clone();
        if message.body.is_empty() {
            if self.topics.release(space, &message.topic) {
                let topic = Arc::clone(&message.topic);
                out.push(Effect::Persist(Write::RemoveRetained { device, topic }));
            }
            return Ok(());
        }
        let limits = &self.config.limits;
        let bounds =
            RetainedBounds { messages: limits.retained_messages, bytes_total: limits.retained_bytes_total };
        if !self.topics.may_retain(space, message, bounds) {
            self.counters.messages_refused_full += 1;
            return Err(CloseReason::RetainedFull);
        }
        self.topics.retain(space, Arc::clone(message));
        out.push(Effect::Persist(Write::PutRetained { device, message: Arc::clone(message) }));
        Ok(())
    }

    /// Gives a message to everybody who listens, once to each.
    fn spread(
        &mut self,
        space: &DeviceId,
        message: &Arc<TopicMessage>,
        but: Option<&ClientId>,
        out: &mut Vec<Effect>,
    ) {
        let mut receivers: BTreeMap<ClientId, Receiver> = BTreeMap::new();
        for candidate in self.topics.candidates(space, &message.topic) {
            match candidate {
                Candidate::Client(client, _) if Some(&client) == but => {}
                Candidate::Client(client, granted) => {
                    if let Some(receiver) = self.receiver(&client, granted, message) {
                        receivers.insert(client, receiver);
                    }
                }
                Candidate::OneOf(group, members) => {
                    let Some((client, receiver)) = self.chosen(members, message) else { continue };
                    self.topics.take_turn(space, &group, &client);
                    let qos = receiver.qos;
                    let known = receivers.entry(client).or_insert(receiver);
                    known.qos = known.qos.max(qos);
                }
            }
        }
        self.hand_out(message, receivers, out);
    }

    /// Who of a group gets it: the next one that is there, else the next one that comes back for it.
    fn chosen(
        &mut self,
        members: Vec<(ClientId, Qos)>,
        message: &TopicMessage,
    ) -> Option<(ClientId, Receiver)> {
        let mut away = None;
        for (client, granted) in members {
            let Some(receiver) = self.receiver(&client, granted, message) else { continue };
            if receiver.connected {
                return Some((client, receiver));
            }
            away.get_or_insert((client, receiver));
        }
        away
    }

    /// May this client have it, and is there anybody to have it?
    fn receiver(&mut self, client: &ClientId, granted: Qos, message: &TopicMessage) -> Option<Receiver> {
        let (connected, keep) = match self.sessions.get(client)? {
            Session::Connected(connected) => (true, connected.keep),
            Session::Offline(offline) => {
                offline.stored.as_ref()?;
                (false, Keep::Durable)
            }
        };
        let qos = granted.min(message.qos);
        let kept = match qos {
            Qos::AtLeastOnce => true,
            Qos::AtMostOnce => connected,
        };
        let receiver = Receiver { qos, keep, connected };
        (kept && self.may(client, Operation::Receive(&message.topic)).is_allowed()).then_some(receiver)
    }

    /// Puts a message into queues, on disk too where that matters, and sends what can be sent.
    fn hand_out(
        &mut self,
        message: &Arc<TopicMessage>,
        receivers: BTreeMap<ClientId, Receiver>,
        out: &mut Vec<Effect>,
    ) {
        let mut kept = Vec::new();
        let clients: Vec<ClientId> = receivers.keys().cloned().collect();
        for (client, Receiver { qos, keep, .. }) in receivers {
            kept.extend(self.enqueue(&client, message, Waits { qos, keep, retained: false }));
        }
        if !kept.is_empty() {
            let message = Arc::clone(message);
            out.push(Effect::Persist(Write::PutTopicMessage { message, receivers: kept }));
        }
        for client in clients {
            self.pump_topics(&client, out);
        }
    }

    /// `Some` when it has to be on disk.
    pub(super) fn enqueue(
        &mut self,
        client: &ClientId,
        message: &Arc<TopicMessage>,
        waits: Waits,
    ) -> Option<TopicReceiver> {
        let Waits { qos, keep, retained } = waits;
        let limits = &self.config.limits;
        let bounds = QueueBounds {
            messages: limits.topic_queue_messages,
            bytes: limits.topic_queue_bytes,
            bytes_total: limits.topic_queue_bytes_total,
        };
        if self.topics.queues.holds(client, message.sequence) {
            return None;
        }
        if !self.topics.queues.has_room(client, message.charge(), bounds) {
            self.counters.topics_dropped += 1;
            return None;
        }
        let keep = match qos {
            Qos::AtLeastOnce => keep,
            Qos::AtMostOnce => Keep::WhileConnected,
        };
        let entry = Entry { message: Arc::clone(message), qos, retained, keep, history: History::Fresh };
        self.topics.queues.push(client, entry);
        match keep {
            Keep::Durable => Some(TopicReceiver { client: client.clone(), retained }),
            Keep::WhileConnected => None,
        }
    }

    /// Sends what waits for a subscriber, as far as its window goes. What it may not have any more is dropped.
    pub(super) fn pump_topics(&mut self, client: &ClientId, out: &mut Vec<Effect>) {
        let window = self.config.limits.in_flight;
        let mut burst = 0;
        while burst < UNACKNOWLEDGED_BURST && !self.topics.queues.is_idle(client) {
            let Some(Session::Connected(_)) = self.sessions.get(client) else { return };
            let Some(entry) = self.topics.queues.next(client, window) else { return };
            let allowed = self.may(client, Operation::Receive(&entry.message.topic)).is_allowed();
            let Some(connected) = self.sessions.get_mut(client).and_then(Session::connected_mut) else {
                return;
            };
            let (connection, delivery) = (connected.connection, connected.delivery());
            let Entry { message, retained, history, .. } = entry.clone();
            let delivery = match entry.qos {
                Qos::AtLeastOnce => {
                    self.topics.queues.fly(client, delivery, entry);
                    Some(delivery)
                }
                Qos::AtMostOnce => {
                    burst += 1;
                    None
                }
            };
            if !allowed {
                self.counters.topics_dropped += 1;
                if let Some(delivery) = delivery {
                    self.landed(client, delivery, out);
                }
                continue;
            }
            let duplicate = match history {
                History::Fresh => false,
                History::SentBefore => true,
            };
            self.counters.topics_sent += 1;
            let outbound = Outbound::Topic { delivery, message, retained, duplicate };
            out.push(Effect::Send { connection, outbound });
        }
    }

    /// A subscriber acknowledged. `false`: it was none of these messages.
    pub(super) fn delivered_topic(
        &mut self,
        client: &ClientId,
        delivery: DeliveryId,
        out: &mut Vec<Effect>,
    ) -> bool {
        let landed = self.landed(client, delivery, out);
        if landed {
            self.counters.topics_delivered += 1;
            self.pump_topics(client, out);
        }
        landed
    }

    fn landed(&mut self, client: &ClientId, delivery: DeliveryId, out: &mut Vec<Effect>) -> bool {
        let Some(entry) = self.topics.queues.land(client, delivery) else { return false };
        match entry.keep {
            Keep::Durable => {
                let (client, sequence) = (client.clone(), entry.message.sequence);
                out.push(Effect::Persist(Write::RemoveTopicMessage { client, sequence }));
            }
            Keep::WhileConnected => {}
        }
        true
    }
}
