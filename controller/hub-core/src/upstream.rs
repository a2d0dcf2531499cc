//! The link of an edge hub to its parent hub: what comes over it, what goes over it, and how far it is.
//!
//! What is decided stands in `core/upstream.rs` (messages), `core/scope.rs` (identities), `core/mirror.rs` (twins),
//! `core/relay.rs` (cloud-to-device messages) and `core/bridges.rs` (user-defined topics); sockets are somebody else's. A link has a number: what is told of an
//! earlier one, or for it, means nothing on the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use hemline_model::{
    Packed,
    id::{ClientId, DeviceId},
};
use hemline_protocol::properties::Properties;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    event::DeliveryId,
    message::{Message, Sequence},
    queue::{Place, Waiting},
    scope::ScopePage,
    topics::TopicMessage,
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

/// One question to the parent; its answer carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

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
    Said(Box<Said>),
}

/// What a parent says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It did not take a message of this identity. The message is acknowledged all the same: it will never take it.
    Refused(ClientId),
    /// Some of those beneath the edge device.
    Scope {
        /// Of the question.
        ask: AskId,
        /// Who.
        page: ScopePage,
    },
    /// Somebody came, changed or went.
    ScopeChanged,
    /// The answer to a twin request.
    Twin {
        /// Of the question.
        ask: AskId,
        /// 200, 204, 400, 404 …
        status: u16,
        /// Desired and reported properties with their versions; empty after a report.
        twin: Option<TwinCopy>,
    },
    /// Desired properties changed.
    Desired {
        /// Whose.
        client: ClientId,
        /// To which version.
        version: u64,
        /// The patch.
        patch: Map<String, Value>,
    },
    /// A direct method is called.
    Call {
        /// Whom.
        client: ClientId,
        /// For the answer.
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
        /// For whom.
        device: DeviceId,
        /// What the parent calls it until it is acknowledged.
        receipt: Receipt,
        /// As the service sent it.
        properties: Box<Properties>,
        /// Verbatim.
        body: Bytes,
    },
    /// A message on a user-defined topic.
    Published {
        /// The topic at the parent.
        topic: String,
        /// What the parent calls it until it is acknowledged; none when it wants no acknowledgement.
        receipt: Option<Receipt>,
        /// It was there before this hub subscribed.
        retained: bool,
        /// Verbatim.
        body: Bytes,
    },
    /// Filters of user-defined topics that its policy refuses.
    TopicsRefused(Vec<String>),
}

/// What the parent gave a twin request.
#[derive(Debug, Clone, PartialEq)]
pub struct TwinCopy {
    /// Desired properties.
    pub desired: Map<String, Value>,
    /// Their version.
    pub desired_version: u64,
    /// Reported properties.
    pub reported: Map<String, Value>,
}

/// By what a message of the parent is acknowledged, on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub u16);

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
    /// Who is beneath the edge device?
    Scope {
        /// Comes back with the answer.
        ask: AskId,
        /// Only what comes after this id.
        after: Option<ClientId>,
    },
    /// Its twin is wanted.
    Twin {
        /// Whose.
        client: ClientId,
        /// Comes back with the answer.
        ask: AskId,
    },
    /// It reports properties.
    Report {
        /// Who.
        client: ClientId,
        /// Comes back with the answer.
        ask: AskId,
        /// JSON object.
        patch: Bytes,
    },
    /// It answered a direct method.
    MethodResult {
        /// Who.
        client: ClientId,
        /// Of the call.
        rid: String,
        /// Any 32-bit number.
        status: i32,
        /// JSON.
        payload: Bytes,
    },
    /// A direct method failed.
    MethodFailed {
        /// Whose.
        client: ClientId,
        /// Of the call.
        rid: String,
        /// Error code of IoT Hub.
        code: u32,
    },
    /// A message of the parent has arrived: at its device, or on this hub's disk.
    Acknowledge(Receipt),
    /// A message on a user-defined topic, to be acknowledged.
    Publish {
        /// Comes back in `Acknowledged`.
        delivery: DeliveryId,
        /// With its topic at the parent.
        message: Arc<TopicMessage>,
        /// The parent is to keep it for those who subscribe later.
        retain: bool,
    },
    /// What this hub wants of the parent's user-defined topics, in place of what it wanted before.
    Topics {
        /// Filters.
        filters: Vec<String>,
    },
}

