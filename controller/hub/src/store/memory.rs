//! A store that forgets at the end of the process: tests, and hubs without a disk. Clones share their content, so a
//! test "restarts" a hub by starting another one on a clone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hemline_hub_core::{
    cloud_to_device::{CloudToDevice, FeedbackRecord},
    file_notices::FileNotice,
    message::{Endpoint, Message, QueueEntry, Sequence},
    topics::{TopicMessage, TopicReceiver},
    write::{Identity, Policy, Restored, SessionRecord, TwinRecord, Write},
};
use hemline_model::id::{ClientId, DeviceId};

use super::{EVENTS_PAGE_BYTES, Store, StoreError};

/// A store in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    identities: BTreeMap<ClientId, Identity>,
    twins: BTreeMap<ClientId, Arc<TwinRecord>>,
    sessions: BTreeMap<ClientId, SessionRecord>,
    policies: BTreeMap<String, Policy>,
    messages: BTreeMap<Sequence, Kept>,
    cloud_to_device: BTreeMap<Sequence, (Arc<CloudToDevice>, u32)>,
    feedback: BTreeMap<Sequence, FeedbackRecord>,
    file_notices: BTreeMap<Sequence, FileNotice>,
    retained: BTreeMap<(DeviceId, Arc<str>), Arc<TopicMessage>>,
    topic_messages: BTreeMap<Sequence, (Arc<TopicMessage>, Vec<TopicReceiver>)>,
    last_sequence: u64,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    entries: Vec<QueueEntry>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Restored, StoreError> {
        let content = self.content();
        let mut waiting = Vec::new();
        let mut logged = 0;
        let mut first = None;
        for (sequence, kept) in &content.messages {
            if kept.entries.iter().any(|entry| entry.endpoint == Endpoint::Events) {
                first.get_or_insert(*sequence);
                logged += 1;
            }
            let entries: Vec<_> =
                kept.entries.iter().filter(|entry| entry.endpoint != Endpoint::Events).cloned().collect();
            if !entries.is_empty() {
                waiting.push((kept.message.clone(), entries));
            }
        }
        Ok(Restored {
            identities: content.identities.values().cloned().collect(),
            twins: content.twins.values().cloned().collect(),
            sessions: content.sessions.values().cloned().collect(),
            policies: content.policies.values().cloned().collect(),
            waiting,
            cloud_to_device: content.cloud_to_device.values().cloned().collect(),
            feedback: content.feedback.values().cloned().collect(),
            file_notices: content.file_notices.values().cloned().collect(),
            retained: content
                .retained
                .iter()
                .map(|((device, _), message)| (device.clone(), message.clone()))
                .collect(),
            topic_messages: content.topic_messages.values().cloned().collect(),
            last_sequence: content.last_sequence,
            events: first.map(|first| (first, logged)),
        })
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let mut content = self.content();
        for write in writes {
            content.apply(write);
        }
        Ok(())
    }

    fn events(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        let mut bytes = 0;
        let content = self.content();
        let logged = content
            .messages
            .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            .filter(|(_, kept)| kept.entries.iter().any(|entry| entry.endpoint == Endpoint::Events))
            .take(limit)
            .take_while(|(_, kept)| {
                let fits = bytes == 0 || bytes + kept.message.body.len() <= EVENTS_PAGE_BYTES;
                bytes += kept.message.body.len().max(1);
                fits
            });
        Ok(logged.map(|(_, kept)| kept.message.clone()).collect())
    }
}

