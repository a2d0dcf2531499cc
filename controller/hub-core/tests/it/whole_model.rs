//! All of the core at once against a model of maps and lists: clients come, take each other's place and go, subscribe, send,
//! report, talk on topics of their own, are called and sent messages; the clock goes on, and jumps; the power goes. What the hub answers, what it has on
//! disk, and what it knows after a restart are what the model says.
//!
//! Queues of module inputs are not here (`model.rs`); those of devices have finer points of their own (`cloud_model.rs`), and so
//! have user-defined topics (`topics_model.rs`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hemline_hub_core::{
    cloud_to_device::{LockToken, Settlement},
    effect::Effect,
    event::{Caller, ConnectionId, Event, Feature, Grant, Qos, RequestId},
    limits::Limits,
    service::{DeviceSettings, IfMatch, ServiceReply, ServiceRequest},
};
use hemline_model::twin::canonical;
use hemline_protocol::properties::{Properties, SystemProperties};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{CALLS_OF_A_RUN, World, device, grant, id, map, print};

const NAMES: [&str; 2] = ["a", "b"];
const FEATURES: [Feature; 3] = [Feature::DesiredPatches, Feature::Methods, Feature::CloudToDevice];
/// User-defined topics of the edge device that both are beneath, and what is listened to there.
const TOPICS: [&str; 2] = ["t/x", "t/y"];
const FILTERS: [&str; 2] = ["t/#", "t/x"];
/// Days until nobody listens any more, and how often they are counted.
const DAYS: u32 = 1;
const DAY: i64 = 86_400;
const SWEEP: i64 = 3_600;
const DEPTH: usize = 3;
const LIFE: i64 = 200;
const LOCK: i64 = 60;
const GIVEN_BACK: u32 = 2;
/// Life of a token and what is added to it.
const TOKEN: i64 = 3_600 + 600;
const ANSWER: i64 = 30;

#[derive(Debug, Clone, Copy)]
enum Step {
    Connect { who: usize, clean: bool },
    Leave { who: usize },
    Subscribe { who: usize, what: usize, once: bool },
    Unsubscribe { who: usize, what: usize },
    Publish { who: usize, acknowledged: bool },
    Listen { who: usize, filter: usize, once: bool },
    Unlisten { who: usize, filter: usize },
    Say { who: usize, topic: usize, once: bool },
    Take { who: usize, which: usize },
    Report { who: usize, key: u8, value: Option<u8>, version: Option<u64> },
    ReadTwin { who: usize },
    Desire { who: usize, key: u8, value: Option<u8> },
    SendDown { who: usize, told: bool },
    Acknowledge { who: usize, which: usize },
    Poll { who: usize },
    Settle { which: usize, how: Settlement },
    Call { who: usize, patience: u32 },
    Answer { who: usize, which: usize },
    Pass { seconds: i64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    let settlement =
        prop_oneof![Just(Settlement::Complete), Just(Settlement::Reject), Just(Settlement::Abandon)];
    // Small steps, and jumps both ways: a clock that was never set, summer time done wrong, a battery that died.
    let seconds = prop_oneof![6 => 1..90_i64, 1 => Just(3_600), 2 => Just(100_000), 1 => Just(-3_600), 1 => Just(-100_000)];
    prop_oneof![
        4 => (who.clone(), prop::bool::weighted(0.2)).prop_map(|(who, clean)| Step::Connect { who, clean }),
        2 => who.clone().prop_map(|who| Step::Leave { who }),
        5 => (who.clone(), 0..FEATURES.len(), any::<bool>()).prop_map(|(who, what, once)| Step::Subscribe { who, what, once }),
        1 => (who.clone(), 0..FEATURES.len()).prop_map(|(who, what)| Step::Unsubscribe { who, what }),
        3 => (who.clone(), any::<bool>()).prop_map(|(who, acknowledged)| Step::Publish { who, acknowledged }),
        3 => (who.clone(), 0..FILTERS.len(), any::<bool>()).prop_map(|(who, filter, once)| Step::Listen { who, filter, once }),
        1 => (who.clone(), 0..FILTERS.len()).prop_map(|(who, filter)| Step::Unlisten { who, filter }),
        4 => (who.clone(), 0..TOPICS.len(), any::<bool>()).prop_map(|(who, topic, once)| Step::Say { who, topic, once }),
        3 => (who.clone(), any::<usize>()).prop_map(|(who, which)| Step::Take { who, which }),
        3 => (who.clone(), 0..3_u8, any::<Option<u8>>(), prop::option::weighted(0.3, 1..6_u64))
            .prop_map(|(who, key, value, version)| Step::Report { who, key, value, version }),
        1 => who.clone().prop_map(|who| Step::ReadTwin { who }),
        3 => (who.clone(), 0..3_u8, any::<Option<u8>>()).prop_map(|(who, key, value)| Step::Desire { who, key, value }),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, told)| Step::SendDown { who, told }),
        3 => (who.clone(), any::<usize>()).prop_map(|(who, which)| Step::Acknowledge { who, which }),
        3 => who.clone().prop_map(|who| Step::Poll { who }),
        3 => (any::<usize>(), settlement).prop_map(|(which, how)| Step::Settle { which, how }),
        3 => (who.clone(), prop_oneof![Just(0), Just(40)]).prop_map(|(who, patience)| Step::Call { who, patience }),
        3 => (who, any::<usize>()).prop_map(|(who, which)| Step::Answer { who, which }),
        4 => seconds.prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Restart),
    ]
}

