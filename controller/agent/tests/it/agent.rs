//! The whole agent with real processes: configuration in, modules up, reported properties out.

use std::{path::Path, time::Duration};

use hemline_agent::{AgentConfig, AgentHandle, module::RuntimeStatus, start};
use hemline_model::{Secret, id::DeviceId};
use hemline_testkit::within;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake_hub::{DEVICE, FakeHub, HUB, KEY};

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn config(hub: &FakeHub, folder: &Path, stop_modules: bool) -> AgentConfig {
    AgentConfig {
        device: DeviceId::new(DEVICE).unwrap(),
        device_key: Secret::new(KEY),
        hub_name: HUB.clone(),
        gateway: "127.0.0.1".to_owned(),
        container_gateway: None,
        mqtt_port: hub.mqtt_port,
        https_port: hub.https_port,
        ca_pem: hub.ca_pem.clone(),
        data_dir: folder.to_owned(),
        search_path: None,
        shim: env!("CARGO_BIN_EXE_hemline-shim").into(),
        docker: Some("/no/such/socket".to_owned()),
        age_key_file: None,
        stop_modules,
    }
}

pub(crate) struct Running {
    pub(crate) handle: AgentHandle,
    stop: CancellationToken,
}

impl Running {
    pub(crate) fn start(config: AgentConfig) -> Self {
        let stop = CancellationToken::new();
        Self { handle: start(config, stop.clone()).unwrap(), stop }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        within(LIMIT, "the end of the agent", self.handle.join()).await;
    }
}

fn module(script: &str) -> Value {
    json!({"type": "process", "status": "running", "restartPolicy": "always",
        "settings": {"command": ["/bin/sh", "-c", script]}})
}

pub(crate) fn desired(modules: &Value) -> Value {
    json!({"schemaVersion": "1.1", "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25",
        "registryCredentials": {"r": {"username": "u", "password": "top secret", "address": "a"}}}},
        "systemModules": {}, "modules": modules})
}

const FOREVER: &str = "env | grep IOTEDGE | sort; while true; do sleep 0.05; done";

pub(crate) fn status<'a>(reported: &'a Value, module: &str) -> &'a str {
    reported["modules"][module]["runtimeStatus"].as_str().unwrap_or_default()
}

pub(crate) fn code(reported: &Value) -> i64 {
    reported["lastDesiredStatus"]["code"].as_i64().unwrap_or_default()
}

