//! Rollouts: stories as people read them, orders, clocks, and a large fleet.
//!
//! ```text
//! judge.rs     what must hold at every moment, whatever happens
//! random.rs    … held against random fleets, rules, faults, orders and commits
//! corners.rs   single stories of devices that come late, go away, are deleted, or are forgiven
//! ```

mod corners;
mod judge;
mod random;

use std::{collections::BTreeMap, ops::Range};

use hemline_model::{
    Fleet, SourceFile,
    id::{DocumentName, ModuleId, Revision},
};
use hemline_plan::{
    Facts, Resolution, plan, resolve,
    rollout::{Command, HaltReason, Ledger, State},
    simulate::{Commit, Faults, Rehearsal},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::judge::judged;

fn start() -> Timestamp {
    // A Saturday.
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// Documents of devices without anything that depends on what they report.
fn documents(
    devices: usize,
    image: u32,
    rollout: Option<&Value>,
    second: Option<(u32, Option<&Value>)>,
) -> Fleet {
    fleet(0..devices, None, image, rollout, second)
}

/// The same of some devices. Every fourth comes late when somebody is waited for: the conditions take it when it reports that.
fn fleet(
    devices: Range<usize>,
    late: Option<&str>,
    image: u32,
    rollout: Option<&Value>,
    second: Option<(u32, Option<&Value>)>,
) -> Fleet {
    let mut all = Vec::new();
    for number in devices {
        let ring = if number % 5 == 0 { "canary" } else { "main" };
        all.push(json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": format!("d{number:02}")},
            "spec": {"edge": true, "enabled": number % 11 != 7,
                     "tags": {"ring": ring, "odd": number % 2 == 1, "late": number % 4 == 0}}}));
    }
    let deployment = |name: &str, condition: &str, image: u32, rollout: Option<&Value>| {
        let condition = match late {
            Some(word) => {
                let odd = if condition == "*" { String::new() } else { format!("{condition} AND ") };
                format!("{odd}(tags.late = false OR properties.reported.{word} = true)")
            }
            None => condition.to_owned(),
        };
        let mut spec = json!({"targetCondition": condition, "priority": 1, "modules": {
            "camera": {"image": format!("camera:{image}"), "desired": {"fps": image}}, "filter": {"image": "filter:1"}}});
        if let Some(rollout) = rollout {
            spec["rollout"] = rollout.clone();
        }
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": name}, "spec": spec})
    };
    let condition = if second.is_some() { "tags.odd = false" } else { "*" };
    all.push(deployment("vision", condition, image, rollout));
    if let Some((image, rollout)) = second {
        all.push(deployment("other", "tags.odd = true", image, rollout));
    }
    let files = all.iter().enumerate().map(|(place, document)| SourceFile {
        path: format!("{place}.json").into(),
        bytes: document.to_string().into_bytes(),
    });
    let loaded = hemline_model::load(&files.collect::<Vec<_>>());
    loaded.fleet.unwrap_or_else(|| panic!("{:#?}", loaded.findings))
}

fn revision(text: &str) -> Revision {
    Revision::new(text).unwrap()
}

fn story(rollout: &Value, count: usize, faults: Faults) -> String {
    let (before, after) =
        (documents(count, 1, Some(rollout), None), documents(count, 2, Some(rollout), None));
    let (one, two) = (revision("3f2c1a9"), revision("8d90bc4"));
    let rehearsal = Rehearsal {
        base: Some(Commit { revision: &one, documents: "one", fleet: &before, at_secs: 0 }),
        commits: vec![Commit { revision: &two, documents: "two", fleet: &after, at_secs: 0 }],
        events: Vec::new(),
        faults,
        start: start(),
    };
    let (outcome, ledger, _) = judged(&rehearsal);
    let mut text = format!("{} after {} s\n", outcome.outcome, outcome.seconds);
    for told in &outcome.timeline {
        text.push_str(&format!("{:>7} s  {}\n", told.after_secs, told.what));
    }
    text.push_str(&format!("\n{}\n", ledger.headline().unwrap_or_default()));
    text
}

