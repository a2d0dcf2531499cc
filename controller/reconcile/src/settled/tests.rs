//! A pass that looks only at what moved leaves nothing behind: after each of many changes by hand, of documents and of
//! devices, a pass over everything finds nothing more to do and says the same of every device.

use std::fs;

use hemline_hub::{Hub, HubConfig, HubHandle, pki};
use hemline_hub_core::service::{DeviceSettings, IfMatch, ServiceRequest};
use hemline_model::id::ClientId;
use hemline_sources::{AnySource, Directory};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::{Clock, Clocks as _, Machine},
    last_good::LastGood,
    pass::{Reload, pass},
};

const EDGES: [&str; 3] = ["edge-0", "edge-1", "edge-2"];
const CLIENTS: [&str; 7] =
    ["edge-0", "edge-1/camera", "edge-1/$edgeAgent", "edge-2/$edgeHub", "edge-2", "meter", "meter/own"];

/// What happens between two passes.
#[derive(Debug, Clone)]
enum Step {
    Tag(usize, u8),
    Desire(usize, u8),
    Remove(usize),
    Disable(usize),
    /// A module that no document knows.
    Add(usize),
    /// The documents get another frame rate, and may lose a device.
    Commit {
        fps: u8,
        devices: usize,
    },
    Nothing,
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS.len();
    prop_oneof![
        2 => (client(), any::<u8>()).prop_map(|(client, value)| Step::Tag(client, value)),
        3 => (client(), any::<u8>()).prop_map(|(client, value)| Step::Desire(client, value)),
        2 => client().prop_map(Step::Remove),
        1 => (0..EDGES.len()).prop_map(Step::Disable),
        1 => (0..EDGES.len()).prop_map(Step::Add),
        2 => (any::<u8>(), 1..=EDGES.len()).prop_map(|(fps, devices)| Step::Commit { fps, devices }),
        1 => Just(Step::Nothing),
    ]
}

fn fleet(fps: u8, devices: usize) -> String {
    let edges = EDGES.iter().take(devices).map(|name| {
        let metadata = json!({"name": name});
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": metadata,
               "spec": {"edge": true, "tags": {"site": "lyon"}, "desired": {"every": 5}}})
    });
    let others = [
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "meter"},
               "spec": {"tags": {"site": "oslo"}}}),
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "vision"},
               "spec": {"targetCondition": "*", "modules": {"camera": {"image": "camera:1", "desired": {"fps": fps}}},
                        "drift": {"paths": {"modules.camera.desired.*": "report"}}}}),
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "TwinConfiguration", "metadata": {"name": "quiet"},
               "spec": {"targetCondition": "tags.site = 'oslo'", "desired": {"level": fps}}}),
    ];
    edges.chain(others).map(|document| document.to_string()).collect::<Vec<_>>().join("\n---\n")
}

fn requests(step: &Step) -> Option<ServiceRequest> {
    let client = |which: &usize| CLIENTS[*which].parse::<ClientId>().unwrap();
    let map = |value: Value| value.as_object().cloned().unwrap_or_default();
    let patch = |which: &usize, tags: Option<Map<String, Value>>, desired| ServiceRequest::PatchTwin {
        client: client(which),
        tags,
        desired,
        if_match: IfMatch::Any,
    };
    Some(match step {
        Step::Tag(which, value) => patch(which, Some(map(json!({"site": format!("s{value}")}))), None),
        Step::Desire(which, value) => patch(which, None, Some(map(json!({"every": value, "fps": value})))),
        Step::Remove(which) => {
            ServiceRequest::DeleteIdentity { client: client(which), if_match: IfMatch::Any }
        }
        Step::Disable(which) => ServiceRequest::PutDevice {
            device: EDGES[*which].parse().unwrap(),
            settings: DeviceSettings { enabled: Some(false), ..DeviceSettings::default() },
            if_match: IfMatch::Any,
        },
        Step::Add(which) => ServiceRequest::PutModule {
            client: format!("{}/stranger", EDGES[*which]).parse().unwrap(),
            settings: Default::default(),
            if_match: IfMatch::Absent,
        },
        Step::Commit { .. } | Step::Nothing => return None,
    })
}

/// The scope of the next pass, without running it.
fn looks_at_all(state: &mut State) -> bool {
    let good = state.good.clone().unwrap();
    let resolution = state.resolved(&good, &Facts::default());
    matches!(state.scope(&good, &resolution), Scope::All)
}

