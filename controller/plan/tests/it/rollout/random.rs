//! Random fleets, rules, faults, orders and commits. Budgets are never exceeded, waves keep their order, every
//! rollout ends, a second pass finds nothing to do, going back brings back what was there.

use std::collections::BTreeMap;

use hemline_model::{Fleet, id::DeviceId};
use hemline_plan::{
    Facts, resolve,
    rollout::Command,
    simulate::{Commit, Devices, Event, Faults, Rehearsal, rehearse},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{fleet, judge::judged, revision, start};

fn rollout() -> impl Strategy<Value = Value> {
    let wave = prop_oneof![
        Just(json!({"name": "canary", "selector": "tags.ring = 'canary'"})),
        (1_u32..4).prop_map(|count| json!({"count": count})),
        (1_u32..100).prop_map(|percent| json!({"percent": percent})),
    ];
    let share =
        || prop_oneof![(1_u32..5).prop_map(Value::from), (1_u32..100).prop_map(|p| json!(format!("{p}%")))];
    (
        prop::collection::vec(wave, 0..4),
        prop::option::of(share()),
        prop::option::of(share()),
        (1_u32..90, 100_u32..900),
        prop::sample::select(vec!["skip", "wait", "count"]),
        prop::option::weighted(0.2, Just("Mon-Fri 22:00-04:00 Europe/Paris")),
        prop::sample::select(vec!["halt", "revert"]),
        prop::bool::weighted(0.25),
    )
        .prop_map(|(waves, unavailable, failures, (healthy, deadline), offline, window, failure, approve)| {
            let mut rollout = json!({"waves": waves, "healthyFor": format!("{healthy}s"), "deadline": format!("{deadline}s"),
                "offline": offline, "onFailure": failure});
            for (name, value) in [("maxUnavailable", unavailable), ("maxFailures", failures)] {
                if let Some(value) = value {
                    rollout[name] = value;
                }
            }
            if let Some(window) = window {
                rollout["window"] = window.into();
            }
            if approve {
                rollout["approve"] = "each-wave".into();
            }
            rollout
        })
}

fn faults() -> impl Strategy<Value = Faults> {
    let some = || prop_oneof![2 => Just(0_u8), 1 => 0_u8..100];
    (any::<u64>(), some(), prop_oneof![Just(0_u64), 60_u64..7200], 1_u64..400, some(), some(), some())
        .prop_map(|(seed, offline_percent, back_within_secs, apply_secs, slow_percent, camera, flaky)| {
            Faults {
                seed,
                offline_percent,
                back_within_secs,
                apply_secs,
                slow_percent,
                failing: BTreeMap::from([("camera".to_owned(), camera)]),
                flaky_percent: flaky / 10,
            }
        })
}

/// What happens besides commits, at the beginning and when a window is open.
fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let device = || (0_usize..16).prop_map(|number| DeviceId::new(format!("d{number:02}")).unwrap());
    let event = prop_oneof![
        6 => Just(Event::Order(Command::Approve)),
        2 => Just(Event::Order(Command::Pause)),
        3 => Just(Event::Order(Command::Resume)),
        1 => Just(Event::Order(Command::Abort)),
        1 => Just(Event::Order(Command::Revert)),
        3 => device().prop_map(Event::Deleted),
        3 => device().prop_map(Event::Leaves),
        2 => device().prop_map(Event::Returns),
        4 => (device(), any::<bool>()).prop_map(|(id, yes)| Event::Reports(id, "ready".to_owned(), yes.into())),
    ];
    let at = prop_oneof![3 => 0_u64..900, 1 => 205_100_u64..206_500];
    prop::collection::vec((at, event), 0..9).prop_map(|mut events| {
        events.sort_by_key(|(at, _)| *at);
        events
    })
}

/// The hub holds for every device what this fleet says.
fn holds(devices: &Devices, fleet: &Fleet) {
    let there = devices.observed.devices.iter();
    let reported = there.map(|(id, there)| (id.clone(), Value::Object(there.reported.clone()))).collect();
    for (id, effective) in &resolve(fleet, &Facts { reported, ..Facts::default() }).devices {
        for (module, wanted) in effective.twins.modules.iter() {
            assert_eq!(&devices.observed.devices[id].modules[module].desired, wanted, "{id} {module}");
        }
    }
}

