//! The hub as one value: what is known, and `handle(event, now) -> effects`.
//!
//! What one event does stands in `core/`, one file per subject; the pieces of state it works on are the private modules
//! beside this file.

mod absent;
mod bridges;
mod cloud_to_device;
mod connections;
mod file_notices;
mod identities;
mod listeners;
mod messages;
mod methods;
mod mirror;
mod nested;
mod relay;
mod requests;
mod scope;
mod tick;
mod topics;
mod twins;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::{ClientId, DeviceId, ModuleId};
use jiff::Timestamp;

use crate::{
    authenticate::Gate,
    call::Calls,
    change_event::{Change, ChangeEvent},
    changes::{Changes, GONE},
    cloud_queue::CloudQueues,
    counters::Counters,
    effect::{Effect, Notice, Refusal},
    event::{ConnectionId, Entropy, Event, Qos},
    event_log::EventLog,
    feedback_queue::FeedbackQueue,
    file_notices::FileNotices,
    limits::Limits,
    queue::{Bounds, Queues},
    registry::{DEFAULT_POLICIES, Registry, keys},
    route::{RouteTable, reported_in_force},
    service::ServiceError,
    session::{Grants, Offline, Presence, Session},
    throttle::Throttle,
    topics::Topics,
    upstream::{Dialect, Link, Parent},
    write::{Policy, Restored, SessionRecord, TwinRecord, Write},
};

/// What the hub is told about itself.
#[derive(Debug, Clone, Default)]
pub struct CoreConfig {
    /// Host names that user names and tokens may carry; compared without case. The first is the advertised one.
    pub names: Vec<String>,
    /// Sizes, counts and times.
    pub limits: Limits,
    /// Tell of changes as routes see them (`Notice::Change`).
    pub change_events: bool,
    /// Direct method calls are numbered from here on. Another number at each start: a client that answers a call of before,
    /// on its new connection, must not answer one of now.
    pub calls_from: u64,
    /// The hub above this one, if there is one.
    pub parent: Option<Parent>,
}

/// The hub without sockets.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    phase: Phase,
    registry: Registry,
    twins: BTreeMap<ClientId, Arc<TwinRecord>>,
    sessions: BTreeMap<ClientId, Session>,
    connections: BTreeMap<ConnectionId, ClientId>,
    /// When each connection's token, grace included, runs out.
    closing: BTreeSet<(Timestamp, ConnectionId)>,
    routes: BTreeMap<DeviceId, RouteTable>,
    queues: Queues,
    cloud: CloudQueues,
    link: Link,
    feedback: FeedbackQueue,
    file_notices: FileNotices,
    topics: Topics,
    calls: Calls,
    events: EventLog,
    changes: Changes,
    last_sequence: u64,
    /// Of the last event about a connection.
    last_connection_event: u128,
    counters: Counters,
    /// How often each identity came in lately.
    arrivals: Throttle<ClientId>,
}

/// Identities whose comings are counted; those that come seldom need no place.
const ARRIVALS: usize = 65_536;

/// Does the hub take work?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopped,
}

