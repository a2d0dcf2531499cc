//! A controller that is killed between any two steps of its rollouts, and starts again: the end is the same as without.
//!
//! Real state and files; the hub and its devices are played. A kill is an unwind at a point (`brake.rs`): what was in memory is
//! gone, what is on disk is read again.

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc};

use hemline_model::{SourceFile, id::Revision};
use hemline_plan::{
    rollout::{Ledger, Progress},
    simulate::{Devices, Faults},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    apply::Applied,
    brake,
    last_good::LastGood,
    pass::State,
    plan::plan,
    resolve::{facts, resolve},
    validate::{Attempt, Good},
};

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// Documents: camera of a version, and a module that fails everywhere when there is one.
fn good(revision: &str, version: u32, bad: bool) -> Good {
    let mut modules = json!({"camera": {"image": format!("camera:{version}"), "desired": {"fps": version}}});
    if bad {
        modules["broken"] = json!({"image": "broken:1"});
    }
    let mut all: Vec<Value> = (0..5)
        .map(|n| {
            json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": format!("d{n}")},
                "spec": {"edge": true, "tags": {"version": version}}})
        })
        .collect();
    all.push(json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "vision"}, "spec": {
        "targetCondition": "deviceId <> 'd4'", "priority": 1, "modules": modules,
        "rollout": {"waves": [{"count": 1}, {"percent": 100}], "maxUnavailable": 2, "healthyFor": "20s", "deadline": "5m",
                    "onFailure": "revert"}}}));
    all.push(json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "at-once"}, "spec": {
        "targetCondition": "deviceId = 'd4'", "priority": 1, "modules": {"meter": {"image": format!("meter:{version}")}}}}));
    let files: Vec<SourceFile> = all
        .iter()
        .enumerate()
        .map(|(place, document)| SourceFile {
            path: format!("{place}.json").into(),
            bytes: document.to_string().into_bytes(),
        })
        .collect();
    let fleet = hemline_model::load(&files).fleet.unwrap();
    Good::new(Revision::new(revision).unwrap(), None, fleet, files)
}

/// Seconds after the start, and what the source holds from then on.
const COMMITS: [(i64, &str, u32, bool); 4] = [
    (0, "aaaaaaa", 1, false),
    (600, "bbbbbbb", 2, true),
    (1500, "ccccccc", 3, false),
    (1540, "ddddddd", 4, false),
];

struct World {
    folder: PathBuf,
    state: State,
    devices: Devices,
    now: Timestamp,
}

impl World {
    fn new(folder: PathBuf) -> Self {
        let faults =
            Faults { failing: [("broken".to_owned(), 100)].into(), apply_secs: 10, ..Faults::default() };
        let state = State::restore(LastGood::new(folder.clone()), false);
        Self { folder, state, devices: Devices::new(faults), now: start() }
    }

    /// What a pass does, with devices that are played in place of the hub.
    fn pass(&mut self) -> bool {
        let passed = self.now.duration_since(start()).as_secs();
        let commit = COMMITS.iter().rev().find(|(at, ..)| *at <= passed).unwrap();
        self.devices.tick(self.now);
        let source = good(commit.1, commit.2, commit.3);
        self.state.take(Attempt::Good { good: Box::new(source), findings: Vec::new() });
        let good = self.state.good.clone().unwrap();
        let facts = facts(&self.devices.observed);
        let before = self.kept();
        let rolled = self
            .state
            .roll(resolve(&good, &facts), &facts, &self.devices.observed, self.now)
            .unwrap()
            .unwrap();
        let planned = plan(&good.revision, &rolled.desired, self.state.said(), &self.devices.observed);
        for step in planned.waves().into_iter().flatten().flat_map(|device| &device.steps) {
            brake::point("before a step");
            self.devices.apply(step, self.now);
        }
        self.state.finish(rolled, &planned, &Applied::default());
        !planned.is_empty() || before != self.kept()
    }

    /// What a pass may have moved on.
    fn kept(&self) -> (Ledger, Option<Revision>) {
        let complete = self.state.applied.as_ref().map(|applied| applied.good.revision.clone());
        (self.state.rollouts.ledger.clone(), complete)
    }

    /// The moment at which something happens next; `None` when the story is over.
    fn next(&self) -> Option<Timestamp> {
        let commits = COMMITS.iter().map(|(at, ..)| start() + SignedDuration::from_secs(*at));
        let commit = commits.filter(|at| *at > self.now).min();
        let over = self.state.rollouts.ledger.rollouts.values().all(|record| record.state.is_over());
        let devices = self.devices.next(self.now).filter(|_| !over || commit.is_some());
        [commit, devices, self.state.wakes(self.now)].into_iter().flatten().min()
    }

