//! A controller that is killed between any two steps of its rounds, and starts again: the end is the same as without.
//!
//! The round is the controller's own, with real files and a real repository; the hub with its devices and the clocks are played. A
//! kill is an unwind at a point (`brake.rs`): what was in memory is gone, what is on disk is read again.

mod history;
mod played;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::Revision;
use hemline_plan::rollout::Command;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::{history::History, world::World};
use crate::{brake, pass::State};

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
fn documents(commit: &Commit) -> String {
    let Commit { version, bad, people, .. } = *commit;
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
    all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
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
        commit(1000, "ccccccc", 3, false, true),
        commit(1300, "ddddddd", 4, true, true),
        commit(2400, "eeeeeee", 5, false, false),
    ],
    orders: &[
        (620, Command::Pause),
        (640, Command::Resume),
        (660, Command::Approve),
        (800, Command::Approve),
        (1020, Command::Approve),
        (1120, Command::Abort),
        (1140, Command::Revert),
        (1320, Command::Approve),
        (1700, Command::Resume),
        (2100, Command::Revert),
    ],
};

/// Where the one that is never killed stands at each of its moments.
type Story = BTreeMap<Timestamp, String>;
/// So many moments in a row are the same before a play ends early.
const LIKE: usize = 4;
/// One of so many is played to its end.
const WHOLE: usize = 6;

/// A folder that costs nothing to sync, where there is one.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Plays the plot once for each point at which it may be killed; the end without a kill, and where it was stopped. `None` where a
/// part is missing.
fn kill_everywhere(plot: Plot) -> Option<(Value, BTreeSet<&'static str>)> {
    let history = History::of(plot)?;
    let at = folder();
    let mut world = World::new(plot, &history, at.path());
    brake::passed();
    let mut story = Story::new();
    while let Some(moment) = world.go_on() {
        story.insert(moment, world.stands());
    }
    let points = brake::passed();
    let wanted = world.end();
    assert_eq!(world.refused, Vec::<String>::new());
    assert_eq!(world.said, plot.orders.len());
    assert_eq!(wanted["on"], json!([]), "{wanted:#}");
    assert_eq!(wanted["drift"], json!([]), "{wanted:#}");
    assert!(points > 80, "only {points} points");

    let (mut places, mut short) = (BTreeSet::new(), 0);
    for kill in 0..points {
        let at = folder();
        let mut world = World::new(plot, &history, at.path());
        brake::arm(kill);
        // Where it stands as the one that was never killed, again and again, it ends as that one. A part is played to its end all
        // the same.
        let mut same = 0;
        while let Some(moment) = world.go_on() {
            let stands = world.restarts > 0 && story.get(&moment) == Some(&world.stands());
            same = if stands { same + 1 } else { 0 };
            if same > LIKE && kill % WHOLE > 0 {
                break;
            }
        }
        let place = brake::disarm();
        assert_eq!(world.restarts, 1, "killed at point {kill} of {points}");
        places.insert(place);
        if same > LIKE && kill % WHOLE > 0 {
            short += 1;
        } else {
            assert_eq!(world.end(), wanted, "killed at point {kill} of {points}, {place}");
        }
    }
    println!("killed at {points} points; {short} of these stood where they should long before the end");
    Some((wanted, places))
}

#[test]
fn what_people_say_is_done_once_wherever_it_is_killed() {
    let Some((wanted, places)) = kill_everywhere(PEOPLE) else { return };
    assert_eq!(wanted["complete"], "eeeeeee", "{wanted:#}");
    let bad: Vec<&Value> = wanted["quarantined"].as_array().unwrap().iter().map(|one| &one[0]).collect();
    assert_eq!(bad, ["ccccccc", "ddddddd"], "{wanted:#}");
    assert_eq!(wanted["branches"], json!(["hemline/revert-ccccccc", "hemline/revert-ddddddd", "main"]));
    for place in ["before the order is kept", "after the order was kept"] {
        assert!(places.contains(place), "never stopped {place}: {places:?}");
    }
}

#[test]
fn killed_between_any_two_steps_it_ends_the_same() {
    let Some((wanted, places)) = kill_everywhere(ALONE) else { return };
    assert_eq!(wanted["complete"], "ddddddd", "{wanted:#}");
    assert_eq!(wanted["quarantined"][0][0], "bbbbbbb", "{wanted:#}");
    assert_eq!(wanted["branches"], json!(["hemline/revert-bbbbbbb", "main"]));
    // Every place where a round can be stopped was one where it was.
    for place in [
        "before the decision is kept",
        "after the decision was kept",
        "before a step",
        "after a step",
        "before what was done is kept",
        "after what was done was kept",
        "before a revision is in force",
        "before a revision is complete",
        "before a way back is kept",
        "before a file is renamed",
        "after a file was renamed",
    ] {
        assert!(places.contains(place), "never stopped {place}: {places:?}");
    }
}

#[test]
fn a_quarantined_revision_stays_so_after_a_restart() {
    let Some(history) = History::of(ALONE) else { return };
    let at = folder();
    let mut world = World::new(ALONE, &history, at.path());
    let then = start() + SignedDuration::from_secs(1400);
    world.play_until(then);
    let in_force = |state: &State| state.good.as_ref().map(|good| history.named(good.revision.as_str()));
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"));
    world.restart();
    world.play_until(then);
    assert_eq!(in_force(&world.state).as_deref(), Some("aaaaaaa"), "it is not rolled out again");
    let proposal = world.state.quarantined.clone().unwrap();
    let quarantined = history.named(proposal.quarantined.as_str());
    assert_eq!((quarantined.as_str(), proposal.failed, proposal.took), ("bbbbbbb", 1, 1));
    assert!(proposal.reason.contains("broken on d0 exits 1"), "{}", proposal.reason);
    assert!(Arc::ptr_eq(world.state.good.as_ref().unwrap(), &world.state.applied.as_ref().unwrap().good));
}

#[test]
fn a_revision_in_between_that_cannot_be_kept_is_known_all_the_same() {
    let Some(history) = History::of(ALONE) else { return };
    let at = folder();
    let mut world = World::new(ALONE, &history, at.path());
    let needed = Revision::new(history.id("ccccccc")).unwrap();
    // No file can take the place of a folder that holds something.
    let in_the_way = world.kept_in().join(format!("between-{}.json", needed.as_str()));
    std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    world.play_until(start() + SignedDuration::from_secs(1545));
    let lacks = |world: &World<'_>| world.state.kept.lacks(crate::last_good::BETWEEN);
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
