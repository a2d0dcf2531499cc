//! The drift ledger against a model that knows no rows, only episodes; its bounds; and what is found in a hub.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    Fleet, SourceFile,
    document::DriftMode,
    id::{DeviceId, ModuleId},
};
use hemline_plan::{
    DeviceDiff, Facts, Observed, Resolution, device_diff,
    drift::{self, DriftEvent, DriftKind, DriftLedger, DriftRow, DriftSight, Found, Standing, Transition},
    plan, resolve,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn one(on: &str, kind: DriftKind, path: &str, value: &str) -> Found {
    Found {
        device: device(on),
        module: ModuleId::new("camera").ok(),
        kind,
        path: path.to_owned(),
        expected: "good".to_owned(),
        found: value.to_owned(),
        mode: DriftMode::Heal,
        by: None,
        since: (kind == DriftKind::Actual).then_some(START),
        healed: None,
    }
}

// === The ledger and its model ===

/// What a look at one place may be like.
#[derive(Debug, Clone)]
struct Look {
    device: &'static str,
    kind: DriftKind,
    path: &'static str,
    value: &'static str,
    mode: DriftMode,
    /// Of a device: which time it is that this happens.
    turn: i64,
    healed: bool,
}

fn look() -> impl Strategy<Value = Look> {
    let mode = prop_oneof![Just(DriftMode::Heal), Just(DriftMode::Report), Just(DriftMode::Ignore)];
    let kind = prop_oneof![Just(DriftKind::Desired), Just(DriftKind::Actual)];
    let (device, path) = (prop_oneof![Just("a"), Just("b")], prop_oneof![Just("x"), Just("y")]);
    let value = prop_oneof![Just("1"), Just("2")];
    (device, kind, path, value, mode, 0_i64..3, any::<bool>()).prop_map(
        |(device, kind, path, value, mode, turn, healed)| Look {
            device,
            kind,
            path,
            value,
            mode,
            turn,
            healed,
        },
    )
}

/// Seconds that pass, what is found then, which devices the documents have no more, and whose agents say nothing.
type Moment = (i64, Vec<Look>, BTreeSet<&'static str>, BTreeSet<&'static str>);

fn moment() -> impl Strategy<Value = Moment> {
    let passes = prop_oneof![4 => 1_i64..100, 1 => 500_i64..1_000, 1 => 86_400_i64 * 20..86_400 * 31];
    let some = || {
        prop::collection::btree_set(prop_oneof![Just("a"), Just("b")], 0..2)
            .prop_flat_map(|set| prop_oneof![3 => Just(BTreeSet::new()), 1 => Just(set)])
    };
    (passes, prop::collection::vec(look(), 0..5), some(), some())
}

fn sight(moment: &Moment) -> DriftSight {
    let (_, looks, gone, silent) = moment;
    let found = looks.iter().filter(|look| !gone.contains(look.device)).map(|look| {
        let actual = look.kind == DriftKind::Actual;
        Found {
            mode: look.mode,
            since: actual.then(|| at(look.turn)),
            healed: (actual && look.healed).then(|| at(look.turn + 5)),
            ..one(look.device, look.kind, look.path, look.value)
        }
    });
    let all = |names: &BTreeSet<&str>| names.iter().map(|name| device(name)).collect();
    DriftSight { found: found.collect(), gone: all(gone), silent: all(silent) }
}

/// One row as a list of what was ever true of it, worked out anew from the whole history each time.
#[derive(Debug, Clone, PartialEq)]
struct Episode {
    first: Timestamp,
    found: String,
    standing: Standing,
}

type Place = (DeviceId, DriftKind, String, Option<Timestamp>);

/// No indexes, no early ends: for each place, what the newest look says of it.
#[derive(Debug, Default)]
struct Model {
    episodes: BTreeMap<Place, Vec<Episode>>,
}

impl Model {
    fn look(&mut self, sight: &DriftSight, now: Timestamp) {
        self.episodes.retain(|(id, ..), _| !sight.gone.contains(id));
        let mut places: BTreeSet<Place> = self.episodes.keys().cloned().collect();
        let place = |found: &Found| (found.device.clone(), found.kind, found.path.clone(), found.since);
        places.extend(sight.found.iter().map(place));
        for key in places {
            let newest = sight.found.iter().rfind(|found| place(found) == key);
            let episodes = self.episodes.entry(key.clone()).or_default();
            let open = episodes.last().is_some_and(|last| last.standing.is_open());
            let silent = key.1 == DriftKind::Actual && sight.silent.contains(&key.0);
            match newest {
                None if open && !silent => {
                    let last = episodes.last_mut().unwrap();
                    last.standing = healed(last.first, now);
                }
                None => {}
                Some(found) => {
                    let first = found.since.unwrap_or(now);
                    let one_row = key.1 == DriftKind::Actual && !episodes.is_empty();
                    let first = if open || one_row { episodes.last().unwrap().first } else { first };
                    let standing = match (found.healed, found.mode) {
                        (Some(at), _) => healed(first, at),
                        (None, DriftMode::Heal) => Standing::Present,
                        (None, DriftMode::Report) => Standing::Reported,
                        (None, DriftMode::Ignore) => Standing::Ignored,
                    };
                    let episode = Episode { first, found: found.found.clone(), standing };
                    if open || one_row {
                        *episodes.last_mut().unwrap() = episode;
                    } else {
                        episodes.push(episode);
                    }
                }
            }
            episodes.retain(|episode| match episode.standing {
                Standing::Healed { healed_at, .. } => now.duration_since(healed_at).as_hours() < 30 * 24,
                Standing::Present | Standing::Reported | Standing::Ignored => true,
            });
        }
        self.episodes.retain(|_, episodes| !episodes.is_empty());
    }

    fn rows(&self) -> BTreeSet<String> {
        let all = self.episodes.iter().flat_map(|(key, episodes)| episodes.iter().map(move |one| (key, one)));
        all.map(|((device, kind, path, _), one)| format!("{device} {kind} {path} {one:?}")).collect()
    }
}

fn healed(first: Timestamp, healed_at: Timestamp) -> Standing {
    let lived_secs = u64::try_from(healed_at.duration_since(first).as_secs()).unwrap_or_default();
    Standing::Healed { healed_at, lived_secs }
}

fn rows(ledger: &DriftLedger) -> BTreeSet<String> {
    let row = |row: &DriftRow| {
        let one = Episode { first: row.first_seen, found: row.found.clone(), standing: row.standing };
        format!("{} {} {} {one:?}", row.device, row.kind, row.path)
    };
    ledger.rows.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_is_what_a_naive_model_says(moments in prop::collection::vec(moment(), 1..12)) {
        let (mut ledger, mut model, mut now) = (DriftLedger::default(), Model::default(), at(10));
        let mut told: BTreeMap<Transition, u64> = BTreeMap::new();
        for moment in &moments {
            now += SignedDuration::from_secs(moment.0);
            let sight = sight(moment);
            let (next, events) = ledger.advance(&sight, now);
            model.look(&sight, now);
            prop_assert_eq!(rows(&next), model.rows(), "{:?}", sight);
            // Once more is nothing more, and what is kept on disk is what is known.
            let (again, nothing) = next.advance(&sight, now);
            prop_assert_eq!(&again, &next);
            prop_assert!(nothing.is_empty(), "{:?}", nothing);
            let kept: DriftLedger = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
            prop_assert_eq!(&kept, &next);
            // A look that may be left out would have changed nothing.
            if next.is_quiet(now) {
                prop_assert_eq!(&next.advance(&DriftSight::default(), now).0, &next);
            }
            for event in &events {
                *told.entry(event.transition).or_default() += 1;
            }
            ledger = next;
        }
        // Every row was told to open, and every one that is over to be over, or that it went with its device.
        let count = |transition| told.get(&transition).copied().unwrap_or_default();
        let sum = |counts: &BTreeMap<DriftKind, u64>| counts.values().sum::<u64>();
        prop_assert_eq!(sum(&ledger.opened), count(Transition::Opened));
        prop_assert_eq!(sum(&ledger.healed), count(Transition::Healed));
        let open = ledger.rows.iter().filter(|row| row.standing.is_open()).count() as u64;
        prop_assert_eq!(
            count(Transition::Opened),
            count(Transition::Healed) + count(Transition::Forgotten) + open
        );
    }

    #[test]
    fn nothing_is_written_for_what_is_only_seen_again(seconds in 1_i64..599) {
        let sight = DriftSight { found: vec![one("a", DriftKind::Desired, "x", "1")], ..DriftSight::default() };
        let (first, _) = DriftLedger::default().advance(&sight, START);
        let (same, events) = first.advance(&sight, at(seconds));
        prop_assert_eq!(&same, &first);
        prop_assert!(events.is_empty());
        let (later, events) = first.advance(&sight, at(600));
        prop_assert_eq!(later.rows[0].last_seen, at(600));
        prop_assert!(events.is_empty());
    }
}

fn transitions(events: &[DriftEvent]) -> Vec<Transition> {
    events.iter().map(|event| event.transition).collect()
}

#[test]
fn a_life_of_a_row() {
    let sight = |found: Vec<Found>| DriftSight { found, ..DriftSight::default() };
    let there = one("a", DriftKind::Desired, "x", "1");
    let (ledger, events) = DriftLedger::default().advance(&sight(vec![there.clone()]), START);
    assert_eq!(transitions(&events), [Transition::Opened]);
    let other = Found { found: "2".to_owned(), ..there.clone() };
    let (ledger, events) = ledger.advance(&sight(vec![other.clone()]), at(5));
    assert_eq!(transitions(&events), [Transition::Moved]);
    let reported = Found { mode: DriftMode::Report, ..other };
    let (ledger, events) = ledger.advance(&sight(vec![reported]), at(6));
    assert_eq!(transitions(&events), [Transition::Rated]);
    let counts = ledger.counts();
    assert_eq!((counts.present, counts.reported, counts.devices), (0, 1, 1));
    let (ledger, events) = ledger.advance(&DriftSight::default(), at(7));
    assert_eq!(transitions(&events), [Transition::Healed]);
    assert_eq!(ledger.rows[0].standing, Standing::Healed { healed_at: at(7), lived_secs: 7 });
    assert_eq!(
        serde_json::to_value(&ledger.rows[0]).unwrap(),
        json!({"device": "a", "module": "camera", "kind": "desired", "path": "x", "expected": "good", "found": "2",
            "firstSeen": START.to_string(), "lastSeen": at(7).to_string(),
            "state": "healed", "healedAt": at(7).to_string(), "livedSecs": 7})
    );
    // Off again: another row.
    let (ledger, _) = ledger.advance(&sight(vec![there]), at(9));
    assert_eq!((ledger.rows.len(), ledger.rows[1].first_seen), (2, at(9)));
}

#[test]
fn what_is_healed_makes_room_and_what_is_open_does_not() {
    let many = |from: i64, to: i64, healed: bool| DriftSight {
        found: (from..to)
            .map(|n| Found {
                since: Some(at(n)),
                healed: healed.then(|| at(n + 1)),
                ..one("a", DriftKind::Actual, &format!("x{n}"), "1")
            })
            .collect(),
        ..DriftSight::default()
    };
    let now = at(1_000);
    let (ledger, _) = DriftLedger::default().advance(&many(0, 60, true), now);
    assert_eq!(ledger.rows.len(), 40, "the bound of one device");
    assert!(ledger.rows.iter().all(|row| row.first_seen >= at(20)), "the oldest went");
    let (again, events) = ledger.advance(&many(0, 60, true), now);
    assert!(again == ledger && events.is_empty(), "and do not come back: {events:?}");
    let (ledger, events) = ledger.advance(&many(100, 150, false), now);
    assert_eq!((ledger.rows.len(), ledger.turned_away, events.len()), (40, 10, 40));
    assert!(ledger.rows.iter().all(|row| row.standing.is_open()));
    let (again, events) = ledger.advance(&many(100, 150, false), now);
    assert!(again == ledger && events.is_empty(), "{events:?}");
    // Another device has room.
    let mut sight = many(100, 150, false);
    sight.found.push(one("b", DriftKind::Desired, "x", "1"));
    assert_eq!(ledger.advance(&sight, now).0.rows.len(), 41);
    // In all.
    let fleet = DriftSight {
        found: (0..6_000).map(|n| one(&format!("d{n}"), DriftKind::Desired, "x", "1")).collect(),
        ..DriftSight::default()
    };
    let (ledger, _) = DriftLedger::default().advance(&fleet, now);
    assert_eq!((ledger.rows.len(), ledger.turned_away), (5_000, 1_000));
}

// === What is found ===

fn fleet(memory: u64, fps: u32, drift: &Value) -> Fleet {
    let documents = [
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "press"},
            "spec": {"edge": true, "tags": {"site": "lyon", "line": {"no": 4}}, "desired": {"every": 5}}}),
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "vision"}, "spec": {
            "targetCondition": "*",
            "drift": drift,
            "modules": {"camera": {"image": "camera:1", "env": {"LEVEL": "info", "API_TOKEN": "s3cret"},
                "createOptions": {"HostConfig": {"Memory": memory << 20, "CpuShares": 4}}, "desired": {"fps": fps, "night": true}}},
            "routes": {"cloud": "FROM /messages/modules/camera/outputs/* INTO $upstream"}}}),
    ];
    let files: Vec<SourceFile> = documents
        .iter()
        .enumerate()
        .map(|(place, document)| SourceFile {
            path: format!("{place}.json").into(),
            bytes: document.to_string().into_bytes(),
        })
        .collect();
    let loaded = hemline_model::load(&files);
    loaded.fleet.unwrap_or_else(|| panic!("{:?}", loaded.findings))
}

