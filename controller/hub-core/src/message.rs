//! A message inside the hub: what came from a client plus what the hub stamped on it.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::ClientId;
use hemline_protocol::properties::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Position of a message in the hub's log: grows by one per accepted message, survives restarts, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// How the sender proved who it is (reference device-protocol §4.3, `iothub-connection-auth-method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthMethod {
    /// A token signed with the device's own key.
    DeviceSas,
    /// A token signed with the module's own key.
    ModuleSas,
    /// A token of a hub policy.
    PolicySas,
    /// The device's own certificate.
    DeviceX509,
    /// The module's own certificate.
    ModuleX509,
}

/// One accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Place in the log.
    pub sequence: Sequence,
    /// When the hub accepted it.
    pub enqueued: Timestamp,
    /// Who sent it: taken from the connection, never from the topic.
    pub sender: ClientId,
    /// Generation of the sender's identity.
    pub generation: Arc<str>,
    /// How the sender was authenticated.
    pub auth: AuthMethod,
    /// System and application properties as received, connection ids stamped.
    pub properties: Properties,
    /// The body, verbatim. At most 256 KiB.
    pub body: Bytes,
}

/// Where a message waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// The built-in event endpoint: an append-only log that watchers read and retention trims.
    Events,
    /// Inputs of one module: at-least-once, in order, removed on acknowledgement.
    Module(ClientId),
    /// The parent of an edge hub: at-least-once, in order, removed on the parent's acknowledgement.
    Upstream,
}

/// One place of one message in one endpoint's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Which queue.
    pub endpoint: Endpoint,
    /// Which message.
    pub sequence: Sequence,
    /// The input it is to arrive at; `None` on the event log and upstream.
    pub input: Option<String>,
    /// 0 is best, 9 worst, `DEFAULT_PRIORITY` when the route says none.
    pub priority: u32,
    /// After this instant it is dropped unsent.
    pub expires: Option<Timestamp>,
}

/// Priority of a route that names none (reference query-language §8.3).
pub const DEFAULT_PRIORITY: u32 = 2_000_000_000;
