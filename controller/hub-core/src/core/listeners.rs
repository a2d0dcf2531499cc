//! Who listens to user-defined topics and may: subscriptions judged and entered, policies that come and go, what is retained
//! given to whoever subscribes.

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::topic::{UserFilter, user_filter};
use jiff::Timestamp;

use super::{Core, connections::End, topics::Waits};
use crate::{
    authorization::{AuthorizationPolicy, Decision, Operation, Permissions, Subject},
    clock::later,
    effect::{CloseReason, Effect},
    event::{Grant, Qos},
    queue::History,
    session::{Keep, Session},
    topics::{Entry, TopicMessage, TopicReceiver},
    write::Write,
};

/// How often old retained messages are looked for, in seconds.
const SWEEP: i64 = 3_600;

/// A policy with the edge device that it belongs to.
type Policy<'a> = (&'a DeviceId, &'a AuthorizationPolicy);

impl Core {
    /// Takes up where the store left off; sessions are known already.
    pub(super) fn restore_topics(
        &mut self,
        retained: Vec<(DeviceId, Arc<TopicMessage>)>,
        waiting: Vec<(Arc<TopicMessage>, Vec<TopicReceiver>)>,
    ) {
        for (device, message) in retained {
            self.last_sequence = self.last_sequence.max(message.sequence.0);
            self.topics.retain(&device, message);
        }
        for (message, receivers) in waiting {
            self.last_sequence = self.last_sequence.max(message.sequence.0);
            for TopicReceiver { client, retained } in receivers {
                let (qos, keep, history) = (Qos::AtLeastOnce, Keep::Durable, History::Fresh);
                let entry = Entry { message: Arc::clone(&message), qos, retained, keep, history };
                self.topics.queues.push(&client, entry);
            }
        }
        let clients: Vec<ClientId> = self.sessions.keys().cloned().collect();
        clients.iter().for_each(|client| self.enter_topics(client));
    }

