//! Commits one after the other against devices that are played, from event to event.

use std::collections::BTreeMap;

use hemline_model::{
    Fleet,
    id::{DeviceId, DocumentName, Revision},
    valid::RolloutSpec,
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::devices::{Devices, Faults};
use crate::{
    Facts, Resolution,
    forecast::Side,
    plan, resolve,
    rollout::{Command, Going, Ledger, Progress, Revisions, RolloutRecord, State, Transition, Turn},
};

/// Moments that are looked at, at most: a bug must end, too.
const MOMENTS_AT_MOST: usize = 200_000;
/// Lines of a timeline.
const TOLD_AT_MOST: usize = 1_000;
/// Failed devices that are named.
const NAMED_AT_MOST: usize = 20;

/// One commit of a rehearsal.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Which.
    pub revision: &'a Revision,
    /// Digest of its documents.
    pub documents: &'a str,
    /// Its documents.
    pub fleet: &'a Fleet,
    /// Seconds after the start at which it comes.
    pub at_secs: u64,
}

/// What happens besides commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody says something to all rollouts. What makes no sense at that moment is refused, as ever.
    Order(Command),
    /// Somebody deletes a device at the hub.
    Deleted(DeviceId),
    /// A device goes away, and does not come back by itself.
    Leaves(DeviceId),
    /// A device that is away comes back.
    Returns(DeviceId),
    /// A device reports a property of its twin, which conditions may ask for.
    Reports(DeviceId, String, Value),
}

/// What is rehearsed.
#[derive(Debug, Clone)]
pub struct Rehearsal<'a> {
    /// What the fleet runs at first; the fleet is new without.
    pub base: Option<Commit<'a>>,
    /// What comes, in order.
    pub commits: Vec<Commit<'a>>,
    /// What else happens, and how many seconds after the start; in order.
    pub events: Vec<(u64, Event)>,
    /// What goes wrong.
    pub faults: Faults,
    /// When it starts: windows and days of the week depend on it.
    pub start: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// `complete`, `halted`, `reverted`, `waiting`, or `nothing` when no rollout was needed.
    pub outcome: String,
    /// Where it stopped, in words; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Seconds from the start to the last thing that happened.
    pub seconds: u64,
    /// Devices of the last commit.
    pub devices: usize,
    /// Those of them that have it.
    pub took: usize,
    /// Devices that failed, and why; at most twenty.
    #[schemars(with = "BTreeMap<String, String>")]
    pub failed: BTreeMap<DeviceId, String>,
    /// What happened, in order.
    pub timeline: Vec<Told>,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Seconds after the start.
    pub after_secs: u64,
    /// Of which deployment.
    #[schemars(with = "String")]
    pub deployment: DocumentName,
    /// What.
    pub what: String,
}

/// Runs it. `look` sees every moment: the turn, and the devices after it was applied.
#[must_use]
pub fn rehearse(rehearsal: &Rehearsal<'_>, look: &mut dyn FnMut(Timestamp, &Turn, &Devices)) -> Outcome {
    let mut stage = Stage::new(rehearsal);
    let mut now = rehearsal.start;
    let mut coming = rehearsal.commits.iter().peekable();
    let mut events = rehearsal.events.iter().peekable();
    for _ in 0..MOMENTS_AT_MOST {
        while let Some(commit) = coming.next_if(|commit| after(rehearsal.start, commit.at_secs) <= now) {
            stage.comes(*commit);
        }
        stage.devices.tick(now);
        while let Some((_, event)) = events.next_if(|(at, _)| after(rehearsal.start, *at) <= now) {
            stage.happens(event, now);
        }
        // Each pass leaves less to do for the next.
        for _ in 0..100 {
            if !stage.turn(now, look) {
                break;
            }
        }
        let commit = coming.peek().map(|commit| commit.at_secs).into_iter();
        let commit = commit.chain(events.peek().map(|(at, _)| *at)).min();
        let commit = commit.map(|at_secs| after(rehearsal.start, at_secs));
        let over = stage.ledger.rollouts.values().all(|record| record.state.is_over());
        // When all is said, devices may still come back; the story does not wait for them.
        let devices = stage.devices.next(now).filter(|_| !over || commit.is_some());
        let Some(next) = [commit, devices, stage.wakes(now)].into_iter().flatten().min() else { break };
        now = next;
    }
    stage.outcome()
}

