//! Bytes and packets. The only file that knows the packet library, so that another one can take its place.
//!
//! The library is used with three precautions: framing is checked before parsing, so that "more bytes needed" cannot
//! come from inside a packet; topics longer than a length field are refused instead of cut; bodies are copied, so that
//! a small message does not keep a whole read buffer alive.

pub(crate) mod parent;

use bytes::{Bytes, BytesMut};
use hemline_hub_core::event::Qos;
use rumqttc::mqttbytes::{
    self, QoS,
    v4::{
        ConnAck, ConnectReturnCode, Packet, PingResp, PubAck, Publish, SubAck, SubscribeReasonCode, UnsubAck,
    },
};

/// A packet that a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientPacket {
    Connect(ConnectPacket),
    Publish(PublishPacket),
    PubAck { id: u16 },
    Subscribe { id: u16, filters: Vec<(String, Qos)> },
    Unsubscribe { id: u16, filters: Vec<String> },
    PingReq,
    Disconnect,
}

/// CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ConnectPacket {
    pub(super) client_id: String,
    pub(super) username: String,
    /// Absent when empty.
    pub(super) password: Option<String>,
    /// Seconds; 0 is "none".
    pub(super) keep_alive: u16,
    pub(super) clean: bool,
    pub(super) will: Option<WillPacket>,
}

/// What a client leaves behind for when it vanishes. Its QoS says nothing: it is stored like every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WillPacket {
    pub(super) topic: String,
    pub(super) retain: bool,
    pub(super) body: Bytes,
}

impl std::fmt::Debug for ConnectPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectPacket")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("keep_alive", &self.keep_alive)
            .field("clean", &self.clean)
            .finish_non_exhaustive()
    }
}

/// PUBLISH of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublishPacket {
    pub(super) topic: String,
    pub(super) delivery: Delivery,
    pub(super) retain: bool,
    /// The client sent it before.
    pub(super) duplicate: bool,
    pub(super) body: Bytes,
}

/// How a client published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// QoS 0.
    Unacknowledged,
    /// QoS 1, with its packet id.
    Acknowledged(u16),
    /// QoS 2.
    ExactlyOnce,
}

/// Why bytes are not taken. All of them end the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not MQTT 3.1.1: answered with CONNACK 1.
    #[error("speaks another MQTT version; only 3.1.1 is served")]
    Level,
    /// Larger than allowed.
    #[error("sent a packet of {found} bytes, at most {limit} are taken")]
    TooLarge { found: usize, limit: usize },
    /// Garbage.
    #[error("sent bytes that are no MQTT packet: {0}")]
    Malformed(String),
    /// A packet of the other direction, or of QoS 2.
    #[error("sent {0}, which a client of this hub never does")]
    Direction(&'static str),
}

/// What is in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Packet(ClientPacket),
    /// Nothing whole; at least so many bytes are missing.
    Incomplete(usize),
}

/// Takes one packet off the front of the buffer.
pub(super) fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Decoded, DecodeError> {
    match mqttbytes::check(buffer.iter(), limit) {
        Ok(_) => {}
        Err(mqttbytes::Error::InsufficientBytes(missing)) => return Ok(Decoded::Incomplete(missing)),
        Err(mqttbytes::Error::PayloadSizeLimitExceeded(found)) => {
            return Err(DecodeError::TooLarge { found, limit });
        }
        Err(other) => return Err(DecodeError::Malformed(other.to_string())),
    }
    let packet = Packet::read(buffer, limit).map_err(|error| match error {
        mqttbytes::Error::InvalidProtocol | mqttbytes::Error::InvalidProtocolLevel(_) => DecodeError::Level,
        other => DecodeError::Malformed(other.to_string()),
    })?;
    client_packet(packet).map(Decoded::Packet)
}

