//! What waits for the subscribers of user-defined topics: one queue per client, in the order of publication.
//!
//! A full queue drops what is new, for this subscriber alone, as IoT Edge does: one that never comes back must not stop
//! those who publish. Not here: what is on disk (`core/topics.rs` says so).

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::id::ClientId;

use super::TopicMessage;
use crate::{
    event::{DeliveryId, Qos},
    message::Sequence,
    queue::History,
    session::Keep,
};

/// One message for one client.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) message: Arc<TopicMessage>,
    pub(crate) qos: Qos,
    /// It was there before the subscription.
    pub(crate) retained: bool,
    /// On disk, so that it outlives the connection; or not.
    pub(crate) keep: Keep,
    pub(crate) history: History,
}

/// All queues. Totals include what is on its way.
#[derive(Debug, Default)]
pub(crate) struct TopicQueues {
    by_client: BTreeMap<ClientId, Queue>,
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<Sequence, Entry>,
    flight: BTreeMap<DeliveryId, Entry>,
    bytes: usize,
}

/// Bounds of one queue and of all together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueBounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_total: usize,
}

impl TopicQueues {
    /// Is there room for one more message?
    pub(crate) fn has_room(&self, client: &ClientId, charge: usize, bounds: QueueBounds) -> bool {
        let (messages, bytes) = self.by_client.get(client).map_or((0, 0), |queue| (queue.len(), queue.bytes));
        messages < bounds.messages
            && bytes + charge <= bounds.bytes
            && self.bytes + charge <= bounds.bytes_total
    }

    /// Is this message there already, waiting or on its way?
    pub(crate) fn holds(&self, client: &ClientId, sequence: Sequence) -> bool {
        self.by_client.get(client).is_some_and(|queue| {
            queue.waiting.contains_key(&sequence)
                || queue.flight.values().any(|entry| entry.message.sequence == sequence)
        })
    }

    /// Does nothing wait to be sent?
    pub(crate) fn is_idle(&self, client: &ClientId) -> bool {
        self.by_client.get(client).is_none_or(|queue| queue.waiting.is_empty())
    }

    /// Is there anything, waiting or on its way?
    pub(crate) fn is_empty(&self, client: &ClientId) -> bool {
        !self.by_client.contains_key(client)
    }

    /// Adds a message, in the order of sequences.
    pub(crate) fn push(&mut self, client: &ClientId, entry: Entry) {
        let charge = entry.message.charge();
        let queue = self.by_client.entry(client.clone()).or_default();
        if queue.waiting.insert(entry.message.sequence, entry).is_none() {
            queue.bytes += charge;
            self.bytes += charge;
            self.messages += 1;
        }
    }

    /// Takes the next message out to be sent: one that is not acknowledged is done with, another is to be handed to `fly`.
    /// `None` when nothing waits, or when as many as `window` are on their way.
    pub(crate) fn next(&mut self, client: &ClientId, window: usize) -> Option<Entry> {
        let queue = self.by_client.get_mut(client)?;
        let entry = queue.waiting.first_entry()?;
        match entry.get().qos {
            Qos::AtLeastOnce if queue.flight.len() >= window => None,
            Qos::AtLeastOnce => Some(entry.remove()),
            Qos::AtMostOnce => {
                let entry = entry.remove();
                self.done(client, &entry);
                Some(entry)
            }
        }
    }

    /// A message is on its way until `land` or `ground`.
    pub(crate) fn fly(&mut self, client: &ClientId, delivery: DeliveryId, entry: Entry) {
        if let Some(queue) = self.by_client.get_mut(client) {
            queue.flight.insert(delivery, entry);
        }
    }

    /// The client has it.
    pub(crate) fn land(&mut self, client: &ClientId, delivery: DeliveryId) -> Option<Entry> {
        let entry = self.by_client.get_mut(client)?.flight.remove(&delivery)?;
        self.done(client, &entry);
        Some(entry)
    }

    /// The connection is gone: what is kept waits again, the rest is dropped.
    pub(crate) fn ground(&mut self, client: &ClientId) {
        let Some(queue) = self.by_client.get_mut(client) else { return };
        let before = queue.len();
        let flight = std::mem::take(&mut queue.flight);
        for (_, mut entry) in flight {
            entry.history = History::SentBefore;
            queue.waiting.insert(entry.message.sequence, entry);
        }
        let kept = |entry: &Entry| match entry.keep {
            Keep::Durable => true,
            Keep::WhileConnected => false,
        };
        queue.waiting.retain(|_, entry| kept(entry));
        let bytes = queue.waiting.values().map(|entry| entry.message.charge()).sum();
        self.bytes = self.bytes.saturating_sub(queue.bytes) + bytes;
        queue.bytes = bytes;
        self.messages = self.messages.saturating_sub(before) + queue.waiting.len();
        if queue.waiting.is_empty() {
            self.by_client.remove(client);
        }
    }

    /// The session is gone, or the identity.
    pub(crate) fn forget(&mut self, client: &ClientId) {
        if let Some(queue) = self.by_client.remove(client) {
            self.bytes = self.bytes.saturating_sub(queue.bytes);
            self.messages = self.messages.saturating_sub(queue.len());
        }
    }

    /// What waits for a client that is not there, oldest first.
    pub(crate) fn sequences(&self, client: &ClientId) -> Vec<Sequence> {
        self.by_client.get(client).map(|queue| queue.waiting.keys().copied().collect()).unwrap_or_default()
    }

    /// Clients for whom something waits.
    pub(crate) fn clients(&self) -> Vec<ClientId> {
        self.by_client.keys().cloned().collect()
    }

    /// Messages in all queues.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    fn done(&mut self, client: &ClientId, entry: &Entry) {
        let charge = entry.message.charge();
        self.bytes = self.bytes.saturating_sub(charge);
        self.messages = self.messages.saturating_sub(1);
        let Some(queue) = self.by_client.get_mut(client) else { return };
        queue.bytes = queue.bytes.saturating_sub(charge);
        if queue.len() == 0 {
            self.by_client.remove(client);
        }
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.waiting.len() + self.flight.len()
    }
}
