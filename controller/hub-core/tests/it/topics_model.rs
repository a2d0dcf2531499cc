//! Random stories on user-defined topics, eaten by the core and by a model that is a list per client: who gets what, in which
//! order, what comes again after a loss or a restart.

use std::collections::BTreeMap;

use bytes::Bytes;
use hemline_hub_core::{
    effect::{Effect, Outbound},
    event::{ConnectionId, DeliveryId, Event, Grant, Qos},
    limits::Limits,
};
use proptest::prelude::*;
use serde_json::json;

use super::world::World;

const CLIENTS: [&str; 3] = ["d/a", "d/b", "d/c"];
const TOPICS: [&str; 4] = ["t", "t/x", "t/y", "u/x"];
const FILTERS: [&str; 5] = ["t/#", "t/+", "t/x", "+/x", "#"];
const WINDOW: usize = 2;
const QUEUE: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Connect(usize),
    Leave(usize),
    Subscribe(usize, usize, Qos),
    Unsubscribe(usize, usize),
    Publish { client: usize, topic: usize, qos: Qos, retain: bool, empty: bool },
    Acknowledge(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..CLIENTS.len();
    let qos = || prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce)];
    let publish = (client(), 0..TOPICS.len(), qos(), any::<bool>(), prop::bool::weighted(0.2));
    let publish = publish.prop_map(|(client, topic, qos, retain, empty)| Step::Publish {
        client,
        topic,
        qos,
        retain,
        empty,
    });
    let step = prop_oneof![
        3 => client().prop_map(Step::Connect),
        1 => client().prop_map(Step::Leave),
        3 => (client(), 0..FILTERS.len(), qos()).prop_map(|(client, filter, qos)| Step::Subscribe(client, filter, qos)),
        1 => (client(), 0..FILTERS.len()).prop_map(|(client, filter)| Step::Unsubscribe(client, filter)),
        8 => publish,
        4 => client().prop_map(Step::Acknowledge),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// A message for one client. Bodies are numbers of publications, so they tell messages apart.
#[derive(Debug, Clone)]
struct Item {
    number: usize,
    text: String,
    qos: Qos,
    /// On its way: the how manieth that was sent. A retained message may be older than one that was sent before it.
    sent: Option<usize>,
}

#[derive(Debug, Default)]
struct Client {
    connected: bool,
    filters: BTreeMap<usize, Qos>,
    items: Vec<Item>,
    sent: usize,
}

#[derive(Debug, Default)]
struct Model {
    clients: [Client; 3],
    /// By topic: number, text, guarantee.
    retained: BTreeMap<usize, (usize, String, Qos)>,
    published: usize,
}

fn matches(filter: &str, topic: &str) -> bool {
    match filter {
        "#" => true,
        "t/#" => topic.starts_with('t'),
        "t/+" => topic == "t/x" || topic == "t/y",
        "+/x" => topic == "t/x" || topic == "u/x",
        other => other == topic,
    }
}

impl Client {
    /// One more message, unless it is there already or the queue is full.
    fn queue(&mut self, number: usize, text: &str, qos: Qos) {
        let there = self.items.iter().any(|item| item.number == number);
        if !there && self.items.len() < QUEUE {
            self.items.push(Item { number, text: text.to_owned(), qos, sent: None });
            self.items.sort_by_key(|item| item.number);
        }
    }

    /// What goes out now.
    fn pump(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while self.connected {
            let flying = self.items.iter().filter(|item| item.sent.is_some()).count();
            let Some(place) = self.items.iter().position(|item| item.sent.is_none()) else { break };
            let item = &mut self.items[place];
            match item.qos {
                Qos::AtMostOnce => sent.push(self.items.remove(place).text),
                Qos::AtLeastOnce if flying == WINDOW => break,
                Qos::AtLeastOnce => {
                    self.sent += 1;
                    item.sent = Some(self.sent);
                    sent.push(item.text.clone());
                }
            }
        }
        sent
    }

    fn leave(&mut self) {
        self.connected = false;
        self.items.retain(|item| item.qos == Qos::AtLeastOnce);
        self.items.iter_mut().for_each(|item| item.sent = None);
    }
}

impl Model {
    /// What every client is sent, and whether the step makes sense now.
    fn take(&mut self, step: &Step) -> Option<[Vec<String>; 3]> {
        let connected = |client: &usize| self.clients[*client].connected;
        match step {
            Step::Connect(client) => {
                self.clients[*client].leave();
                self.clients[*client].connected = true;
            }
            Step::Leave(client) if connected(client) => self.clients[*client].leave(),
            Step::Subscribe(client, filter, qos) if connected(client) => {
                let reader = &mut self.clients[*client];
                reader.filters.insert(*filter, *qos);
                for (topic, (number, text, of)) in &self.retained {
                    if matches(FILTERS[*filter], TOPICS[*topic]) {
                        reader.queue(*number, &format!("{text} retained"), (*qos).min(*of));
                    }
                }
            }
            Step::Unsubscribe(client, filter) if connected(client) => {
                self.clients[*client].filters.remove(filter);
            }
            Step::Publish { client, topic, qos, retain, empty } if connected(client) => {
                self.published += 1;
                let body = if *empty { String::new() } else { self.published.to_string() };
                let text = format!("{} {body}", TOPICS[*topic]);
                if *retain && *empty {
                    self.retained.remove(topic);
                } else if *retain {
                    self.retained.insert(*topic, (self.published, text.clone(), *qos));
                }
                for reader in &mut self.clients {
                    let fitting = reader
                        .filters
                        .iter()
                        .filter(|(filter, _)| matches(FILTERS[**filter], TOPICS[*topic]));
                    let Some(best) = fitting.map(|(_, qos)| *qos).max() else { continue };
                    let qos = best.min(*qos);
                    if reader.connected || qos == Qos::AtLeastOnce {
                        reader.queue(self.published, &text, qos);
                    }
                }
            }
            Step::Acknowledge(client) if connected(client) => {
                let items = &mut self.clients[*client].items;
                let (_, place) =
                    items.iter().enumerate().filter_map(|(place, item)| Some((item.sent?, place))).min()?;
                items.remove(place);
            }
            Step::Restart => self.clients.iter_mut().for_each(Client::leave),
            Step::Leave(_)
            | Step::Subscribe(..)
            | Step::Unsubscribe(..)
            | Step::Publish { .. }
            | Step::Acknowledge(_) => {
                return None;
            }
        }
        Some(self.clients.each_mut().map(Client::pump))
    }
}

/// The real hub, with the connections and the deliveries that it made.
struct Real {
    world: World,
    connections: [Option<ConnectionId>; 3],
    flight: [Vec<DeliveryId>; 3],
}

impl Real {
    fn new() -> Self {
        let limits = Limits { in_flight: WINDOW, topic_queue_messages: QUEUE, ..Limits::default() };
        let mut world = World::edge(limits, &["a", "b", "c"], json!({}));
        let all =
            json!({"operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"], "resources": ["#"]});
        let policy = json!([{"identities": ["{{iot:identity}}"], "allow": [all]}]);
        world.desire("d/$edgeHub", json!({"schemaVersion": "1.2", "mqttBroker": {"authorizations": policy}}));
        Self { world, connections: [None; 3], flight: Default::default() }
    }

    fn take(&mut self, step: &Step, published: usize) -> Vec<Effect> {
        let connection = |client: &usize| self.connections[*client].expect("connected");
        match step {
            Step::Connect(client) => {
                self.flight[*client].clear();
                let token = self.world.device_token("d");
                let (connection, effects) = self.world.connect_with(CLIENTS[*client], token, false);
                self.connections[*client] = Some(connection);
                effects
            }
            Step::Leave(client) => {
                let connection = connection(client);
                self.flight[*client].clear();
                self.connections[*client] = None;
                self.world.leave(connection)
            }
            Step::Subscribe(client, filter, qos) => {
                let (connection, token) = (connection(client), self.world.token());
                let grant = Grant { filter: FILTERS[*filter].to_owned(), qos: *qos, features: Vec::new() };
                self.world.handle(Event::Subscribe { connection, grants: vec![grant], token })
            }
            Step::Unsubscribe(client, filter) => {
                let (connection, token) = (connection(client), self.world.token());
                let filters = vec![FILTERS[*filter].to_owned()];
                self.world.handle(Event::Unsubscribe { connection, filters, token })
            }
            Step::Publish { client, topic, qos, retain, empty } => {
                let connection = connection(client);
                let body = if *empty { Bytes::new() } else { Bytes::from(published.to_string()) };
                let token = (*qos == Qos::AtLeastOnce).then(|| self.world.token());
                let topic = TOPICS[*topic].to_owned();
                self.world.handle(Event::Publish { connection, topic, body, retain: *retain, token })
            }
            Step::Acknowledge(client) => {
                let (connection, delivery) = (connection(client), self.flight[*client].remove(0));
                self.world.handle(Event::Delivered { connection, delivery })
            }
            Step::Restart => {
                self.connections = [None; 3];
                self.flight = Default::default();
                self.world.restart();
                Vec::new()
            }
        }
    }

    /// What every client was sent.
    fn sent(&mut self, effects: &[Effect]) -> [Vec<String>; 3] {
        let mut sent: [Vec<String>; 3] = Default::default();
        for effect in effects {
            let Effect::Send { connection, outbound } = effect else { continue };
            let Outbound::Topic { delivery, message, retained, .. } = outbound else { continue };
            let client =
                self.connections.iter().position(|known| *known == Some(*connection)).expect("a known one");
            self.flight[client].extend(delivery);
            let mark = if *retained { " retained" } else { "" };
            sent[client].push(format!("{} {}{mark}", message.topic, String::from_utf8_lossy(&message.body)));
        }
        sent
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_core_sends_what_the_model_sends(steps in steps()) {
        let (mut model, mut real) = (Model::default(), Real::new());
        for step in &steps {
            let Some(expected) = model.take(step) else { continue };
            let effects = real.take(step, model.published);
            let sent = real.sent(&effects);
            prop_assert_eq!(&sent, &expected, "{:?} of {:?}", step, steps);
            if let Step::Publish { qos: Qos::AtLeastOnce, .. } = step {
                let acknowledged = effects.iter().any(|effect| matches!(effect, Effect::Ack { .. }));
                prop_assert!(acknowledged);
            }
            let on_disk: usize = real.world.disk.topic_messages.values().map(|(_, to)| to.len()).sum();
            let kept = model.clients.iter().flat_map(|client| &client.items);
            prop_assert_eq!(on_disk, kept.filter(|item| item.qos == Qos::AtLeastOnce).count());
            prop_assert_eq!(real.world.disk.retained.len(), model.retained.len());
            let waiting: usize = model.clients.iter().map(|client| client.items.len()).sum();
            let counters = real.world.core.counters();
            prop_assert_eq!(counters.topics_waiting, waiting as u64);
            prop_assert_eq!(counters.topics_retained, model.retained.len() as u64);
        }
    }
}
