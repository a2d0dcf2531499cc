//! The last message of each topic that asked to be kept, for those who subscribe later.

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::topic_filter::TopicFilter;
use jiff::Timestamp;

use super::TopicMessage;

/// Retained messages of one edge device.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    by_topic: BTreeMap<Arc<str>, Arc<TopicMessage>>,
}

/// How much may be retained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetainedBounds {
    /// Messages of one edge device.
    pub(crate) messages: usize,
    /// Bytes of all edge devices together.
    pub(crate) bytes_total: usize,
}

impl Retained {
    /// The message of a topic.
    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<TopicMessage>> {
        self.by_topic.get(topic)
    }

    /// Keeps a message in the place of the one before, which is returned.
    pub(crate) fn put(&mut self, message: Arc<TopicMessage>) -> Option<Arc<TopicMessage>> {
        self.by_topic.insert(Arc::clone(&message.topic), message)
    }

    /// Takes the message of a topic out.
    pub(crate) fn remove(&mut self, topic: &str) -> Option<Arc<TopicMessage>> {
        self.by_topic.remove(topic)
    }

    /// Messages under a filter. All are looked at: there are a thousand at most, and subscriptions are rare.
    pub(crate) fn matching(&self, filter: &TopicFilter) -> Vec<Arc<TopicMessage>> {
        self.by_topic.values().filter(|message| filter.matches(&message.topic)).cloned().collect()
    }

    /// Topics of messages that were published before this moment.
    pub(crate) fn before(&self, moment: Timestamp) -> Vec<Arc<str>> {
        let old = self.by_topic.values().filter(|message| message.at < moment);
        old.map(|message| Arc::clone(&message.topic)).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.by_topic.values().map(|message| message.charge()).sum()
    }
}
