//! Bridges to the parent at work (reference edge-runtime §6.5): messages on user-defined topics go up and come down.
//!
//! Outwards they wait in one more subscriber's queue, that of this hub's own `$edgeHub`, on disk from the acknowledgement of
//! the publisher to that of the parent. Inwards the parent keeps them in the session of `$edgeHub` until they are on this
//! side's disk. What came down never goes up, and the parent gives nothing back to the hub that brought it: so nothing goes
//! round. Not here: which topics cross (`bridge.rs`).

use std::sync::Arc;

use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::topic::user_filter;
use jiff::Timestamp;

use super::{Core, connections::store_grants, nested::to_child, topics::Said};
use crate::{
    bridge::{Bridges, Origin},
    clock::later,
    effect::{CloseReason, Effect, Nested},
    event::{DeliveryId, Grant, Qos},
    message::Sequence,
    queue::History,
    session::{Grants, Keep, Session},
    topics::{self, Entry, QueueBounds, TopicMessage, TopicReceiver},
    upstream::{Dialect, Link, Receipt, ToParent},
    write::Write,
};

/// Seconds after which filters that the parent refused are asked for again: its policy may have changed.
const ASK_AGAIN: i64 = 10;

impl Core {
    /// The identity that this hub has at a parent that speaks for everybody beneath.
    pub(super) fn own_hub(&self) -> Option<ClientId> {
        let parent = self.config.parent.as_ref().filter(|parent| parent.dialect == Dialect::Nested)?;
        Some(ClientId::module(parent.device.clone(), ModuleId::edge_hub()))
    }

    fn bridges(&self) -> Option<&Bridges> {
        let hub = self.own_hub()?;
        self.routes.get(&hub.device).map(|table| &table.bridges)
    }

    /// What goes up of a message that a client published in this space, with its topic at the parent. An error when it should
    /// and there is no room; one that wants no acknowledgement is dropped then.
    pub(super) fn crossing(&mut self, space: &DeviceId, said: &Said) -> Result<Option<Said>, CloseReason> {
        let Some(hub) = self.own_hub().filter(|hub| hub.device == *space) else {
            return Ok(None);
        };
        let named = self.bridges().and_then(|bridges| bridges.to_parent(&said.topic, Origin::Here));
        let Some(topic) = named else {
            return Ok(None);
        };
        let limits = &self.config.limits;
        let bounds = QueueBounds {
            messages: limits.topic_queue_messages,
            bytes: limits.topic_queue_bytes,
            bytes_total: limits.topic_queue_bytes_total,
        };
        if self.topics.queues.has_room(&hub, topics::charge(&topic, &said.body), bounds) {
            let (body, retain) = (said.body.clone(), said.retain);
            return Ok(Some(Said { topic, body, qos: Qos::AtLeastOnce, retain }));
        }
        match said.qos {
            Qos::AtLeastOnce => {
                self.counters.messages_refused_full += 1;
                Err(CloseReason::QueueFull)
            }
            Qos::AtMostOnce => {
                self.counters.topics_dropped += 1;
                Ok(None)
            }
        }
    }

    /// Keeps it for the parent, and sends it when there is a link.
    pub(super) fn cross(&mut self, crossing: Said, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(hub) = self.own_hub() else {
            return;
        };
        let Said { topic, body, qos, retain } = crossing;
        self.last_sequence += 1;
        let sequence = Sequence(self.last_sequence);
        let message = Arc::new(TopicMessage { sequence, at: now, topic: topic.into(), qos, body });
        let (keep, history) = (Keep::Durable, History::Fresh);
        let entry = Entry { message: Arc::clone(&message), qos, retained: retain, keep, history };
        self.topics.queues.push(&hub, entry);
        let receivers = vec![TopicReceiver { client: hub, retained: retain }];
        out.push(Effect::Persist(Write::PutTopicMessage { message, receivers }));
        self.pump_bridge(out);
    }

    /// Sends what waits for the parent's topics, as far as the window goes.
    pub(super) fn pump_bridge(&mut self, out: &mut Vec<Effect>) {
        let window = self.config.limits.upstream_in_flight;
        let Some(hub) = self.own_hub() else {
            return;
        };
        let Link::Up(up) = &mut self.link else {
            return;
        };
        while let Some(entry) = self.topics.queues.next(&hub, window) {
            let (delivery, message, retain) = (up.delivery(), Arc::clone(&entry.message), entry.retained);
            self.topics.queues.fly(&hub, delivery, entry);
            let what = ToParent::Publish { delivery, message, retain };
            out.push(Effect::Upstream { link: up.id, what });
        }
    }

