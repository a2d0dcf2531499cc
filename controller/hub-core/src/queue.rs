//! What waits for module inputs and for the parent hub: one queue per module and one upstream, best priority first, then in
//! the order of acceptance.
//!
//! Strict priority as in IoT Edge: a busy better priority starves a worse one. Not here: what is on its way to a
//! connected client (`session.rs` holds that), and what the routes say (`route.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::ClientId;
use hemline_protocol::properties::Properties;
use jiff::Timestamp;

use crate::{
    message::{Endpoint, Message, QueueEntry, Sequence},
    write::Write,
};

/// Bytes that a message takes beside its body and properties.
pub(crate) const OVERHEAD: usize = 256;

/// Where in its queue a message stands. The order of places is the order of delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) priority: u32,
    pub(crate) sequence: Sequence,
    pub(crate) input: String,
}

/// One message that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) message: Arc<Message>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) history: History,
}

/// Did an earlier connection get it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    Fresh,
    SentBefore,
}

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// In front of the inputs of a module.
    Module(&'a ClientId),
    /// In front of the parent.
    Upstream,
}

/// All queues. Totals include what is on its way to clients and to the parent.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    by_module: BTreeMap<ClientId, Queue>,
    upstream: Queue,
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<Place, Waiting>,
    expiring: BTreeSet<(Timestamp, Place)>,
    messages: usize,
    bytes: usize,
}

/// Bounds of one queue and of all together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) bytes_total: usize,
}

/// Memory that one place of a message is charged with.
pub(crate) fn charge(message: &Message) -> usize {
    message.body.len() + properties_bytes(&message.properties) + OVERHEAD
}

/// Bytes of names and values.
pub(crate) fn properties_bytes(properties: &Properties) -> usize {
    let system = &properties.system;
    let named = [
        &system.message_id,
        &system.correlation_id,
        &system.user_id,
        &system.to,
        &system.expiry,
        &system.content_type,
        &system.content_encoding,
        &system.output_name,
        &system.creation_time,
        &system.message_schema,
        &system.interface_id,
        &system.component,
        &system.ack,
    ];
    let named: usize = named.into_iter().flatten().map(String::len).sum();
    let other: usize = system.other.iter().map(|(name, value)| name.len() + value.len()).sum();
    let application = properties.application.iter();
    let application: usize =
        application.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
    named + other + application
}

impl Queues {
    fn queue(&self, line: Line<'_>) -> Option<&Queue> {
        match line {
            Line::Module(module) => self.by_module.get(module),
            Line::Upstream => Some(&self.upstream),
        }
    }

    fn queue_mut(&mut self, line: Line<'_>) -> Option<&mut Queue> {
        match line {
            Line::Module(module) => self.by_module.get_mut(module),
            Line::Upstream => Some(&mut self.upstream),
        }
    }

    /// Is there room for `places` more places of a message of this charge in this queue?
    pub(crate) fn has_room(&self, line: Line<'_>, places: usize, charge: usize, bounds: Bounds) -> bool {
        let (messages, bytes) = self.queue(line).map_or((0, 0), |queue| (queue.messages, queue.bytes));
        messages + places <= bounds.messages
            && bytes + places * charge <= bounds.bytes
            && self.bytes + places * charge <= bounds.bytes_total
    }

    /// Adds a message at the place that the entry names. Entries of the event log are none of ours.
    pub(crate) fn push(&mut self, entry: QueueEntry, message: Arc<Message>) {
        let QueueEntry { endpoint, sequence, input, priority, expires } = entry;
        let charge = charge(&message);
        let queue = match endpoint {
            Endpoint::Events => return,
            Endpoint::Module(client) => self.by_module.entry(client).or_default(),
            Endpoint::Upstream => &mut self.upstream,
        };
        queue.messages += 1;
        queue.bytes += charge;
        self.messages += 1;
        self.bytes += charge;
        let place = Place { priority, sequence, input: input.unwrap_or_default() };
        queue.wait(place, Waiting { message, expires, history: History::Fresh });
    }

    /// Takes the next message out, to be on its way until `done` or `take_back`.
    pub(crate) fn next(&mut self, line: Line<'_>) -> Option<(Place, Waiting)> {
        let queue = self.queue_mut(line)?;
        let (place, waiting) = queue.waiting.pop_first()?;
        if let Some(expires) = waiting.expires {
            queue.expiring.remove(&(expires, place.clone()));
        }
        Some((place, waiting))
    }

    /// The connection is gone: what was on its way waits again, where it stood.
    pub(crate) fn take_back(&mut self, line: Line<'_>, flight: impl IntoIterator<Item = (Place, Waiting)>) {
        if let Some(queue) = self.queue_mut(line) {
            for (place, mut waiting) in flight {
                waiting.history = History::SentBefore;
                queue.wait(place, waiting);
            }
        }
    }

    /// A message that `next` gave out is dealt with for good; this write takes it off the disk.
    pub(crate) fn done(&mut self, line: Line<'_>, place: Place, message: &Message) -> Write {
        let charge = charge(message);
        if let Some(queue) = self.queue_mut(line) {
            queue.messages = queue.messages.saturating_sub(1);
            queue.bytes = queue.bytes.saturating_sub(charge);
            let is_empty = queue.messages == 0;
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(charge);
            if let (Line::Module(module), true) = (line, is_empty) {
                self.by_module.remove(module);
            }
        }
        let sequence = place.sequence;
        match line {
            Line::Module(module) => Write::Remove {
                endpoint: Endpoint::Module(module.clone()),
                sequence,
                input: Some(place.input),
            },
            Line::Upstream => Write::Remove { endpoint: Endpoint::Upstream, sequence, input: None },
        }
    }

    /// Takes out one message whose time has run out, if there is one. Messages on their way are left to arrive.
    pub(crate) fn expire(&mut self, line: Line<'_>, now: Timestamp) -> Option<Write> {
        let queue = self.queue_mut(line)?;
        if queue.expiring.first().is_none_or(|(expires, _)| *expires > now) {
            return None;
        }
        let (_, place) = queue.expiring.pop_first()?;
        let waiting = queue.waiting.remove(&place)?;
        Some(self.done(line, place, &waiting.message))
    }

    /// The identity is gone, and what waited for it with it.
    pub(crate) fn forget(&mut self, client: &ClientId) {
        if let Some(queue) = self.by_module.remove(client) {
            self.messages = self.messages.saturating_sub(queue.messages);
            self.bytes = self.bytes.saturating_sub(queue.bytes);
        }
    }

    /// Modules that something waits for.
    pub(crate) fn clients(&self) -> Vec<ClientId> {
        self.by_module.keys().cloned().collect()
    }

    /// Messages that wait for the parent, those on their way included.
    pub(crate) fn upstream(&self) -> usize {
        self.upstream.messages
    }

    /// Messages in all queues.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes in all queues.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Queue {
    fn wait(&mut self, place: Place, waiting: Waiting) {
        if let Some(expires) = waiting.expires {
            self.expiring.insert((expires, place.clone()));
        }
        self.waiting.insert(place, waiting);
    }
}