/// Random fleets of each property; `HEM_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("HEM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_the_budgets_hold_and_it_ends(
        count in 1_usize..14, spec in rollout(), other in prop::option::of(prop::option::of(rollout())), faults in faults(), new in any::<bool>(),
        left in 0_usize..3, joined in 0_usize..3, late in prop::option::of(Just("ready")), events in events(),
    ) {
        let second = |image| other.as_ref().map(|rollout| (image, rollout.as_ref()));
        let before = fleet(0..count, late, 1, Some(&spec), second(1));
        let after = fleet(left.min(count - 1)..count + joined, late, 2, Some(&spec), second(2));
        let (one, two) = (revision("1111111"), revision("2222222"));
        let base = Commit { revision: &one, documents: "one", fleet: &before, at_secs: 0 };
        let rehearsal = Rehearsal {
            base: (!new).then_some(base),
            commits: vec![Commit { revision: &two, documents: "two", fleet: &after, at_secs: 0 }],
            events,
            faults,
            start: start(),
        };
        let (outcome, ledger, devices) = judged(&rehearsal);
        match outcome.outcome.as_str() {
            "complete" | "nothing" => holds(&devices, &after),
            "reverted" => {
                holds(&devices, &before);
                prop_assert!(ledger.quarantined("two").is_some());
                prop_assert_eq!(outcome.took, 0);
            }
            "halted" => prop_assert!(outcome.stopped.is_some()),
            other => prop_assert!(false, "{other}: {outcome:#?}"),
        }
        // The same seed tells the same story.
        prop_assert_eq!(rehearse(&rehearsal, &mut |_, _, _| {}), outcome);
    }

    #[test]
    fn a_commit_in_the_middle_of_another_takes_its_place(
        count in 1_usize..14, spec in rollout(), later in rollout(), faults in faults(), events in events(),
        late in prop::option::of(Just("ready")),
        more in prop::collection::vec((0_u64..900, 0_u8..4, 0_usize..3, 0_usize..3), 1..4),
    ) {
        let before = fleet(0..count, late, 1, Some(&spec), None);
        let mut all = vec![(revision("1111111"), "one".to_owned(), before, 0)];
        all.push((revision("2222222"), "two".to_owned(), fleet(0..count, late, 2, Some(&spec), None), 0));
        let mut at_secs = 0;
        for (place, (after, mend, left, joined)) in more.into_iter().enumerate() {
            // A mended one, the one before again under another name, or one that changes the rules only; devices come and go.
            let image = [3 + u32::try_from(place).unwrap(), 1, 2, 3][usize::from(mend)];
            at_secs += after;
            let spec = if mend == 2 { &later } else { &spec };
            let is = fleet(left.min(count - 1)..count + joined, late, image, Some(spec), None);
            all.push((revision(&format!("{}", 3_333_333 + place)), format!("more {place}"), is, at_secs));
        }
        let commits: Vec<Commit<'_>> = all
            .iter()
            .map(|(revision, documents, fleet, at_secs)| Commit { revision, documents, fleet, at_secs: *at_secs })
            .collect();
        let rehearsal =
            Rehearsal { base: Some(commits[0]), commits: commits[1..].to_vec(), events, faults, start: start() };
        let (outcome, ledger, devices) = judged(&rehearsal);
        let last_good = ledger.quarantined.last().and_then(|bad| bad.proposal.last_good.clone());
        match outcome.outcome.as_str() {
            "complete" | "nothing" => holds(&devices, commits.last().unwrap().fleet),
            // One in the middle may have been complete before the last one came.
            "reverted" => holds(&devices, commits.iter().find(|one| last_good.as_ref() == Some(one.revision)).unwrap().fleet),
            "halted" => {}
            other => prop_assert!(false, "{other}: {outcome:#?}"),
        }
    }
}
