//! What happens to the hub. A head turns bytes into these; nothing here knows MQTT, AMQP or HTTP.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::ClientId;
pub use hemline_protocol::filter::Feature;
use hemline_protocol::properties::Properties;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    credential::{Credential, Presented},
    service::ServiceRequest,
    upstream::{Act, FromParent, LinkId},
};

/// One live connection of one head. Numbers are never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One question of one caller, answered by exactly one `Effect::Reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a head wants back when its client's packet is dealt with (an MQTT packet id, an AMQP delivery id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckToken(pub u32);

/// One outgoing message that a client must acknowledge. Unique per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// Delivery guarantee towards a client. There is no exactly-once (reference device-protocol §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Qos {
    /// Sent and forgotten.
    AtMostOnce,
    /// Kept until acknowledged.
    AtLeastOnce,
}

/// One granted subscription. The filter is opaque to the core: it is stored and compared, not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The filter exactly as the client wrote it, so that the same text removes it.
    pub filter: String,
    /// Highest guarantee the client asked for.
    pub qos: Qos,
    /// What the filter covers. Empty for a filter that the hub knows nothing of: granted and ignored.
    pub features: Vec<Feature>,
}

/// A client asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The head's connection.
    pub connection: ConnectionId,
    /// Host part of the user name: one of the hub's names, not necessarily the TLS name.
    pub host: String,
    /// Who it says it is.
    pub client: ClientId,
    /// How it proves that: the MQTT password, or without one the certificate of its TLS connection.
    pub credential: Credential,
    /// `true` drops the stored session (MQTT clean session).
    pub clean: bool,
    /// DTDL model it announces, if any.
    pub model_id: Option<String>,
    /// What is published in its name when it vanishes.
    pub will: Option<Box<Will>>,
    /// Where it comes from, for the log.
    pub peer: String,
}

/// A message that a client leaves behind: published when its connection ends without goodbye (reference device-protocol
/// §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is always in a box of its own")]
pub enum Will {
    /// A message to the hub.
    Message {
        /// As of any message of the client.
        properties: Properties,
        /// Verbatim.
        body: Bytes,
    },
    /// A message on a user-defined topic; the policy is asked when it is published.
    Topic {
        /// Where.
        topic: String,
        /// Keep it for those who subscribe later.
        retain: bool,
        /// Verbatim.
        body: Bytes,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The client said goodbye, or the hub stops: no reason to speak its will.
    Orderly,
    /// It was silent, broke the protocol, or its network is gone.
    Vanished,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Answered by `Accept` or `Refuse`.
    Connect(Connect),
    /// Answered by `Granted` once the session is on disk.
    Subscribe {
        /// Who.
        connection: ConnectionId,
        /// What for.
        grants: Vec<Grant>,
        /// Comes back in `Granted`.
        token: AckToken,
    },
    /// Answered by `Revoked` once the session is on disk.
    Unsubscribe {
        /// Who.
        connection: ConnectionId,
        /// The filters, as they were subscribed.
        filters: Vec<String>,
        /// Comes back in `Revoked`.
        token: AckToken,
    },
    /// A message from a device or module, acknowledged once it is on disk.
    Telemetry {
        /// Who.
        connection: ConnectionId,
        /// `output_name` is set for a module output.
        properties: Properties,
        /// Verbatim.
        body: Bytes,
        /// Absent when the client wants no acknowledgement.
        token: Option<AckToken>,
    },
    /// A message on a user-defined topic, acknowledged once it is on disk wherever it has to be.
    Publish {
        /// Who.
        connection: ConnectionId,
        /// Where; without wildcards, and none of the hub's own topics.
        topic: String,
        /// Verbatim.
        body: Bytes,
        /// Keep it for those who subscribe later; with an empty body: keep nothing any more.
        retain: bool,
        /// See `Telemetry`. With one the message has QoS 1.
        token: Option<AckToken>,
    },
    /// The client wants its twin. The response goes out before the acknowledgement.
    TwinGet {
        /// Who.
        connection: ConnectionId,
        /// Echoed byte for byte.
        rid: String,
        /// See `Telemetry`.
        token: Option<AckToken>,
    },
    /// The client reports properties.
    ReportedPatch {
        /// Who.
        connection: ConnectionId,
        /// Absent: processed, not answered.
        rid: Option<String>,
        /// Only apply when the reported version is this one; 412 otherwise.
        if_version: Option<u64>,
        /// A JSON object in UTF-8, checked by the core.
        patch: Bytes,
        /// See `Telemetry`.
        token: Option<AckToken>,
    },
    /// The client answers a direct method.
    MethodResult {
        /// Who.
        connection: ConnectionId,
        /// As in `Outbound::MethodCall`.
        rid: String,
        /// Any 32-bit number.
        status: i32,
        /// JSON or empty.
        payload: Bytes,
        /// See `Telemetry`.
        token: Option<AckToken>,
    },
    /// The client acknowledged an outgoing message.
    Delivered {
        /// Who.
        connection: ConnectionId,
        /// Which.
        delivery: DeliveryId,
    },
    /// The connection is gone, whatever the reason. Idempotent.
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// How.
        departure: Departure,
    },
    /// Somebody on the service side, or a device over HTTPS, asks for something.
    Service {
        /// Comes back in `Reply`.
        request: RequestId,
        /// On whose authority.
        caller: Caller,
        /// What.
        operation: ServiceRequest,
        /// Fresh random bytes for keys that the operation may have to make.
        entropy: Entropy,
    },
    /// The hub of an edge device speaks for somebody beneath it.
    Nested {
        /// The connection of `$edgeHub`.
        connection: ConnectionId,
        /// For whom.
        client: ClientId,
        /// What.
        act: Act,
        /// See `Telemetry`.
        token: Option<AckToken>,
    },
    /// Something happened on the link to the parent of this hub.
    Upstream {
        /// On which link.
        link: LinkId,
        /// What.
        happened: FromParent,
    },
    /// The clock of this machine was set by so much, and `now` is of the new one. What lasts in the memory of this process
    /// only (calls, locks) lasts as long as it was to; what was given an instant (expiry of messages and tokens) ends then.
    ClockSet {
        /// Forward, or back.
        by: SignedDuration,
    },
    /// Time passed: timeouts, expiry, retention. At least once a second.
    Tick,
}

/// On whose authority a service request comes.
#[derive(Clone, PartialEq, Eq)]
pub enum Caller {
    /// The process itself (the controller). Everything is allowed.
    Internal,
    /// An `Authorization` header, verbatim. The core verifies signature, expiry, scope and permission.
    Token(String),
    /// No such header, and the certificate of the TLS connection.
    Certificate(Arc<Presented>),
    /// A module that says who it is (`x-ms-edge-moduleId`), and proves it as for a connection. It may call methods of its
    /// neighbours (reference device-protocol §4.7).
    Module {
        /// Who it says it is.
        module: ClientId,
        /// Its proof.
        credential: Credential,
    },
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Internal => f.write_str("Internal"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Certificate(certificate) => f.debug_tuple("Certificate").field(certificate).finish(),
            Self::Module { module, credential } => {
                f.debug_struct("Module").field("module", module).field("credential", credential).finish()
            }
        }
    }
}

/// Random bytes drawn by the I/O side, because the core has no randomness of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entropy(pub [u8; 64]);

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(***)")
    }
}
