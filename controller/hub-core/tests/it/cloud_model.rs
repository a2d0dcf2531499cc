//! The queue of one device against a model that a child could check. What the hub accepted is delivered, in order, until
//! it is settled, given back too often or expired; nothing is delivered after that; exactly one outcome is told.

use std::collections::BTreeMap;

use hemline_hub_core::{
    cloud_to_device::{LockToken, Settlement},
    effect::{Effect, Outbound},
    event::{ConnectionId, Event, Feature, Qos},
    limits::Limits,
    service::ServiceReply,
};
use proptest::prelude::*;

use super::world::World;

const DEPTH: usize = 4;
const DELIVERIES: u32 = 3;
const LIFE: i64 = 200;
const LOCK: i64 = 60;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The service sends.
    Send,
    /// The device asks over HTTPS.
    Poll,
    /// The device settles one of the locks it ever got.
    Settle {
        which: usize,
        how: Settlement,
    },
    /// The device connects over MQTT, or connects again.
    Connect,
    Leave,
    /// The device acknowledges something that came over the present connection.
    Acknowledge {
        which: usize,
    },
    Wait {
        seconds: i64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        2 => Just(Settlement::Complete),
        1 => Just(Settlement::Reject),
        4 => Just(Settlement::Abandon),
    ];
    prop_oneof![
        6 => Just(Step::Send),
        5 => Just(Step::Poll),
        6 => (any::<usize>(), how).prop_map(|(which, how)| Step::Settle { which, how }),
        1 => Just(Step::Connect),
        2 => Just(Step::Leave),
        3 => any::<usize>().prop_map(|which| Step::Acknowledge { which }),
        3 => (1..90_i64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nobody,
    Lock { lock: usize, until: i64 },
    Connection { until: i64 },
}

#[derive(Debug)]
struct Kept {
    expires: i64,
    given_back: u32,
    held: Held,
    sent_before: bool,
}

/// What the queue should hold, and how every message that left it ended.
#[derive(Debug, Default)]
struct Model {
    queue: BTreeMap<u64, Kept>,
    ended: Vec<(u64, &'static str)>,
    connected: bool,
    now: i64,
}

impl Model {
    fn end(&mut self, sequence: u64, how: &'static str) {
        self.queue.remove(&sequence).unwrap();
        self.ended.push((sequence, how));
    }

    /// Time passes for what is held and what waits, in any order: the outcomes are a set.
    fn pass(&mut self) {
        let mut expired = Vec::new();
        for (sequence, kept) in &mut self.queue {
            match kept.held {
                Held::Lock { until, .. } if until <= self.now => kept.held = Held::Nobody,
                Held::Connection { until } if until.max(kept.expires) <= self.now => {
                    kept.held = Held::Nobody;
                }
                Held::Nobody | Held::Lock { .. } | Held::Connection { .. } => {}
            }
            if kept.held == Held::Nobody && kept.expires <= self.now {
                expired.push(*sequence);
            }
        }
        expired.into_iter().for_each(|sequence| self.end(sequence, "Expired"));
    }

    /// What goes out over the connection: all that nobody holds.
    fn pump(&mut self) -> Vec<(u64, bool)> {
        let mut sent = Vec::new();
        if self.connected {
            for (sequence, kept) in &mut self.queue {
                if kept.held == Held::Nobody {
                    kept.held = Held::Connection { until: self.now + LOCK };
                    sent.push((*sequence, kept.sent_before));
                }
            }
        }
        sent
    }

    fn lose_connection(&mut self) {
        self.connected = false;
        for kept in self.queue.values_mut() {
            if matches!(kept.held, Held::Connection { .. }) {
                kept.held = Held::Nobody;
                kept.sent_before = true;
            }
        }
    }

    fn restart(&mut self) {
        self.connected = false;
        for kept in self.queue.values_mut() {
            (kept.held, kept.sent_before) = (Held::Nobody, false);
        }
    }
}

struct Pair {
    world: World,
    model: Model,
    connection: Option<ConnectionId>,
    /// Deliveries of the present connection: number and message.
    open: Vec<(u64, u64)>,
    locks: Vec<LockToken>,
    told: Vec<String>,
    sent: u64,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::with_device(Limits {
            cloud_messages: DEPTH,
            cloud_deliveries: DELIVERIES,
            cloud_seconds: LIFE,
            lock_seconds: LOCK,
            ..Limits::default()
        });
        let connection = world.connect("d");
        world.subscribe(connection, Feature::CloudToDevice, Qos::AtLeastOnce);
        world.leave(connection);
        let (model, open, locks, told) = Default::default();
        Self { world, model, connection: None, open, locks, told, sent: 0 }
    }

    fn compare(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        let mut sent = Vec::new();
        for effect in effects {
            if let Effect::Send {
                outbound: Outbound::CloudToDevice { delivery, message, duplicate },
                connection,
            } = effect
            {
                prop_assert_eq!(Some(*connection), self.connection);
                self.open.push((delivery.expect("to be acknowledged").0, message.sequence.0));
                sent.push((message.sequence.0, *duplicate));
            }
        }
        prop_assert_eq!(sent, self.model.pump());
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send => self.send()?,
            Step::Poll => self.poll()?,
            Step::Settle { which, how } => self.settle(which, how)?,
            Step::Connect => {
                self.model.lose_connection();
                self.model.pass();
                self.open.clear();
                self.model.connected = true;
                let token = self.world.device_token("d");
                let (connection, effects) = self.world.connect_with("d", token, false);
                self.connection = Some(connection);
                self.compare(&effects)?;
            }
            Step::Leave => {
                if let Some(connection) = self.connection.take() {
                    self.world.leave(connection);
                    self.model.lose_connection();
                    self.open.clear();
                }
            }
            Step::Acknowledge { which } => {
                if let (Some(connection), false) = (self.connection, self.open.is_empty()) {
                    let (delivery, sequence) = self.open.remove(which % self.open.len());
                    self.world.acknowledge(connection, delivery);
                    // It may have expired meanwhile; then the acknowledgement says nothing.
                    if self.model.queue.contains_key(&sequence) {
                        self.model.end(sequence, "Success");
                    }
                }
            }
            Step::Wait { seconds } => {
                self.model.now += seconds;
                self.model.pass();
                self.world.now += jiff::SignedDuration::from_secs(seconds);
                let effects = self.world.handle(Event::Tick);
                self.compare(&effects)?;
            }
            Step::Restart => {
                self.world.restart();
                self.model.restart();
                self.connection = None;
                self.open.clear();
            }
        }
        self.model.pass();
        self.told.extend(self.world.take_feedback());
        let on_disk: Vec<u64> = self.world.disk.cloud.keys().map(|sequence| sequence.0).collect();
        prop_assert_eq!(on_disk, self.model.queue.keys().copied().collect::<Vec<_>>(), "what is on disk");
        prop_assert_eq!(self.world.core.counters().cloud_waiting, self.model.queue.len() as u64);
        prop_assert_eq!(self.told.len(), self.model.ended.len(), "one outcome each");
        Ok(())
    }

    fn send(&mut self) -> Result<(), TestCaseError> {
        let reply = self.world.command(&format!("m{}", self.sent), "full");
        prop_assert_eq!(reply.is_ok(), self.model.queue.len() < DEPTH, "{:?}", reply);
        if let Ok(ServiceReply::Sent { sequence, .. }) = reply {
            self.sent += 1;
            let expires = self.model.now + LIFE;
            let kept = Kept { expires, given_back: 0, held: Held::Nobody, sent_before: false };
            self.model.queue.insert(sequence.0, kept);
        }
        self.sync();
        Ok(())
    }

    fn poll(&mut self) -> Result<(), TestCaseError> {
        let free = self.model.queue.iter_mut().find(|(_, kept)| kept.held == Held::Nobody);
        let expected = free.map(|(sequence, kept)| {
            kept.held = Held::Lock { lock: self.locks.len(), until: self.model.now + LOCK };
            *sequence
        });
        let found = self.world.poll();
        prop_assert_eq!(found.map(|(sequence, _)| sequence), expected);
        self.locks.extend(found.map(|(_, lock)| lock));
        Ok(())
    }

    fn settle(&mut self, which: usize, how: Settlement) -> Result<(), TestCaseError> {
        if self.locks.is_empty() {
            return Ok(());
        }
        let which = which % self.locks.len();
        let holds = |held: Held| matches!(held, Held::Lock { lock, .. } if lock == which);
        let held = self.model.queue.iter().find(|(_, kept)| holds(kept.held)).map(|(s, _)| *s);
        let reply = self.world.settle(self.locks[which], how);
        prop_assert_eq!(reply.is_ok(), held.is_some());
        if let Some(sequence) = held {
            match how {
                Settlement::Complete => self.model.end(sequence, "Success"),
                Settlement::Reject => self.model.end(sequence, "Rejected"),
                Settlement::Abandon => {
                    let kept = self.model.queue.get_mut(&sequence).unwrap();
                    (kept.given_back, kept.held) = (kept.given_back + 1, Held::Nobody);
                    if kept.given_back == DELIVERIES {
                        self.model.end(sequence, "DeliveryCountExceeded");
                    }
                }
            }
        }
        self.model.pass();
        self.sync();
        Ok(())
    }

    /// Takes over what the hub sent by itself while a request was answered, which the helpers of the world do not hand on.
    fn sync(&mut self) {
        for (sequence, duplicate) in self.model.pump() {
            let again = if duplicate { " again" } else { "" };
            let line = self.world.log.lines().rev().find_map(|line| {
                let rest = line.trim().strip_prefix("send c")?;
                let (_, rest) = rest.split_once(&format!("cloud #{sequence} "))?;
                let (_, rest) = rest.split_once("delivery ")?;
                Some(rest.to_owned())
            });
            let line = line.unwrap_or_else(|| panic!("#{sequence} was not sent"));
            let (number, flag) = line.split_once(' ').unwrap_or((&line, ""));
            assert_eq!(flag, again.trim());
            self.open.push((number.parse().unwrap(), sequence));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_accepted_is_lost_and_nothing_settled_comes_back(steps in proptest::collection::vec(step(), 1..100)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step)?;
        }
        // Everything ends in the end.
        pair.take(Step::Leave)?;
        for _ in 0..5 {
            pair.take(Step::Wait { seconds: LOCK })?;
        }
        prop_assert!(pair.model.queue.is_empty());
        prop_assert_eq!(pair.model.ended.len() as u64, pair.sent);
        let mut outcomes: Vec<&str> = pair.told.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        let mut expected: Vec<&str> = pair.model.ended.iter().map(|(_, how)| *how).collect();
        outcomes.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(outcomes, expected);
        prop_assert_eq!(pair.world.twin("d")["cloudToDeviceMessageCount"].as_u64(), Some(0));
    }
}