#[test]
fn stories_are_told_to_tired_people() {
    let waves =
        json!([{"name": "canary", "selector": "tags.ring = 'canary'"}, {"percent": 50}, {"percent": 100}]);
    let good = json!({"waves": waves, "maxUnavailable": 2, "healthyFor": "2m", "deadline": "30m"});
    insta::assert_snapshot!("a_good_one", story(&good, 12, Faults::default()));
    let failing = Faults { failing: BTreeMap::from([("camera".to_owned(), 100)]), ..Faults::default() };
    insta::assert_snapshot!("a_bad_one_halts", story(&good, 12, failing.clone()));
    let mut back = good.clone();
    back["onFailure"] = "revert".into();
    insta::assert_snapshot!("a_bad_one_goes_back", story(&back, 12, failing));
    let mut night = good.clone();
    night["window"] = "Mon-Fri 22:00-04:00 Europe/Paris".into();
    night["offline"] = "wait".into();
    night["maxFailures"] = "50%".into();
    let away = Faults { offline_percent: 20, back_within_secs: 200_000, ..Faults::default() };
    insta::assert_snapshot!("one_that_waits", story(&night, 12, away));
}

#[test]
fn a_large_fleet_stays_small_and_quick() {
    let rollout = json!({"waves": [{"percent": 1}, {"percent": 100}], "maxUnavailable": "50%"});
    let (before, after) = (documents_of(10_000, 1, &rollout), documents_of(10_000, 2, &rollout));
    let (one, two) = (revision("3f2c1a9"), revision("8d90bc4"));
    let (was, is) = (resolve(&before, &Facts::default()), resolve(&after, &Facts::default()));
    let observed = hemline_plan::Observed::after(&was);
    let none = BTreeMap::new();
    let side = |fleet, resolution| hemline_plan::Side { fleet, resolution };
    let revisions = from_one_to_two((&one, side(&before, &was)), (&two, side(&after, &is)), &none);
    let turn = Ledger::default().turn(&revisions, &observed, start());
    let kept = serde_json::to_vec(&turn.ledger).unwrap();
    assert!(kept.len() < 300_000, "{} bytes for 10 000 devices", kept.len());
    // Twice the same sight at the same time is once.
    let again = turn.ledger.turn(&revisions, &observed, start());
    assert_eq!(again.ledger, turn.ledger);
    assert!(again.transitions.is_empty());
}

fn from_one_to_two<'a>(
    one: (&'a Revision, hemline_plan::Side<'a>),
    two: (&'a Revision, hemline_plan::Side<'a>),
    others: &'a BTreeMap<Revision, Resolution>,
) -> hemline_plan::rollout::Revisions<'a> {
    let going = |(revision, side), documents| hemline_plan::rollout::Going { revision, documents, side };
    hemline_plan::rollout::Revisions {
        head: going(two, "two"),
        base: Some(going(one, "one")),
        others,
        newcomers: None,
    }
}

/// A fleet on its way from one revision to the next; every device is connected and has the first.
struct Going {
    names: [Revision; 2],
    before: (Fleet, Resolution),
    after: (Fleet, Resolution),
    observed: hemline_plan::Observed,
    others: BTreeMap<Revision, Resolution>,
}

impl Going {
    fn new(devices: usize, spec: &Value) -> Self {
        let resolved = |image| {
            let fleet = documents(devices, image, Some(spec), None);
            let resolution = resolve(&fleet, &Facts::default());
            (fleet, resolution)
        };
        let (before, after) = (resolved(1), resolved(2));
        let mut observed = hemline_plan::Observed::after(&before.1);
        for device in observed.devices.values_mut() {
            device.connected = true;
            device.modules.get_mut(&ModuleId::edge_agent()).unwrap().connected = true;
        }
        let names = [revision("1111111"), revision("2222222")];
        Self { names, before, after, observed, others: BTreeMap::new() }
    }

    fn revisions(&self) -> hemline_plan::rollout::Revisions<'_> {
        fn side((fleet, resolution): &(Fleet, Resolution)) -> hemline_plan::Side<'_> {
            hemline_plan::Side { fleet, resolution }
        }
        let [one, two] = &self.names;
        from_one_to_two((one, side(&self.before)), (two, side(&self.after)), &self.others)
    }
}

