//! Whose hand ended a container: what comes through the engine and not from this agent is somebody else's.
//!
//! Kept in memory only. An agent that was not there when it happened takes the end for one of the container's own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::module::{EngineStatus, Seen};

/// A container may take that long to end after somebody asked it to.
const TO_END: SignedDuration = SignedDuration::from_mins(1);

/// Between the clock of the engine and ours.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// More containers than a device has; the oldest are forgotten.
const MOST: usize = 200;

/// A stop is told as one or two kills and a stop.
const MOST_TIMES: usize = 8;

#[derive(Default)]
pub(super) struct Hands {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when, and until when, this agent stops a container.
    ours: BTreeMap<String, (Timestamp, Option<Timestamp>)>,
    /// When somebody else did, the newest last.
    others: BTreeMap<String, Vec<Timestamp>>,
}

/// As long as it lives, whatever ends the container is this agent's doing.
pub(super) struct Ours<'a> {
    hands: &'a Hands,
    id: String,
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        if let Some((_, until)) = self.hands.lock().ours.get_mut(&self.id) {
            *until = Some(Timestamp::now());
        }
    }
}

impl Hands {
    pub(super) fn ours(&self, id: &str) -> Ours<'_> {
        let mut state = self.lock();
        bounded(&mut state.ours, |(since, _)| *since);
        state.ours.insert(id.to_owned(), (Timestamp::now(), None));
        drop(state);
        Ours { hands: self, id: id.to_owned() }
    }

    /// The engine told of an event.
    pub(super) fn told(&self, id: &str, action: &str, signal: Option<&str>, at: Timestamp) {
        if !(action == "stop" || (action == "kill" && ends(signal))) {
            return;
        }
        let mut state = self.lock();
        let ours = state.ours.get(id).is_some_and(|(since, until)| {
            at + SLACK >= *since && until.is_none_or(|until| at <= until + SLACK)
        });
        if !ours {
            bounded(&mut state.others, |times| times.last().copied().unwrap_or(Timestamp::MIN));
            let times = state.others.entry(id.to_owned()).or_default();
            times.push(at);
            let old = times.len().saturating_sub(MOST_TIMES);
            times.drain(..old);
        }
    }

    /// Adds to what was found whose hand it was.
    pub(super) fn judge(&self, mut seen: Seen) -> Seen {
        let down = matches!(seen.status, EngineStatus::Stopped | EngineStatus::Failed) && !seen.paused;
        let told = seen.id.as_ref().and_then(|id| self.lock().others.get(id).cloned()).unwrap_or_default();
        seen.by_hand = match (seen.started, seen.exited) {
            // Of this run, and shortly before its end; engines tell of a kill right after it was done.
            (Some(started), Some(exited)) if down => told
                .iter()
                .any(|at| *at > started && *at <= exited + SLACK && exited.duration_since(*at) < TO_END),
            (_, _) => false,
        };
        seen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signal may be for something else than the end: many programs read their settings again on HUP.
fn ends(signal: Option<&str>) -> bool {
    let Some(signal) = signal else { return true };
    let name = signal.trim_start_matches("SIG");
    ["9", "15", "2", "3", "KILL", "TERM", "INT", "QUIT"].contains(&name)
}

fn bounded<T>(map: &mut BTreeMap<String, T>, age: impl Fn(&T) -> Timestamp) {
    while map.len() >= MOST {
        let oldest = map.iter().min_by_key(|(_, value)| age(value)).map(|(id, _)| id.clone());
        if oldest.and_then(|id| map.remove(&id)).is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{Health, ModuleKey, ModuleKind};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::constant(1_800_000_000, 0) + SignedDuration::from_secs(seconds)
    }

    fn ended(started: i64, exited: i64) -> Seen {
        Seen {
            key: ModuleKey { kind: ModuleKind::Docker, name: "m".to_owned() },
            id: Some("id".to_owned()),
            traits: BTreeMap::new(),
            by_hand: false,
            paused: false,
            hash: None,
            status: EngineStatus::Failed,
            health: Health::None,
            exit_code: Some(137),
            started: Some(at(started)),
            exited: Some(at(exited)),
            description: String::new(),
            image_hash: None,
        }
    }

    #[test]
    fn the_hand_of_an_end() {
        let hands = Hands::default();
        assert!(!hands.judge(ended(0, 100)).by_hand, "nobody said anything");
        hands.told("id", "kill", Some("1"), at(99));
        assert!(!hands.judge(ended(0, 100)).by_hand, "a signal for something else");
        hands.told("id", "kill", Some("15"), at(95));
        hands.told("id", "stop", None, at(100));
        assert!(hands.judge(ended(0, 100)).by_hand);
        assert!(!hands.judge(ended(101, 110)).by_hand, "another run, which crashed");
        hands.told("id", "kill", Some("9"), at(120));
        assert!(hands.judge(ended(111, 120)).by_hand, "killed again");
        assert!(!hands.judge(ended(111, 500)).by_hand, "it went on for long");
        let running = Seen { status: EngineStatus::Running, ..ended(111, 120) };
        assert!(!hands.judge(running).by_hand);
    }

    #[test]
    fn our_own_hand_is_not_told() {
        let hands = Hands::default();
        let now = Timestamp::now();
        let ours = hands.ours("id");
        hands.told("id", "kill", Some("15"), now);
        drop(ours);
        hands.told("id", "stop", None, Timestamp::now());
        assert!(hands.lock().others.is_empty());
        hands.told("id", "kill", Some("9"), Timestamp::now() + SignedDuration::from_secs(5));
        assert_eq!(hands.lock().others.len(), 1, "later on");
    }
}
