//! What the hub wants done. Values that print; the hub task executes them.
//!
//! The one rule: every `Persist` of a batch is on disk before any other effect of that batch, or of a later batch,
//! is carried out. That is how nothing acknowledged is ever lost.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::ClientId;

use crate::{
    change_event::ChangeEvent,
    cloud_to_device::CloudToDevice,
    event::{AckToken, ConnectionId, DeliveryId, Qos, RequestId},
    message::Message,
    service::{ServiceError, ServiceReply},
    topics::TopicMessage,
    upstream::{LinkId, ToParent},
    write::Write,
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Put this on disk before anything else of this batch happens.
    Persist(Write),
    /// Let the client in (MQTT CONNACK 0).
    Accept {
        /// Whom.
        connection: ConnectionId,
        /// Who it turned out to be.
        client: ClientId,
        /// A stored session was found.
        session_present: bool,
    },
    /// Turn the client away and close.
    Refuse {
        /// Whom.
        connection: ConnectionId,
        /// Why.
        refusal: Refusal,
    },
    /// Close a connection that was accepted.
    Close {
        /// Whom.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Subscriptions are stored (MQTT SUBACK).
    Granted {
        /// Whom.
        connection: ConnectionId,
        /// Of the request.
        token: AckToken,
        /// One per grant, in order; `None` for one that is refused.
        qos: Vec<Option<Qos>>,
    },
    /// Subscriptions are removed (MQTT UNSUBACK).
    Revoked {
        /// Whom.
        connection: ConnectionId,
        /// Of the request.
        token: AckToken,
    },
    /// The client's packet is dealt with (MQTT PUBACK).
    Ack {
        /// Whom.
        connection: ConnectionId,
        /// Of the packet.
        token: AckToken,
    },
    /// Send something to a client.
    Send {
        /// Whom.
        connection: ConnectionId,
        /// What.
        outbound: Outbound,
    },
    /// Answer a service request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        reply: Box<Result<ServiceReply, ServiceError>>,
    },
    /// Tell whoever watches. Never blocks; a slow watcher misses some and re-reads.
    Notify(Notice),
    /// Send something to the parent hub.
    Upstream {
        /// Only on this link; it may be gone by then.
        link: LinkId,
        /// What.
        what: ToParent,
    },
}

/// What goes to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Outbound {
    /// Answer to `TwinGet` or `ReportedPatch`.
    TwinResponse {
        /// Echo.
        rid: String,
        /// 200, 204, 400, 412 …
        status: u16,
        /// Reported version after a patch.
        version: Option<u64>,
        /// JSON, or empty.
        body: Bytes,
    },
    /// Desired properties changed.
    DesiredPatch {
        /// The desired version.
        version: u64,
        /// The patch with `$version`.
        body: Bytes,
        /// Of the subscription.
        qos: Qos,
    },
    /// Call a direct method.
    MethodCall {
        /// Comes back in `MethodResult`.
        rid: String,
        /// Method name.
        name: String,
        /// JSON.
        payload: Bytes,
        /// Of the subscription.
        qos: Qos,
    },
    /// A message for a module input.
    Input {
        /// Set when the client must acknowledge.
        delivery: Option<DeliveryId>,
        /// Input name.
        input: String,
        /// The message.
        message: Arc<Message>,
        /// It went out before on an earlier connection.
        duplicate: bool,
    },
    /// A cloud-to-device message.
    CloudToDevice {
        /// Set when the client must acknowledge.
        delivery: Option<DeliveryId>,
        /// The message.
        message: Arc<CloudToDevice>,
        /// It went out before on an earlier connection.
        duplicate: bool,
    },
    /// A message on a user-defined topic.
    Topic {
        /// Set when the client must acknowledge.
        delivery: Option<DeliveryId>,
        /// The message.
        message: Arc<TopicMessage>,
        /// It was there before the client subscribed.
        retained: bool,
        /// It went out before on an earlier connection.
        duplicate: bool,
    },
    /// To the hub of an edge device: something for somebody beneath it.
    Nested {
        /// For whom.
        client: ClientId,
        /// What.
        what: Nested,
    },
}