impl Core {
    /// Takes up where the store left off.
    #[must_use]
    pub fn restore(config: CoreConfig, restored: Restored) -> Self {
        let Restored {
            identities,
            twins,
            sessions,
            policies,
            waiting,
            cloud_to_device,
            feedback,
            file_notices,
            retained,
            topic_messages,
            last_sequence,
            events,
        } = restored;
        let registry = Registry::restore(identities, policies);
        let arrivals = Throttle::new(config.limits.connects, ARRIVALS);
        let calls = Calls::after(config.calls_from);
        let events = EventLog::new(config.limits.event_messages, config.limits.event_bytes, events);
        let offline = |record: &SessionRecord| {
            let (stored, away) = (Some(Grants::restored(record)), record.away);
            Session::Offline(Offline { stored, away, since: None, active: None })
        };
        let mut core = Self {
            config,
            phase: Phase::Running,
            registry,
            twins: twins.into_iter().map(|twin| (twin.client.clone(), twin)).collect(),
            sessions: sessions.iter().map(|s| (s.client.clone(), offline(s))).collect(),
            connections: BTreeMap::new(),
            closing: BTreeSet::new(),
            routes: BTreeMap::new(),
            queues: Queues::default(),
            cloud: CloudQueues::default(),
            link: Link::Down,
            feedback: FeedbackQueue::default(),
            file_notices: FileNotices::default(),
            topics: Topics::default(),
            calls,
            events,
            changes: Changes::new(GONE),
            last_sequence,
            last_connection_event: 0,
            counters: Counters::default(),
            arrivals,
        };
        core.registry.devices().for_each(|device| core.changes.note(&device.identity.client.device, true));
        for (message, entries) in waiting {
            core.last_sequence = core.last_sequence.max(message.sequence.0);
            for entry in entries {
                core.queues.push(entry, message.clone());
            }
        }
        for (message, deliveries) in cloud_to_device {
            core.last_sequence = core.last_sequence.max(message.sequence.0);
            core.cloud.push(message, deliveries);
        }
        for record in feedback {
            core.last_sequence = core.last_sequence.max(record.sequence.0);
            core.feedback.push(record);
        }
        for notice in file_notices {
            core.last_sequence = core.last_sequence.max(notice.sequence.0);
            core.file_notices.push(notice);
        }
        core.restore_topics(retained, topic_messages);
        core.restore_routes();
        core.refresh_gauges();
        core
    }

    /// Makes the five default policies when there are none.
    pub fn bootstrap(&mut self, entropy: [Entropy; 5]) -> Vec<Effect> {
        if !self.registry.has_no_policies() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for ((name, permissions), entropy) in DEFAULT_POLICIES.into_iter().zip(entropy) {
            let (primary_key, secondary_key) = keys(entropy);
            let policy = Policy {
                name: name.to_owned(),
                primary_key,
                secondary_key,
                permissions: permissions.to_vec(),
            };
            self.registry.put_policy(policy.clone());
            effects.push(Effect::Persist(Write::PutPolicy(policy)));
        }
        effects
    }

