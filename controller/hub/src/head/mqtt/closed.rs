//! Why a connection ends. One list, so that the log, the counters and the tests speak of the same things.

use std::sync::Arc;

use hemline_hub_core::{effect::CloseReason, event::Departure};
use hemline_protocol::topic::TopicError;

use super::codec::DecodeError;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Closed {
    /// The client said goodbye.
    #[error("the client disconnected")]
    ByClient,
    /// The socket ended without goodbye.
    #[error("the connection was lost")]
    Lost,
    /// Reading or writing the socket failed.
    #[error("the connection failed: {0}")]
    Socket(Arc<str>),
    /// The core closed it.
    #[error("closed by the hub: {0}")]
    ByHub(CloseReason),
    /// The hub is stopping or has failed.
    #[error("the hub is stopping")]
    HubStops,
    /// Nothing came for too long.
    #[error("silent for longer than one and a half times its keep-alive")]
    Silent,
    /// It does not take what it is sent.
    #[error("takes no bytes, or has too many packets unacknowledged")]
    Slow,
    /// Bytes that are no MQTT packet, or one that a client must not send.
    #[error(transparent)]
    Packet(#[from] DecodeError),
    /// QoS 2 is not offered (reference device-protocol §4.1).
    #[error("published with QoS 2; use QoS 0 or 1")]
    ExactlyOnce,
    /// A packet that makes no sense at this point.
    #[error("sent {0} where it is not allowed")]
    OutOfPlace(&'static str),
    /// A topic that leads nowhere: a device should notice (reference device-protocol §4.1).
    #[error(transparent)]
    Topic(#[from] TopicError),
}

/// How loudly an end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Part of normal life.
    None,
    /// The client did what it may not do: once per minute in the log, with the topic.
    Refused,
    /// The client broke the protocol: once per minute in the log.
    Protocol,
    /// The client was silent.
    Silence,
    /// The client does not keep up.
    Slowness,
}

impl Closed {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::ByHub(CloseReason::TopicDenied | CloseReason::RetainedFull) => Fault::Refused,
            Self::ByClient | Self::Lost | Self::Socket(_) | Self::ByHub(_) | Self::HubStops => Fault::None,
            Self::Silent => Fault::Silence,
            Self::Slow => Fault::Slowness,
            Self::Packet(_) | Self::ExactlyOnce | Self::OutOfPlace(_) | Self::Topic(_) => Fault::Protocol,
        }
    }
}

impl Closed {
    /// What the core is told. Whoever is closed because the hub stops has not vanished.
    pub(super) fn departure(&self) -> Departure {
        match self {
            Self::ByClient | Self::HubStops => Departure::Orderly,
            Self::Lost
            | Self::Socket(_)
            | Self::ByHub(_)
            | Self::Silent
            | Self::Slow
            | Self::Packet(_)
            | Self::ExactlyOnce
            | Self::OutOfPlace(_)
            | Self::Topic(_) => Departure::Vanished,
        }
    }
}

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error.to_string().into())
    }
}