fn documents_of(devices: usize, image: u32, rollout: &Value) -> Fleet {
    documents(devices, image, Some(rollout), None)
}

#[test]
fn orders_do_what_they_say() {
    let spec =
        json!({"waves": [{"count": 1}, {"percent": 100}], "approve": "each-wave", "healthyFor": "10s"});
    let going = Going::new(4, &spec);
    let (revisions, observed, after) = (going.revisions(), &going.observed, &going.after.0);
    let specs = |name: &DocumentName| after.deployments.get(name)?.spec.rollout.clone();
    let say = |ledger: &Ledger, command| ledger.command(command, Some("vision"), "ann", &specs, start());
    let turn = |ledger: &Ledger| ledger.turn(&revisions, observed, start()).ledger;
    let waits = turn(&Ledger::default());
    let phase = |ledger: &Ledger| ledger.rollouts["vision"].state.word();
    assert_eq!(phase(&waits), "waiting");
    assert!(say(&waits, Command::Resume).is_err());

    let (paused, _) = say(&waits, Command::Pause).unwrap();
    let (approved, _) = say(&paused, Command::Approve).unwrap();
    assert_eq!(phase(&turn(&approved)), "waiting", "paused is paused");
    let (going, _) = say(&approved, Command::Resume).unwrap();
    let going = turn(&going);
    assert_eq!(phase(&going), "verifying");
    assert_eq!(going.rollouts["vision"].counts().given, 1);

    let (halted, _) = say(&going, Command::Abort).unwrap();
    assert!(
        matches!(&halted.rollouts["vision"].state, State::Halted { reason: HaltReason::Aborted { by }, .. } if by == "ann")
    );
    assert_eq!(turn(&halted).rollouts["vision"].counts().took, 1, "devices keep what they have");
    assert!(say(&halted, Command::Resume).is_err());

    let (back, _) = say(&going, Command::Revert).unwrap();
    let turned = back.turn(&revisions, observed, start());
    assert!(turned.goes_back && turned.ledger.quarantined("two").is_some());
    assert!(
        plan(&turned.desired, turned.said.as_ref(), Some(observed)).is_empty(),
        "nothing had reached the hub"
    );
    assert!(say(&back, Command::Pause).is_err());
    assert!(
        going
            .command(Command::Pause, Some("nobody"), "ann", &specs, start())
            .unwrap_err()
            .0
            .contains("vision")
    );
}

/// How many devices each wave has after a commit in the middle of another, which changes nothing but these rules.
fn waves_after(rules: &Value, then: &Value) -> (Vec<usize>, Vec<String>) {
    let documents = |image, rules: &Value| documents(6, image, Some(rules), None);
    let all = [documents(1, rules), documents(2, rules), documents(2, then)];
    let names = ["1111111", "2222222", "3333333"].map(revision);
    let commits: Vec<Commit<'_>> = all
        .iter()
        .zip(&names)
        .map(|(fleet, revision)| Commit { revision, documents: revision.as_str(), fleet, at_secs: 0 })
        .collect();
    let late = Commit { at_secs: 20, ..commits[2] };
    let faults = Faults { apply_secs: 10, ..Faults::default() };
    let rehearsal = Rehearsal {
        base: Some(commits[0]),
        commits: vec![commits[1], late],
        events: vec![],
        faults,
        start: start(),
    };
    let (_, ledger, _) = judged(&rehearsal);
    let record = &ledger.rollouts["vision"];
    assert_eq!(record.revision.as_str(), "3333333");
    let counts = record.waves.iter().map(|wave| wave.devices.len()).collect();
    (counts, record.story.iter().map(|line| line.what.clone()).collect())
}