    /// The parent has it.
    pub(super) fn crossed(&mut self, delivery: DeliveryId, out: &mut Vec<Effect>) {
        let Some(client) = self.own_hub() else {
            return;
        };
        let Some(entry) = self.topics.queues.land(&client, delivery) else {
            return;
        };
        self.counters.bridged_up += 1;
        let sequence = entry.message.sequence;
        out.push(Effect::Persist(Write::RemoveTopicMessage { client, sequence }));
        self.pump_bridge(out);
    }

    /// A message came down: it is published here, if a bridge wants it still, and acknowledged when it is on disk.
    pub(super) fn arrived_over_bridge(
        &mut self,
        said: Said,
        receipt: Option<Receipt>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let named = self.bridges().and_then(|bridges| bridges.from_parent(&said.topic));
        if let (Some(topic), Some(hub)) = (named, self.own_hub()) {
            let said = Said { topic, ..said };
            let fits = self.check_size(&said);
            // One that is too large here, or cannot be retained, never will: it is counted, and holds up nobody.
            if fits.and_then(|()| self.publish_in(&hub.device, said, None, now, out)).is_ok() {
                self.counters.bridged_down += 1;
            }
        }
        if let (Some(receipt), Some(up)) = (receipt, self.linked()) {
            out.push(Effect::Upstream { link: up.id, what: ToParent::Acknowledge(receipt) });
        }
    }

    /// Tells the parent which of its topics the bridges want, in place of those before.
    pub(super) fn ask_topics(&mut self, out: &mut Vec<Effect>) {
        let filters = self.filters_wanted();
        let Some(up) = self.linked() else {
            return;
        };
        up.filters.clone_from(&filters);
        up.ask_topics = None;
        out.push(Effect::Upstream { link: up.id, what: ToParent::Topics { filters } });
    }

    fn filters_wanted(&self) -> Vec<String> {
        let filters = self.bridges().map(Bridges::filters_at_parent).unwrap_or_default();
        filters.iter().map(ToString::to_string).collect()
    }

    /// The properties of an edge device were read anew.
    pub(super) fn bridges_changed(&mut self, device: &DeviceId, out: &mut Vec<Effect>) {
        if self.own_hub().is_none_or(|hub| hub.device != *device) {
            return;
        }
        let filters = self.filters_wanted();
        if self.linked().is_some_and(|up| up.filters != filters) {
            self.ask_topics(out);
        }
    }

    /// The parent does not give some of them.
    pub(super) fn topics_refused(&mut self, filters: &[String], now: Timestamp) {
        if let (Some(up), false) = (self.linked(), filters.is_empty()) {
            up.ask_topics = Some(later(now, ASK_AGAIN));
        }
    }

    pub(super) fn tick_bridges(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.linked().is_some_and(|up| up.ask_topics.is_some_and(|at| at <= now)) {
            self.ask_topics(out);
        }
    }

    /// The hub of an edge device beneath says which topics it wants here, in place of those before.
    pub(super) fn topics_wanted(&mut self, hub: &ClientId, filters: Vec<String>, out: &mut Vec<Effect>) {
        let limit = self.config.limits.grants;
        let Some(before) = self.sessions.get(hub).and_then(Session::grants).cloned() else {
            return;
        };
        let mut grants = Grants::default();
        grants.add(before.iter().filter(|grant| user_filter(&grant.filter).is_none()).cloned().collect());
        let (mut refused, mut fresh) = (Vec::new(), Vec::new());
        for filter in filters {
            // Only the topics of users: whatever else the filter would cover is asked for otherwise.
            let grant = Grant { filter, qos: Qos::AtLeastOnce, features: Vec::new() };
            let is_plain = user_filter(&grant.filter).is_some_and(|user| user.group.is_none());
            if !is_plain || grants.len() >= limit || self.granted(hub, &grant).is_none() {
                refused.push(grant.filter);
                continue;
            }
            if !before.iter().any(|known| known.filter == grant.filter) {
                fresh.push(grant.clone());
            }
            grants.add(vec![grant]);
        }
        let Some(connected) = self.sessions.get_mut(hub).and_then(Session::connected_mut) else {
            return;
        };
        let connection = connected.connection;
        store_grants(hub, connected, grants, out);
        self.enter_topics(hub);
        let edge = ClientId::device(hub.device.clone());
        out.push(to_child(connection, edge, Nested::TopicsRefused { filters: refused }));
        self.send_retained(hub, &fresh, out);
    }
}
