//! User-defined topics (reference edge-runtime §6): who listens to what, what is retained, what waits for whom.
//!
//! Each edge device is a space of its own, as if it ran its own broker: its modules and the devices beneath it meet there,
//! under the policy of its `$edgeHub`. The hub's own topics never come here. Not here: who may do what
//! (`authorization.rs`), and the order of promises (`core/topics.rs`).

mod queue;
mod retained;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId};
use hemline_protocol::topic::UserFilter;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{authorization::Permissions, clock::later, event::Qos, message::Sequence};
pub(crate) use queue::{Entry, QueueBounds, TopicQueues};
pub(crate) use retained::{Retained, RetainedBounds};
pub(crate) use tree::{Candidate, Tree};

/// A message on a user-defined topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMessage {
    /// Its place among all messages of the hub.
    pub sequence: Sequence,
    /// When it was published.
    pub at: Timestamp,
    /// Where.
    pub topic: Arc<str>,
    /// How it was published; nobody gets it with a better guarantee.
    pub qos: Qos,
    /// Verbatim. At most 256 KiB together with the topic.
    pub body: Bytes,
}

/// For whom a message is kept, over a restart too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicReceiver {
    /// Whose session it waits in.
    pub client: ClientId,
    /// It was there before the subscription, and is marked so.
    pub retained: bool,
}

/// Bytes that a message takes beside its topic and body.
const OVERHEAD: usize = 128;

/// Memory that a message is charged with.
pub(crate) fn charge(topic: &str, body: &Bytes) -> usize {
    topic.len() + body.len() + OVERHEAD
}

impl TopicMessage {
    /// Memory that it is charged with.
    pub(crate) fn charge(&self) -> usize {
        charge(&self.topic, &self.body)
    }
}

/// Everything about user-defined topics but the policies.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    spaces: BTreeMap<DeviceId, Space>,
    places: BTreeMap<ClientId, Place>,
    permissions: BTreeMap<ClientId, Arc<Permissions>>,
    /// What waits for clients.
    pub(crate) queues: TopicQueues,
    /// All retained messages, and their bytes.
    retained_messages: usize,
    retained_bytes: usize,
    /// When old retained messages were last looked for.
    swept: Option<Timestamp>,
}

/// What happens on one edge device.
#[derive(Debug, Default)]
struct Space {
    tree: Tree,
    retained: Retained,
}

/// Where the subscriptions of a client are entered.
#[derive(Debug)]
struct Place {
    space: DeviceId,
    filters: Vec<(UserFilter, Qos)>,
}

impl Topics {
    /// Enters what a client listens to, in place of what was entered before.
    pub(crate) fn place(
        &mut self,
        client: &ClientId,
        space: Option<&DeviceId>,
        filters: Vec<(UserFilter, Qos)>,
    ) {
        if let Some(Place { space, filters }) = self.places.remove(client)
            && let Some(entered) = self.spaces.get_mut(&space)
        {
            for (filter, _) in &filters {
                entered.tree.remove(client, filter);
            }
            self.prune(&space);
        }
        let Some(space) = space.filter(|_| !filters.is_empty()) else { return };
        let entered = self.spaces.entry(space.clone()).or_default();
        for (filter, qos) in &filters {
            entered.tree.insert(client.clone(), filter, *qos);
        }
        self.places.insert(client.clone(), Place { space: space.clone(), filters });
    }

    /// What a client listens to, where it is.
    pub(crate) fn filters_of(&self, client: &ClientId) -> &[(UserFilter, Qos)] {
        self.places.get(client).map_or(&[], |place| &place.filters)
    }

    /// Clients that listen to something on this edge device.
    pub(crate) fn listeners(&self, space: &DeviceId) -> Vec<ClientId> {
        let there = self.places.iter().filter(|(_, place)| place.space == *space);
        there.map(|(client, _)| client.clone()).collect()
    }

    /// Clients that listen to something anywhere.
    pub(crate) fn all_listeners(&self) -> impl Iterator<Item = &ClientId> {
        self.places.keys()
    }

    /// Who may be meant by a message, before the policy is asked.
    pub(crate) fn candidates(&self, space: &DeviceId, topic: &str) -> Vec<Candidate> {
        self.spaces.get(space).map(|space| space.tree.matching(topic)).unwrap_or_default()
    }

