//! Reported states → statuses and files, as text.

use hemline_model::{SourceFile, document::DriftMode, edge::AgentReported, id::ModuleId};
use hemline_plan::{
    Facts, ObservedModule,
    drift::{DriftKind, DriftSight, Found},
    resolve,
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    last_good::LastGood,
    trouble::found,
    validate::{Attempt, Good, validate},
};

const FLEET: &str = r#"
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec: {edge: true}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter}
spec: {deviceId: Meter_7}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: "*"
  modules:
    camera: {image: "camera:1"}
    filter: {type: process, command: [/bin/filter], status: stopped}
"#;

struct Scene {
    state: State,
    resolution: Resolution,
    observed: Observed,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let file = SourceFile { path: "fleet.yaml".into(), bytes: FLEET.as_bytes().to_vec() };
        let fleet = hemline_model::load(std::slice::from_ref(&file)).fleet.unwrap();
        let resolution = resolve(&fleet, &Facts::default());
        let observed = Observed::after(&resolution);
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::restore(LastGood::new(folder.path().to_path_buf()), false);
        let revision = Revision::new("0123456789abcdef").unwrap();
        state.attempted = Some(revision.clone());
        state.good = Some(Arc::new(Good::new(revision, Some("first".into()), fleet, vec![file])));
        Self { state, resolution, observed, _folder: folder }
    }

    /// What the agent of `press-01` reports, and what follows from it.
    fn report(&mut self, reported: &Value) -> PassReport {
        let device = self.observed.devices.get_mut("press-01").unwrap();
        let agent: &mut ObservedModule = device.modules.get_mut(&ModuleId::edge_agent()).unwrap();
        agent.desired_version = 4;
        agent.connected = true;
        agent.reported = reported.as_object().cloned().unwrap_or_default();
        assert!(agent.reported.is_empty() || AgentReported::parse(&agent.reported).is_ok());
        let sight = Sight {
            source: "fleet".into(),
            observed: Some((Scope::All, self.observed.clone())),
            resolution: Some(Arc::new(self.resolution.clone())),
            plan: Summary::default(),
            done: String::new(),
            failed: BTreeMap::new(),
            held: BTreeMap::new(),
            errors: Vec::new(),
        };
        report(&mut self.state, sight, Timestamp::now())
    }
}

fn agent(code: u16, version: u64, camera: Value) -> Value {
    let modules: Map<String, Value> = [
        ("camera".to_owned(), camera),
        ("filter".to_owned(), json!({"type": "process", "runtimeStatus": "stopped", "exitCode": 0})),
    ]
    .into_iter()
    .collect();
    json!({"schemaVersion": "1.0", "lastDesiredVersion": version,
           "lastDesiredStatus": {"code": code, "description": if code == 200 { "" } else { "the reason" }},
           "modules": modules})
}

fn running() -> Value {
    json!({"type": "docker", "runtimeStatus": "running", "statusDescription": "Up 3 seconds", "restartCount": 0})
}

/// The state of `press-01` and the first line of the summary.
fn says(report: &PassReport) -> String {
    let device = &report.devices["press-01"];
    let held: Vec<&str> = device
        .conditions
        .iter()
        .filter(|c| c.status == hemline_model::status::ConditionStatus::True)
        .map(|c| c.kind.as_str())
        .collect();
    let first = status_files(report)[0].text.lines().next().unwrap_or_default().to_owned();
    format!("{} | {} | {first}", held.join(" "), device.conditions[0].reason)
}

#[test]
fn every_state_of_an_agent() {
    let crashed = json!({"type": "docker", "runtimeStatus": "backoff", "statusDescription": "exited", "exitCode": 1, "restartCount": 5});
    let table: Vec<String> = [
        ("never reported", json!({})),
        ("an older version", agent(200, 3, running())),
        ("as desired", agent(200, 4, running())),
        ("a module crashes", agent(200, 4, crashed.clone())),
        ("a module crashes, the agent says 500", agent(500, 4, crashed)),
        ("the agent says 500", agent(500, 4, running())),
        ("a configuration that the agent refuses", agent(400, 4, running())),
        ("the agent is stopped", agent(406, 4, json!({"type": "docker", "runtimeStatus": "unknown"}))),
        ("the module starts", agent(200, 4, json!({"type": "docker", "runtimeStatus": "unknown"}))),
    ]
    .into_iter()
    .map(|(what, reported)| format!("{what}\n    {}", says(&Scene::new().report(&reported))))
    .collect();
    insta::assert_snapshot!("states", table.join("\n"));
}

