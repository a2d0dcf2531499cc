//! Bytes and packets, as a client has them. The only file of the load that knows the packet library.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{
    self, QoS,
    v4::{
        Connect, ConnectReturnCode, Disconnect, Packet, PubAck, Publish, Subscribe, SubscribeFilter,
        SubscribeReasonCode,
    },
};

use super::error::LoadError;

/// Largest packet that is taken: what IoT Hub allows, and some.
const LARGEST: usize = 512 << 10;

/// What a server sent, as far as a load wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Code 0 is "come in".
    ConnAck(u8),
    /// Subscriptions are there; or one of them is refused.
    SubAck { granted: bool },
    /// A message is taken.
    PubAck(u16),
    /// A message; with an id it wants to be acknowledged.
    Message { topic: String, id: Option<u16>, body: Bytes },
    /// Nothing to do.
    Other,
}

/// Takes one packet off the front of the buffer; `None` when none is whole.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Received>, LoadError> {
    let packet = match Packet::read(buffer, LARGEST) {
        Ok(packet) => packet,
        Err(mqttbytes::Error::InsufficientBytes(_)) => return Ok(None),
        Err(other) => return Err(LoadError::Unexpected(other.to_string())),
    };
    Ok(Some(match packet {
        Packet::ConnAck(ack) => Received::ConnAck(code(ack.code)),
        Packet::SubAck(ack) => {
            Received::SubAck { granted: !ack.return_codes.contains(&SubscribeReasonCode::Failure) }
        }
        Packet::PubAck(ack) => Received::PubAck(ack.pkid),
        Packet::Publish(publish) => {
            let id = Some(publish.pkid).filter(|_| publish.qos != QoS::AtMostOnce);
            Received::Message { topic: publish.topic, id, body: publish.payload }
        }
        _ => Received::Other,
    }))
}

fn code(code: ConnectReturnCode) -> u8 {
    match code {
        ConnectReturnCode::Success => 0,
        ConnectReturnCode::RefusedProtocolVersion => 1,
        ConnectReturnCode::BadClientId => 2,
        ConnectReturnCode::ServiceUnavailable => 3,
        ConnectReturnCode::BadUserNamePassword => 4,
        ConnectReturnCode::NotAuthorized => 5,
    }
}

/// CONNECT of a client that keeps its session, or of one that does not.
pub(crate) fn connect(
    out: &mut BytesMut,
    client: &str,
    login: Option<(&str, &str)>,
    clean: bool,
    keep_alive: u16,
) -> Result<(), LoadError> {
    let mut connect = Connect::new(client);
    connect.keep_alive = keep_alive;
    connect.clean_session = clean;
    if let Some((user, password)) = login {
        connect.set_login(user, password);
    }
    written(connect.write(out))
}

/// One SUBSCRIBE at QoS 1.
pub(crate) fn subscribe(out: &mut BytesMut, id: u16, filters: &[String]) -> Result<(), LoadError> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = id;
    written(subscribe.write(out))
}

/// PUBLISH; QoS 1 with an id.
pub(crate) fn publish(
    out: &mut BytesMut,
    topic: &str,
    id: Option<u16>,
    body: Bytes,
) -> Result<(), LoadError> {
    let qos = if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut publish = Publish::from_bytes(topic, qos, body);
    publish.pkid = id.unwrap_or_default();
    written(publish.write(out))
}

/// PUBACK.
pub(crate) fn puback(out: &mut BytesMut, id: u16) -> Result<(), LoadError> {
    written(PubAck::new(id).write(out))
}

/// DISCONNECT.
pub(crate) fn disconnect(out: &mut BytesMut) -> Result<(), LoadError> {
    written(Disconnect.write(out))
}

fn written(result: Result<usize, mqttbytes::Error>) -> Result<(), LoadError> {
    result.map(drop).map_err(|error| LoadError::Unexpected(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sends() {
        let mut bytes = BytesMut::from(
            &b"\x20\x02\x00\x05\x90\x04\x00\x01\x01\x80\x40\x02\x00\x07\x32\x06\x00\x01a\x00\x09!\x30\x03\x00\x01b\xd0\x00\x30"[..],
        );
        let mut found = Vec::new();
        while let Some(received) = decode(&mut bytes).unwrap() {
            found.push(received);
        }
        let message = |topic: &str, id, body: &'static [u8]| Received::Message {
            topic: topic.to_owned(),
            id,
            body: Bytes::from_static(body),
        };
        assert_eq!(
            found,
            [
                Received::ConnAck(5),
                Received::SubAck { granted: false },
                Received::PubAck(7),
                message("a", Some(9), b"!"),
                message("b", None, b""),
                Received::Other,
            ]
        );
        assert_eq!(bytes.len(), 1, "half a packet waits for the rest");
        assert!(decode(&mut BytesMut::from(&[0xf0, 0x00][..])).is_err(), "there is no such packet");
    }
}