struct Stage<'a> {
    devices: Devices,
    ledger: Ledger,
    base: Option<(Commit<'a>, Resolution)>,
    head: Option<(Commit<'a>, Resolution)>,
    others: BTreeMap<Revision, Resolution>,
    /// All that come, for what devices report may mean something else to each.
    commits: Vec<Commit<'a>>,
    told: Vec<Told>,
    start: Timestamp,
    facts: Facts,
}

impl<'a> Stage<'a> {
    fn new(rehearsal: &Rehearsal<'a>) -> Self {
        let base = rehearsal.base.map(|commit| (commit, resolve(commit.fleet, &Facts::default())));
        let mut stage = Self {
            devices: Devices::new(rehearsal.faults.clone()),
            ledger: Ledger::default(),
            base: base.clone(),
            head: base,
            others: BTreeMap::new(),
            commits: rehearsal.base.iter().chain(&rehearsal.commits).copied().collect(),
            told: Vec::new(),
            start: rehearsal.start,
            facts: Facts::default(),
        };
        if let Some((_, resolution)) = &stage.base {
            let long_ago = Timestamp::MIN;
            for step in
                plan(resolution, None, Some(&stage.devices.observed)).devices.iter().flat_map(|d| &d.steps)
            {
                stage.devices.apply(step, long_ago);
            }
            stage.devices.trust();
            stage.devices.tick(rehearsal.start);
        }
        stage.devices.scatter(rehearsal.start);
        stage
    }

    fn comes(&mut self, commit: Commit<'a>) {
        if self.ledger.quarantined(commit.documents).is_some() {
            return;
        }
        let before = self.head.replace((commit, resolve(commit.fleet, &self.facts)));
        if let Some((commit, resolution)) = before {
            self.others.insert(commit.revision.clone(), resolution);
        }
    }

    fn happens(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::Order(command) => {
                let spec = |name: &DocumentName| self.spec(name);
                // Refused is an answer, too.
                if let Ok((ledger, transitions)) = self.ledger.command(*command, None, "somebody", &spec, now)
                {
                    self.ledger = ledger;
                    self.tell(&transitions, now);
                }
            }
            Event::Deleted(id) => self.devices.delete(id),
            Event::Leaves(id) => self.devices.connect(id, false),
            Event::Returns(id) => self.devices.connect(id, true),
            Event::Reports(id, name, value) => {
                let Some(device) = self.devices.observed.devices.get_mut(id) else { return };
                device.reported.insert(name.clone(), value.clone());
            }
        }
    }

    /// Resolves anew when devices report something else, or went with what they reported.
    fn learn(&mut self) {
        let there = self.devices.observed.devices.iter().filter(|(_, device)| !device.reported.is_empty());
        let reported =
            there.map(|(id, device)| (id.clone(), Value::Object(device.reported.clone()))).collect();
        if self.facts.reported == reported {
            return;
        }
        self.facts.reported = reported;
        for (commit, resolution) in [&mut self.head, &mut self.base].into_iter().flatten() {
            *resolution = resolve(commit.fleet, &self.facts);
        }
        for (revision, resolution) in &mut self.others {
            if let Some(commit) = self.commits.iter().find(|commit| commit.revision == revision) {
                *resolution = resolve(commit.fleet, &self.facts);
            }
        }
    }

    fn spec(&self, name: &DocumentName) -> Option<RolloutSpec> {
        let sides = [self.head.as_ref(), self.base.as_ref()].into_iter().flatten();
        sides.filter_map(|(commit, _)| commit.fleet.deployments.get(name)?.spec.rollout.clone()).next()
    }

    fn tell(&mut self, transitions: &[Transition], now: Timestamp) {
        for transition in transitions {
            if self.told.len() < TOLD_AT_MOST {
                self.told.push(Told {
                    after_secs: u64::try_from(now.duration_since(self.start).as_secs()).unwrap_or_default(),
                    deployment: transition.deployment.clone(),
                    what: transition.what.clone(),
                });
            }
        }
    }

    /// One pass. Is another one needed at the same moment?
    fn turn(&mut self, now: Timestamp, look: &mut dyn FnMut(Timestamp, &Turn, &Devices)) -> bool {
        self.learn();
        let Some((commit, resolution)) = &self.head else { return false };
        let newcomers = self.base.as_ref().and_then(|(base, was)| {
            let new = |id: &DeviceId| !was.devices.contains_key(id);
            commit.fleet.devices.keys().any(new).then(|| {
                let mut fleet = base.fleet.clone();
                fleet.devices.clone_from(&commit.fleet.devices);
                resolve(&fleet, &self.facts)
            })
        });
        let revisions = Revisions {
            head: going(commit, resolution),
            base: self.base.as_ref().map(|(commit, resolution)| going(commit, resolution)),
            others: &self.others,
            newcomers: newcomers.as_ref(),
        };
        let mut turn = self.ledger.turn(&revisions, &self.devices.observed, now);
        let planned = plan(&turn.desired, turn.said.as_ref(), Some(&self.devices.observed));
        for step in planned.waves().into_iter().flatten().flat_map(|device| &device.steps) {
            self.devices.apply(step, now);
        }
        let before = turn.ledger.clone();
        turn.ledger.done(&revisions, &turn.desired, &|_| false);
        let moved = turn.ledger != self.ledger || before != self.ledger || !planned.is_empty();
        self.ledger = turn.ledger.clone();
        look(now, &turn, &self.devices);
        self.tell(&turn.transitions, now);
        if turn.goes_back && self.base.is_some() {
            if let Some((commit, resolution)) = self.head.take() {
                self.others.insert(commit.revision.clone(), resolution);
            }
            self.head = self.base.clone();
        } else if turn.completes {
            self.base = self.head.clone();
        }
        moved
    }

    fn wakes(&self, now: Timestamp) -> Option<Timestamp> {
        self.ledger.wakes(&|name| self.spec(name), now)
    }

    fn outcome(self) -> Outcome {
        let records: Vec<&RolloutRecord> = self.ledger.rollouts.values().collect();
        let any =
            |wanted: &dyn Fn(&State) -> bool| records.iter().find(|record| wanted(&record.state)).copied();
        let stopped =
            any(&|state| state.goes_back()).or_else(|| any(&|state| matches!(state, State::Halted { .. })));
        let outcome = match (stopped, records.is_empty()) {
            (_, true) => "nothing",
            (Some(record), _) => record.state.word(),
            (None, _) if records.iter().all(|record| matches!(record.state, State::Complete { .. })) => {
                "complete"
            }
            (None, _) => "waiting",
        };
        let all = || records.iter().flat_map(|record| record.devices().map(move |device| (record, device)));
        let failed = all().filter_map(|(_, (id, progress))| match progress {
            Progress::Failed(failure) => Some((id.clone(), failure.says(id))),
            Progress::Waiting | Progress::Skipped | Progress::Given(_) | Progress::Done => None,
        });
        Outcome {
            outcome: outcome.to_owned(),
            stopped: stopped.map(|record| record.says()),
            seconds: self.told.last().map_or(0, |told| told.after_secs),
            devices: all().count(),
            took: all().filter(|(record, (id, _))| record.brings(id.as_str())).count(),
            failed: failed.take(NAMED_AT_MOST).collect(),
            timeline: self.told,
        }
    }
}

fn going<'s>(commit: &Commit<'s>, resolution: &'s Resolution) -> Going<'s> {
    Going {
        revision: commit.revision,
        documents: commit.documents,
        side: Side { fleet: commit.fleet, resolution },
    }
}

fn after(start: Timestamp, seconds: u64) -> Timestamp {
    start
        .saturating_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
        .unwrap_or(Timestamp::MAX)
}