#[test]
fn files_of_a_fleet() {
    let mut scene = Scene::new();
    let report = scene.report(&agent(200, 4, running()));
    let text: Vec<String> =
        status_files(&report).into_iter().map(|file| format!("--- {}\n{}", file.path, file.text)).collect();
    let text = text.join("\n").replace(&report.at.to_string(), "THE-TIME");
    insta::assert_snapshot!("files", text);
}

#[test]
fn nothing_changes_without_a_change_of_state() {
    let mut scene = Scene::new();
    let first = scene.report(&agent(200, 4, running()));
    let mut later = running();
    later["statusDescription"] = "Up 9 minutes".into();
    let second = scene.report(&agent(200, 4, later));
    assert!(first.at < second.at);
    assert!(first.says_the_same(&second));
    assert_eq!(status_files(&first), status_files(&second));

    scene.state.kept.write_statuses(&scene.state.statuses);
    // After a restart the times of the conditions are those from before.
    scene.state = State {
        good: scene.state.good.clone(),
        attempted: scene.state.attempted.clone(),
        ..State::restore(scene.state.kept.clone(), false)
    };
    let third = scene.report(&agent(200, 4, running()));
    assert_eq!(status_files(&first), status_files(&third));
}

/// What forges hear: revision, phase and line of each.
fn heard(report: &PassReport) -> String {
    let told = outcomes(report, &status_files(report));
    let lines =
        told.iter().map(|told| format!("{} | {} | {}\n", told.revision.short(), told.phase, told.line));
    lines.collect()
}

