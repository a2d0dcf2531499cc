//! Single stories: devices that come late, go away, are deleted, or are forgiven. Values in, values out, and the judge looks on.

use std::{collections::BTreeMap, ops::Range};

use hemline_model::{Fleet, id::DeviceId};
use hemline_plan::{
    rollout::{Command, Ledger, Progress},
    simulate::{Commit, Event, Faults, Rehearsal},
};
use serde_json::{Value, json};

use super::{Going, fleet, judge::judged, revision, start};

/// Opens on Monday, 205 200 seconds after the start, for six hours.
const NIGHT: &str = "Mon-Fri 22:00-04:00 Europe/Paris";

/// What comes after the first revision, which everybody has: devices, version of the camera, and when.
type Commits<'a> = &'a [(Range<usize>, u32, u64)];

fn device(number: usize) -> DeviceId {
    DeviceId::new(format!("d{number:02}")).unwrap()
}

fn good() -> Faults {
    Faults { apply_secs: 5, ..Faults::default() }
}

/// Every camera that is not the first one fails.
fn bad() -> Faults {
    Faults { failing: BTreeMap::from([("camera".to_owned(), 100)]), ..good() }
}

/// The story as people read it, and how far each device came.
fn told(spec: &Value, commits: Commits<'_>, events: Vec<(u64, Event)>, faults: Faults) -> String {
    let first = commits.first().map_or(0..1, |(devices, ..)| devices.clone());
    let of = |devices: &Range<usize>, image| fleet(devices.clone(), Some("ready"), image, Some(spec), None);
    let mut all: Vec<(String, Fleet, u64)> = vec![("1111111".to_owned(), of(&first, 1), 0)];
    for (place, (devices, image, at_secs)) in commits.iter().enumerate() {
        all.push(((2_222_222 + place).to_string(), of(devices, *image), *at_secs));
    }
    let names: Vec<_> = all.iter().map(|(name, ..)| revision(name)).collect();
    let commits: Vec<Commit<'_>> = all
        .iter()
        .zip(&names)
        .map(|((documents, fleet, at_secs), revision)| Commit {
            revision,
            documents,
            fleet,
            at_secs: *at_secs,
        })
        .collect();
    let rehearsal =
        Rehearsal { base: Some(commits[0]), commits: commits[1..].to_vec(), events, faults, start: start() };
    let (outcome, ledger, _) = judged(&rehearsal);
    let lines = outcome.timeline.iter().map(|told| format!("{:>7} s  {}\n", told.after_secs, told.what));
    let mut text: String = lines.collect();
    for (id, progress) in ledger.rollouts.values().flat_map(|record| record.devices()) {
        let word = match progress {
            Progress::Waiting => "waits",
            Progress::Skipped => "gets it when it is back",
            Progress::Given(_) => "has it and is watched",
            Progress::Done => "done",
            Progress::Failed(failure) => &format!("failed: {}", failure.what),
        };
        text.push_str(&format!("{id} {word}\n"));
    }
    text
}

#[test]
fn who_joins_a_wave_that_was_empty_is_its_first() {
    let spec = json!({"waves": [{"name": "canary", "selector": "tags.ring = 'canary'"}, {"percent": 100}],
        "healthyFor": "10s", "deadline": "30m", "window": NIGHT});
    // Until it reports to be ready no configuration means d00, so nobody is in the canary wave while the window is closed.
    let ready = Event::Reports(device(0), "ready".to_owned(), true.into());
    insta::assert_snapshot!("joins_an_empty_wave", told(&spec, &[(0..4, 2, 0)], vec![(600, ready)], good()));
}

#[test]
fn who_joins_while_the_last_wave_is_on_gets_it_too() {
    let spec = json!({"waves": [{"count": 1}, {"percent": 100}], "maxUnavailable": 1, "healthyFor": "60s", "deadline": "30m"});
    let ready = Event::Reports(device(4), "ready".to_owned(), true.into());
    insta::assert_snapshot!("joins_the_last_wave", told(&spec, &[(1..6, 2, 0)], vec![(100, ready)], good()));
}

#[test]
fn who_joins_while_a_wave_wants_approval_waits_for_it() {
    let spec = json!({"waves": [{"count": 2}, {"percent": 100}], "approve": "each-wave", "healthyFor": "10s", "deadline": "30m"});
    let ready = Event::Reports(device(4), "ready".to_owned(), true.into());
    let approve = || Event::Order(Command::Approve);
    insta::assert_snapshot!(
        "joins_before_approval",
        told(&spec, &[(1..6, 2, 0)], vec![(10, approve()), (100, ready), (200, approve())], good())
    );
}

#[test]
fn who_was_away_and_is_forgiven_takes_its_turn() {
    let spec = json!({"waves": [{"count": 1}, {"percent": 100}], "maxFailures": 2, "offline": "wait", "approve": "each-wave",
        "healthyFor": "10s", "deadline": "10m"});
    let order = |at, command| (at, Event::Order(command));
    // It is away for longer than its wave waits, nobody agrees to the next wave for a week, and then somebody goes on.
    let week = 7 * 24 * 3600;
    let events = vec![
        (0, Event::Leaves(device(1))),
        order(5, Command::Approve),
        order(week + 1000, Command::Resume),
        (week + 1100, Event::Returns(device(1))),
    ];
    insta::assert_snapshot!("is_forgiven", told(&spec, &[(1..4, 2, 0)], events, good()));
}

