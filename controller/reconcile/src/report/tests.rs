//! Reported states → statuses and files, as text.

use hemline_model::{SourceFile, edge::AgentReported, id::ModuleId};
use hemline_plan::{Facts, ObservedModule, resolve};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    last_good::LastGood,
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
            observed: Some(self.observed.clone()),
            resolution: Some(self.resolution.clone()),
            plan: Summary::default(),
            done: String::new(),
            failed: BTreeMap::new(),
            held: BTreeMap::new(),
            errors: Vec::new(),
        };
        report(&mut self.state, sight)
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

    // After a restart the times of the conditions are those from before.
    scene.state = State {
        good: scene.state.good.clone(),
        attempted: scene.state.attempted.clone(),
        ..State::restore(scene.state.kept.clone(), false)
    };
    let third = scene.report(&agent(200, 4, running()));
    assert_eq!(status_files(&first), status_files(&third));
}

#[test]
fn an_empty_source_never_empties_a_fleet() {
    let snapshot = || hemline_sources::Snapshot {
        revision: Revision::new("sha256:00").unwrap(),
        files: Vec::new(),
        message: None,
        notes: Vec::new(),
    };
    assert!(matches!(validate(Ok(snapshot()), &Facts::default(), 3), Attempt::Broken { .. }));
    assert!(matches!(validate(Ok(snapshot()), &Facts::default(), 0), Attempt::Good { .. }));
}
