//! A store in the simplest words: what `Write` means, for tests that restart the hub.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_hub_core::{
    cloud_to_device::{CloudToDevice, FeedbackRecord},
    file_notices::FileNotice,
    message::{Endpoint, Message, QueueEntry, Sequence},
    topics::{TopicMessage, TopicReceiver},
    write::{Identity, Policy, Restored, SessionRecord, TwinRecord, Write},
};
use hemline_model::id::{ClientId, DeviceId};

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    identities: BTreeMap<ClientId, Identity>,
    pub(crate) twins: BTreeMap<ClientId, Arc<TwinRecord>>,
    pub(crate) sessions: BTreeMap<ClientId, SessionRecord>,
    policies: BTreeMap<String, Policy>,
    waiting: BTreeMap<Sequence, (Arc<Message>, Vec<QueueEntry>)>,
    pub(crate) events: BTreeSet<Sequence>,
    pub(crate) cloud: BTreeMap<Sequence, (Arc<CloudToDevice>, u32)>,
    pub(crate) feedback: BTreeMap<Sequence, FeedbackRecord>,
    pub(crate) file_notices: BTreeMap<Sequence, FileNotice>,
    pub(crate) retained: BTreeMap<(DeviceId, Arc<str>), Arc<TopicMessage>>,
    pub(crate) topic_messages: BTreeMap<Sequence, (Arc<TopicMessage>, Vec<TopicReceiver>)>,
    last_sequence: u64,
}

impl Disk {
    pub(crate) fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::PutIdentity(identity) => drop(self.identities.insert(identity.client.clone(), identity)),
            Write::DeleteIdentity(client) => self.forget(&client),
            Write::PutTwin(twin) => {
                assert!(
                    self.identities.contains_key(&twin.client),
                    "a twin without an identity: {}",
                    twin.client
                );
                self.twins.insert(twin.client.clone(), twin);
            }
            Write::PutSession(session) => drop(self.sessions.insert(session.client.clone(), session)),
            Write::DeleteSession(client) => {
                self.sessions.remove(&client);
                for (_, receivers) in self.topic_messages.values_mut() {
                    receivers.retain(|receiver| receiver.client != client);
                }
            }
            Write::Append { message, entries } => {
                assert!(!entries.is_empty(), "a message without a place");
                assert!(message.sequence.0 > self.last_sequence, "a sequence was used twice");
                self.last_sequence = message.sequence.0;
                let (events, entries): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| entry.endpoint == Endpoint::Events);
                self.events.extend(events.iter().map(|entry| entry.sequence));
                self.waiting.insert(message.sequence, (message, entries));
            }
            Write::Remove { endpoint, sequence, input } => {
                let (_, entries) =
                    self.waiting.get_mut(&sequence).expect("a message that is there is removed");
                let before = entries.len();
                entries.retain(|entry| entry.endpoint != endpoint || entry.input != input);
                assert_eq!(entries.len() + 1, before, "exactly one place is removed");
            }
            Write::TrimEvents { keep_from } => self.events.retain(|sequence| *sequence >= keep_from),
            Write::PutCloudToDevice { message, deliveries } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                self.cloud.insert(message.sequence, (message, deliveries));
            }
            Write::RemoveCloudToDevice(sequence) => drop(self.cloud.remove(&sequence)),
            Write::PutFeedback(record) => {
                assert!(record.sequence.0 > self.last_sequence, "a sequence was used twice");
                self.last_sequence = record.sequence.0;
                self.feedback.insert(record.sequence, record);
            }
            Write::PutFileNotice(notice) => {
                assert!(notice.sequence.0 > self.last_sequence, "a sequence was used twice");
                self.last_sequence = notice.sequence.0;
                self.file_notices.insert(notice.sequence, *notice);
            }
            Write::RemoveFileNotice(sequence) => {
                assert!(self.file_notices.remove(&sequence).is_some(), "a notice that is there is removed");
            }
            Write::RemoveFeedback(sequence) => {
                assert!(self.feedback.remove(&sequence).is_some(), "feedback that is there is removed");
            }
            Write::PutRetained { device, message } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                self.retained.insert((device, message.topic.clone()), message);
            }
            Write::RemoveRetained { device, topic } => {
                assert!(self.retained.remove(&(device, topic)).is_some(), "what is retained is released");
            }
            Write::PutTopicMessage { message, receivers } => {
                assert!(!receivers.is_empty(), "a message for nobody");
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                let kept = self.topic_messages.entry(message.sequence);
                let (_, known) = kept.or_insert_with(|| (message, Vec::new()));
                known.extend(receivers);
            }
            Write::RemoveTopicMessage { client, sequence } => self.topic_message_taken(&client, sequence),
            Write::PutPolicy(policy) => drop(self.policies.insert(policy.name.clone(), policy)),
        }
        self.waiting.retain(|_, (_, entries)| !entries.is_empty());
        self.topic_messages.retain(|_, (_, receivers)| !receivers.is_empty());
    }

    fn forget(&mut self, client: &ClientId) {
        let stays =
            |known: &ClientId| known != client && (client.module.is_some() || known.device != client.device);
        self.identities.retain(|known, _| stays(known));
        self.twins.retain(|known, _| stays(known));
        self.sessions.retain(|known, _| stays(known));
        self.cloud.retain(|_, (kept, _)| stays(&ClientId::device(kept.device.clone())));
        self.retained.retain(|(device, _), _| stays(&ClientId::device(device.clone())));
        for (_, receivers) in self.topic_messages.values_mut() {
            receivers.retain(|receiver| stays(&receiver.client));
        }
        for (_, entries) in self.waiting.values_mut() {
            entries.retain(|entry| match &entry.endpoint {
                Endpoint::Events | Endpoint::Upstream => true,
                Endpoint::Module(module) => stays(module),
            });
        }
    }

    fn topic_message_taken(&mut self, client: &ClientId, sequence: Sequence) {
        let (_, receivers) = self.topic_messages.get_mut(&sequence).expect("a message that is there");
        let before = receivers.len();
        receivers.retain(|receiver| receiver.client != *client);
        assert_eq!(receivers.len() + 1, before, "exactly one receiver is removed");
    }

    pub(crate) fn load(&self) -> Restored {
        let first = self.events.first().copied();
        Restored {
            identities: self.identities.values().cloned().collect(),
            twins: self.twins.values().cloned().collect(),
            sessions: self.sessions.values().cloned().collect(),
            policies: self.policies.values().cloned().collect(),
            waiting: self.waiting.values().cloned().collect(),
            cloud_to_device: self.cloud.values().cloned().collect(),
            feedback: self.feedback.values().cloned().collect(),
            file_notices: self.file_notices.values().cloned().collect(),
            retained: self
                .retained
                .iter()
                .map(|((device, _), kept)| (device.clone(), kept.clone()))
                .collect(),
            topic_messages: self.topic_messages.values().cloned().collect(),
            last_sequence: self.last_sequence,
            events: first.map(|first| (first, self.events.len() as u64)),
        }
    }

    /// Sequences that wait for a module, in order of acceptance.
    pub(crate) fn waiting_for(&self, module: &ClientId) -> Vec<u64> {
        let waits = |entry: &QueueEntry| entry.endpoint == Endpoint::Module(module.clone());
        let messages = self.waiting.iter().filter(|(_, (_, entries))| entries.iter().any(waits));
        messages.map(|(sequence, _)| sequence.0).collect()
    }
}