fn pid(folder: &Path, module: &str) -> Option<u64> {
    let record = std::fs::read(folder.join("modules").join(module).join("run.json")).ok()?;
    serde_json::from_slice::<Value>(&record).unwrap()["child"]["pid"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({"one": module(FOREVER)}))).await;
    hub.identity("one", "g1");
    let agent = Running::start(config(&hub, folder.path(), true));
    let reported = hub
        .until("one is running", |reported| status(reported, "one") == "running" && code(reported) == 200)
        .await;
    assert_eq!(reported["lastDesiredVersion"], 2);
    assert_eq!(reported["runtime"]["settings"]["registryCredentials"], json!({}));
    assert!(!reported.to_string().contains("top secret"));
    let one = &reported["modules"]["one"];
    assert_eq!(
        (&one["status"], &one["restartPolicy"], &one["type"]),
        (&json!("running"), &json!("always"), &json!("process"))
    );
    assert_eq!((&one["restartCount"], &one["lastExitTimeUtc"]), (&json!(0), &json!("0001-01-01T00:00:00")));
    let first = pid(folder.path(), "one").unwrap();

    // Another module, live; the first one is not touched.
    hub.identity("two", "g2");
    hub.patch(json!({"modules": {"two": module("echo up; while true; do sleep 0.05; done")}})).await;
    hub.until("two is running", |reported| {
        status(reported, "two") == "running" && reported["lastDesiredVersion"] == 3
    })
    .await;
    assert_eq!(pid(folder.path(), "one"), Some(first));

    let (answered, logs) = hub
        .method(
            "GetModuleLogs",
            json!({"schemaVersion": "1.0", "items": {"id": "one", "filter": {"regex": "ID="}}}),
        )
        .await;
    assert_eq!(answered, 200, "{logs}");
    let text = logs[0]["payload"].as_str().unwrap();
    assert!(
        text.contains("IOTEDGE_DEVICEID=press-01\n") && text.contains("IOTEDGE_MODULEID=one\n"),
        "{text}"
    );
    assert_eq!(hub.method("ping", Value::Null).await, (200, Value::Null));
    assert_eq!(hub.method("Reboot", Value::Null).await.0, 404);
    assert_eq!(hub.method("RestartModule", json!({"id": "nobody"})).await.0, 500);
    assert_eq!(hub.method("RestartModule", json!({"ID": 1})).await.0, 400);
    assert_eq!(
        hub.method("restartmodule", json!({"schemaVersion": "1.0", "id": "one"})).await,
        (200, Value::Null)
    );
    assert_ne!(pid(folder.path(), "one"), Some(first));

    // Gone means null in the patch.
    hub.patch(json!({"modules": {"two": null}})).await;
    hub.until("two is gone", |reported| {
        reported["modules"].get("two").is_none() && reported["lastDesiredVersion"] == 4
    })
    .await;
    assert!(!folder.path().join("modules/two").exists());
    assert!(
        hub.known
            .lock()
            .unwrap()
            .patches
            .iter()
            .any(|patch| patch["modules"].get("two") == Some(&Value::Null))
    );

    agent.end().await;
    let reported = Value::Object(hub.reported.borrow().clone());
    assert_eq!((code(&reported), status(&reported, "one")), (406, "unknown"));
    assert!(folder.path().join("modules/one/exit.json").exists(), "it was stopped with the agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_outlive_the_agent_and_are_found_offline() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({"one": module(FOREVER)}))).await;
    hub.identity("one", "g1");
    let mut config = config(&hub, folder.path(), false);
    let agent = Running::start(config.clone());
    hub.until("one is running", |reported| status(reported, "one") == "running").await;
    let before = pid(folder.path(), "one");
    agent.end().await;
    for secret in ["config.json", "identities.json"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    // No hub at all: the last good configuration is kept up.
    drop(hub);
    config.stop_modules = true;
    let agent = Running::start(config.clone());
    let mut status = agent.handle.status.clone();
    let running =
        status.wait_for(|status| status.modules.iter().any(|module| module.status == RuntimeStatus::Running));
    assert!(!within(LIMIT, "one is found", running).await.unwrap().connected);
    assert_eq!(pid(folder.path(), "one"), before, "found, not made anew");
    agent.end().await;

    // Stopped with the agent, so started with the next one, still offline.
    let agent = Running::start(config);
    let mut status = agent.handle.status.clone();
    let running =
        status.wait_for(|status| status.modules.iter().any(|module| module.status == RuntimeStatus::Running));
    within(LIMIT, "one is started again", running).await.unwrap();
    assert_ne!(pid(folder.path(), "one"), before);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_leaves_the_good_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({"one": module(FOREVER)}))).await;
    hub.identity("one", "g1");
    let agent = Running::start(config(&hub, folder.path(), true));
    hub.until("one is running", |reported| status(reported, "one") == "running" && code(reported) == 200)
        .await;
    let before = pid(folder.path(), "one");
    for (patch, expected) in [
        (json!({"schemaVersion": "9.0"}), 412),
        (json!({"schemaVersion": "1.1", "modules": {"two": {"type": "docker", "status": "sideways"}}}), 400),
    ] {
        hub.patch(patch).await;
        let reported = hub.until("the refusal", |reported| code(reported) == expected).await;
        assert_eq!(status(&reported, "one"), "running");
    }
    hub.patch(json!({"modules": {"two": null}})).await;
    let reported = hub.until("all is well again", |reported| code(reported) == 200).await;
    assert_eq!(reported["lastDesiredVersion"], 5);
    assert_eq!(pid(folder.path(), "one"), before);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_start_is_reported_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let bad = json!({"type": "process", "status": "running", "restartPolicy": "always",
        "settings": {"command": ["/no/such/program"]}});
    let docker = json!({"type": "docker", "status": "running", "settings": {"image": "a"}});
    let hub =
        FakeHub::start(desired(&json!({"bad": bad, "contained": docker, "good": module(FOREVER)}))).await;
    for name in ["bad", "contained", "good"] {
        hub.identity(name, "g");
    }
    let agent = Running::start(config(&hub, folder.path(), true));
    // An earlier report may name only one of the two, because they fail one after the other.
    let reported = hub
        .until("good runs and both faults are named", |reported| {
            let description = reported["lastDesiredStatus"]["description"].as_str().unwrap_or_default();
            let named =
                ["/no/such/program", "/no/such/socket"].iter().all(|fault| description.contains(fault));
            status(reported, "good") == "running" && code(reported) == 500 && named
        })
        .await;
    assert_eq!(status(&reported, "contained"), "unknown");
    assert!(matches!(status(&reported, "bad"), "backoff" | "failed"), "{reported:#}");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_that_come_late_or_change_are_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({"one": module(FOREVER)}))).await;
    let agent = Running::start(config(&hub, folder.path(), true));
    let reported = hub.until("the lack is reported", |reported| code(reported) == 500).await;
    assert!(reported["lastDesiredStatus"]["description"].as_str().unwrap().contains("identity"));
    hub.identity("one", "g1");
    hub.until("one is running", |reported| status(reported, "one") == "running" && code(reported) == 200)
        .await;
    let before = pid(folder.path(), "one");

    // A new generation means a new identity: the module has to be told, so it is made anew.
    hub.identity("one", "g2");
    hub.patch(json!({"modules": {"one": {"env": {}}}})).await;
    hub.until("the new version", |reported| {
        reported["lastDesiredVersion"] == 3 && status(reported, "one") == "running"
    })
    .await;
    assert_ne!(pid(folder.path(), "one"), before);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_the_device_and_stay_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = module("test ${#TOKEN} = 11 && echo it is there; while true; do sleep 0.05; done");
    one["env"] = json!({"TOKEN": {"secretRef": {"name": "cam", "key": "token"}}});
    let hub = FakeHub::start(desired(&json!({"one": one, "two": module(FOREVER)}))).await;
    hub.identity("one", "g");
    hub.identity("two", "g");
    let agent = Running::start(config(&hub, folder.path(), true));
    let lacking = hub
        .until("the lack is told, and two runs", |reported| {
            code(reported) == 500 && status(reported, "two") == "running"
        })
        .await;
    let why = lacking["lastDesiredStatus"]["description"].as_str().unwrap();
    assert!(why.contains("secret cam/token") && why.contains("HEM_SECRET_CAM_TOKEN"), "{why}");

    std::fs::create_dir_all(folder.path().join("secrets/cam")).unwrap();
    std::fs::write(folder.path().join("secrets/cam/token"), "very secret\n").unwrap();
    hub.until("one runs", |reported| status(reported, "one") == "running" && code(reported) == 200).await;
    let logs = || async {
        let (_, logs) =
            hub.method("GetModuleLogs", json!({"schemaVersion": "1.0", "items": {"id": "one"}})).await;
        logs[0]["payload"].as_str().filter(|text| text.contains("it is there")).map(str::to_owned)
    };
    hemline_testkit::eventually(LIMIT, "the module has it", logs).await;
    let before = pid(folder.path(), "one");
    std::fs::write(folder.path().join("secrets/cam/token"), "another").unwrap();
    let again = || async { pid(folder.path(), "one").filter(|now| Some(*now) != before) };
    hemline_testkit::eventually(LIMIT, "another value means another module", again).await;
    agent.end().await;
    let said = hub.known.lock().unwrap().patches.iter().map(ToString::to_string).collect::<String>();
    assert!(
        said.contains("secretRef") && !said.contains("very secret") && !said.contains("another"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({}))).await;
    hub.identity("one", "g1");
    hub.identity("two", "g1");
    let agent = Running::start(config(&hub, folder.path(), true));
    hub.until("nothing to do", |reported| code(reported) == 200).await;

    // A gap in the versions.
    hub.patch_in_secret(&json!({"modules": {"one": module(FOREVER)}}));
    hub.patch(json!({"note": "told"})).await;
    hub.until("the gap is closed", |reported| {
        status(reported, "one") == "running" && reported["lastDesiredVersion"] == 4
    })
    .await;

    // A lost connection.
    hub.patch_in_secret(&json!({"modules": {"two": module(FOREVER)}}));
    hub.cut();
    hub.until("read after the reconnect", |reported| status(reported, "two") == "running").await;
    assert_eq!(hub.known.lock().unwrap().connects, 2);
    agent.end().await;
}
