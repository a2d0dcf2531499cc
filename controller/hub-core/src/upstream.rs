//! The link of an edge hub to its parent hub: what comes over it, what goes over it, and how far it is.
//!
//! What is decided stands in `core/upstream.rs`; sockets are somebody else's. A link has a number: what is told of an
//! earlier one, or for it, means nothing on the next.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId};

use crate::{
    event::DeliveryId,
    message::Message,
    queue::{Place, Waiting},
};

/// What an edge hub is told about its place beneath another hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The edge device that this hub is the hub of, as the parent knows it.
    pub device: DeviceId,
    /// What the parent understands.
    pub dialect: Dialect,
}

/// What can be said over one connection to the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Everything, in the name of everybody beneath: the parent is a Hemline.
    Nested,
    /// Messages in the name of `$edgeHub` alone, which say in properties whose they are: the topics that every IoT Hub
    /// documents.
    Plain,
}

/// One connection to the parent. Numbers are never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What happens on a link.
#[derive(Debug, Clone, PartialEq)]
pub enum FromParent {
    /// The parent has let this hub in, and what it subscribed to is granted.
    Linked,
    /// The connection is gone, whatever the reason. Idempotent.
    Lost,
    /// The parent has a message for good.
    Acknowledged(DeliveryId),
    /// The parent says something.
    Said(Said),
}

/// What a parent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It did not take a message of this identity. The message is acknowledged all the same: it will never take it.
    Refused(ClientId),
}

/// What goes to the parent.
#[derive(Debug, Clone, PartialEq)]
pub enum ToParent {
    /// A message, to be acknowledged.
    Message {
        /// Comes back in `Acknowledged`.
        delivery: DeliveryId,
        /// The message.
        message: Arc<Message>,
    },
}

/// The state of the link.
#[derive(Debug)]
pub(crate) enum Link {
    /// There is none: everything waits.
    Down,
    /// There is one.
    Up(Up),
}

/// A link that is up.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) id: LinkId,
    /// Sent and not yet acknowledged, in order of sending.
    pub(crate) flight: BTreeMap<DeliveryId, (Place, Waiting)>,
    last_delivery: u64,
}

impl Up {
    /// A link that has just come up.
    pub(crate) fn new(id: LinkId) -> Self {
        Self { id, flight: BTreeMap::new(), last_delivery: 0 }
    }

    /// A number for the next message.
    pub(crate) fn delivery(&mut self) -> DeliveryId {
        self.last_delivery += 1;
        DeliveryId(self.last_delivery)
    }
}

/// What is said to a child hub whose connection speaks for others: the words of `Event::Nested`.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A message, routed by the child already.
    Telemetry {
        /// As of any message.
        properties: hemline_protocol::properties::Properties,
        /// Verbatim.
        body: Bytes,
    },
}