fn resolution(memory: u64, fps: u32, drift: &Value) -> Resolution {
    resolve(&fleet(memory, fps, drift), &Facts::default())
}

/// What somebody did to the hub: the twin (`$edgeAgent`, `camera` … or nothing for the device) and a merge patch.
fn touched(observed: &mut Observed, twin: &str, patch: &Value) {
    let there = observed.devices.get_mut("press").unwrap();
    let section = match twin {
        "tags" => &mut there.tags,
        "" => &mut there.desired,
        module => &mut there.modules.get_mut(module).unwrap().desired,
    };
    hemline_model::twin::merge(section, patch.as_object().unwrap());
}

fn options(shares: u32) -> Value {
    json!({"HostConfig": {"CpuShares": shares, "Memory": 64 << 20}}).to_string().into()
}

/// Everything that somebody can change in a hub: which twin, how, and the row (path, expected, found).
fn by_hand() -> Vec<(&'static str, Value, [&'static str; 3])> {
    let camera = |patch: Value| json!({"modules": {"camera": patch}});
    vec![
        ("tags", json!({"site": "oslo"}), ["tags.site", "lyon", "oslo"]),
        ("tags", json!({"line": {"no": null}}), ["tags.line.no", "4", "not set"]),
        ("tags", json!({"line": null}), ["tags.line.no", "4", "not set"]),
        ("", json!({"every": 9}), ["desired.every", "5", "9"]),
        ("camera", json!({"fps": 99}), ["modules.camera.desired.fps", "10", "99"]),
        (
            "$edgeAgent",
            camera(json!({"settings": {"image": "camera:2"}})),
            ["modules.camera.image", "camera:1", "camera:2"],
        ),
        (
            "$edgeAgent",
            camera(json!({"env": {"LEVEL": {"value": "debug"}}})),
            ["modules.camera.env.LEVEL", "info", "debug"],
        ),
        (
            "$edgeAgent",
            camera(json!({"env": {"MORE": {"value": "1"}}})),
            ["modules.camera.env.MORE", "not set", "1"],
        ),
        (
            "$edgeAgent",
            camera(json!({"env": {"API_TOKEN": {"value": "x"}}})),
            ["modules.camera.env.API_TOKEN", "***", "***"],
        ),
        ("$edgeAgent", camera(json!({"status": "stopped"})), ["modules.camera.status", "running", "stopped"]),
        (
            "$edgeAgent",
            camera(json!({"restartPolicy": "never"})),
            ["modules.camera.restartPolicy", "always", "never"],
        ),
        (
            "$edgeAgent",
            camera(json!({"settings": {"createOptions": options(8)}})),
            ["modules.camera.createOptions.HostConfig.CpuShares", "4", "8"],
        ),
        ("$edgeAgent", json!({"modules": {"camera": null}}), ["modules.camera", "there", "removed"]),
        (
            "$edgeAgent",
            json!({"modules": {"extra": {"type": "docker", "status": "running", "restartPolicy": "always", "settings": {"image": "x:1"}}}}),
            ["modules.extra", "not there", "added"],
        ),
        (
            "$edgeHub",
            json!({"routes": {"cloud": null}}),
            ["routes.cloud", "FROM /messages/modules/camera/outputs/* INTO $upstream", "removed"],
        ),
        (
            "$edgeHub",
            json!({"routes": {"more": "FROM /* INTO $upstream"}}),
            ["routes.more", "not there", "FROM /* INTO $upstream"],
        ),
        (
            "$edgeHub",
            json!({"storeAndForwardConfiguration": {"timeToLiveSecs": 1}}),
            ["$edgeHub.storeAndForwardConfiguration.timeToLiveSecs", "7200", "1"],
        ),
    ]
}

