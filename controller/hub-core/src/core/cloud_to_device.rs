//! Cloud-to-device messages: taken from the service, delivered over a connection or on request, settled, and told of
//! (reference device-protocol §7, service-api §5.5).
//!
//! The order of promises: stored, then accepted; settled by the device and stored as such, then answered. Feedback is
//! stored in the same commit as the outcome that it tells of, so neither can be there without the other.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{properties::Properties, time};
use jiff::Timestamp;

use super::{Core, nested::to_child};
use crate::{
    clock::later,
    cloud_queue::{self, Carrier, Due},
    cloud_to_device::{Ack, CloudToDevice, FeedbackRecord, LockToken, Outcome, Received, Settlement},
    effect::{Effect, Nested, Outbound},
    event::{Entropy, Feature, Qos},
    message::Sequence,
    queue::{History, properties_bytes},
    service::{ServiceError, ServiceReply},
    session::Session,
    write::Write,
};

/// Longest message id, and what it may consist of beside letters and digits (reference device-protocol §4.2).
const ID_LENGTH: usize = 128;
const ID_PUNCTUATION: &str = "-:.+%_#*?!(),=@;$'";

/// A message as the service sent it.
pub(super) struct Outgoing {
    pub(super) device: DeviceId,
    pub(super) properties: Box<Properties>,
    pub(super) body: Bytes,
    pub(super) entropy: Entropy,
}

impl Core {
    /// Takes a message for a device.
    pub(super) fn send_to_device(
        &mut self,
        outgoing: Outgoing,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        let Outgoing { device, mut properties, body, entropy } = outgoing;
        let client = ClientId::device(device.clone());
        let generation = self.registry.require(&client)?.generation.clone();
        let ack = ack_of(&properties)?;
        let expires = self.expiry_of(&properties, now)?;
        let message_id = message_id_of(&properties, entropy)?;
        let system = &mut properties.system;
        system.message_id = Some(message_id.clone());
        system.expiry = Some(time::iso(expires));
        system.ack = Some(ack.as_str().to_owned());
        // The hub says where it goes and who sent it.
        (system.to, system.output_name) = (None, None);
        (system.connection_device_id, system.connection_module_id) = (None, None);
        self.settle_due(now, out);
        let sequence = Sequence(self.last_sequence + 1);
        let message = CloudToDevice {
            sequence,
            device,
            generation,
            enqueued: now,
            expires,
            ack,
            properties: *properties,
            body,
        };
        self.check_room(&message)?;
        self.last_sequence = sequence.0;
        let message = Arc::new(message);
        out.push(Effect::Persist(Write::PutCloudToDevice { message: message.clone(), deliveries: 0 }));
        self.cloud.push(message, 0);
        self.counters.cloud_accepted += 1;
        self.send_cloud(&client, now, out);
        Ok(ServiceReply::Sent { sequence, message_id, expires })
    }

    fn check_room(&self, message: &CloudToDevice) -> Result<(), ServiceError> {
        let limits = &self.config.limits;
        let described = properties_bytes(&message.properties);
        if described > limits.properties_bytes || message.body.len() + described > limits.cloud_bytes {
            return Err(ServiceError::MessageTooLarge(limits.cloud_bytes));
        }
        if self.cloud.depth(&message.device) >= limits.cloud_messages {
            return Err(ServiceError::QueueFull(message.device.clone()));
        }
        let bytes = self.cloud.bytes() + cloud_queue::charge(message);
        // A place for the outcome is kept free for every message that may want one.
        let told =
            self.feedback.len() + self.cloud.wanting_feedback() + usize::from(message.ack != Ack::None);
        if bytes > limits.cloud_bytes_total || told > limits.feedback_records {
            return Err(ServiceError::AllQueuesFull);
        }
        Ok(())
    }

