//! The first packet: who is it, and with what? What the core needs to know is taken out; the core decides.

use hemline_hub_core::{
    credential::Credential,
    event::{Connect, ConnectionId, Will},
};
use hemline_model::id::ClientId;
use hemline_protocol::{
    topic::{self, ClientTopic, TopicError},
    username::{Username, UsernameError},
};
use jiff::Timestamp;

use super::{
    codec::{ConnectPacket, WillPacket},
    session::mark,
};
use crate::visitor::Visitor;

/// Why a CONNECT is turned away before the core is asked. All of them are CONNACK 5: clients must not retry like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectError {
    /// Not a user name of a hub.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// Take-over would hit somebody else (reference device-protocol §3.3).
    #[error("client id {client_id:?} is not the identity of the user name, {expected:?}")]
    ClientId { client_id: String, expected: String },
}

/// Why a will is not kept. The client is let in all the same, as by IoT Hub; tools for other brokers set one by habit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WillError {
    /// Not a topic of this client.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A topic that asks for something.
    #[error("a will can only be a message of the client itself; {0:?} is none")]
    NoMessage(String),
}

/// The message that a will is.
pub(super) fn will(packet: WillPacket, client: &ClientId) -> Result<Will, WillError> {
    let WillPacket { topic, retain, body } = packet;
    match topic::parse(&topic, client)? {
        ClientTopic::Telemetry { mut properties } => {
            mark(&mut properties, retain, false);
            Ok(Will::Message { properties, body })
        }
        ClientTopic::User => Ok(Will::Topic { topic, retain, body }),
        ClientTopic::TwinGet { .. }
        | ClientTopic::ReportedPatch { .. }
        | ClientTopic::MethodResult { .. } => Err(WillError::NoMessage(topic)),
    }
}

/// What the core is asked.
pub(super) fn request(
    packet: ConnectPacket,
    connection: ConnectionId,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<Connect, ConnectError> {
    let username = Username::parse(&packet.username)?;
    let expected = username.client.to_string();
    if packet.client_id != expected {
        return Err(ConnectError::ClientId { client_id: packet.client_id, expected });
    }
    // A password goes before a certificate (reference device-protocol §3.2). With neither the core finds no token in the
    // empty text and refuses.
    let credential = match packet.password {
        Some(token) => Credential::Token(token),
        None => match visitor.certificate(now) {
            Some(certificate) => Credential::Certificate(certificate),
            None => Credential::Token(String::new()),
        },
    };
    Ok(Connect {
        connection,
        host: username.host,
        client: username.client,
        credential,
        clean: packet.clean,
        model_id: username.model_id,
        will: None,
        peer: visitor.address.to_string(),
    })
}