fn client_packet(packet: Packet) -> Result<ClientPacket, DecodeError> {
    match packet {
        Packet::Connect(connect) => {
            if connect.protocol != mqttbytes::Protocol::V4 {
                return Err(DecodeError::Level);
            }
            let (username, password) =
                connect.login.map_or_else(Default::default, |login| (login.username, login.password));
            Ok(ClientPacket::Connect(ConnectPacket {
                client_id: connect.client_id,
                username,
                password: Some(password).filter(|password| !password.is_empty()),
                keep_alive: connect.keep_alive,
                clean: connect.clean_session,
                will: connect.last_will.map(|will| WillPacket {
                    topic: will.topic,
                    retain: will.retain,
                    body: Bytes::copy_from_slice(&will.message),
                }),
            }))
        }
        Packet::Publish(publish) => {
            let delivery = match publish.qos {
                QoS::AtMostOnce => Delivery::Unacknowledged,
                QoS::AtLeastOnce => Delivery::Acknowledged(publish.pkid),
                QoS::ExactlyOnce => Delivery::ExactlyOnce,
            };
            let body = Bytes::copy_from_slice(&publish.payload);
            Ok(ClientPacket::Publish(PublishPacket {
                topic: publish.topic,
                delivery,
                retain: publish.retain,
                duplicate: publish.dup,
                body,
            }))
        }
        Packet::PubAck(ack) => Ok(ClientPacket::PubAck { id: ack.pkid }),
        Packet::Subscribe(subscribe) => {
            let id = nonzero(subscribe.pkid)?;
            let filters =
                subscribe.filters.into_iter().map(|filter| (filter.path, granted(filter.qos))).collect();
            Ok(ClientPacket::Subscribe { id, filters })
        }
        Packet::Unsubscribe(unsubscribe) if unsubscribe.topics.is_empty() => {
            Err(DecodeError::Malformed("UNSUBSCRIBE without a filter".into()))
        }
        Packet::Unsubscribe(unsubscribe) => {
            Ok(ClientPacket::Unsubscribe { id: nonzero(unsubscribe.pkid)?, filters: unsubscribe.topics })
        }
        Packet::PingReq => Ok(ClientPacket::PingReq),
        Packet::Disconnect => Ok(ClientPacket::Disconnect),
        Packet::ConnAck(_) => Err(DecodeError::Direction("CONNACK")),
        Packet::PubRec(_) => Err(DecodeError::Direction("PUBREC")),
        Packet::PubRel(_) => Err(DecodeError::Direction("PUBREL")),
        Packet::PubComp(_) => Err(DecodeError::Direction("PUBCOMP")),
        Packet::SubAck(_) => Err(DecodeError::Direction("SUBACK")),
        Packet::UnsubAck(_) => Err(DecodeError::Direction("UNSUBACK")),
        Packet::PingResp => Err(DecodeError::Direction("PINGRESP")),
    }
}

fn nonzero(id: u16) -> Result<u16, DecodeError> {
    if id == 0 { Err(DecodeError::Malformed("packet id 0".into())) } else { Ok(id) }
}

/// QoS 2 is granted as 1 (reference device-protocol §4.1).
fn granted(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce | QoS::ExactlyOnce => Qos::AtLeastOnce,
    }
}

// === to the client ===

/// CONNACK codes in use (reference device-protocol §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectCode {
    Accepted,
    /// 1
    Level,
    /// 3: the client tries again.
    Unavailable,
    /// 5: the client gives up.
    NotAuthorised,
}

/// PUBLISH of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    /// Set for QoS 1.
    pub(super) id: Option<u16>,
    pub(super) duplicate: bool,
    /// It was there before the client subscribed.
    pub(super) retain: bool,
    pub(super) body: Bytes,
}

/// A packet that MQTT has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the topic with its properties is longer than 65535 bytes")]
pub(crate) struct TopicTooLong;

pub(super) fn connack(out: &mut BytesMut, code: ConnectCode, session_present: bool) {
    let code = match code {
        ConnectCode::Accepted => ConnectReturnCode::Success,
        ConnectCode::Level => ConnectReturnCode::RefusedProtocolVersion,
        ConnectCode::Unavailable => ConnectReturnCode::ServiceUnavailable,
        ConnectCode::NotAuthorised => ConnectReturnCode::NotAuthorized,
    };
    written(ConnAck::new(code, session_present).write(out));
}

pub(super) fn suback(out: &mut BytesMut, id: u16, granted: &[Option<Qos>]) {
    let codes = granted.iter().map(|qos| match qos {
        Some(Qos::AtMostOnce) => SubscribeReasonCode::Success(QoS::AtMostOnce),
        Some(Qos::AtLeastOnce) => SubscribeReasonCode::Success(QoS::AtLeastOnce),
        None => SubscribeReasonCode::Failure,
    });
    written(SubAck::new(id, codes.collect()).write(out));
}

