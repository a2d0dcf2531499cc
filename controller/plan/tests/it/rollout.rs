//! Rollouts of random fleets with random faults against what must hold whatever happens: budgets are never exceeded, waves
//! keep their order, every rollout ends, a second pass finds nothing to do, going back brings back what was there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use hemline_model::{
    Fleet, SourceFile,
    document::{Approve, Offline},
    id::{DeviceId, DocumentName, ModuleId, Revision},
};
use hemline_plan::{
    Facts, Resolution, plan, resolve,
    rollout::{Command, HaltReason, Ledger, Progress, RolloutRecord, State, Turn},
    simulate::{Commit, Devices, Event, Faults, Outcome, Rehearsal, rehearse},
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

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
        4 => (device(), any::<bool>()).prop_map(|(id, yes)| Event::Reports(id, "ready".to_owned(), yes.into())),
    ];
    let at = prop_oneof![3 => 0_u64..900, 1 => 205_100_u64..206_500];
    prop::collection::vec((at, event), 0..7).prop_map(|mut events| {
        events.sort_by_key(|(at, _)| *at);
        events
    })
}

fn revision(text: &str) -> Revision {
    Revision::new(text).unwrap()
}

/// Holds every moment against what must be true of it, with its own small model: who had what a moment ago, and whom nobody
/// found healthy with it.
struct Judge<'a> {
    fleets: BTreeMap<&'a Revision, &'a Fleet>,
    before: Ledger,
    /// Devices that the hub knew a moment ago.
    known: BTreeSet<DeviceId>,
    /// Who is deleted at the hub, and when.
    deleted: Vec<(Timestamp, &'a DeviceId)>,
    /// What cameras were told a moment ago.
    told: BTreeMap<DeviceId, Value>,
    /// Devices with a revision that is not complete, and that were not found healthy with it.
    unproven: BTreeSet<DeviceId>,
    quiet: bool,
    moments: usize,
}

impl<'a> Judge<'a> {
    fn new(rehearsal: &'a Rehearsal<'a>) -> Self {
        let commits = rehearsal.base.iter().chain(&rehearsal.commits);
        let fleets = commits.map(|commit| (commit.revision, commit.fleet)).collect();
        let deleted = rehearsal.events.iter().filter_map(|(at, event)| match event {
            Event::Deleted(id) => {
                Some((rehearsal.start + jiff::SignedDuration::from_secs(i64::try_from(*at).unwrap()), id))
            }
            Event::Order(_) | Event::Reports(..) => None,
        });
        let deleted = deleted.collect();
        let (before, known, told, unproven) = Default::default();
        Self { fleets, before, known, deleted, told, unproven, quiet: false, moments: 0 }
    }

    fn look(&mut self, now: Timestamp, turn: &Turn, devices: &Devices) {
        self.moments += 1;
        let told = cameras(devices);
        for (name, record) in &turn.ledger.rollouts {
            // Going back ignores waves, budgets, windows and people.
            if !record.state.goes_back() {
                self.gives(now, name, record, devices);
                self.nobody_else(name, record, &told);
            }
        }
        self.learn(&turn.ledger);
        self.known = devices.observed.devices.keys().cloned().collect();
        (self.before, self.told) = (turn.ledger.clone(), told);
        // A second pass with the same sight finds nothing to do.
        let again = plan(&turn.desired, turn.said.as_ref(), Some(&devices.observed));
        assert!(again.is_empty(), "{again}");
        self.quiet = turn.ledger.rollouts.values().all(|record| record.state.is_over());
    }