    /// Everything from the first commit on; killed once after so many points, when there is a number.
    fn play(&mut self, kill: Option<usize>) -> &'static str {
        if let Some(points) = kill {
            brake::arm(points);
        }
        for _ in 0..2_000 {
            loop {
                match std::panic::catch_unwind(AssertUnwindSafe(|| self.pass())) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(cause) if cause.is::<brake::Killed>() => self.restart(),
                    Err(cause) => std::panic::resume_unwind(cause),
                }
            }
            match self.next() {
                Some(next) => self.now = next,
                None => return brake::disarm(),
            }
        }
        panic!("it never ends");
    }

    /// The program starts again.
    fn restart(&mut self) {
        self.state = State::restore(LastGood::new(self.folder.clone()), false);
        // Nothing was done that is not written down: whoever has the new version was given it on paper.
        for record in self.state.rollouts.ledger.rollouts.values() {
            for (id, progress) in record.devices() {
                let waits = matches!(progress, Progress::Waiting | Progress::Skipped);
                let agent =
                    self.devices.observed.devices.get(id).and_then(|there| there.modules.get("$edgeAgent"));
                let broken = agent.and_then(|agent| agent.desired.get("modules")?.get("broken"));
                let goes = record.revision.as_str() == "bbbbbbb" && !record.state.goes_back();
                assert!(!(waits && goes && broken.is_some()), "{id} has what nobody gave it");
            }
        }
    }

    /// What counts at the end.
    fn end(&self) -> Value {
        let state = &self.state;
        let ledger = &state.rollouts.ledger;
        let twins: Vec<Value> = self
            .devices
            .observed
            .devices
            .iter()
            .map(|(id, device)| {
                let modules =
                    device.modules.iter().map(|(module, twin)| (module.to_string(), json!(twin.desired)));
                json!([id, device.tags, modules.collect::<serde_json::Map<_, _>>()])
            })
            .collect();
        let quarantined = ledger.quarantined.iter().map(|bad| {
            json!([
                bad.proposal.quarantined,
                bad.proposal.last_good,
                bad.proposal.evidence.keys().collect::<Vec<_>>()
            ])
        });
        let rollouts = ledger
            .rollouts
            .values()
            .map(|record| json!([record.revision, record.state.word(), record.counts()]));
        json!({
            "twins": twins,
            "quarantined": quarantined.collect::<Vec<_>>(),
            "rollouts": rollouts.collect::<Vec<_>>(),
            "on": ledger.on, "told": ledger.told,
            "inForce": state.good.as_ref().map(|good| good.revision.clone()),
            "complete": state.applied.as_ref().map(|applied| applied.good.revision.clone()),
            "files": files(&self.folder),
        })
    }
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".tmp")).collect();
    names.sort();
    names
}

/// A folder that costs nothing to sync, where there is one.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[test]
fn killed_between_any_two_steps_it_ends_the_same() {
    let at = folder();
    let mut world = World::new(at.path().to_owned());
    brake::passed();
    world.play(None);
    let points = brake::passed();
    let wanted = world.end();
    assert_eq!(wanted["complete"], "ddddddd", "{wanted:#}");
    assert_eq!(wanted["quarantined"][0][0], "bbbbbbb", "{wanted:#}");
    assert_eq!(wanted["on"], json!([]), "{wanted:#}");
    assert!(points > 80, "only {points} points");

    let mut places = std::collections::BTreeSet::new();
    for kill in 0..points {
        let at = folder();
        let mut world = World::new(at.path().to_owned());
        places.insert(world.play(Some(kill)));
        assert_eq!(world.end(), wanted, "killed at point {kill}, {:?}", places.last());
    }
    // Every place where a pass can be stopped was one where it was.
    for place in [
        "before the decision is kept",
        "after the decision was kept",
        "before a step",
        "before what was done is kept",
        "before a revision is in force",
        "before a revision is complete",
        "before a file is renamed",
        "after a file was renamed",
    ] {
        assert!(places.contains(place), "never stopped {place}: {places:?}");
    }
}

#[test]
fn a_quarantined_revision_stays_so_after_a_restart() {
    let at = folder();
    let mut world = World::new(at.path().to_owned());
    world.now = start();
    while world.now < start() + SignedDuration::from_secs(1400) {
        while world.pass() {}
        world.now = world.next().unwrap();
    }
    let in_force = |state: &State| state.good.as_ref().map(|good| good.revision.to_string());
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"));
    assert!(world.state.quarantined.is_some());
    world.restart();
    world.now = start() + SignedDuration::from_secs(1400);
    while world.pass() {}
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"), "it is not rolled out again");
    let proposal = world.state.quarantined.clone().unwrap();
    assert_eq!((proposal.quarantined.as_str(), proposal.failed, proposal.took), ("bbbbbbb", 1, 1));
    assert!(proposal.reason.contains("broken on d0 exits 1"), "{}", proposal.reason);
    assert!(Arc::ptr_eq(world.state.good.as_ref().unwrap(), &world.state.applied.as_ref().unwrap().good));
}