pub(super) fn unsuback(out: &mut BytesMut, id: u16) {
    written(UnsubAck::new(id).write(out));
}

pub(super) fn puback(out: &mut BytesMut, id: u16) {
    written(PubAck::new(id).write(out));
}

pub(super) fn pingresp(out: &mut BytesMut) {
    written(PingResp.write(out));
}

pub(super) fn publish(out: &mut BytesMut, outgoing: Outgoing) -> Result<(), TopicTooLong> {
    if outgoing.topic.len() > usize::from(u16::MAX) {
        return Err(TopicTooLong);
    }
    let qos = if outgoing.id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut publish = Publish::from_bytes(outgoing.topic, qos, outgoing.body);
    publish.pkid = outgoing.id.unwrap_or(0);
    publish.dup = outgoing.duplicate;
    publish.retain = outgoing.retain;
    written(publish.write(out));
    Ok(())
}

/// The library refuses to write packet id 0 and bodies above 256 MiB, neither of which is ever made here.
fn written(result: Result<usize, mqttbytes::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "a packet could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8]) -> Result<Decoded, DecodeError> {
        decode(&mut BytesMut::from(bytes), 1_024)
    }

    #[test]
    fn hostile_bytes() {
        let cases: &[(&str, &[u8])] = &[
            ("nothing", &[]),
            ("half a header", &[0x10]),
            ("length without end", &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("too large", &[0x30, 0xff, 0xff, 0x7f]),
            ("type 0", &[0x00, 0x00]),
            ("type 15", &[0xf0, 0x00]),
            ("publish without body", &[0x30, 0x00]),
            ("publish, topic beyond the end", &[0x30, 0x02, 0xff, 0xff]),
            ("publish, QoS 3", &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]),
            ("publish, id 0", &[0x32, 0x05, 0x00, 0x01, b'a', 0x00, 0x00]),
            ("publish, topic not UTF-8", &[0x30, 0x03, 0x00, 0x01, 0xff]),
            ("puback of one byte", &[0x40, 0x01, 0x00]),
            ("subscribe without filter", &[0x82, 0x02, 0x00, 0x01]),
            ("subscribe, id 0", &[0x82, 0x06, 0x00, 0x00, 0x00, 0x01, b'a', 0x00]),
            ("subscribe, QoS 3", &[0x82, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x03]),
            ("unsubscribe without filter", &[0xa2, 0x02, 0x00, 0x01]),
            ("unsubscribe of one byte", &[0xa2, 0x01, 0x00]),
            ("pubrel", &[0x62, 0x02, 0x00, 0x01]),
            ("connect of 3.1", b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"),
            ("connect of 5", b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"),
            ("connect, cut", b"\x10\x08\x00\x04MQTT\x04\x02"),
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
        ];
        let told: Vec<String> = cases
            .iter()
            .map(|(name, bytes)| match decode_all(bytes) {
                Ok(decoded) => format!("{name}: {decoded:?}"),
                Err(error) => format!("{name}: {error}"),
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn packets_one_after_the_other() {
        let mut buffer = BytesMut::from(&b"\xc0\x00\x32\x06\x00\x01a\x00\x07!\xe0\x00\x30"[..]);
        let mut next = || decode(&mut buffer, 1_024).unwrap();
        assert_eq!(next(), Decoded::Packet(ClientPacket::PingReq));
        let publish = PublishPacket {
            topic: "a".into(),
            delivery: Delivery::Acknowledged(7),
            retain: false,
            duplicate: false,
            body: Bytes::from_static(b"!"),
        };
        assert_eq!(next(), Decoded::Packet(ClientPacket::Publish(publish)));
        assert_eq!(next(), Decoded::Packet(ClientPacket::Disconnect));
        assert_eq!(next(), Decoded::Incomplete(1));
    }

    #[test]
    fn an_overlong_topic_is_refused_and_leaves_no_bytes() {
        let mut out = BytesMut::new();
        let outgoing = Outgoing {
            topic: "x".repeat(65_536),
            id: None,
            duplicate: false,
            retain: false,
            body: Bytes::new(),
        };
        assert_eq!(publish(&mut out, outgoing), Err(TopicTooLong));
        assert!(out.is_empty());
    }
}