#[test]
fn forges_hear_of_the_revision_in_force_and_of_a_newer_one() {
    let mut scene = Scene::new();
    let well = scene.report(&agent(200, 4, running()));
    let rollout = |revision: &str, phase: &str| -> RolloutStatus {
        let wave = json!({"name": "all", "devices": 2, "done": 1, "given": 0, "failed": 0, "skipped": 0, "current": true});
        let rollout = json!({
            "deployment": "vision", "revision": revision, "phase": phase, "says": "", "started": "2026-01-01T00:00:00Z",
            "devices": 2, "took": 1, "waves": [wave], "story": [],
        });
        serde_json::from_value(rollout).unwrap()
    };
    let newer = || Some(Revision::new("fedcba9876543210").unwrap());
    let headline = || Some("revision 0123456 rolling: all, 1 of 2 devices".to_owned());
    let rolling = PassReport {
        rollouts: vec![rollout("0123456789abcdef", "rolling")],
        headline: headline(),
        ..well.clone()
    };
    let halted = PassReport {
        rollouts: vec![rollout("0123456789abcdef", "halted")],
        headline: Some("revision 0123456 halted at all: x".to_owned()),
        ..well.clone()
    };
    let revert: RevertProposal = serde_json::from_value(json!({
        "quarantined": "fedcba9876543210", "lastGood": "0123456789abcdef", "deployment": "vision", "wave": "canary",
        "started": "2026-01-01T00:00:00Z", "reason": "camera exits 3", "took": 1, "devices": 2, "failed": 1, "evidence": {},
    }))
    .unwrap();
    let back = PassReport {
        attempted: newer(),
        revert: Some(revert),
        rollouts: vec![rollout("fedcba9876543210", "reverted")],
        headline: Some("revision fedcba9 went back: camera exits 3".to_owned()),
        ..well.clone()
    };
    let none = PassReport { revision: None, attempted: None, ..well.clone() };
    let told = [
        ("in force", well.clone()),
        ("rolling", rolling.clone()),
        ("halted", halted.clone()),
        ("a newer one is refused", PassReport { attempted: newer(), ..well.clone() }),
        ("refused while the other rolls", PassReport { attempted: newer(), ..rolling.clone() }),
        ("refused while the other is halted", PassReport { attempted: newer(), ..halted }),
        ("waits while the other rolls", PassReport { waiting: newer(), ..rolling }),
        ("went back", back.clone()),
        ("the one that goes back is in force", PassReport { revision: newer(), ..back }),
        ("the first is refused", PassReport { attempted: newer(), ..none.clone() }),
        ("the first waits", PassReport { waiting: newer(), ..none.clone() }),
        ("nothing", none),
    ];
    let text: String = told.iter().map(|(what, report)| format!("--- {what}\n{}", heard(report))).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn a_clock_that_was_set_is_told() {
    let mut scene = Scene::new();
    let quiet = scene.report(&agent(200, 4, running()));
    assert_eq!(found(&scene.state, &quiet, []), []);
    scene.state.clock_was_set(SignedDuration::from_hours(-5));
    let report = scene.report(&agent(200, 4, running()));
    let told = found(&scene.state, &report, []);
    let [(_, reason, message)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*reason, "clock-set");
    assert!(message.contains("-18000 s"), "{message}");
}

#[test]
fn what_was_changed_by_hand_is_told_and_then_stays_told() {
    let mut scene = Scene::new();
    scene.report(&agent(200, 4, running()));
    let at = |seconds: i64| Timestamp::constant(1_800_000_000 + seconds, 0);
    let found = |path: &str, mode| Found {
        device: DeviceId::new("press-01").unwrap(),
        module: ModuleId::new("camera").ok(),
        kind: DriftKind::Actual,
        path: path.to_owned(),
        expected: "running".to_owned(),
        found: "stopped".to_owned(),
        mode,
        by: None,
        since: Some(at(0)),
        healed: None,
    };
    let (told, put_right) =
        (found("modules.camera.a", DriftMode::Report), found("modules.camera.b", DriftMode::Heal));
    let look = |scene: &mut Scene, found: Vec<Found>, now: Timestamp| {
        let sight = DriftSight { found, ..DriftSight::default() };
        scene.state.drift = Arc::new(scene.state.drift.advance(&sight, now).0);
        let report = scene.report(&agent(200, 4, running()));
        let files = status_files(&report);
        let text = |name: &str| files.iter().find(|file| file.path == name).unwrap().text.clone();
        let (device, readme) = (text("devices/press-01.yaml"), text("README.md"));
        (files, format!("{}--- README\n{}", drifted(&device), readme))
    };
    let (_, there) = look(&mut scene, vec![told.clone(), put_right.clone()], at(1));
    let (files, healed) =
        look(&mut scene, vec![told.clone(), Found { healed: Some(at(9)), ..put_right.clone() }], at(10));
    insta::assert_snapshot!("changed_by_hand", format!("{there}\n======= healed\n{healed}"));
    // Seen again, and again: no file changes.
    for later in [11, 5_000, 100_000] {
        let again = vec![told.clone(), Found { healed: Some(at(9)), ..put_right.clone() }];
        assert_eq!(look(&mut scene, again, at(later)).0, files, "{later} s");
    }
}

/// The parts of a device's status that speak of drift.
fn drifted(status: &str) -> String {
    let lines: Vec<&str> = status.lines().filter(|line| !line.contains("lastTransitionTime")).collect();
    let from = |wanted: &str| lines.iter().position(|line| line.trim() == wanted).unwrap_or(lines.len());
    let (rows, conditions) = (from("drift:"), from("conditions:"));
    let condition = lines.iter().position(|line| line.contains("type: Drifted")).unwrap_or(lines.len());
    let part = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().join("\n");
    format!("{}\n{}\n", part(rows.min(conditions), conditions), part(condition, lines.len()))
}

#[test]
fn an_empty_source_never_empties_a_fleet() {
    let snapshot = || hemline_sources::Snapshot {
        revision: Revision::new("sha256:00").unwrap(),
        files: Vec::new(),
        message: None,
        notes: Vec::new(),
    };
    assert!(matches!(validate(Ok(snapshot()), Facts::default, 3), Attempt::Broken { .. }));
    assert!(matches!(validate(Ok(snapshot()), Facts::default, 0), Attempt::Good { .. }));
}