    /// This member of a group got a message, so it is the last to get the next one.
    pub(crate) fn take_turn(&mut self, space: &DeviceId, group: &UserFilter, member: &ClientId) {
        if let Some(space) = self.spaces.get_mut(space) {
            space.tree.take_turn(group, member);
        }
    }

    /// What a client may do, if that was worked out already.
    pub(crate) fn known_permissions(&self, client: &ClientId) -> Option<Arc<Permissions>> {
        self.permissions.get(client).cloned()
    }

    /// Remembers what a client may do.
    pub(crate) fn learn_permissions(
        &mut self,
        client: &ClientId,
        permissions: Permissions,
    ) -> Arc<Permissions> {
        let permissions = Arc::new(permissions);
        self.permissions.insert(client.clone(), Arc::clone(&permissions));
        permissions
    }

    /// A policy, an identity or a place changed: what was worked out from it is worked out again.
    pub(crate) fn forget_permissions(&mut self) {
        self.permissions.clear();
    }

    /// Is there room for this retained message?
    pub(crate) fn may_retain(
        &self,
        space: &DeviceId,
        message: &TopicMessage,
        bounds: RetainedBounds,
    ) -> bool {
        let retained = self.spaces.get(space).map(|space| &space.retained);
        let replaced = retained.and_then(|retained| retained.get(&message.topic));
        let count = retained.map_or(0, Retained::len) + usize::from(replaced.is_none());
        let bytes = self.retained_bytes + message.charge() - replaced.map_or(0, |replaced| replaced.charge());
        count <= bounds.messages && bytes <= bounds.bytes_total
    }

    /// Keeps a message for those who subscribe later.
    pub(crate) fn retain(&mut self, space: &DeviceId, message: Arc<TopicMessage>) {
        self.retained_messages += 1;
        self.retained_bytes += message.charge();
        let replaced = self.spaces.entry(space.clone()).or_default().retained.put(message);
        self.no_longer_retained(replaced.as_deref());
    }

    /// Keeps nothing for this topic any more. `false`: nothing was kept.
    pub(crate) fn release(&mut self, space: &DeviceId, topic: &str) -> bool {
        let released = self.spaces.get_mut(space).and_then(|space| space.retained.remove(topic));
        self.no_longer_retained(released.as_deref());
        self.prune(space);
        released.is_some()
    }

    fn no_longer_retained(&mut self, message: Option<&TopicMessage>) {
        if let Some(message) = message {
            self.retained_messages = self.retained_messages.saturating_sub(1);
            self.retained_bytes = self.retained_bytes.saturating_sub(message.charge());
        }
    }

    /// What is retained under a filter, by topic.
    pub(crate) fn retained(&self, space: &DeviceId, filter: &UserFilter) -> Vec<Arc<TopicMessage>> {
        self.spaces.get(space).map(|space| space.retained.matching(&filter.filter)).unwrap_or_default()
    }

    /// Retained messages that were published before this moment.
    pub(crate) fn retained_before(&self, moment: Timestamp) -> Vec<(DeviceId, Arc<str>)> {
        let spaces = self.spaces.iter();
        spaces
            .flat_map(|(device, space)| {
                space.retained.before(moment).into_iter().map(|topic| (device.clone(), topic))
            })
            .collect()
    }

    /// Is it time to look for old ones again? Once in so many seconds.
    pub(crate) fn sweep_is_due(&mut self, now: Timestamp, seconds: i64) -> bool {
        let due = self.swept.is_none_or(|last| later(last, seconds) <= now || now < last);
        if due {
            self.swept = Some(now);
        }
        due
    }

    /// How many messages are retained everywhere.
    pub(crate) fn retained_len(&self) -> usize {
        self.retained_messages
    }

    /// The edge device is gone, and what it retained with it.
    pub(crate) fn forget_space(&mut self, space: &DeviceId) {
        if let Some(gone) = self.spaces.remove(space) {
            self.retained_messages = self.retained_messages.saturating_sub(gone.retained.len());
            self.retained_bytes = self.retained_bytes.saturating_sub(gone.retained.bytes());
        }
        let left: BTreeSet<ClientId> = self.listeners(space).into_iter().collect();
        self.places.retain(|client, _| !left.contains(client));
    }

    fn prune(&mut self, space: &DeviceId) {
        if self.spaces.get(space).is_some_and(|space| space.tree.is_empty() && space.retained.len() == 0) {
            self.spaces.remove(space);
        }
    }
}