#[test]
fn a_wave_that_takes_other_devices_is_another_wave() {
    let rules = |canary: u32, share: u32| json!({"waves": [{"name": "canary", "count": canary}, {"percent": 100}], "healthyFor": "60s", "maxFailures": share});
    let goes_on =
        |story: &[String]| story.iter().any(|line| line.contains("changes nothing here; it goes on"));
    let (waves, story) = waves_after(&rules(1, 1), &rules(1, 2));
    assert_eq!(waves, [1, 5]);
    assert!(goes_on(&story), "{story:#?}");
    let (waves, story) = waves_after(&rules(1, 1), &rules(3, 1));
    assert_eq!(waves, [3, 3]);
    assert!(!goes_on(&story), "{story:#?}");
}

#[test]
fn a_clock_that_is_put_back_holds_nothing_up() {
    let spec = json!({"healthyFor": "10s", "deadline": "30m", "maxFailures": 1});
    let going = Going::new(4, &spec);
    let (revisions, observed, after) = (going.revisions(), &going.observed, &going.after.0);
    let specs = |name: &DocumentName| after.deployments.get(name)?.spec.rollout.clone();
    let hours = |hours: i64| start() + jiff::SignedDuration::from_hours(hours);

    // A machine without a battery for its clock may believe to be anywhere until somebody tells it the time.
    for wrong in [hours(24 * 400), hours(1)] {
        let begun = Ledger::default().turn(&revisions, observed, wrong).ledger;
        assert!(begun.rollouts["vision"].counts().given > 0);
        let right = begun.turn(&revisions, observed, start()).ledger;
        let wakes = right.wakes(&specs, start()).unwrap();
        assert!(wakes <= start() + jiff::SignedDuration::from_mins(30), "{wakes}");
        // Nothing is over before its time, and nothing waits for the wrong clock.
        let early = right.turn(&revisions, observed, start() + jiff::SignedDuration::from_mins(29)).ledger;
        assert!(!early.rollouts["vision"].state.is_over(), "{:?}", early.rollouts["vision"].state);
        let late = early.turn(&revisions, observed, wakes).ledger;
        assert!(
            matches!(late.rollouts["vision"].state, State::Halted { .. }),
            "{:?}",
            late.rollouts["vision"].state
        );
    }
}

#[test]
fn who_waits_for_approval_waits_as_long_by_any_clock() {
    let going = Going::new(4, &json!({"approve": "each-wave"}));
    let (revisions, observed) = (going.revisions(), &going.observed);
    let turn = |ledger: &Ledger, at: Timestamp| ledger.turn(&revisions, observed, at).ledger;
    let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    let waits = |ledger: &Ledger| matches!(ledger.rollouts["vision"].state, State::Waiting { .. });
    let begun = turn(&Ledger::default(), start());
    assert!(waits(&begun), "{:?}", begun.rollouts["vision"].state);
    // Set forward by a year while somebody watches, and set back by a year while nobody does.
    let watched = (begun.shifted(days(365)), start() + days(365));
    let unwatched = (begun, start() - days(365));
    for (ledger, now) in [watched, unwatched] {
        let six = turn(&turn(&ledger, now), now + days(6));
        assert!(waits(&six), "{:?}", six.rollouts["vision"].state);
        let eight = turn(&six, now + days(8));
        assert!(eight.rollouts["vision"].state.is_over(), "{:?}", eight.rollouts["vision"].state);
    }
}

#[test]
fn a_clock_that_is_set_forward_costs_nobody_time() {
    let spec = json!({"healthyFor": "10s", "deadline": "30m", "maxFailures": 1});
    let going = Going::new(4, &spec);
    let (revisions, observed) = (going.revisions(), &going.observed);
    let turn = |ledger: &Ledger, at: Timestamp| ledger.turn(&revisions, observed, at).ledger;
    // Started in 1970 by its clock; after five minutes somebody tells it the time.
    let begun = turn(&Ledger::default(), Timestamp::UNIX_EPOCH);
    let five = jiff::SignedDuration::from_mins(5);
    let set = begun.shifted(start().duration_since(Timestamp::UNIX_EPOCH));
    let goes_on = turn(&set, start() + five);
    assert!(!goes_on.rollouts["vision"].state.is_over(), "{:?}", goes_on.rollouts["vision"].state);
    let at_the_end = turn(&goes_on, start() + five * 6);
    assert!(at_the_end.rollouts["vision"].state.is_over(), "30 minutes are 30 minutes");
}