async fn check(source: &mut AnySource, hub: &HubHandle, state: &mut State, reload: Reload, what: &str) {
    let quick = pass(source, hub, &Machine, state, reload).await;
    // Whatever it healed moved, and is looked at once more; a commit takes a pass or two to be over.
    let mut again = pass(source, hub, &Machine, state, Reload::No).await;
    for _ in 0..3 {
        assert_eq!(again.done, "", "{what}, after: {}", quick.done);
        if !looks_at_all(state) {
            break;
        }
        again = pass(source, hub, &Machine, state, Reload::No).await;
    }
    assert!(!looks_at_all(state), "{what}");
    state.unsettle();
    let whole = pass(source, hub, &Machine, state, Reload::No).await;
    assert_eq!(whole.done, "", "{what}, left behind after: {}", quick.done);
    assert_eq!(again.plan.unchanged, whole.plan.unchanged, "{what}");
    assert_eq!(again.devices, whole.devices, "{what}");
    assert_eq!(again.deployments, whole.deployments, "{what}");
    assert_eq!(again.configurations, whole.configurations, "{what}");
    assert_eq!(again.drift_ledger.counts(), whole.drift_ledger.counts(), "{what}");
}

/// A hub without listeners, and what ends it.
async fn hub_in(data: &std::path::Path) -> (Hub, CancellationToken) {
    let names = vec!["127.0.0.1".to_owned()];
    let certificates = pki::open(data, &names, jiff::Timestamp::now()).unwrap();
    let stop = CancellationToken::new();
    let config = HubConfig::new(data, names, certificates.server_config());
    let hub = Hub::start(config, |_| axum::Router::new(), stop.clone()).await.unwrap();
    (hub, stop)
}

#[tokio::test]
async fn a_quick_pass_leaves_nothing_behind() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let documents = folder.path().join("fleet.yaml");
    fs::write(&documents, fleet(1, 3)).unwrap();
    let (hub, stop) = hub_in(data.path()).await;
    let mut source = AnySource::from(Directory::open(folder.path()).unwrap());
    let mut state = State::restore(LastGood::new(data.path().join("last-good")), false);
    check(&mut source, &hub.handle(), &mut state, Reload::Yes, "the first").await;

    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut narrow, steps) = (0, 120);
    for number in 0..steps {
        let step = step().new_tree(&mut runner).unwrap().current();
        let mut reload = Reload::No;
        if let Step::Commit { fps, devices } = step {
            fs::write(&documents, fleet(fps, devices)).unwrap();
            reload = Reload::Yes;
        }
        if let Some(request) = requests(&step) {
            // What is not there cannot be changed; that is a step too.
            drop(hub.handle().call(request).await);
        }
        if reload == Reload::No {
            state.picture.follow(&hub.handle()).await.unwrap();
            narrow += usize::from(!looks_at_all(&mut state));
        }
        check(&mut source, &hub.handle(), &mut state, reload, &format!("step {number}: {step:?}")).await;
    }
    assert!(narrow > steps / 2, "only {narrow} passes looked at what moved");
    stop.cancel();
    hub.join().await.unwrap();
}

#[tokio::test]
async fn a_pass_notices_that_the_clock_was_set() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("fleet.yaml"), fleet(1, 3)).unwrap();
    let (hub, stop) = hub_in(data.path()).await;
    let mut source = AnySource::from(Directory::open(folder.path()).unwrap());
    let mut state = State::restore(LastGood::new(data.path().join("last-good")), false);
    pass(&mut source, &hub.handle(), &Machine, &mut state, Reload::Yes).await;
    assert_eq!(state.clock_set, None);
    // An hour less stood on the wall at the last look, and no time has passed since.
    state.clock = Clock::default();
    let hour = jiff::SignedDuration::from_hours(1);
    assert_eq!(state.clock.set_by(Machine.steady(), jiff::Timestamp::now() - hour), None);
    pass(&mut source, &hub.handle(), &Machine, &mut state, Reload::No).await;
    let (_, by) = state.clock_set.unwrap();
    assert!((by - hour).abs() < jiff::SignedDuration::from_secs(60), "{by}");
    stop.cancel();
    hub.join().await.unwrap();
}