/// By filter.
type Grants = BTreeMap<String, Qos>;
type Twin = (BTreeMap<String, u8>, u64);

/// A client as a child would keep it.
#[derive(Debug, Default)]
struct Client {
    link: Option<Link>,
    /// What is subscribed when it comes back.
    stored: Option<Grants>,
    /// The same, as it would be found after a restart.
    on_disk: Option<Grants>,
    reported: Twin,
    desired: Twin,
    queue: BTreeMap<u64, Kept>,
    topics: BTreeMap<u64, Heard>,
    /// Days that were counted since it went, and from where the next one counts.
    away: Option<(u32, i64)>,
}

/// A message on a user-defined topic that waits for an acknowledgement.
#[derive(Debug)]
struct Heard {
    line: String,
    on_disk: bool,
    delivery: Option<u64>,
    sent_before: bool,
}

#[derive(Debug)]
struct Link {
    connection: u64,
    grants: Grants,
    durable: bool,
    closes: i64,
    deliveries: u64,
}

#[derive(Debug)]
struct Kept {
    name: String,
    told: bool,
    expires: i64,
    given_back: u32,
    held: Held,
    sent_before: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Nobody,
    Lock { lock: usize, until: i64 },
    Link { delivery: u64, until: i64 },
}

#[derive(Debug)]
struct Call {
    who: usize,
    request: u64,
    rid: u64,
    patience: u32,
    /// Not sent yet, or on which connection.
    sent: Option<u64>,
    until: i64,
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    clients: [Client; 2],
    calls: Vec<Call>,
    last_call: u64,
    /// Given out to messages and to feedback.
    last_sequence: u64,
    /// The last of them that is on disk.
    kept_sequence: u64,
    /// When days were last counted.
    swept: Option<i64>,
    log: Vec<u64>,
    feedback: Vec<String>,
    /// What the hub says, one line for each thing.
    said: Vec<String>,
}

impl Model {
    fn say(&mut self, line: String) {
        self.said.push(line);
    }