impl Content {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::PutIdentity(identity) => {
                self.identities.insert(identity.client.clone(), identity.clone());
            }
            Write::DeleteIdentity(client) => self.delete(client),
            Write::PutTwin(twin) => {
                self.twins.insert(twin.client.clone(), Arc::clone(twin));
            }
            Write::PutSession(session) => {
                self.sessions.insert(session.client.clone(), session.clone());
            }
            Write::DeleteSession(client) => {
                self.sessions.remove(client);
                self.forget_topics(|_, receiver| receiver.client == *client);
            }
            Write::Append { message, entries } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                let kept = Kept { message: message.clone(), entries: entries.clone() };
                self.messages.insert(message.sequence, kept);
            }
            Write::Remove { endpoint, sequence, input } => {
                self.forget(|at, entry| {
                    at == *sequence && entry.endpoint == *endpoint && entry.input == *input
                });
            }
            Write::TrimEvents { keep_from } => {
                self.forget(|at, entry| at < *keep_from && entry.endpoint == Endpoint::Events);
            }
            Write::PutCloudToDevice { message, deliveries } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                self.cloud_to_device.insert(message.sequence, (message.clone(), *deliveries));
            }
            Write::RemoveCloudToDevice(sequence) => {
                self.cloud_to_device.remove(sequence);
            }
            Write::PutFeedback(record) => {
                self.last_sequence = self.last_sequence.max(record.sequence.0);
                self.feedback.insert(record.sequence, record.clone());
            }
            Write::PutFileNotice(notice) => {
                self.last_sequence = self.last_sequence.max(notice.sequence.0);
                self.file_notices.insert(notice.sequence, (**notice).clone());
            }
            Write::RemoveFileNotice(sequence) => {
                self.file_notices.remove(sequence);
            }
            Write::RemoveFeedback(sequence) => {
                self.feedback.remove(sequence);
            }
            Write::PutRetained { device, message } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                self.retained.insert((device.clone(), message.topic.clone()), message.clone());
            }
            Write::RemoveRetained { device, topic } => {
                self.retained.remove(&(device.clone(), topic.clone()));
            }
            Write::PutTopicMessage { message, receivers } => {
                self.last_sequence = self.last_sequence.max(message.sequence.0);
                let kept = self.topic_messages.entry(message.sequence);
                let (_, known) = kept.or_insert_with(|| (message.clone(), Vec::new()));
                known.retain(|known| receivers.iter().all(|receiver| receiver.client != known.client));
                known.extend(receivers.iter().cloned());
                known.sort_by(|a, b| a.client.cmp(&b.client));
            }
            Write::RemoveTopicMessage { client, sequence } => {
                self.forget_topics(|at, receiver| at == *sequence && receiver.client == *client);
            }
            Write::PutPolicy(policy) => {
                self.policies.insert(policy.name.clone(), policy.clone());
            }
        }
    }

    fn delete(&mut self, client: &ClientId) {
        let goes = |other: &ClientId| match client.module {
            Some(_) => other == client,
            None => other.device == client.device,
        };
        self.identities.retain(|other, _| !goes(other));
        self.twins.retain(|other, _| !goes(other));
        self.sessions.retain(|other, _| !goes(other));
        if client.module.is_none() {
            self.cloud_to_device.retain(|_, (message, _)| message.device != client.device);
            self.retained.retain(|(device, _), _| *device != client.device);
        }
        self.forget_topics(|_, receiver| goes(&receiver.client));
        self.forget(|_, entry| match &entry.endpoint {
            Endpoint::Module(module) => goes(module),
            Endpoint::Events | Endpoint::Upstream => false,
        });
    }

    /// Takes subscribers away; a message goes with its last one.
    fn forget_topics(&mut self, gone: impl Fn(Sequence, &TopicReceiver) -> bool) {
        self.topic_messages.retain(|sequence, (_, receivers)| {
            receivers.retain(|receiver| !gone(*sequence, receiver));
            !receivers.is_empty()
        });
    }

    /// Takes places away; a message goes with its last place.
    fn forget(&mut self, gone: impl Fn(Sequence, &QueueEntry) -> bool) {
        self.messages.retain(|sequence, kept| {
            kept.entries.retain(|entry| !gone(*sequence, entry));
            !kept.entries.is_empty()
        });
    }
}
