//! A controller that is killed between any two steps of its rollouts, and starts again: the end is the same as without.
//!
//! Real state and files; the hub and its devices are played. A kill is an unwind at a point (`brake.rs`): what was in memory is
//! gone, what is on disk is read again.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, path::PathBuf, sync::Arc};

use hemline_model::{SourceFile, id::Revision};
use hemline_plan::{
    Facts,
    rollout::{Command, Ledger, Progress},
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
    resolve::resolve,
    validate::{Attempt, Good},
};

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// What the source holds from a moment on.
#[derive(Debug, Clone, Copy)]
struct Commit {
    /// Seconds after the start.
    at: i64,
    revision: &'static str,
    version: u32,
    /// It has a module that fails everywhere.
    bad: bool,
    /// A person has to agree to each wave, and to going back.
    people: bool,
}

/// Commits, and what people say at which second.
#[derive(Debug, Clone, Copy)]
struct Plot {
    commits: &'static [Commit],
    orders: &'static [(i64, Command)],
}

/// Documents: camera of a version, and a module that fails everywhere when there is one.
fn good(commit: &Commit) -> Good {
    let Commit { revision, version, bad, people, .. } = *commit;
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
                    "approve": if people { "each-wave" } else { "none" },
                    "onFailure": if people { "halt" } else { "revert" }}}}));
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

const fn commit(at: i64, revision: &'static str, version: u32, bad: bool, people: bool) -> Commit {
    Commit { at, revision, version, bad, people }
}

/// A bad commit that goes back by itself, and one that comes in the middle of another.
const ALONE: Plot = Plot {
    commits: &[
        commit(0, "aaaaaaa", 1, false, false),
        commit(600, "bbbbbbb", 2, true, false),
        commit(1500, "ccccccc", 3, false, false),
        commit(1540, "ddddddd", 4, false, false),
    ],
    orders: &[],
};

/// A commit that people hold and let go on, one that they end and take back, and a bad one that they try twice.
const PEOPLE: Plot = Plot {
    commits: &[
        commit(0, "aaaaaaa", 1, false, false),
        commit(600, "bbbbbbb", 2, false, true),
        commit(1500, "ccccccc", 3, false, true),
        commit(2400, "ddddddd", 4, true, true),
        commit(4200, "eeeeeee", 5, false, false),
    ],
    orders: &[
        (620, Command::Pause),
        (640, Command::Resume),
        (660, Command::Approve),
        (800, Command::Approve),
        (1520, Command::Approve),
        (1620, Command::Abort),
        (1640, Command::Revert),
        (2420, Command::Approve),
        (3000, Command::Resume),
        (3600, Command::Revert),
    ],
};

struct World {
    plot: Plot,
    folder: PathBuf,
    state: State,
    devices: Devices,
    now: Timestamp,
    /// Orders that were answered.
    said: usize,
    /// Orders that made no sense when they were given.
    refused: Vec<String>,
}

impl World {
    fn new(plot: Plot, folder: PathBuf) -> Self {
        let faults =
            Faults { failing: [("broken".to_owned(), 100)].into(), apply_secs: 10, ..Faults::default() };
        let state = State::restore(LastGood::new(folder.clone()), false);
        let (said, refused) = (0, Vec::new());
        let (devices, now) = (Devices::new(faults), start());
        Self { plot, folder, state, devices, now, said, refused }
    }