#[test]
fn who_was_given_up_takes_it_watched_when_it_is_back() {
    let spec = json!({"waves": [{"count": 1}, {"percent": 100}], "maxFailures": 2, "offline": "wait", "healthyFor": "5m",
        "deadline": "10m"});
    let events = vec![(0, Event::Leaves(device(1))), (700, Event::Returns(device(1)))];
    insta::assert_snapshot!("was_given_up", told(&spec, &[(1..4, 2, 0)], events, good()));
}

#[test]
fn who_comes_back_outside_of_the_window_waits_for_it() {
    let spec = json!({"waves": [{"count": 2}, {"percent": 100}], "healthyFor": "210m", "deadline": "10h", "window": NIGHT});
    // Its wave went on without it; back after the window closed, while the last wave is still watched.
    let events = vec![(0, Event::Leaves(device(1))), (227_000, Event::Returns(device(1)))];
    insta::assert_snapshot!("is_back_by_day", told(&spec, &[(1..4, 2, 0)], events, good()));
}

#[test]
fn who_vanishes_with_the_change_has_its_deadline() {
    let spec = json!({"maxFailures": 2, "healthyFor": "60s", "deadline": "10m"});
    let events = vec![
        (20, Event::Leaves(device(1))),
        (20, Event::Leaves(device(2))),
        (300, Event::Returns(device(2))),
    ];
    insta::assert_snapshot!("vanishes", told(&spec, &[(1..4, 2, 0)], events, good()));
}

#[test]
fn who_is_deleted_at_the_hub_is_made_with_what_it_had() {
    let spec = json!({"maxUnavailable": 1, "healthyFor": "60s", "deadline": "10m"});
    let events = vec![(20, Event::Deleted(device(1))), (20, Event::Deleted(device(3)))];
    insta::assert_snapshot!("is_deleted", told(&spec, &[(1..4, 2, 0)], events, good()));
}

#[test]
fn who_left_the_documents_comes_back_as_a_new_one() {
    let spec = json!({"maxUnavailable": 1, "healthyFor": "60s", "deadline": "10m", "window": NIGHT});
    // It took the commit in between, and the last one says the same: that is no reason to have it by day.
    let closes = 205_200 + 6 * 3600;
    let commits = [(1..4, 2, 0), (2..4, 3, closes - 90), (1..4, 2, closes + 90)];
    let text = told(&spec, &commits, Vec::new(), Faults { apply_secs: 40_000, ..bad() });
    assert!(text.contains("waits with"), "{text}");
    insta::assert_snapshot!("is_new_again", text);
}

#[test]
fn who_is_in_doubt_stays_so_over_many_commits() {
    let spec = json!({"maxUnavailable": 1, "maxFailures": 3, "healthyFor": "60s", "deadline": "10m"});
    let events = vec![(40, Event::Order(Command::Pause)), (90, Event::Order(Command::Resume))];
    let commits = [(1..4, 2, 0), (1..4, 3, 50), (1..4, 4, 60)];
    insta::assert_snapshot!("stays_in_doubt", told(&spec, &commits, events, bad()));
}

#[test]
fn who_is_in_doubt_and_away_holds_nobody_up_for_ever() {
    let spec = json!({"maxUnavailable": 1, "maxFailures": 3, "healthyFor": "60s", "deadline": "10m"});
    let events = vec![(15, Event::Leaves(device(1)))];
    insta::assert_snapshot!("in_doubt_and_away", told(&spec, &[(1..4, 2, 0), (1..4, 3, 50)], events, good()));
}

#[test]
fn a_fleet_of_which_nobody_is_connected_yet_is_waited_for() {
    let spec = json!({"maxUnavailable": 1, "healthyFor": "10s", "deadline": "10m"});
    let away = |back: Option<u64>| {
        let gone = (1..4).map(|number| (0, Event::Leaves(device(number))));
        let back =
            back.into_iter().flat_map(|at| (1..4).map(move |number| (at, Event::Returns(device(number)))));
        gone.chain(back).collect()
    };
    // As after a start of the hub: they come a moment later, and are rolled out to as ever.
    insta::assert_snapshot!("comes_back", told(&spec, &[(1..4, 2, 0)], away(Some(30)), good()));
    // When nobody comes, `skip` is what was asked for.
    insta::assert_snapshot!("stays_away", told(&spec, &[(1..4, 2, 0)], away(None), good()));
}

#[test]
fn a_fleet_that_never_ran_anything_is_not_waited_for() {
    let spec = json!({"waves": [{"count": 1}, {"percent": 100}], "healthyFor": "10s", "deadline": "10m"});
    let mut going = Going::new(4, &spec);
    for device in going.observed.devices.values_mut() {
        device.connected = false;
        device.modules.values_mut().for_each(|module| module.connected = false);
    }
    let turn = Ledger::default().turn(&going.revisions(), &going.observed, start());
    assert!(turn.completes, "{}", turn.ledger.rollouts["vision"]);
    // As soon as one of them runs something, it is.
    let agent = going.observed.devices.values_mut().last().unwrap().modules.get_mut("$edgeAgent").unwrap();
    agent.reported.insert("schemaVersion".to_owned(), "1.1".into());
    let turn = Ledger::default().turn(&going.revisions(), &going.observed, start());
    assert!(!turn.completes, "{}", turn.ledger.rollouts["vision"]);
}