    /// The number of something that is put on disk.
    fn sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.kept_sequence = self.last_sequence;
        self.last_sequence
    }

    fn fail(&mut self, call: &Call, why: &str) {
        self.say(format!("reply r{}: error {why}", call.request));
    }

    /// The connection of a client ends.
    fn end(&mut self, who: usize) {
        let Some(link) = self.clients[who].link.take() else { return };
        let client = &mut self.clients[who];
        client.stored = link.durable.then_some(link.grants);
        client.topics.retain(|_, heard| heard.on_disk);
        for heard in client.topics.values_mut() {
            heard.sent_before |= heard.delivery.take().is_some();
        }
        for kept in client.queue.values_mut() {
            if matches!(kept.held, Held::Link { .. }) {
                (kept.held, kept.sent_before) = (Held::Nobody, true);
            }
        }
        let (lost, stay) =
            std::mem::take(&mut self.calls).into_iter().partition(|c| c.sent == Some(link.connection));
        self.calls = stay;
        let lost: Vec<Call> = lost;
        lost.iter().for_each(|call| self.fail(call, &format!("{} went away before it answered", NAMES[who])));
    }

    fn finish(&mut self, who: usize, sequence: u64, how: &str) {
        let kept = self.clients[who].queue.remove(&sequence).unwrap();
        if kept.told {
            self.sequence();
            self.feedback.push(format!("{} {how}", kept.name));
        }
    }

    /// Time has passed for what waits for devices.
    fn pass(&mut self) {
        for who in 0..NAMES.len() {
            let mut expired = Vec::new();
            for (sequence, kept) in &mut self.clients[who].queue {
                match kept.held {
                    Held::Lock { until, .. } if until <= self.now => kept.held = Held::Nobody,
                    Held::Link { until, .. } if until.max(kept.expires) <= self.now => {
                        kept.held = Held::Nobody;
                    }
                    Held::Nobody | Held::Lock { .. } | Held::Link { .. } => {}
                }
                if kept.held == Held::Nobody && kept.expires <= self.now {
                    expired.push(*sequence);
                }
            }
            expired.into_iter().for_each(|sequence| self.finish(who, sequence, "Expired"));
        }
    }

    /// Sends whatever can be sent.
    fn pump(&mut self) {
        self.pass();
        for who in 0..NAMES.len() {
            self.pump_calls(who);
            self.pump_queue(who);
            self.pump_topics(who);
        }
    }

    fn pump_topics(&mut self, who: usize) {
        let Client { link: Some(link), topics, .. } = &mut self.clients[who] else { return };
        for heard in topics.values_mut().filter(|heard| heard.delivery.is_none()) {
            link.deliveries += 1;
            heard.delivery = Some(link.deliveries);
            let again = if heard.sent_before { " again" } else { "" };
            self.said.push(format!(
                "send c{} {} delivery {}{again}",
                link.connection, heard.line, link.deliveries
            ));
        }
    }

    /// Somebody says something on a topic.
    fn say_on(&mut self, topic: usize, body: &str, once: bool) {
        self.last_sequence += 1;
        let sequence = self.last_sequence;
        let line = format!("topic {} #{sequence} {body:?}", TOPICS[topic]);
        for client in &mut self.clients {
            let grants = client.link.as_ref().map(|link| &link.grants).or(client.stored.as_ref());
            let fits = |filter: &str| filter == FILTERS[0] || filter == TOPICS[topic];
            let granted = grants.into_iter().flatten().filter(|(filter, _)| fits(filter));
            let Some(qos) = granted.map(|(_, qos)| *qos).max() else { continue };
            match (qos == Qos::AtLeastOnce && once, &mut client.link) {
                (true, link) => {
                    let on_disk = link.as_ref().is_none_or(|link| link.durable);
                    let heard = Heard { line: line.clone(), on_disk, delivery: None, sent_before: false };
                    client.topics.insert(sequence, heard);
                    if on_disk {
                        self.kept_sequence = sequence;
                    }
                }
                (false, Some(link)) => {
                    link.deliveries += 1;
                    self.said.push(format!("send c{} {line}", link.connection));
                }
                (false, None) => {}
            }
        }
    }

    /// Whoever stays away for so long is not listened for any more.
    fn count_days(&mut self) {
        if self.swept.is_some_and(|last| last <= self.now && self.now < last + SWEEP) {
            return;
        }
        self.swept = Some(self.now);
        for client in self.clients.iter_mut().filter(|client| client.link.is_none()) {
            let Some(grants) = &mut client.stored else { continue };
            if !grants.keys().any(|filter| FILTERS.contains(&filter.as_str())) {
                continue;
            }
            let days = match client.away {
                None => 0,
                Some((days, counted)) if counted + DAY <= self.now => days + 1,
                Some(_) => continue,
            };
            client.away = Some((days, self.now));
            if days >= DAYS {
                grants.retain(|filter, _| !FILTERS.contains(&filter.as_str()));
                client.topics.clear();
                if grants.is_empty() {
                    (client.stored, client.away) = (None, None);
                }
                client.on_disk = client.stored.clone();
            }
        }
    }

    fn pump_calls(&mut self, who: usize) {
        let Some(link) = &self.clients[who].link else { return };
        let Some(qos) = link.grants.get(&filter(Feature::Methods)) else { return };
        for call in self.calls.iter_mut().filter(|call| call.who == who && call.sent.is_none()) {
            (call.sent, call.until) = (Some(link.connection), self.now + ANSWER);
            self.said.push(format!("send c{} call m rid {:x} {qos:?} null", link.connection, call.rid));
        }
    }

    fn pump_queue(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let Some(link) = &mut client.link else { return };
        let Some(qos) = link.grants.get(&filter(Feature::CloudToDevice)).copied() else { return };
        let mut done = Vec::new();
        for (sequence, kept) in client.queue.iter_mut().filter(|(_, kept)| kept.held == Held::Nobody) {
            link.deliveries += 1;
            let mut line = format!("send c{} cloud #{sequence} {:?}", link.connection, kept.name);
            match qos {
                Qos::AtLeastOnce => {
                    kept.held = Held::Link { delivery: link.deliveries, until: self.now + LOCK };
                    line += &format!(" delivery {}", link.deliveries);
                }
                Qos::AtMostOnce => done.push(*sequence),
            }
            line += if kept.sent_before { " again" } else { "" };
            self.said.push(line);
        }
        done.into_iter().for_each(|sequence| self.finish(who, sequence, "Success"));
    }

    fn tick(&mut self) {
        for who in 0..NAMES.len() {
            let link = self.clients[who].link.as_ref().filter(|link| link.closes < self.now);
            if let Some(connection) = link.map(|link| link.connection) {
                self.say(format!("close c{connection}: the token or certificate expired"));
                self.end(who);
            }
        }
        let (late, stay) =
            std::mem::take(&mut self.calls).into_iter().partition(|call| call.until <= self.now);
        self.calls = stay;
        let late: Vec<Call> = late;
        for call in &late {
            let (name, patience) = (NAMES[call.who], call.patience);
            self.fail(
                call,
                &match call.sent {
                    None => format!("{name} did not connect and listen for methods within {patience} s"),
                    Some(_) => format!("{name} did not answer within {ANSWER} s"),
                },
            );
        }
        self.count_days();
        self.pump();
    }

    fn restart(&mut self) {
        self.calls.clear();
        (self.last_sequence, self.swept) = (self.kept_sequence, None);
        self.last_call = self.last_call / CALLS_OF_A_RUN * CALLS_OF_A_RUN + CALLS_OF_A_RUN;
        for client in &mut self.clients {
            client.link = None;
            client.stored = client.on_disk.clone();
            client.queue.values_mut().for_each(|kept| (kept.held, kept.sent_before) = (Held::Nobody, false));
            client.topics.retain(|_, heard| heard.on_disk);
            client.topics.values_mut().for_each(|heard| (heard.delivery, heard.sent_before) = (None, false));
        }
    }

    fn grant(&mut self, who: usize, change: impl FnOnce(&mut Grants) -> Option<Qos>) {
        let client = &mut self.clients[who];
        let link = client.link.as_mut().unwrap();
        let before = link.grants.clone();
        change(&mut link.grants);
        if link.durable && link.grants != before {
            client.on_disk = Some(link.grants.clone());
        }
    }
}

