//! The queue of one module against a model that a child could check: what is acknowledged to the sender is delivered
//! until the module acknowledges it, in order, through lost connections, power cuts and full windows.

use std::collections::BTreeMap;

use hemline_hub_core::{
    effect::{Effect, Outbound},
    event::ConnectionId,
    limits::Limits,
};
use proptest::prelude::*;
use serde_json::json;

use super::world::{World, id};

const WINDOW: usize = 3;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The sensor sends: to the better or the worse priority.
    Send { urgent: bool },
    /// The filter connects, or connects again.
    Connect,
    /// The filter's connection is lost.
    Leave,
    /// The filter acknowledges one of what it got.
    Acknowledge { which: usize },
    /// Power off, power on.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<bool>().prop_map(|urgent| Step::Send { urgent }),
        2 => Just(Step::Connect),
        1 => Just(Step::Leave),
        6 => any::<usize>().prop_map(|which| Step::Acknowledge { which }),
        1 => Just(Step::Restart),
    ]
}

/// Places in delivery order, with what has happened to each.
#[derive(Debug, Default)]
struct Model {
    waiting: BTreeMap<(u32, u64), State>,
    connected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits { sent_before: bool },
    OnItsWay,
}

impl Model {
    /// What goes out now: the best that wait, as many as the window has room for.
    fn pump(&mut self) -> Vec<(u64, bool)> {
        let mut sent = Vec::new();
        let busy = self.waiting.values().filter(|state| **state == State::OnItsWay).count();
        if self.connected {
            let mut room = WINDOW - busy;
            for ((_, sequence), state) in &mut self.waiting {
                if let State::Waits { sent_before } = *state
                    && room > 0
                {
                    room -= 1;
                    *state = State::OnItsWay;
                    sent.push((*sequence, sent_before));
                }
            }
        }
        sent
    }

    fn lose_connection(&mut self) {
        self.connected = false;
        for state in self.waiting.values_mut().filter(|state| **state == State::OnItsWay) {
            *state = State::Waits { sent_before: true };
        }
    }

    /// A restarted hub does not know any more what it has sent.
    fn restart(&mut self) {
        self.connected = false;
        self.waiting.values_mut().for_each(|state| *state = State::Waits { sent_before: false });
    }
}

struct Pair {
    world: World,
    model: Model,
    sensor: ConnectionId,
    filter: Option<ConnectionId>,
    /// Deliveries of the present connection that are not acknowledged: number and place.
    open: Vec<(u64, (u32, u64))>,
    last_sequence: u64,
}

impl Pair {
    fn new() -> Self {
        let route = |output: &str| {
            format!(
                r#"FROM /messages/modules/s/outputs/{output} INTO BrokeredEndpoint("/modules/f/inputs/in")"#
            )
        };
        let mut world = World::edge(
            Limits { in_flight: WINDOW, ..Limits::default() },
            &["s", "f"],
            json!({
                "urgent": {"route": route("urgent"), "priority": 0, "timeToLiveSecs": 100_000},
                "normal": {"route": route("normal"), "priority": 5, "timeToLiveSecs": 100_000},
            }),
        );
        let filter = world.listen("d/f");
        world.leave(filter);
        let sensor = world.connect("d/s");
        Self { world, model: Model::default(), sensor, filter: None, open: Vec::new(), last_sequence: 0 }
    }

    /// Compares what went out with what the model says, and remembers it for acknowledging.
    fn compare(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        let mut sent = Vec::new();
        for effect in effects {
            if let Effect::Send {
                outbound: Outbound::Input { delivery, message, duplicate, .. },
                connection,
            } = effect
            {
                prop_assert_eq!(Some(*connection), self.filter);
                let delivery = delivery.expect("every delivery is to be acknowledged").0;
                let urgent = message.properties.system.output_name.as_deref() == Some("urgent");
                self.open.push((delivery, (if urgent { 0 } else { 5 }, message.sequence.0)));
                sent.push((message.sequence.0, *duplicate));
            }
        }
        prop_assert_eq!(sent, self.model.pump());
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send { urgent } => {
                let effects = self.world.send(self.sensor, if urgent { "urgent" } else { "normal" }, "x");
                let acknowledged = effects.iter().any(|effect| matches!(effect, Effect::Ack { .. }));
                prop_assert!(acknowledged);
                self.last_sequence += 1;
                let place = (if urgent { 0 } else { 5 }, self.last_sequence);
                self.model.waiting.insert(place, State::Waits { sent_before: false });
                self.compare(&effects)?;
            }
            Step::Connect => {
                self.model.lose_connection();
                self.open.clear();
                self.model.connected = true;
                let token = self.world.device_token("d");
                // The number that the next connection will get is not known before; effects are compared after.
                let (connection, effects) = self.world.connect_with("d/f", token, false);
                self.filter = Some(connection);
                self.compare(&effects)?;
            }
            Step::Leave => {
                if let Some(connection) = self.filter.take() {
                    let effects = self.world.leave(connection);
                    self.model.lose_connection();
                    self.open.clear();
                    self.compare(&effects)?;
                }
            }
            Step::Acknowledge { which } => {
                if let (Some(connection), false) = (self.filter, self.open.is_empty()) {
                    let (delivery, place) = self.open.remove(which % self.open.len());
                    let effects = self.world.acknowledge(connection, delivery);
                    self.model.waiting.remove(&place);
                    self.compare(&effects)?;
                }
            }
            Step::Restart => {
                self.world.restart();
                self.model.restart();
                self.filter = None;
                self.open.clear();
                self.sensor = self.world.connect("d/s");
            }
        }
        let mut expected: Vec<u64> = self.model.waiting.keys().map(|(_, sequence)| *sequence).collect();
        expected.sort_unstable();
        prop_assert_eq!(self.world.disk.waiting_for(&id("d/f")), expected.clone(), "what is on disk");
        prop_assert_eq!(self.world.core.counters().waiting, expected.len() as u64);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_and_order_is_kept(steps in proptest::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step)?;
        }
        // In the end everything arrives.
        pair.take(Step::Connect)?;
        while !pair.open.is_empty() {
            pair.take(Step::Acknowledge { which: 0 })?;
        }
        prop_assert!(pair.model.waiting.is_empty());
        prop_assert_eq!(pair.world.core.counters().waiting_bytes, 0);
    }
}