/// What the hub of an edge device is told for somebody beneath it.
#[derive(Debug, Clone, PartialEq)]
pub enum Nested {
    /// A message was not taken, and never will be.
    Refused,
    /// Answer to a twin request.
    TwinResponse {
        /// Echo.
        rid: String,
        /// 200, 204, 400, 404 …
        status: u16,
        /// JSON, or empty.
        body: Bytes,
    },
    /// Desired properties changed.
    DesiredPatch {
        /// The desired version.
        version: u64,
        /// The patch with `$version`.
        body: Bytes,
    },
    /// Call a direct method.
    MethodCall {
        /// Comes back with the answer.
        rid: String,
        /// Method name.
        name: String,
        /// JSON.
        payload: Bytes,
        /// Seconds to wait for the client to come.
        connect: u32,
        /// Seconds to wait for its answer.
        response: u32,
    },
    /// A cloud-to-device message.
    CloudToDevice {
        /// Set when the child must acknowledge.
        delivery: Option<DeliveryId>,
        /// The message.
        message: Arc<CloudToDevice>,
    },
    /// A page of those beneath the edge device.
    Scope {
        /// Echo.
        rid: String,
        /// JSON of a [`crate::scope::ScopePage`].
        page: Bytes,
    },
    /// Somebody came, changed or went beneath the edge device.
    ScopeChanged,
    /// Filters of user-defined topics that the child hub asked for and does not get.
    TopicsRefused {
        /// As they were written.
        filters: Vec<String>,
    },
}

impl Nested {
    /// Bytes of its body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Refused | Self::ScopeChanged => 0,
            Self::TwinResponse { body, .. } | Self::DesiredPatch { body, .. } => body.len(),
            Self::MethodCall { payload, .. } => payload.len(),
            Self::CloudToDevice { message, .. } => message.body.len(),
            Self::Scope { page, .. } => page.len(),
            Self::TopicsRefused { filters } => filters.iter().map(String::len).sum(),
        }
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Unknown, disabled, wrong key, expired, wrong host, somebody else's id: never try again like this (CONNACK 5).
    #[error("not authorised: {0}")]
    NotAuthorised(AuthFailure),
    /// Starting or stopping: try again (CONNACK 3).
    #[error("not now")]
    Unavailable,
}

/// What exactly was wrong, for the log and the counters; never told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum AuthFailure {
    /// No such identity.
    #[error("unknown identity")]
    UnknownIdentity,
    /// The device is disabled.
    #[error("identity is disabled")]
    Disabled,
    /// Not a token.
    #[error("malformed token")]
    Malformed,
    /// Neither key made this signature.
    #[error("wrong key")]
    WrongKey,
    /// Too late.
    #[error("expired token")]
    Expired,
    /// Token for another hub.
    #[error("wrong host")]
    WrongHost,
    /// Token for another resource, or the client id differs from the user name.
    #[error("token is for another identity")]
    WrongIdentity,
    /// The certificate is none of this identity's, or the identity has no certificates.
    #[error("wrong certificate")]
    WrongCertificate,
    /// The certificate leads to no authority that the hub was told of.
    #[error("certificate of an unregistered authority")]
    UntrustedCertificate,
    /// The certificate is not good yet, or no longer.
    #[error("certificate is outside its dates")]
    CertificateDates,
    /// This is the hub of an edge device, and the identity is not beneath that.
    #[error("identity is not beneath the edge device of this hub")]
    OutOfScope,
    /// The policy exists and lacks the permission.
    #[error("policy lacks the permission")]
    Forbidden,
    /// A rule of the topic policy denies `mqtt:connect`.
    #[error("the topic policy of the edge device denies mqtt:connect")]
    TopicPolicy,
}

/// Why an accepted connection is closed by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CloseReason {
    /// A newer connection of the same identity won.
    #[error("a newer connection of the same identity took over")]
    TakenOver,
    /// The token ran out, or the certificate.
    #[error("the token or certificate expired")]
    TokenExpired,
    /// The identity was deleted or disabled, or the certificate of the connection is no longer its own.
    #[error("the identity was deleted or disabled, or its certificate withdrawn")]
    IdentityGone,
    /// A limit was hit and acknowledging would have lost data.
    #[error("a queue is full")]
    QueueFull,
    /// The client broke the protocol.
    #[error("protocol error")]
    ProtocolError,
    /// It published to a user-defined topic that no policy allows it, or lost a subscription to another policy.
    #[error(
        "no rule of `broker.authorizations` on its edge device allows this topic; messages go to devices/<id>/messages/events/"
    )]
    TopicDenied,
    /// Acknowledging would have lost a message that was to be retained.
    #[error("as many messages are retained as may be")]
    RetainedFull,
}

/// Something changed that watchers care about.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A message reached the event log.
    Message(Arc<Message>),
    /// A client came or went.
    Connection {
        /// Who.
        client: ClientId,
        /// Is it there now?
        connected: bool,
    },
    /// A client reported something.
    Reported {
        /// Who.
        client: ClientId,
    },
    /// An identity or the service-owned part of a twin changed.
    Registry {
        /// Whose.
        client: ClientId,
        /// Who did it, where a token says so: `policy service`, or a client's id.
        by: Option<Arc<str>>,
    },
    /// Something happened to an identity that routes may be about; only where the hub was told to say so.
    Change(Arc<ChangeEvent>),
    /// The link to the parent came or went.
    Upstream {
        /// Is it there now?
        connected: bool,
    },
}
