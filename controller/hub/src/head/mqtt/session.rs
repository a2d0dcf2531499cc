//! A client that was let in: what its packets mean, and how the hub's messages look as packets. No sockets, no waiting.

use bytes::{Bytes, BytesMut};
use hemline_hub_core::{
    effect::{Outbound, Refusal},
    event::{AckToken, ConnectionId, DeliveryId, Event, Grant, Qos},
};
use hemline_model::id::ClientId;
use hemline_protocol::{
    properties::Properties,
    topic::{self, ClientTopic},
};

use super::{
    closed::Closed,
    codec::{self, ClientPacket, Delivery, Outgoing, PublishPacket},
    nested,
    packet_ids::{Exhausted, PacketIds},
};
use crate::outbox::ToClient;

/// One connection after CONNACK 0.
#[derive(Debug)]
pub(super) struct Session {
    connection: ConnectionId,
    client: ClientId,
    ids: PacketIds,
    /// The user-defined topic that it published to last: if it is closed for that, this is what its people want to know.
    pub(super) last_topic: Option<Box<str>>,
}

impl From<Exhausted> for Closed {
    fn from(_: Exhausted) -> Self {
        Self::Slow
    }
}

impl Session {
    pub(super) fn new(connection: ConnectionId, client: ClientId, unacknowledged: usize) -> Self {
        Self { connection, client, ids: PacketIds::new(unacknowledged), last_topic: None }
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub(super) fn client(&self) -> &ClientId {
        &self.client
    }

    /// A packet came: what the core is told, if anything. What is answered at once goes to `out`.
    pub(super) fn receive(
        &mut self,
        packet: ClientPacket,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, Closed> {
        let connection = self.connection;
        match packet {
            ClientPacket::Connect(_) => Err(Closed::OutOfPlace("a second CONNECT")),
            ClientPacket::Publish(publish) => self.publish(publish).map(Some),
            ClientPacket::PubAck { id } => {
                Ok(self.ids.release(id).map(|delivery| Event::Delivered { connection, delivery }))
            }
            ClientPacket::Subscribe { id, filters } => {
                let grants = filters.into_iter().map(|(filter, qos)| self.grant(filter, qos)).collect();
                Ok(Some(Event::Subscribe { connection, grants, token: AckToken(id.into()) }))
            }
            ClientPacket::Unsubscribe { id, filters } => {
                Ok(Some(Event::Unsubscribe { connection, filters, token: AckToken(id.into()) }))
            }
            ClientPacket::PingReq => {
                codec::pingresp(out);
                Ok(None)
            }
            ClientPacket::Disconnect => Err(Closed::ByClient),
        }
    }

    /// The core has something for the client. The event is for the core again, when the message cannot be sent.
    pub(super) fn send(&mut self, message: ToClient, out: &mut BytesMut) -> Result<Option<Event>, Closed> {
        match message {
            ToClient::Granted { token, qos } => codec::suback(out, packet_id(token), &qos),
            ToClient::Revoked { token } => codec::unsuback(out, packet_id(token)),
            ToClient::Ack { token } => codec::puback(out, packet_id(token)),
            ToClient::Send(outbound) => return self.outbound(*outbound, out),
            ToClient::Close(reason) => return Err(Closed::ByHub(reason)),
            // Both belong to the time before; the core sends them once.
            ToClient::Accept { .. } => {}
            ToClient::Refuse(Refusal::Unavailable | Refusal::NotAuthorised(_)) => {
                return Err(Closed::HubStops);
            }
        }
        Ok(None)
    }

    fn grant(&self, filter: String, qos: Qos) -> Grant {
        // A filter that covers nothing of the hub's is granted all the same (reference device-protocol §12, 29).
        Grant { features: topic::features(&filter, &self.client), filter, qos }
    }

    fn publish(&mut self, packet: PublishPacket) -> Result<Event, Closed> {
        let token = match packet.delivery {
            Delivery::Unacknowledged => None,
            Delivery::Acknowledged(id) => Some(AckToken(id.into())),
            Delivery::ExactlyOnce => return Err(Closed::ExactlyOnce),
        };
        let connection = self.connection;
        if let Some((client, act)) = nested::heard(&self.client, &packet)? {
            return Ok(Event::Nested { connection, client, act, token });
        }
        Ok(match topic::parse(&packet.topic, &self.client)? {
            ClientTopic::Telemetry { mut properties } => {
                mark(&mut properties, packet.retain, packet.duplicate);
                Event::Telemetry { connection, properties, body: packet.body, token }
            }
            ClientTopic::TwinGet { rid } => Event::TwinGet { connection, rid, token },
            ClientTopic::ReportedPatch { rid, if_version } => {
                Event::ReportedPatch { connection, rid, if_version, patch: packet.body, token }
            }
            ClientTopic::MethodResult { status, rid } => {
                Event::MethodResult { connection, rid, status, payload: packet.body, token }
            }
            ClientTopic::User => {
                let PublishPacket { topic, retain, body, .. } = packet;
                self.last_topic = Some(topic.as_str().into());
                Event::Publish { connection, topic, body, retain, token }
            }
        })
    }

    fn outbound(&mut self, outbound: Outbound, out: &mut BytesMut) -> Result<Option<Event>, Closed> {
        let (outgoing, delivery) = match outbound {
            Outbound::TwinResponse { rid, status, version, body } => {
                let topic = topic::twin_response(status, &rid, version);
                (Outgoing { topic, id: None, duplicate: false, retain: false, body }, None)
            }
            Outbound::DesiredPatch { version, body, qos } => {
                let topic = topic::desired_patch(version);
                (Outgoing { topic, id: self.id(qos)?, duplicate: false, retain: false, body }, None)
            }
            Outbound::MethodCall { rid, name, payload, qos } => {
                let topic = topic::method_call(&name, &rid);
                (Outgoing { topic, id: self.id(qos)?, duplicate: false, retain: false, body: payload }, None)
            }
            Outbound::Input { delivery, input, message, duplicate } => {
                // Only modules have inputs; the core never sends one to a device.
                let Some(module) = &self.client.module else { return Ok(None) };
                let topic = topic::input(&self.client.device, module, &input, &message.properties);
                (self.message(topic, delivery, duplicate, &message.body)?, delivery)
            }
            Outbound::Nested { client, what } => {
                let (topic, body, delivery) = nested::said(&client, what);
                (self.message(topic, delivery, false, &body)?, delivery)
            }
            Outbound::CloudToDevice { delivery, message, duplicate } => {
                let topic = topic::cloud_to_device(&self.client.device, &message.properties);
                (self.message(topic, delivery, duplicate, &message.body)?, delivery)
            }
            Outbound::Topic { delivery, message, retained, duplicate } => {
                let outgoing = self.message(message.topic.to_string(), delivery, duplicate, &message.body)?;
                (Outgoing { retain: retained, ..outgoing }, delivery)
            }
        };
        let id = outgoing.id;
        let Err(error) = codec::publish(out, outgoing) else { return Ok(None) };
        tracing::error!(client = %self.client, %error, "a message cannot be sent over MQTT and is dropped");
        Ok(self.unsendable(id, delivery))
    }

    /// A message from a queue; only what the client acknowledges has an id, and can be marked as sent before.
    fn message(
        &mut self,
        topic: String,
        delivery: Option<DeliveryId>,
        duplicate: bool,
        body: &Bytes,
    ) -> Result<Outgoing, Exhausted> {
        let id = match delivery {
            Some(delivery) => Some(self.ids.take(Some(delivery))?),
            None => None,
        };
        Ok(Outgoing { topic, id, duplicate: duplicate && id.is_some(), retain: false, body: body.clone() })
    }

    fn id(&mut self, qos: Qos) -> Result<Option<u16>, Exhausted> {
        match qos {
            Qos::AtMostOnce => Ok(None),
            Qos::AtLeastOnce => self.ids.take(None).map(Some),
        }
    }

    /// A message that can never be sent counts as delivered: otherwise it blocks everything behind it for ever.
    fn unsendable(&mut self, id: Option<u16>, delivery: Option<DeliveryId>) -> Option<Event> {
        if let Some(id) = id {
            self.ids.release(id);
        }
        delivery.map(|delivery| Event::Delivered { connection: self.connection, delivery })
    }
}

/// Nothing is retained and nothing is told apart by its packet id, but whoever receives the message is told (reference
/// device-protocol §4.1).
pub(super) fn mark(properties: &mut Properties, retain: bool, duplicate: bool) {
    for (name, is_so) in [("mqtt-retain", retain), ("mqtt-dup", duplicate)] {
        if is_so {
            properties.application.push((name.into(), Some("true".into())));
        }
    }
}

/// Tokens are made of packet ids above, so they fit.
fn packet_id(token: AckToken) -> u16 {
    u16::try_from(token.0).unwrap_or(u16::MAX)
}