    /// What a pass does, with devices that are played in place of the hub.
    fn pass(&mut self) -> bool {
        let passed = self.now.duration_since(start()).as_secs();
        let commit = self.plot.commits.iter().rev().find(|commit| commit.at <= passed).unwrap();
        self.devices.tick(self.now);
        // The source is read when it moved, and after a start.
        if self.state.attempted.as_ref().is_none_or(|read| read.as_str() != commit.revision) {
            self.state.take(Attempt::Good { good: Box::new(good(commit)), findings: Vec::new() });
        }
        let good = self.state.good.clone().unwrap();
        let facts = Facts::default();
        let before = self.kept();
        let rolled = self
            .state
            .roll(Arc::new(resolve(&good, &facts)), &facts, &self.devices.observed, self.now)
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

    /// What people say now. Who gets no answer says it again.
    fn orders(&mut self) {
        while let Some((at, command)) = self.plot.orders.get(self.said) {
            if start() + SignedDuration::from_secs(*at) > self.now {
                return;
            }
            if let Err(refused) = self.state.order(*command, None, "ann", self.now) {
                self.refused.push(refused.to_string());
            }
            self.said += 1;
        }
    }

    /// What a pass may have moved on.
    fn kept(&self) -> (Ledger, Option<Revision>) {
        let complete = self.state.applied.as_ref().map(|applied| applied.good.revision.clone());
        (self.state.rollouts.ledger.clone(), complete)
    }

    /// The moment at which something happens next; `None` when the story is over.
    fn next(&self) -> Option<Timestamp> {
        let commits = self.plot.commits.iter().map(|commit| commit.at);
        let orders = self.plot.orders.iter().map(|(at, _)| *at);
        let moments = commits.chain(orders).map(|at| start() + SignedDuration::from_secs(at));
        let commit = moments.filter(|at| *at > self.now).min();
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
                let step = AssertUnwindSafe(|| {
                    self.orders();
                    self.pass()
                });
                match std::panic::catch_unwind(step) {
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
                let bad = self.plot.commits.iter().any(|c| c.bad && c.revision == record.revision.as_str());
                let goes = bad && !record.state.goes_back();
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

/// Plays the plot once for each point at which it may be killed; the end without a kill, and where it was stopped.
fn kill_everywhere(plot: Plot) -> (Value, BTreeSet<&'static str>) {
    let at = folder();
    let mut world = World::new(plot, at.path().to_owned());
    brake::passed();
    world.play(None);
    let points = brake::passed();
    let wanted = world.end();
    assert_eq!(world.refused, Vec::<String>::new());
    assert_eq!(world.said, plot.orders.len());
    assert_eq!(wanted["on"], json!([]), "{wanted:#}");
    assert!(points > 80, "only {points} points");

    let mut places = BTreeSet::new();
    for kill in 0..points {
        let at = folder();
        let mut world = World::new(plot, at.path().to_owned());
        let place = world.play(Some(kill));
        places.insert(place);
        assert_eq!(world.end(), wanted, "killed at point {kill}, {place}");
    }
    (wanted, places)
}

#[test]
fn what_people_say_is_done_once_wherever_it_is_killed() {
    let (wanted, places) = kill_everywhere(PEOPLE);
    assert_eq!(wanted["complete"], "eeeeeee", "{wanted:#}");
    let bad: Vec<&Value> = wanted["quarantined"].as_array().unwrap().iter().map(|one| &one[0]).collect();
    assert_eq!(bad, ["ccccccc", "ddddddd"], "{wanted:#}");
    for place in ["before the order is kept", "after the order was kept"] {
        assert!(places.contains(place), "never stopped {place}: {places:?}");
    }
}

#[test]
fn killed_between_any_two_steps_it_ends_the_same() {
    let (wanted, places) = kill_everywhere(ALONE);
    assert_eq!(wanted["complete"], "ddddddd", "{wanted:#}");
    assert_eq!(wanted["quarantined"][0][0], "bbbbbbb", "{wanted:#}");
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
    let mut world = World::new(ALONE, at.path().to_owned());
    world.now = start();
    while world.now < start() + SignedDuration::from_secs(1400) {
        while world.pass() {}
        world.now = world.next().unwrap();
    }
    let in_force = |state: &State| state.good.as_ref().map(|good| good.revision.to_string());
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"));
    world.restart();
    world.now = start() + SignedDuration::from_secs(1400);
    while world.pass() {}
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"), "it is not rolled out again");
    let proposal = world.state.quarantined.clone().unwrap();
    assert_eq!((proposal.quarantined.as_str(), proposal.failed, proposal.took), ("bbbbbbb", 1, 1));
    assert!(proposal.reason.contains("broken on d0 exits 1"), "{}", proposal.reason);
    assert!(Arc::ptr_eq(world.state.good.as_ref().unwrap(), &world.state.applied.as_ref().unwrap().good));
}

#[test]
fn a_revision_in_between_that_cannot_be_kept_is_known_all_the_same() {
    let at = folder();
    let mut world = World::new(ALONE, at.path().to_owned());
    // No file can take the place of a folder that holds something.
    let in_the_way = at.path().join("between-ccccccc.json");
    std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    world.now = start();
    let until = start() + SignedDuration::from_secs(1545);
    while world.now < until {
        while world.pass() {}
        world.now = world.next().unwrap();
    }
    let lacks = |world: &World| world.state.kept.lacks(crate::last_good::BETWEEN);
    let needed = Revision::new("ccccccc").unwrap();
    assert!(world.state.rollouts.ledger.needs().contains(&needed), "it is in between");
    assert!(world.state.rollouts.knows(&needed), "its devices keep it");
    assert!(lacks(&world));
    assert!(world.state.kept.what_lacks().unwrap().starts_with("between: "));
    world.state.keep_again();
    assert!(lacks(&world), "it is still not kept");
    std::fs::remove_dir_all(&in_the_way).unwrap();
    world.state.keep_again();
    assert!(!lacks(&world) && in_the_way.is_file());
}