/// The state of the link.
#[derive(Debug)]
pub(crate) enum Link {
    /// There is none: everything waits.
    Down,
    /// There is one.
    Up(Box<Up>),
}

/// A link that is up.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) id: LinkId,
    /// Sent and not yet acknowledged, in order of sending.
    pub(crate) flight: BTreeMap<DeliveryId, (Place, Waiting)>,
    last_delivery: u64,
    last_ask: u64,
    pub(crate) scope: Scope,
    pub(crate) twins: Twins,
    /// Cloud-to-device messages of the parent that wait here for their device.
    pub(crate) relayed: BTreeMap<Sequence, (DeviceId, Receipt)>,
    /// Filters of user-defined topics that the parent was asked for.
    pub(crate) filters: Vec<String>,
    /// When to ask again for those that it refused.
    pub(crate) ask_topics: Option<Timestamp>,
}

/// How far the list of those beneath the edge device is.
#[derive(Debug)]
pub(crate) enum Scope {
    /// It is as the parent last said.
    Known,
    /// It is being read.
    Reading {
        ask: AskId,
        seen: BTreeSet<ClientId>,
        /// It changed meanwhile.
        again: bool,
    },
}

/// How far the twins are.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    /// What the parent has as reported.
    pub(crate) known: BTreeMap<ClientId, Packed>,
    /// Something is to be asked or reported.
    pub(crate) due: BTreeSet<ClientId>,
    /// As before, once the parent had time to recover.
    pub(crate) later: BTreeSet<ClientId>,
    /// On its way; one at a time for each.
    pub(crate) asked: BTreeMap<AskId, (ClientId, Asked)>,
    pub(crate) busy: BTreeSet<ClientId>,
}

/// What the parent was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Twin,
    Report {
        /// The reported properties that the patch leads to.
        leads_to: Packed,
        version: u64,
    },
}

impl Up {
    /// A link that has just come up.
    pub(crate) fn new(id: LinkId) -> Self {
        Self {
            id,
            flight: BTreeMap::new(),
            last_delivery: 0,
            last_ask: 0,
            scope: Scope::Known,
            twins: Twins::default(),
            relayed: BTreeMap::new(),
            filters: Vec::new(),
            ask_topics: None,
        }
    }

    /// A number for the next message.
    pub(crate) fn delivery(&mut self) -> DeliveryId {
        self.last_delivery += 1;
        DeliveryId(self.last_delivery)
    }

    /// A number for the next question.
    pub(crate) fn ask(&mut self) -> AskId {
        self.last_ask += 1;
        AskId(self.last_ask)
    }
}

/// What is said on the connection of a child hub for somebody beneath it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, and nearly always telemetry: a box would cost more"
)]
pub enum Act {
    /// A message, routed by the child already.
    Telemetry {
        /// As of any message.
        properties: Properties,
        /// Verbatim.
        body: Bytes,
    },
    /// Its twin is wanted.
    TwinGet {
        /// Echoed byte for byte.
        rid: String,
    },
    /// It reports properties.
    ReportedPatch {
        /// Echoed byte for byte.
        rid: String,
        /// JSON object.
        patch: Bytes,
    },
    /// It answered a direct method.
    MethodResult {
        /// As in the call.
        rid: String,
        /// Any 32-bit number.
        status: i32,
        /// JSON or empty.
        payload: Bytes,
    },
    /// A direct method did not reach it, or was not answered.
    MethodFailed {
        /// As in the call.
        rid: String,
        /// Error code of IoT Hub.
        code: u32,
    },
    /// Which user-defined topics the child hub wants, in place of those before.
    TopicsWanted {
        /// Filters.
        filters: Vec<String>,
    },
    /// Who is beneath the edge device?
    ScopeGet {
        /// Echoed byte for byte.
        rid: String,
        /// Only what comes after this id.
        after: Option<ClientId>,
    },
}