    /// The policy that guards the topics of a client: that of the edge device whose routes decide over its messages.
    fn policy_of(&self, client: &ClientId) -> Option<Policy<'_>> {
        let space = self.registry.meets_at(client)?;
        Some((space, self.routes.get(space)?.policy.as_ref()?))
    }

    fn permissions_under(&self, (this_device, policy): Policy<'_>, client: &ClientId) -> Permissions {
        policy.permissions(&Subject { names: &self.config.names, client, this_device })
    }

    /// May a client do this? Without a policy nobody may do anything; who may not connect may do nothing either.
    pub(super) fn may(&mut self, client: &ClientId, operation: Operation<'_>) -> Decision {
        let permissions = match self.topics.known_permissions(client) {
            Some(known) => known,
            None => {
                let Some(policy) = self.policy_of(client) else { return Decision::Denied { by: None } };
                let made = self.permissions_under(policy, client);
                self.topics.learn_permissions(client, made)
            }
        };
        match permissions.decide(Operation::Connect) {
            Decision::Allowed { .. } => permissions.decide(operation),
            denied @ Decision::Denied { .. } => denied,
        }
    }

    /// Does a rule keep this client out altogether? The runtime's own modules are never asked: a slip in a policy must not
    /// cut off the agent that would bring the mended one.
    pub(super) fn kept_out(&mut self, client: &ClientId) -> bool {
        let is_system = client.module.as_ref().is_some_and(ModuleId::is_system);
        !is_system && matches!(self.may(client, Operation::Connect), Decision::Denied { by: Some(_) })
    }

    /// The guarantee that a subscription gets; `None` when it is refused. What is none of the users' topics is granted
    /// unseen, and so is everything where there is no policy: nothing comes of it.
    pub(super) fn granted(&mut self, client: &ClientId, grant: &Grant) -> Option<Qos> {
        let Some(user) = user_filter(&grant.filter) else { return Some(grant.qos) };
        if self.policy_of(client).is_none() {
            return Some(grant.qos);
        }
        let fits = user.filter.levels().len() <= self.config.limits.topic_levels;
        if fits && self.may(client, Operation::Subscribe(&user.filter)).is_allowed() {
            return Some(grant.qos);
        }
        self.counters.topics_denied += 1;
        // `#` also covers topics of the hub itself, which no policy is asked about.
        (!grant.features.is_empty()).then_some(grant.qos)
    }

    /// Enters the subscriptions of a client where it belongs, after either may have changed.
    pub(super) fn enter_topics(&mut self, client: &ClientId) {
        let deepest = self.config.limits.topic_levels;
        let grants = self.sessions.get(client).and_then(Session::grants);
        let filters: Vec<(UserFilter, Qos)> = grants
            .into_iter()
            .flat_map(|grants| grants.iter())
            .filter_map(|grant| Some((user_filter(&grant.filter)?, grant.qos)))
            .filter(|(user, _)| user.filter.levels().len() <= deepest)
            .collect();
        if filters.is_empty() && self.topics.filters_of(client).is_empty() {
            return;
        }
        let space = self.registry.meets_at(client);
        self.topics.place(client, space, filters);
    }

    /// The same for a device and its modules, whose edge device may be another one now.
    pub(super) fn enter_topics_of(&mut self, device: &DeviceId) {
        self.topics.forget_permissions();
        for client in self.clients_of(device) {
            self.enter_topics(&client);
        }
    }

    /// Gives a client what is retained under its new subscriptions (MQTT 3.1.1, §3.8.4); not under shared ones.
    pub(super) fn send_retained(&mut self, client: &ClientId, grants: &[Grant], out: &mut Vec<Effect>) {
        let Some(space) = self.registry.meets_at(client).cloned() else { return };
        let Some(Session::Connected(connected)) = self.sessions.get(client) else { return };
        let keep = connected.keep;
        let mut wanted: BTreeMap<Arc<str>, (Arc<TopicMessage>, Qos)> = BTreeMap::new();
        for grant in grants {
            let Some(user) = user_filter(&grant.filter).filter(|user| user.group.is_none()) else { continue };
            for message in self.topics.retained(&space, &user) {
                let qos = grant.qos.min(message.qos);
                let known = wanted.entry(Arc::clone(&message.topic)).or_insert((message, qos));
                known.1 = known.1.max(qos);
            }
        }
        for (message, qos) in wanted.into_values() {
            if self.may(client, Operation::Receive(&message.topic)).is_allowed() {
                let kept = self.enqueue(client, &message, Waits { qos, keep, retained: true });
                if let Some(receiver) = kept {
                    let receivers = vec![receiver];
                    out.push(Effect::Persist(Write::PutTopicMessage { message, receivers }));
                }
            }
        }
        self.pump_topics(client, out);
    }

    /// What is left of a clean session: nothing. `true` when something was on disk.
    pub(super) fn forget_waiting(&mut self, client: &ClientId) -> bool {
        let there = !self.topics.queues.is_empty(client);
        self.topics.queues.forget(client);
        there
    }

    /// An identity is gone.
    pub(super) fn forget_topics(&mut self, client: &ClientId) {
        self.topics.place(client, None, Vec::new());
        self.topics.queues.forget(client);
        if client.module.is_none() {
            self.topics.forget_space(&client.device);
        }
        self.topics.forget_permissions();
    }

    /// The policy of an edge device, to be compared with the one after.
    pub(super) fn policy_in_force(&self, device: &DeviceId) -> Option<AuthorizationPolicy> {
        self.routes.get(device).and_then(|table| table.policy.clone())
    }

    /// Another policy is in force: whoever loses what it had is closed, as by IoT Edge. Subscriptions stay in the session and
    /// wake up when they are allowed again; until then nothing comes of them.
    pub(super) fn policy_changed(
        &mut self,
        device: &DeviceId,
        before: Option<&AuthorizationPolicy>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        if before == self.routes.get(device).and_then(|table| table.policy.as_ref()) {
            return;
        }
        self.topics.forget_permissions();
        let ours = |client: &&ClientId| self.registry.meets_at(client) == Some(device);
        let there: Vec<ClientId> = self.connections.values().filter(ours).cloned().collect();
        for client in there {
            let had =
                before.map(|policy| self.permissions_under((device, policy), &client)).unwrap_or_default();
            let lost = self.topics.filters_of(&client).to_vec().into_iter().any(|(user, _)| {
                let subscribe = Operation::Subscribe(&user.filter);
                let could = had.decide(Operation::Connect).is_allowed() && had.decide(subscribe).is_allowed();
                could && !self.may(&client, subscribe).is_allowed()
            });
            if lost || self.kept_out(&client) {
                self.end(&client, End::Closed(CloseReason::TopicDenied), now, out);
            }
        }
    }

    /// Drops retained messages that nobody renewed for long; goes on with what could not be sent at once.
    pub(super) fn tick_topics(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.topics.sweep_is_due(now, SWEEP) {
            let oldest = later(now, -self.config.limits.retained_seconds);
            for (device, topic) in self.topics.retained_before(oldest) {
                self.topics.release(&device, &topic);
                out.push(Effect::Persist(Write::RemoveRetained { device, topic }));
            }
            self.count_days_away(now, out);
        }
        for client in self.topics.queues.clients() {
            self.pump_topics(&client, out);
        }
    }
}