    /// One thing happened. Events of connections that are unknown, or were closed already, do nothing.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut out = Vec::new();
        match self.phase {
            Phase::Running => self.dispatch(event, now, &mut out),
            Phase::Stopped => turn_away(event, &mut out),
        }
        self.changes.follow(&out, |device| self.registry.device(device).is_some());
        self.refresh_gauges();
        out
    }

    /// No more work is taken; whoever waits is answered. Connections are left to their heads.
    pub fn stop(&mut self, _now: Timestamp) -> Vec<Effect> {
        self.phase = Phase::Stopped;
        let mut out = Vec::new();
        while let Some(call) = self.calls.pop() {
            out.push(methods::outcome(call.asker, call.client, Err(ServiceError::Unavailable)));
        }
        self.refresh_gauges();
        out
    }

    /// What has been counted since start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn dispatch(&mut self, event: Event, now: Timestamp, out: &mut Vec<Effect>) {
        match event {
            Event::Connect(connect) => self.connect(connect, now, out),
            Event::Subscribe { connection, grants, token } => {
                self.subscribe(connection, grants, token, now, out);
            }
            Event::Unsubscribe { connection, filters, token } => {
                self.unsubscribe(connection, &filters, token, out);
            }
            Event::Telemetry { connection, properties, body, token } => {
                self.telemetry(messages::Incoming { connection, properties, body, token }, now, out);
            }
            Event::Publish { connection, topic, body, retain, token } => {
                let qos = if token.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
                let said = topics::Said { topic, body, qos, retain };
                self.publish(topics::Publication { connection, said, token }, now, out);
            }
            Event::TwinGet { connection, rid, token } => self.twin_get(connection, rid, token, now, out),
            Event::ReportedPatch { connection, rid, if_version, patch, token } => {
                self.reported(twins::Report { connection, rid, if_version, patch, token }, now, out);
            }
            Event::MethodResult { connection, rid, status, payload, token } => {
                self.method_result(methods::Answer { connection, rid, status, payload, token }, now, out);
            }
            Event::Delivered { connection, delivery } => self.delivered(connection, delivery, now, out),
            Event::Disconnected { connection, departure } => {
                self.disconnected(connection, departure, now, out);
            }
            Event::Service { request, caller, operation, entropy } => {
                self.service(requests::Asked { request, caller, operation, entropy }, now, out);
            }
            Event::Nested { connection, client, act, token } => {
                self.nested(nested::Spoken { connection, client, act, token }, now, out);
            }
            Event::Upstream { link, happened } => self.upstream(link, happened, now, out),
            Event::ClockSet { by } => self.clock_set(by),
            Event::Tick => self.tick(now, out),
        }
    }

    /// Says that something happened, if anybody wants to know; what exactly is put together only then.
    fn happened(
        &self,
        client: &ClientId,
        now: Timestamp,
        out: &mut Vec<Effect>,
        change: impl FnOnce() -> Option<Change>,
    ) {
        if self.config.change_events
            && let Some(change) = change()
        {
            let event = ChangeEvent { client: client.clone(), at: now, change };
            out.push(Effect::Notify(Notice::Change(Arc::new(event))));
        }
    }

    /// What tokens are checked against at this moment.
    fn gate(&self, now: Timestamp) -> Gate<'_> {
        Gate {
            registry: &self.registry,
            names: &self.config.names,
            skew_seconds: self.config.limits.clock_skew_seconds,
            // What a parent that knows only `$edgeHub` takes has no scope.
            beneath: self
                .config
                .parent
                .as_ref()
                .filter(|parent| parent.dialect == Dialect::Nested)
                .map(|parent| &parent.device),
            now,
        }
    }

    fn queue_bounds(&self) -> Bounds {
        Bounds {
            messages: self.config.limits.queue_messages,
            bytes: self.config.limits.queue_bytes,
            bytes_total: self.config.limits.queue_bytes_total,
        }
    }

    fn presence(&self, client: &ClientId) -> Presence {
        let presence = self.sessions.get(client).map(Session::presence).unwrap_or_default();
        let cloud_messages = if client.module.is_none() { self.cloud.depth(&client.device) } else { 0 };
        Presence { cloud_messages, ..presence }
    }

    fn restore_routes(&mut self) {
        for device in self.registry.devices().filter(|device| device.identity.edge) {
            let id = &device.identity.client.device;
            let Some(twin) = self.twins.get(&ClientId::module(id.clone(), ModuleId::edge_hub())) else {
                continue;
            };
            let table = RouteTable::compile(id, &twin.desired.properties.open(), twin.desired.version)
                .ok()
                .or_else(|| reported_in_force(id, &twin.reported.properties.open()));
            if let Some(table) = table {
                self.routes.insert(id.clone(), table);
            }
        }
    }

    fn refresh_gauges(&mut self) {
        self.counters.connected = self.connections.len() as u64;
        self.counters.waiting = self.queues.messages() as u64;
        self.counters.upstream_waiting = self.queues.upstream() as u64;
        self.counters.waiting_bytes = self.queues.bytes() as u64;
        self.counters.cloud_waiting = self.cloud.messages() as u64;
        self.counters.feedback_waiting = self.feedback.len() as u64;
        self.counters.topics_waiting = self.topics.queues.messages() as u64;
        self.counters.topics_retained = self.topics.retained_len() as u64;
    }
}

/// The answer to a service request.
fn reply(
    request: crate::event::RequestId,
    reply: Result<crate::service::ServiceReply, ServiceError>,
) -> Effect {
    Effect::Reply { request, reply: Box::new(reply) }
}

/// A stopped hub answers whoever waits for an answer, and nothing else: what is not acknowledged comes again later.
fn turn_away(event: Event, out: &mut Vec<Effect>) {
    match event {
        Event::Connect(connect) => {
            out.push(Effect::Refuse { connection: connect.connection, refusal: Refusal::Unavailable });
        }
        Event::Service { request, .. } => out.push(reply(request, Err(ServiceError::Unavailable))),
        Event::Subscribe { .. }
        | Event::Unsubscribe { .. }
        | Event::Telemetry { .. }
        | Event::Publish { .. }
        | Event::TwinGet { .. }
        | Event::ReportedPatch { .. }
        | Event::MethodResult { .. }
        | Event::Delivered { .. }
        | Event::Disconnected { .. }
        | Event::Nested { .. }
        | Event::Upstream { .. }
        | Event::ClockSet { .. }
        | Event::Tick => {}
    }
}