#[test]
fn everything_that_can_be_changed_in_a_hub() {
    for (twin, patch, row) in by_hand() {
        let healing = resolution(64, 10, &json!({}));
        let mut observed = Observed::after(&healing);
        touched(&mut observed, twin, &patch);
        let planned = plan(&healing, Some(&healing), Some(&observed));
        let found = drift::desired(&planned, &healing, &healing, &observed);
        let shown: Vec<[&str; 3]> =
            found.iter().map(|one| [one.path.as_str(), one.expected.as_str(), one.found.as_str()]).collect();
        assert_eq!(shown, [row], "{twin} {patch}");
        assert!(found.iter().all(|one| one.mode == DriftMode::Heal));
        let before = planned.clone();
        assert_eq!(drift::leave(planned, &found, &healing, &healing, &mut observed), before, "it is healed");

        // Left alone, in general and by its path, and whatever else the documents change is carried out.
        for rules in [json!({"mode": "report"}), json!({"paths": {row[0]: "ignore"}})] {
            let said = resolution(64, 10, &rules);
            let desired = resolution(64, 10, &rules);
            let mut observed = Observed::after(&said);
            touched(&mut observed, twin, &patch);
            let untouched = observed.clone();
            let planned = plan(&desired, Some(&said), Some(&observed));
            let found = drift::desired(&planned, &desired, &said, &observed);
            assert_eq!(found.len(), 1, "{rules}");
            assert_ne!(found[0].mode, DriftMode::Heal, "{rules}: {}", row[0]);
            let left = drift::leave(planned, &found, &desired, &said, &mut observed);
            assert!(left.is_empty(), "{rules}: {}\n{left}", row[0]);
            assert_eq!((left.summary.devices, left.summary.unchanged), (0, 1));
            assert_eq!(observed, untouched, "what is there stays known as it is");

            let next = resolution(64, 12, &rules);
            let planned = plan(&next, Some(&said), Some(&observed));
            let found = drift::desired(&planned, &next, &said, &observed);
            let left = drift::leave(planned, &found, &next, &said, &mut observed);
            assert_eq!(left.devices.len(), 1, "{rules}: {}", row[0]);
            for step in left.devices.iter().flat_map(|device| &device.steps) {
                step.apply_to(&mut observed);
            }
            assert_eq!(observed.devices["press"].modules["camera"].desired["fps"], json!(12));
            // What was changed by hand is still as it was put; but where the documents speak of that very value.
            let planned = plan(&next, Some(&next), Some(&observed));
            let still = drift::desired(&planned, &next, &next, &observed);
            let rows: Vec<&str> = still.iter().map(|one| one.path.as_str()).collect();
            let own = row[0] == "modules.camera.desired.fps";
            assert_eq!(rows, if own { vec![] } else { vec![row[0]] }, "{rules}");
        }
    }
}

