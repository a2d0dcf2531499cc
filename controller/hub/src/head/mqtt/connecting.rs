//! The first packet: who is it, and with what? What the core needs to know is taken out; the core decides.

use hemline_hub_core::{
    credential::Credential,
    event::{Connect, ConnectionId},
};
use hemline_protocol::username::{Username, UsernameError};
use jiff::Timestamp;

use super::codec::ConnectPacket;
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
        peer: visitor.address.to_string(),
    })
}
