//! What must be on disk, as values. The store applies them in order, all of one batch in one transaction.

use std::sync::Arc;

use hemline_model::{
    Packed,
    id::{ClientId, DeviceId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    cloud_to_device::{CloudToDevice, FeedbackRecord},
    event::Grant,
    file_notices::FileNotice,
    message::{Endpoint, Message, QueueEntry, Sequence},
    service::Authentication,
    topics::{TopicMessage, TopicReceiver},
};

/// One durable change.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Insert or replace an identity.
    PutIdentity(Identity),
    /// Remove an identity with its twin, session and queues; a device takes its modules and retained messages along.
    DeleteIdentity(ClientId),
    /// Insert or replace a twin.
    PutTwin(Arc<TwinRecord>),
    /// Insert or replace a session.
    PutSession(SessionRecord),
    /// Forget a session, and what waits in it on user-defined topics.
    DeleteSession(ClientId),
    /// Keep a message body and properties, and put it into these queues.
    Append {
        /// The message.
        message: Arc<Message>,
        /// At least one place.
        entries: Vec<QueueEntry>,
    },
    /// Take a message out of one queue; the body goes with its last place.
    Remove {
        /// Which queue.
        endpoint: Endpoint,
        /// Which message.
        sequence: Sequence,
        /// Which input: one message may wait for several inputs of one module, each place on its own.
        input: Option<String>,
    },
    /// Retention: drop everything below this place from the event log.
    TrimEvents {
        /// First place that stays.
        keep_from: Sequence,
    },
    /// Insert or replace a cloud-to-device message.
    PutCloudToDevice {
        /// The message.
        message: Arc<CloudToDevice>,
        /// How often it was given back.
        deliveries: u32,
    },
    /// Remove a cloud-to-device message, if it is there.
    RemoveCloudToDevice(Sequence),
    /// Keep what became of a cloud-to-device message until the service side has taken it.
    PutFeedback(FeedbackRecord),
    /// Remove such a record, if it is there.
    RemoveFeedback(Sequence),
    /// Keep a notice of an uploaded file until the service side has taken it.
    PutFileNotice(Box<FileNotice>),
    /// Remove such a notice, if it is there.
    RemoveFileNotice(Sequence),
    /// Keep the last message of a topic, in the place of the one before.
    PutRetained {
        /// Edge device that the topic is on.
        device: DeviceId,
        /// The message.
        message: Arc<TopicMessage>,
    },
    /// Keep none for a topic.
    RemoveRetained {
        /// Edge device that the topic is on.
        device: DeviceId,
        /// The topic.
        topic: Arc<str>,
    },
    /// Keep a message on a user-defined topic for these subscribers, beside those who have it already.
    PutTopicMessage {
        /// The message.
        message: Arc<TopicMessage>,
        /// At least one.
        receivers: Vec<TopicReceiver>,
    },
    /// A subscriber has such a message; the body goes with the last.
    RemoveTopicMessage {
        /// Who.
        client: ClientId,
        /// Which message.
        sequence: Sequence,
    },
    /// Insert or replace a policy.
    PutPolicy(Policy),
}

/// A device or module identity as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who.
    pub client: ClientId,
    /// Changes when the identity is made anew.
    pub generation: Arc<str>,
    /// Counter behind the identity etag.
    pub etag: u64,
    /// May it connect?
    pub enabled: bool,
    /// Why not, in the operator's words.
    pub status_reason: Option<String>,
    /// When `enabled` last changed.
    pub status_updated: Option<Timestamp>,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// IoT Edge capability; modules never have it.
    pub edge: bool,
    /// `ms-azure-iot-edge://…` of an edge device itself, or of the parent of a leaf.
    pub device_scope: Option<String>,
    /// The parent of a nested edge device or leaf.
    pub parent: Option<DeviceId>,
    /// Who manages a module identity (`iotEdge`, `hemline`), as sent by the creator.
    pub managed_by: Option<String>,
    /// The parent of this hub told of it, and takes it away.
    #[serde(default, skip_serializing_if = "is_not_so")]
    pub from_parent: bool,
}

fn is_not_so(value: &bool) -> bool {
    !*value
}

/// A twin as kept: in a hub of many devices most twins are not looked at for a long time. Metadata trees mirror the properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwinRecord {
    /// Whose.
    pub client: ClientId,
    /// Of tags, desired and reported together.
    pub version: u64,
    /// Counter behind the twin etag: tags and desired.
    pub etag: u64,
    /// Service side only.
    pub tags: Packed,
    /// Written by the service.
    pub desired: Collection,
    /// Written by the client.
    pub reported: Collection,
    /// DTDL model announced at connect.
    pub model_id: String,
    /// The parent of this hub does not have all of the reported properties yet.
    #[serde(default, skip_serializing_if = "is_not_so")]
    pub unsynced: bool,
}

/// One property collection of a twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// The properties without `$version` and `$metadata`.
    pub properties: Packed,
    /// Starts at 1, +1 per accepted patch.
    pub version: u64,
    /// The `$metadata` tree.
    pub metadata: Packed,
}

/// What a client is subscribed to. Survives everything but a clean session and deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose.
    pub client: ClientId,
    /// In the order they were asked for.
    pub grants: Vec<Grant>,
    /// How long nobody came back, when that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
}

/// How long a session with subscriptions to user-defined topics has waited for its client.
///
/// Not the moment when the client left: a clock that jumps, or a hub that was off, would end every session at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// Days that were counted.
    pub days: u32,
    /// From here the next day is counted.
    pub counted: Timestamp,
}

/// A shared access policy (reference service-api §2.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `iothubowner`, `service`, `device`, `registryRead`, `registryReadWrite`, or the user's own.
    pub name: String,
    /// Base64.
    pub primary_key: String,
    /// Base64.
    pub secondary_key: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// What a policy may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// Read identities.
    RegistryRead,
    /// Write identities.
    RegistryWrite,
    /// Twins, queries, methods, messages.
    ServiceConnect,
    /// Act as any device.
    DeviceConnect,
}

/// Everything that a store gives back at start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restored {
    /// All identities, devices before their modules.
    pub identities: Vec<Identity>,
    /// All twins.
    pub twins: Vec<Arc<TwinRecord>>,
    /// All sessions.
    pub sessions: Vec<SessionRecord>,
    /// All policies.
    pub policies: Vec<Policy>,
    /// Messages that wait for a module, each with its places; the event log stays in the store.
    pub waiting: Vec<(Arc<Message>, Vec<QueueEntry>)>,
    /// Cloud-to-device messages, each with how often it was given back.
    pub cloud_to_device: Vec<(Arc<CloudToDevice>, u32)>,
    /// Feedback that the service side has not taken.
    pub feedback: Vec<FeedbackRecord>,
    /// Notices of uploaded files that the service side has not taken.
    pub file_notices: Vec<FileNotice>,
    /// Retained messages, each with the edge device that its topic is on.
    pub retained: Vec<(DeviceId, Arc<TopicMessage>)>,
    /// Messages on user-defined topics that wait for subscribers.
    pub topic_messages: Vec<(Arc<TopicMessage>, Vec<TopicReceiver>)>,
    /// Highest sequence ever given out.
    pub last_sequence: u64,
    /// First sequence still in the event log, and how many are there.
    pub events: Option<(Sequence, u64)>,
}