#[test]
fn what_documents_change_is_no_drift() {
    let (said, desired) = (resolution(64, 10, &json!({})), resolution(32, 12, &json!({})));
    // Not done yet, half done by a controller that was killed, all done.
    let mut observed = Observed::after(&said);
    for half in [false, true] {
        if half {
            touched(&mut observed, "camera", &json!({"fps": 12}));
        }
        let planned = plan(&desired, Some(&said), Some(&observed));
        assert!(!planned.is_empty());
        assert_eq!(drift::desired(&planned, &desired, &said, &observed), []);
    }
    // And beside it somebody changed something.
    touched(&mut observed, "camera", &json!({"night": false}));
    let planned = plan(&desired, Some(&said), Some(&observed));
    let found = drift::desired(&planned, &desired, &said, &observed);
    assert_eq!(
        found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
        ["modules.camera.desired.night"]
    );
    // A device that somebody took away.
    observed.devices.clear();
    let planned = plan(&desired, Some(&said), Some(&observed));
    let found = drift::desired(&planned, &desired, &said, &observed);
    assert!(found.iter().any(|one| one.path == "device" && one.found == "removed"), "{found:?}");
}

#[test]
fn what_is_half_done_is_no_drift() {
    let with = |modules: &Value, routes: &Value| {
        let documents = [
            json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "press"}, "spec": {"edge": true}}),
            json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "vision"}, "spec": {
                "targetCondition": "*", "modules": modules, "routes": routes}}),
        ];
        let file = |(place, document): (usize, &Value)| SourceFile {
            path: format!("{place}.json").into(),
            bytes: document.to_string().into_bytes(),
        };
        let files: Vec<SourceFile> = documents.iter().enumerate().map(file).collect();
        resolve(&hemline_model::load(&files).fleet.unwrap(), &Facts::default())
    };
    let (camera, meter) =
        (json!({"image": "camera:1"}), json!({"image": "meter:1", "desired": {"every": 5}}));
    let one = with(&json!({"camera": camera}), &json!({}));
    let route = json!({"meter": "FROM /messages/modules/meter/outputs/* INTO $upstream"});
    let two = with(&json!({"camera": camera, "meter": meter}), &route);
    let mut stops = 0;
    for (said, desired) in [(&one, &two), (&two, &one)] {
        let steps = |observed: &Observed| -> Vec<_> {
            let planned = plan(desired, Some(said), Some(observed));
            planned.devices.into_iter().flat_map(|device| device.steps).collect()
        };
        let all = steps(&Observed::after(said));
        assert!(all.len() > 2, "{all:?}");
        for done in 0..=all.len() {
            let mut observed = Observed::after(said);
            for step in &all[..done] {
                step.apply_to(&mut observed);
            }
            let planned = plan(desired, Some(said), Some(&observed));
            assert_eq!(drift::desired(&planned, desired, said, &observed), [], "{done} of {all:?}");
            stops += 1;
        }
    }
    assert!(stops > 6, "{stops}");
}

