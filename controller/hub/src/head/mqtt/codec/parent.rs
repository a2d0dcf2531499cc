//! The same packets from the other end: what a hub says to its parent, and what it hears from it.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{
    self, QoS,
    v4::{Connect, ConnectReturnCode, Disconnect, Packet, PingReq, PubAck, Subscribe, SubscribeReasonCode},
};

use super::{DecodeError, Outgoing, TopicTooLong, written};

/// What a parent may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParentPacket {
    /// The answer to CONNECT.
    ConnAck(Verdict),
    /// The answer to SUBSCRIBE.
    SubAck { granted: bool },
    /// It has a message for good.
    PubAck { id: u16 },
    /// It says something; with an id it wants to hear that it arrived.
    Publish { topic: String, id: Option<u16>, retained: bool, body: Bytes },
    /// It is there.
    Pong,
}

/// What a parent says to CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// Not now.
    Unavailable,
    /// Never like this.
    Refused,
}

/// Who connects, and with what.
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// Nothing of an earlier connection is wanted, nothing is kept for a later one.
    pub(crate) clean: bool,
}

/// Takes one packet off the front of the buffer; `None` when there is no whole one.
pub(crate) fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Option<ParentPacket>, DecodeError> {
    match mqttbytes::check(buffer.iter(), limit) {
        Ok(_) => {}
        Err(mqttbytes::Error::InsufficientBytes(_)) => return Ok(None),
        Err(mqttbytes::Error::PayloadSizeLimitExceeded(found)) => {
            return Err(DecodeError::TooLarge { found, limit });
        }
        Err(other) => return Err(DecodeError::Malformed(other.to_string())),
    }
    let malformed = |error: mqttbytes::Error| DecodeError::Malformed(error.to_string());
    match Packet::read(buffer, limit).map_err(malformed)? {
        Packet::ConnAck(ack) => Ok(Some(ParentPacket::ConnAck(match ack.code {
            ConnectReturnCode::Success => Verdict::Accepted,
            ConnectReturnCode::ServiceUnavailable => Verdict::Unavailable,
            ConnectReturnCode::RefusedProtocolVersion
            | ConnectReturnCode::BadClientId
            | ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized => Verdict::Refused,
        }))),
        Packet::SubAck(ack) => {
            let granted = !ack.return_codes.contains(&SubscribeReasonCode::Failure);
            Ok(Some(ParentPacket::SubAck { granted }))
        }
        Packet::PubAck(ack) => Ok(Some(ParentPacket::PubAck { id: ack.pkid })),
        Packet::Publish(publish) => Ok(Some(ParentPacket::Publish {
            id: match publish.qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some(publish.pkid),
                QoS::ExactlyOnce => return Err(DecodeError::Direction("PUBLISH of QoS 2")),
            },
            topic: publish.topic,
            retained: publish.retain,
            body: Bytes::copy_from_slice(&publish.payload),
        })),
        Packet::PingResp => Ok(Some(ParentPacket::Pong)),
        Packet::UnsubAck(_) => Err(DecodeError::Direction("UNSUBACK")),
        Packet::Connect(_) => Err(DecodeError::Direction("CONNECT")),
        Packet::PubRec(_) => Err(DecodeError::Direction("PUBREC")),
        Packet::PubRel(_) => Err(DecodeError::Direction("PUBREL")),
        Packet::PubComp(_) => Err(DecodeError::Direction("PUBCOMP")),
        Packet::Subscribe(_) => Err(DecodeError::Direction("SUBSCRIBE")),
        Packet::Unsubscribe(_) => Err(DecodeError::Direction("UNSUBSCRIBE")),
        Packet::PingReq => Err(DecodeError::Direction("PINGREQ")),
        Packet::Disconnect => Err(DecodeError::Direction("DISCONNECT")),
    }
}

/// CONNECT with a session that lasts, where this side's disk does not have it all: the parent keeps what comes on user-defined
/// topics meanwhile.
pub(crate) fn connect(out: &mut BytesMut, login: Login) {
    let Login { client_id, username, password, keep_alive, clean } = login;
    let mut connect = Connect::new(client_id);
    connect.clean_session = clean;
    connect.keep_alive = keep_alive;
    connect.set_login(username, password);
    written(connect.write(out));
}

/// SUBSCRIBE to one filter at QoS 1.
pub(crate) fn subscribe(out: &mut BytesMut, id: u16, filter: &str) {
    let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
    subscribe.pkid = id;
    written(subscribe.write(out));
}

/// PUBLISH; with an id at QoS 1.
pub(crate) fn publish(
    out: &mut BytesMut,
    topic: String,
    id: Option<u16>,
    retain: bool,
    body: Bytes,
) -> Result<(), TopicTooLong> {
    super::publish(out, Outgoing { topic, id, duplicate: false, retain, body })
}

pub(crate) fn puback(out: &mut BytesMut, id: u16) {
    written(PubAck::new(id).write(out));
}

pub(crate) fn ping(out: &mut BytesMut) {
    written(PingReq.write(out));
}

pub(crate) fn disconnect(out: &mut BytesMut) {
    written(Disconnect.write(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_parent() {
        let cases: &[(&str, &[u8])] = &[
            ("nothing", &[]),
            ("let in", &[0x20, 0x02, 0x00, 0x00]),
            ("not now", &[0x20, 0x02, 0x00, 0x03]),
            ("never", &[0x20, 0x02, 0x00, 0x05]),
            ("unknown code", &[0x20, 0x02, 0x00, 0x77]),
            ("granted", &[0x90, 0x03, 0x00, 0x01, 0x01]),
            ("not granted", &[0x90, 0x03, 0x00, 0x01, 0x80]),
            ("acknowledged", &[0x40, 0x02, 0x00, 0x07]),
            ("said", &[0x30, 0x04, 0x00, 0x01, b'a', b'!']),
            ("said, to be acknowledged", &[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x07, b'!']),
            ("QoS 2", &[0x34, 0x06, 0x00, 0x01, b'a', 0x00, 0x07, b'!']),
            ("pong", &[0xd0, 0x00]),
            ("ping", &[0xc0, 0x00]),
            ("too large", &[0x30, 0xff, 0xff, 0x7f]),
            ("cut", &[0x40, 0x02, 0x00]),
        ];
        let told: Vec<String> = cases
            .iter()
            .map(|(name, bytes)| match decode(&mut BytesMut::from(*bytes), 1_024) {
                Ok(decoded) => format!("{name}: {decoded:?}"),
                Err(error) => format!("{name}: {error}"),
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