    fn expiry_of(&self, properties: &Properties, now: Timestamp) -> Result<Timestamp, ServiceError> {
        let limits = &self.config.limits;
        let Some(text) = properties.system.expiry.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(later(now, limits.cloud_seconds));
        };
        let expires = time::parse(text).ok_or_else(|| {
            ServiceError::ArgumentInvalid(format!(
                "the expiry {text:?} is no time; write 2026-01-31T12:00:00Z"
            ))
        })?;
        if expires <= now || expires > later(now, limits.cloud_seconds_most) {
            return Err(ServiceError::InvalidExpiry { at: expires, most_seconds: limits.cloud_seconds_most });
        }
        Ok(expires)
    }

    /// A device asks for its queue.
    fn begins(
        &mut self,
        client: &ClientId,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<(), ServiceError> {
        self.registry.require(client)?;
        self.settle_due(now, out);
        self.saw(client, now);
        Ok(())
    }

    /// Lends the oldest message to a device that will settle it within the lock time.
    pub(super) fn receive_cloud(
        &mut self,
        client: &ClientId,
        entropy: Entropy,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        self.begins(client, now, out)?;
        let lock = LockToken::from_entropy(entropy);
        let until = later(now, self.config.limits.lock_seconds);
        // Modules have no such queue (reference device-protocol §7); asking is no mistake.
        let found = match &client.module {
            None => self.cloud.lock_next(&client.device, lock, until),
            Some(_) => None,
        };
        let found = found.map(|(message, deliveries)| Box::new(Received { message, deliveries, lock }));
        Ok(ServiceReply::CloudToDevice(found))
    }

    /// A device says what became of a message that it was lent.
    pub(super) fn settle_cloud(
        &mut self,
        client: &ClientId,
        lock: LockToken,
        settlement: Settlement,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        self.begins(client, now, out)?;
        let held = match &client.module {
            None => self.cloud.locked(&client.device, lock),
            Some(_) => None,
        };
        let sequence = held.ok_or(ServiceError::LockLost)?;
        match settlement {
            Settlement::Complete => self.finish_cloud(&client.device, sequence, Outcome::Success, now, out),
            Settlement::Reject => self.finish_cloud(&client.device, sequence, Outcome::Rejected, now, out),
            Settlement::Abandon => {
                let (message, deliveries) =
                    self.cloud.give_back(&client.device, sequence).ok_or(ServiceError::LockLost)?;
                if deliveries >= self.config.limits.cloud_deliveries {
                    let outcome = Outcome::DeliveryCountExceeded;
                    self.finish_cloud(&client.device, sequence, outcome, now, out);
                } else {
                    if !self.is_relayed(sequence) {
                        out.push(Effect::Persist(Write::PutCloudToDevice { message, deliveries }));
                    }
                    // It may have expired while it was held.
                    self.pump_cloud(client, now, out);
                }
            }
        }
        Ok(ServiceReply::Done)
    }

    /// Empties the queue of a device.
    pub(super) fn purge_cloud(
        &mut self,
        device: &DeviceId,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        self.registry.require(&ClientId::device(device.clone()))?;
        self.settle_due(now, out);
        let count = self.forget_cloud(device, now, out);
        Ok(ServiceReply::Purged { device: device.clone(), count })
    }

    /// Drops what waits for a device, and says so to whoever wants to know.
    pub(super) fn forget_cloud(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<Effect>) -> usize {
        let all = self.cloud.sequences(device);
        for sequence in &all {
            self.finish_cloud(device, *sequence, Outcome::Purged, now, out);
        }
        all.len()
    }

    /// Sends what waits for a device, if it is connected and listens.
    pub(super) fn pump_cloud(&mut self, client: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        self.settle_due(now, out);
        self.send_cloud(client, now, out);
    }

    /// The client acknowledged a delivery of this connection that was none of its inputs.
    pub(super) fn delivered_cloud(
        &mut self,
        client: &ClientId,
        carrier: Carrier,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let relayed = self.sessions.get_mut(client).and_then(Session::connected_mut);
        let relayed = relayed.and_then(|connected| connected.relayed.remove(&carrier.delivery));
        let device = relayed.unwrap_or_else(|| client.device.clone());
        if let Some(sequence) = self.cloud.on_its_way(&device, carrier) {
            self.finish_cloud(&device, sequence, Outcome::Success, now, out);
        }
    }

    /// Deals with everything whose time has come: expired messages, lost locks, feedback that nobody took.
    pub(super) fn settle_due(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let mut unlocked = Vec::new();
        while let Some(due) = self.cloud.pop_due(now) {
            match due {
                Due::Expired(device, sequence) => {
                    self.finish_cloud(&device, sequence, Outcome::Expired, now, out);
                }
                Due::Unlocked(device) => unlocked.push(device),
            }
        }
        // After the loop: nothing that has expired is among what is sent.
        for device in unlocked {
            self.send_cloud(&ClientId::device(device), now, out);
        }
        for sequence in self.feedback.expire(now, self.config.limits.feedback_seconds) {
            self.counters.feedback_expired += 1;
            out.push(Effect::Persist(Write::RemoveFeedback(sequence)));
        }
    }

    /// Lends feedback to the service side.
    pub(super) fn receive_feedback(
        &mut self,
        entropy: Entropy,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> ServiceReply {
        self.settle_due(now, out);
        let until = later(now, self.config.limits.lock_seconds);
        let batch = self.feedback.receive(LockToken::from_entropy(entropy), until);
        ServiceReply::Feedback(batch.map(Box::new))
    }

    /// The service side is done with a batch, or wants it again later.
    pub(super) fn settle_feedback(
        &mut self,
        lock: LockToken,
        settlement: Settlement,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        self.settle_due(now, out);
        match settlement {
            Settlement::Complete | Settlement::Reject => {
                let records = self.feedback.settle(lock).ok_or(ServiceError::LockLost)?;
                let gone = records.into_iter().map(|record| Write::RemoveFeedback(record.sequence));
                out.extend(gone.map(Effect::Persist));
            }
            Settlement::Abandon => {
                if !self.feedback.give_back(lock) {
                    return Err(ServiceError::LockLost);
                }
            }
        }
        Ok(ServiceReply::Done)
    }

    pub(super) fn send_cloud(&mut self, client: &ClientId, now: Timestamp, out: &mut Vec<Effect>) {
        // The queue of one device is short, so all of it may be on its way.
        while client.module.is_none() && self.cloud.first(&client.device).is_some() {
            // Over its own connection, else through the nearest hub beneath that speaks for it.
            let own = self.sessions.get(client).and_then(Session::connected);
            let (receiver, qos) = match own.and_then(|own| own.grants.qos(Feature::CloudToDevice)) {
                Some(qos) => (client.clone(), qos),
                None => {
                    // What such a hub does not acknowledge would be lost, and told as delivered.
                    let acknowledges = |(.., qos): &(DeviceId, _, Qos)| *qos == Qos::AtLeastOnce;
                    match self.child_hubs(&client.device).into_iter().find(acknowledges) {
                        Some((edge, _, qos)) => (ClientId::module(edge, ModuleId::edge_hub()), qos),
                        None => return,
                    }
                }
            };
            let through_child = receiver != *client;
            let Some(Session::Connected(connected)) = self.sessions.get_mut(&receiver) else {
                return;
            };
            let connection = connected.connection;
            let delivery = connected.delivery();
            if through_child {
                connected.relayed.insert(delivery, client.device.clone());
            }
            let carrier = Carrier { connection, delivery };
            let until = later(now, self.config.limits.lock_seconds);
            let Some((message, history)) = self.cloud.send_next(&client.device, carrier, until) else {
                return;
            };
            let duplicate = match history {
                History::Fresh => false,
                History::SentBefore => {
                    self.counters.cloud_redelivered += 1;
                    true
                }
            };
            let delivery = match qos {
                Qos::AtLeastOnce => Some(delivery),
                Qos::AtMostOnce => {
                    self.finish_cloud(&client.device, message.sequence, Outcome::Success, now, out);
                    None
                }
            };
            if through_child {
                let what = Nested::CloudToDevice { delivery, message };
                out.push(to_child(connection, client.clone(), what));
            } else {
                let outbound = Outbound::CloudToDevice { delivery, message, duplicate };
                out.push(Effect::Send { connection, outbound });
            }
        }
    }

    /// A message leaves its queue for good.
    fn finish_cloud(
        &mut self,
        device: &DeviceId,
        sequence: Sequence,
        outcome: Outcome,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(message) = self.cloud.remove(device, sequence) else {
            return;
        };
        *self.counters.cloud_outcomes.entry(outcome).or_default() += 1;
        if self.relayed_settled(sequence, outcome, out) {
            return;
        }
        out.push(Effect::Persist(Write::RemoveCloudToDevice(sequence)));
        if message.ack.wants(outcome) {
            self.last_sequence += 1;
            let record = FeedbackRecord {
                sequence: Sequence(self.last_sequence),
                message_id: message.properties.system.message_id.clone().unwrap_or_default(),
                device: device.clone(),
                generation: message.generation.clone(),
                at: now,
                outcome,
            };
            out.push(Effect::Persist(Write::PutFeedback(record.clone())));
            self.feedback.push(record);
        }
    }
}

fn ack_of(properties: &Properties) -> Result<Ack, ServiceError> {
    match properties.system.ack.as_deref() {
        None | Some("") => Ok(Ack::None),
        Some(text) => Ack::parse(text).ok_or_else(|| {
            let text = format!("iothub-ack {text:?} is none of none, positive, negative, full");
            ServiceError::ArgumentInvalid(text)
        }),
    }
}

/// The id of a message; one without gets one, because feedback would say nothing otherwise.
fn message_id_of(properties: &Properties, entropy: Entropy) -> Result<String, ServiceError> {
    let Some(id) = properties.system.message_id.as_ref().filter(|id| !id.is_empty()) else {
        return Ok(LockToken::from_entropy(entropy).to_string());
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ID_PUNCTUATION.contains(c);
    if id.len() <= ID_LENGTH && id.chars().all(allowed) {
        Ok(id.clone())
    } else {
        Err(ServiceError::ArgumentInvalid(format!(
            "the message id {id:?} is longer than {ID_LENGTH} characters or has one that is not allowed"
        )))
    }
}