#[test]
fn what_agents_say_is_read_with_care() {
    let resolution = resolution(64, 10, &json!({"paths": {"modules.camera.status": "report"}}));
    let mut observed = Observed::after(&resolution);
    let row = |path: &str, found: &str| json!({"module": "camera", "path": path, "expected": "e", "found": found, "firstSeen": "2026-11-21T12:00:00Z"});
    let mut healed = row("modules.camera", "removed");
    healed["healed"] = json!("2026-11-21T12:00:04Z");
    let mut no_time = row("modules.camera", "x");
    no_time["firstSeen"] = json!("yesterday");
    let rows = json!([
        row("modules.camera.status", "stopped"),
        healed,
        no_time,
        row("", "x"),
        row(&"x".repeat(600), "x"),
        "nonsense",
        row("modules.camera.name", &format!("a\nb{}", "c".repeat(400))),
        row("modules.camera.url", "postgres://u:pw@db/x"),
    ]);
    let agent = observed.devices.get_mut("press").unwrap().modules.get_mut("$edgeAgent").unwrap();
    agent.reported = json!({"hemline": {"drift": rows}}).as_object().cloned().unwrap();
    let found = drift::actual(&resolution, &observed);
    let shown: Vec<(&str, DriftMode, bool)> =
        found.iter().map(|one| (one.path.as_str(), one.mode, one.healed.is_some())).collect();
    assert_eq!(
        shown,
        [
            ("modules.camera.status", DriftMode::Report, false),
            ("modules.camera", DriftMode::Heal, true),
            ("modules.camera.name", DriftMode::Heal, false),
            ("modules.camera.url", DriftMode::Heal, false),
        ]
    );
    assert!(found[2].found.starts_with("a b") && found[2].found.chars().count() < 200);
    assert_eq!(found[3].found, "***");
    assert!(!drift::is_silent(&observed, &device("press")) && drift::is_silent(&observed, &device("nobody")));
}