fn filter(feature: Feature) -> String {
    grant(feature, Qos::AtMostOnce).filter
}

/// Applies a change of one key; `None` removes it.
fn change((properties, version): &mut Twin, key: &str, value: Option<u8>) {
    match value {
        Some(value) => drop(properties.insert(key.to_owned(), value)),
        None => drop(properties.remove(key)),
    }
    *version += 1;
}

fn with_version((properties, version): &Twin) -> Value {
    let mut document = json!(properties);
    document["$version"] = json!(version);
    document
}

fn guarantee(once: bool) -> Qos {
    if once { Qos::AtLeastOnce } else { Qos::AtMostOnce }
}

/// The hub and its model.
struct Pair {
    world: World,
    model: Model,
    locks: Vec<(usize, LockToken)>,
    /// Calls that were ever sent out.
    rids: Vec<u64>,
    /// What the hub said.
    said: Vec<String>,
    sent: usize,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::with(Limits {
            cloud_messages: DEPTH,
            cloud_deliveries: GIVEN_BACK,
            cloud_seconds: LIFE,
            lock_seconds: LOCK,
            feedback_seconds: 1_000_000_000,
            topic_session_days: DAYS,
            ..Limits::default()
        });
        world.add_device("g", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
        let all = json!([{"identities": ["{{iot:identity}}"],
            "allow": [{"operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"], "resources": ["#"]}]}]);
        world.desire(
            "g/$edgeHub",
            json!({
                "schemaVersion": "1.2",
                "routes": {"up": "FROM /messages/* INTO $upstream"},
                "mqttBroker": {"authorizations": all},
            }),
        );
        let mut model = Model::default();
        for (name, client) in NAMES.iter().zip(&mut model.clients) {
            let settings = DeviceSettings { parent: Some(Some(device("g"))), ..DeviceSettings::default() };
            world.add_device(name, settings);
            (client.reported.1, client.desired.1) = (1, 1);
        }
        Self { world, model, locks: Vec::new(), rids: Vec::new(), said: Vec::new(), sent: 0 }
    }

    /// Notes what the hub said to the outside.
    fn hear(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Persist(_) | Effect::Notify(_) => {}
                said => {
                    let line = print(said);
                    // What an error says of the reason is another test's.
                    let cut = ["twin response ", "error the lock is lost", "error too many messages"]
                        .iter()
                        .find_map(|word| line.find(word).map(|at| at + word.len()));
                    match cut {
                        Some(at) if line.contains(" 412 ") => self.said.push(line[..at].to_owned() + "412"),
                        Some(at) if line.contains(": error ") => self.said.push(line[..at].to_owned()),
                        _ => self.said.push(line),
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let effects = self.world.handle(event);
        self.hear(&effects);
    }

    fn ask(&mut self, operation: ServiceRequest) -> (u64, Vec<Effect>) {
        let (RequestId(request), effects) = self.world.ask(Caller::Internal, operation);
        self.hear(&effects);
        (request, effects)
    }

    fn connection(&self, who: usize) -> Option<ConnectionId> {
        self.model.clients[who].link.as_ref().map(|link| ConnectionId(link.connection))
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        // With time, ends come before whatever can then be sent.
        let at_once = !matches!(step, Step::Pass { .. } | Step::Restart);
        match step {
            Step::Connect { who, clean } => self.connect(who, clean),
            Step::Leave { who } => {
                if let Some(connection) = self.connection(who) {
                    let effects = self.world.leave(connection);
                    self.hear(&effects);
                    self.model.end(who);
                }
            }
            Step::Subscribe { who, what, once } => {
                self.subscribe(who, grant(FEATURES[what], guarantee(once)));
            }
            Step::Unsubscribe { who, what } => self.unsubscribe(who, &filter(FEATURES[what])),
            Step::Listen { who, filter, once } => {
                let (filter, qos) = (FILTERS[filter].to_owned(), guarantee(once));
                self.subscribe(who, Grant { filter, qos, features: Vec::new() });
            }
            Step::Unlisten { who, filter } => self.unsubscribe(who, FILTERS[filter]),
            Step::Say { who, topic, once } => self.say_on(who, topic, once),
            Step::Take { who, which } => self.take_heard(who, which),
            Step::Publish { who, acknowledged } => {
                if let Some(connection) = self.connection(who) {
                    let token = acknowledged.then(|| self.world.token());
                    let (properties, body) = (Properties::default(), Bytes::from_static(b"x"));
                    self.handle(Event::Telemetry { connection, properties, body, token });
                    let sequence = self.model.sequence();
                    self.model.log.push(sequence);
                    token
                        .into_iter()
                        .for_each(|token| self.model.say(format!("ack c{} t{}", connection.0, token.0)));
                }
            }
            Step::Report { who, key, value, version } => self.report(who, key, value, version),
            Step::ReadTwin { who } => {
                if let Some(connection) = self.connection(who) {
                    self.handle(Event::TwinGet { connection, rid: "g".to_owned(), token: None });
                    let Client { reported, desired, .. } = &self.model.clients[who];
                    let document =
                        json!({"desired": with_version(desired), "reported": with_version(reported)});
                    let line = format!("send c{} twin response g 200 {}", connection.0, canonical(&document));
                    self.model.say(line);
                }
            }
            Step::Desire { who, key, value } => self.desire(who, key, value),
            Step::SendDown { who, told } => self.send_down(who, told),
            Step::Acknowledge { who, which } => self.acknowledge(who, which),
            Step::Poll { who } => self.poll(who),
            Step::Settle { which, how } => self.settle(which, how),
            Step::Call { who, patience } => self.call(who, patience),
            Step::Answer { who, which } => self.answer(who, which),
            Step::Pass { seconds } => {
                self.world.now += SignedDuration::from_secs(seconds);
                self.model.now += seconds;
            }
            Step::Restart => {
                self.world.restart();
                self.model.restart();
            }
        }
        if at_once {
            self.model.pump();
        }
        // As the hub's task does twice a second.
        self.handle(Event::Tick);
        self.model.tick();
        self.compare()
    }

    /// A client says something on a user-defined topic.
    fn say_on(&mut self, who: usize, topic: usize, once: bool) {
        let Some(connection) = self.connection(who) else { return };
        self.sent += 1;
        let (text, token) = (format!("m{}", self.sent), once.then(|| self.world.token()));
        let body = Bytes::from(text.clone());
        self.handle(Event::Publish {
            connection,
            topic: TOPICS[topic].to_owned(),
            body,
            retain: false,
            token,
        });
        if let Some(token) = token {
            self.model.say(format!("ack c{} t{}", connection.0, token.0));
        }
        self.model.say_on(topic, &text, once);
    }

    /// A client acknowledges one of those that it was sent.
    fn take_heard(&mut self, who: usize, which: usize) {
        let Some(connection) = self.connection(who) else { return };
        let heard = &self.model.clients[who].topics;
        let on_their_way: Vec<(u64, u64)> =
            heard.iter().filter_map(|(sequence, heard)| Some((*sequence, heard.delivery?))).collect();
        if on_their_way.is_empty() {
            return;
        }
        let (sequence, delivery) = on_their_way[which % on_their_way.len()];
        let effects = self.world.acknowledge(connection, delivery);
        self.hear(&effects);
        self.model.clients[who].topics.remove(&sequence);
    }

    fn subscribe(&mut self, who: usize, wanted: Grant) {
        let Some(connection) = self.connection(who) else { return };
        let (token, filter, qos) = (self.world.token(), wanted.filter.clone(), wanted.qos);
        self.handle(Event::Subscribe { connection, grants: vec![wanted], token });
        self.model.say(format!("granted c{} t{} [{qos:?}]", connection.0, token.0));
        self.model.grant(who, |grants| grants.insert(filter, qos));
    }

    fn unsubscribe(&mut self, who: usize, filter: &str) {
        let Some(connection) = self.connection(who) else { return };
        let token = self.world.token();
        self.handle(Event::Unsubscribe { connection, filters: vec![filter.to_owned()], token });
        self.model.say(format!("revoked c{} t{}", connection.0, token.0));
        self.model.grant(who, |grants| grants.remove(filter));
    }

    fn connect(&mut self, who: usize, clean: bool) {
        let token = self.world.device_token(NAMES[who]);
        let (connection, effects) = self.world.connect_with(NAMES[who], token, clean);
        self.hear(&effects);
        if let Some(old) = self.connection(who) {
            self.model.say(format!("close c{}: a newer connection of the same identity took over", old.0));
            self.model.end(who);
        }
        let client = &mut self.model.clients[who];
        let stored = client.stored.take();
        let away = client.away.take();
        let present = stored.is_some() && !clean && away.is_none_or(|(days, _)| days < DAYS);
        if clean {
            client.on_disk = None;
            client.topics.clear();
        }
        let grants = stored.filter(|_| !clean).unwrap_or_default();
        let closes = self.model.now + TOKEN;
        client.link = Some(Link { connection: connection.0, grants, durable: !clean, closes, deliveries: 0 });
        self.model.say(format!("accept c{} as {}, session present: {present}", connection.0, NAMES[who]));
    }

    fn report(&mut self, who: usize, key: u8, value: Option<u8>, if_version: Option<u64>) {
        let Some(connection) = self.connection(who) else { return };
        let (key, token) = (format!("k{key}"), self.world.token());
        let patch = Bytes::from(json!({ &key: value }).to_string());
        let rid = Some("p".to_owned());
        self.handle(Event::ReportedPatch { connection, rid, if_version, patch, token: Some(token) });
        let reported = &mut self.model.clients[who].reported;
        let told = if if_version.is_none_or(|version| version == reported.1) {
            change(reported, &key, value);
            format!("p 204 v{} ", reported.1)
        } else {
            "412".to_owned()
        };
        self.model.say(format!("send c{} twin response {told}", connection.0));
        self.model.say(format!("ack c{} t{}", connection.0, token.0));
    }

    fn desire(&mut self, who: usize, key: u8, value: Option<u8>) {
        let key = format!("k{key}");
        let (request, _) = self.ask(ServiceRequest::PatchTwin {
            client: id(NAMES[who]),
            tags: None,
            desired: Some(map(json!({ &key: value }))),
            if_match: IfMatch::Absent,
        });
        self.model.say(format!("reply r{request}: twin"));
        let client = &mut self.model.clients[who];
        change(&mut client.desired, &key, value);
        let version = client.desired.1;
        if let Some(link) = &client.link
            && let Some(qos) = link.grants.get(&filter(Feature::DesiredPatches))
        {
            let body = canonical(&json!({ &key: value, "$version": version }));
            self.model.said.push(format!("send c{} desired v{version} {qos:?} {body}", link.connection));
        }
    }

    fn send_down(&mut self, who: usize, told: bool) {
        self.sent += 1;
        let name = format!("m{}", self.sent);
        let ack = Some(if told { "full" } else { "none" }.to_owned());
        let system = SystemProperties { message_id: Some(name.clone()), ack, ..SystemProperties::default() };
        let (request, _) = self.ask(ServiceRequest::SendCloudToDevice {
            device: device(NAMES[who]),
            properties: Box::new(Properties { system, application: Vec::new() }),
            body: name.clone().into(),
        });
        if self.model.clients[who].queue.len() >= DEPTH {
            return self.model.say(format!("reply r{request}: error too many messages"));
        }
        let sequence = self.model.sequence();
        let until = self.world.now + SignedDuration::from_secs(LIFE);
        self.model.say(format!("reply r{request}: sent #{sequence} as {name} until {until}"));
        let expires = self.model.now + LIFE;
        let kept = Kept { name, told, expires, given_back: 0, held: Held::Nobody, sent_before: false };
        self.model.clients[who].queue.insert(sequence, kept);
    }

    fn acknowledge(&mut self, who: usize, which: usize) {
        let Some(connection) = self.connection(who) else { return };
        let on_their_way =
            self.model.clients[who].queue.iter().filter_map(|(sequence, kept)| match kept.held {
                Held::Link { delivery, .. } => Some((*sequence, delivery)),
                Held::Nobody | Held::Lock { .. } => None,
            });
        let on_their_way: Vec<(u64, u64)> = on_their_way.collect();
        if on_their_way.is_empty() {
            return;
        }
        let (sequence, delivery) = on_their_way[which % on_their_way.len()];
        let effects = self.world.acknowledge(connection, delivery);
        self.hear(&effects);
        self.model.finish(who, sequence, "Success");
    }

    fn poll(&mut self, who: usize) {
        let (request, effects) = self.ask(ServiceRequest::ReceiveCloudToDevice(id(NAMES[who])));
        for effect in &effects {
            if let Effect::Reply { reply, .. } = effect
                && let Ok(ServiceReply::CloudToDevice(Some(received))) = &**reply
            {
                self.locks.push((who, received.lock));
            }
        }
        let (lock, until) = (self.locks.len().wrapping_sub(1), self.model.now + LOCK);
        let free = self.model.clients[who].queue.iter_mut().find(|(_, kept)| kept.held == Held::Nobody);
        let told = match free {
            Some((sequence, kept)) => {
                kept.held = Held::Lock { lock, until };
                format!("cloud #{sequence} {:?} given back {}", kept.name, kept.given_back)
            }
            None => "nothing waits".to_owned(),
        };
        self.model.say(format!("reply r{request}: {told}"));
    }

    fn settle(&mut self, which: usize, how: Settlement) {
        if self.locks.is_empty() {
            return;
        }
        let which = which % self.locks.len();
        let (who, lock) = self.locks[which];
        let client = id(NAMES[who]);
        let (request, _) = self.ask(ServiceRequest::SettleCloudToDevice { client, lock, settlement: how });
        let holds = |kept: &Kept| matches!(kept.held, Held::Lock { lock, .. } if lock == which);
        let queue = &mut self.model.clients[who].queue;
        let Some((sequence, kept)) = queue.iter_mut().find(|(_, kept)| holds(kept)) else {
            return self.model.say(format!("reply r{request}: error the lock is lost"));
        };
        let sequence = *sequence;
        match how {
            Settlement::Complete => self.model.finish(who, sequence, "Success"),
            Settlement::Reject => self.model.finish(who, sequence, "Rejected"),
            Settlement::Abandon => {
                (kept.given_back, kept.held) = (kept.given_back + 1, Held::Nobody);
                if kept.given_back == GIVEN_BACK {
                    self.model.finish(who, sequence, "DeliveryCountExceeded");
                }
            }
        }
        self.model.say(format!("reply r{request}: Done"));
    }

    fn call(&mut self, who: usize, patience: u32) {
        let (request, _) = self.ask(ServiceRequest::InvokeMethod {
            client: id(NAMES[who]),
            name: "m".to_owned(),
            payload: None,
            response_timeout: ANSWER as u32,
            connect_timeout: patience,
        });
        self.model.last_call += 1;
        let rid = self.model.last_call;
        self.rids.push(rid);
        let until = self.model.now + i64::from(patience);
        self.model.calls.push(Call { who, request, rid, patience, sent: None, until });
    }

    /// A client answers some call, perhaps one of somebody else's, of long ago, or of before a restart.
    fn answer(&mut self, who: usize, which: usize) {
        let Some(connection) = self.connection(who) else { return };
        if self.rids.is_empty() {
            return;
        }
        let (rid, token) = (self.rids[which % self.rids.len()], self.world.token());
        let payload = Bytes::from_static(b"7");
        let (rid_text, token_given) = (format!("{rid:x}"), Some(token));
        self.handle(Event::MethodResult {
            connection,
            rid: rid_text,
            status: 200,
            payload,
            token: token_given,
        });
        let calls = &mut self.model.calls;
        if let Some(place) = calls.iter().position(|call| call.rid == rid && call.sent == Some(connection.0))
        {
            let call = calls.remove(place);
            self.model.say(format!("reply r{}: method 200 7", call.request));
        }
        self.model.say(format!("ack c{} t{}", connection.0, token.0));
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let (mut heard, mut expected) =
            (std::mem::take(&mut self.said), std::mem::take(&mut self.model.said));
        heard.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(heard, expected, "what the hub says");
        let (disk, model) = (&self.world.disk, &self.model);
        for (name, client) in NAMES.iter().zip(&model.clients) {
            let twin = &disk.twins[&id(name)];
            let has = |(properties, version): &Twin, found: &hemline_hub_core::write::Collection| {
                json!(properties) == Value::Object(found.properties.open()) && *version == found.version
            };
            prop_assert!(has(&client.reported, &twin.reported), "reported: {:?} {:?}", client, twin);
            prop_assert!(has(&client.desired, &twin.desired), "desired: {:?} {:?}", client, twin);
            let session = disk.sessions.get(&id(name));
            let grants = session
                .map(|session| session.grants.iter().map(|g| (g.filter.clone(), g.qos)).collect::<Grants>());
            prop_assert_eq!(&grants, &client.on_disk, "subscriptions of {}", name);
            let away = session.and_then(|session| session.away).map(|away| away.days);
            prop_assert_eq!(away, client.away.map(|(days, _)| days), "how long {} is away", name);
        }
        let kept: BTreeSet<(u64, String)> = disk
            .topic_messages
            .iter()
            .flat_map(|(sequence, (_, to))| to.iter().map(|to| (sequence.0, to.client.to_string())))
            .collect();
        let waiting = NAMES.iter().zip(&model.clients).flat_map(|(name, client)| {
            let kept = client.topics.iter().filter(|(_, heard)| heard.on_disk);
            kept.map(|(sequence, _)| (*sequence, (*name).to_owned()))
        });
        prop_assert_eq!(kept, waiting.collect(), "what waits on topics");
        let queues = model.clients.iter().flat_map(|client| &client.queue);
        let waiting: BTreeMap<u64, u32> =
            queues.map(|(sequence, kept)| (*sequence, kept.given_back)).collect();
        let kept: BTreeMap<u64, u32> =
            disk.cloud.iter().map(|(sequence, (_, back))| (sequence.0, *back)).collect();
        prop_assert_eq!(kept, waiting, "what waits for devices");
        let log: Vec<u64> = disk.events.iter().map(|sequence| sequence.0).collect();
        prop_assert_eq!(&log, &model.log, "the log");
        let mut feedback: Vec<String> = disk
            .feedback
            .values()
            .map(|record| format!("{} {}", record.message_id, record.outcome.as_str()))
            .collect();
        let mut told = model.feedback.clone();
        feedback.sort_unstable();
        told.sort_unstable();
        prop_assert_eq!(feedback, told, "what the service is told");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_hub_does_what_the_model_says(steps in proptest::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step)?;
        }
    }
}