    /// Who has the change now and had it not a moment ago: may they?
    fn gives(&self, now: Timestamp, name: &DocumentName, record: &RolloutRecord, devices: &Devices) {
        let before = self.before.rollouts.get(name);
        let same = before.filter(|before| before.revision == record.revision);
        let earlier = before.filter(|before| before.revision != record.revision && !before.state.goes_back());
        let mut both = None;
        let mut had = |id: &DeviceId| match (same, earlier) {
            (Some(same), _) => same.brings(id.as_str()),
            // From a commit before it has what says the same for it.
            (None, Some(earlier)) => {
                let (was, is) = both.get_or_insert_with(|| {
                    let there = devices.observed.devices.iter();
                    let reported =
                        there.map(|(id, there)| (id.clone(), Value::Object(there.reported.clone())));
                    let facts = Facts { reported: reported.collect(), ..Facts::default() };
                    let of = |revision| resolve(self.fleets[revision], &facts);
                    (of(&earlier.revision), of(&record.revision))
                });
                let modules = |of: &Resolution| of.devices.get(id).map(|is| is.twins.modules.clone());
                earlier.progress(id.as_str()).is_some_and(Progress::has_it) && modules(was) == modules(is)
            }
            (None, None) => false,
        };
        let fleet = self.fleets[&record.revision];
        let spec = fleet.deployments[name].spec.rollout.as_ref().unwrap();
        let open = spec.window.as_ref().is_none_or(|window| window.is_open(now));
        let enabled = |id: &DeviceId| fleet.devices.get(id).is_none_or(|device| device.spec.enabled);
        let there =
            |id: &DeviceId| devices.observed.devices.get(id).is_some_and(|there| there.is_connected());
        for (place, wave) in record.waves.iter().enumerate() {
            let new: Vec<&DeviceId> =
                wave.devices.keys().filter(|id| record.brings(id.as_str()) && !had(id)).collect();
            if wave.begun.is_some()
                && before.is_none_or(|before| same.is_some() && before.waves[place].begun.is_none())
            {
                let budgets = (wave.max_unavailable, wave.max_failures);
                let many = wave.devices.len();
                assert_eq!(budgets, (spec.max_unavailable.of(many), spec.max_failures.of(many)), "{record}");
            }
            // At the end it is for those that are away, too.
            let (new, last): (Vec<&DeviceId>, Vec<&DeviceId>) =
                new.into_iter().partition(|id| wave.devices[*id].has_it());
            for id in last {
                // One that was made in this moment had no connection when the turn looked.
                let made = !self.known.contains(id) || self.deleted.contains(&(now, id));
                // One that was away for too long counts as failed; it takes what is complete by then.
                let given_up = matches!(wave.devices[id], Progress::Failed(_));
                assert!(
                    made || given_up || !there(id) || !enabled(id),
                    "{id} is there, and has it unwatched:\n{record}"
                );
            }
            if new.is_empty() {
                continue;
            }
            assert!(open, "{new:?} outside of the window, at {now}:\n{record}");
            assert!(record.paused.is_none(), "{new:?} while it is paused:\n{record}");
            if spec.approve == Approve::EachWave && record.story.len() < 90 {
                let agreed = |what: &str| what.contains("approved by") || what.contains("resumed by");
                let agreed = record.story.iter().any(|line| agreed(&line.what));
                assert!(agreed && record.approved > place, "{new:?} and nobody agreed:\n{record}");
            }
            let busy = |(id, progress): &(&DeviceId, &Progress)| match progress {
                Progress::Given(_) => true,
                Progress::Waiting => {
                    self.unproven.contains(*id)
                        || (spec.offline == Offline::Count && enabled(id) && !there(id))
                }
                Progress::Skipped => self.unproven.contains(*id),
                Progress::Done | Progress::Failed(_) => false,
            };
            let busy = wave.devices.iter().filter(busy).count();
            let fresh = new.iter().any(|id| enabled(id) && !self.unproven.contains(*id));
            assert!(!fresh || busy <= wave.max_unavailable, "{busy} unavailable at once:\n{record}");
            let failed = wave.devices.iter().filter(|(_, p)| matches!(p, Progress::Failed(_)));
            let failed = failed
                .filter(|(id, _)| {
                    same.is_none_or(|same| matches!(same.progress(id.as_str()), Some(Progress::Failed(_))))
                })
                .count();
            assert!(failed < wave.max_failures, "given after too many failures:\n{record}");
            in_order(record, place);
            for id in new {
                assert!(there(id) || !enabled(id), "{id} is away and was given it:\n{record}");
            }
        }
    }

    /// What the record does not give, the hub does not tell.
    fn nobody_else(&self, name: &DocumentName, record: &RolloutRecord, told: &BTreeMap<DeviceId, Value>) {
        let image = |revision: &Revision| {
            let camera = self.fleets[revision].deployments.get(name)?.spec.modules.get("camera")?;
            camera.desired.as_ref()?.open().get("fps").cloned()
        };
        let new = image(&record.revision);
        if record.base.as_ref().is_some_and(|base| image(base) == new) {
            return;
        }
        for (id, _) in record.devices().filter(|(id, _)| !record.brings(id.as_str())) {
            let has = told.get(id) == new.as_ref() && self.told.get(id) != new.as_ref();
            assert!(!has, "{id} has what nobody gave it:\n{record}");
        }
    }

    fn learn(&mut self, ledger: &Ledger) {
        let mut unproven = BTreeSet::new();
        for record in ledger.rollouts.values() {
            let over = record.state.goes_back() || matches!(record.state, State::Complete { .. });
            for (id, progress) in record.devices().filter(|_| !over) {
                let doubt = match progress {
                    Progress::Given(_) => true,
                    Progress::Failed(_) if progress.has_it() => true,
                    Progress::Waiting | Progress::Skipped | Progress::Failed(_) => self.unproven.contains(id),
                    Progress::Done => false,
                };
                if doubt {
                    unproven.insert(id.clone());
                }
            }
        }
        self.unproven = unproven;
    }
}

/// Nobody of an earlier wave waits.
fn in_order(record: &RolloutRecord, place: usize) {
    for earlier in record.waves.iter().take(place) {
        let open = earlier.devices.values().any(|p| matches!(p, Progress::Waiting));
        let name = record.wave_name(place);
        assert!(!open, "wave {name} was given to before {} was:\n{record}", earlier.name);
    }
}

fn cameras(devices: &Devices) -> BTreeMap<DeviceId, Value> {
    let fps = |(id, there): (&DeviceId, &hemline_plan::ObservedDevice)| {
        Some((id.clone(), there.modules.get("camera")?.desired.get("fps")?.clone()))
    };
    devices.observed.devices.iter().filter_map(fps).collect()
}

/// Runs it, and judges every moment and the end.
fn judged(rehearsal: &Rehearsal<'_>) -> (Outcome, Ledger, Devices) {
    let mut judge = Judge::new(rehearsal);
    let mut last = None;
    let outcome = rehearse(rehearsal, &mut |now, turn, devices| {
        judge.look(now, turn, devices);
        last = Some((turn.ledger.clone(), devices.clone()));
    });
    let (ledger, devices) = last.unwrap();
    assert!(judge.quiet, "it never ends: {outcome:#?}");
    assert!(judge.moments < 20_000, "{} moments", judge.moments);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger, "what is kept is what was there");
    (outcome, ledger, devices)
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
    std::env::var("HEM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
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