#[test]
fn one_device_in_full() {
    let said = resolution(64, 10, &json!({}));
    let id = device("press");
    let effective = &said.devices["press"];
    let mut observed = Observed::after(&said);
    let nothing = DriftLedger::default();
    // An agent that reports what it was told.
    let agent = observed.devices.get_mut("press").unwrap().modules.get_mut("$edgeAgent").unwrap();
    let mut reported = agent.desired.clone();
    let module = &mut reported["modules"]["camera"];
    module["version"] = json!("");
    module["runtimeStatus"] = json!("running");
    module["settings"]["imageHash"] = json!("sha256:12");
    reported.insert("lastDesiredVersion".to_owned(), json!(7));
    reported.insert("lastDesiredStatus".to_owned(), json!({"code": 200, "description": ""}));
    (agent.desired_version, agent.connected, agent.reported) = (7, true, reported);
    let equal = device_diff(&id, effective, observed.devices.get("press"), &nothing);
    assert_eq!(equal.to_string(), "press: as its documents say, connected\n", "{equal:?}");

    // Everything at once.
    touched(&mut observed, "tags", &json!({"site": "oslo"}));
    let agent = observed.devices.get_mut("press").unwrap().modules.get_mut("$edgeAgent").unwrap();
    agent.connected = false;
    agent.desired_version = 8;
    let patch = json!({"modules": {"camera": {"settings": {"image": "camera:0"}, "env": {"API_TOKEN": {"value": "x"}},
        "runtimeStatus": "backoff", "statusDescription": "exited with code 1"},
        "old": {"type": "docker", "status": "running", "runtimeStatus": "running", "settings": {"image": "old:1"}}}});
    hemline_model::twin::merge(&mut agent.reported, patch.as_object().unwrap());
    let by_hand = one("press", DriftKind::Actual, "modules.camera.name", "other");
    let sight = DriftSight { found: vec![by_hand], ..DriftSight::default() };
    let (ledger, _) = DriftLedger::default().advance(&sight, START);
    let diff = device_diff(&id, effective, observed.devices.get("press"), &ledger);
    let kept: DeviceDiff = serde_json::from_value(serde_json::to_value(&diff).unwrap()).unwrap();
    assert_eq!(kept, diff);
    assert_eq!(
        diff.to_string(),
        "\
press: 7 differences, not connected, so this may be old

camera
  env.API_TOKEN
    - ***
    + ***   reported by the agent
  image
    - camera:1
    + camera:0   reported by the agent
  name
    - good
    + other   changed on the device by hand since 2027-01-15 08:00:00Z, is being put right
  runtimeStatus
    - running
    + backoff: exited with code 1   reported by the agent

old
  modules.old
    - not there
    + added   reported by the agent

the device
  configuration
    - version 8
    + version 7   reported by the agent
  tags.site
    - lyon
    + oslo   in the hub
"
    );
    let unknown = device_diff(&id, effective, None, &nothing);
    assert!(unknown.differences.iter().any(|one| one.path == "device" && one.actual == "removed"));
}
