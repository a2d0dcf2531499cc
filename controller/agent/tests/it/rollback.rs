//! A configuration that does not come up is given up on the device, and stays given up.

use std::time::Duration;

use hemline_agent::module::RuntimeStatus;
use hemline_testkit::within;
use serde_json::{Value, json};

use super::{
    agent::{Running, code, config, desired, status},
    fake_hub::FakeHub,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Healthy as soon as it runs.
fn module(script: &str) -> Value {
    json!({"type": "process", "status": "running", "restartPolicy": "always",
        "health": {"command": ["/bin/true"]}, "settings": {"command": ["/bin/sh", "-c", script]}})
}

fn course(reported: &Value) -> (&str, u64) {
    let config = &reported["hemline"]["config"];
    (config["state"].as_str().unwrap_or_default(), config["version"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_rolled_back_once_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = desired(
        &json!({"one": module("while true; do sleep 0.05; done"), "two": module("while true; do sleep 0.05; done")}),
    );
    first["hemline"] = json!({"deadline": "2s"});
    let hub = FakeHub::start(first).await;
    hub.identity("one", "g");
    hub.identity("two", "g");
    let agent = Running::start(config(&hub, folder.path(), false));
    hub.until("the first is good", |reported| course(reported) == ("good", 2) && code(reported) == 200).await;

    hub.patch(json!({"modules": {"one": {"settings": {"command": ["/bin/sh", "-c", "echo no; exit 3"]}}}}))
        .await;
    hub.until("it is tried", |reported| course(reported) == ("trying", 3)).await;
    let reported = hub
        .until("it is given up", |reported| {
            course(reported) == ("rolledBack", 3) && status(reported, "one") == "running"
        })
        .await;
    assert_eq!((code(&reported), &reported["lastDesiredVersion"]), (500, &json!(3)));
    let why = reported["lastDesiredStatus"]["description"].as_str().unwrap();
    assert!(
        why.starts_with("rolled back to version 2: ") && why.contains("module one: exited with code 3"),
        "{why}"
    );
    assert_eq!(reported["hemline"]["config"]["goodVersion"], 2);
    assert_eq!(reported["modules"]["two"]["restartCount"], 0, "what did not change was not touched");

    // Neither a new connection nor a new agent tries it again.
    hub.cut();
    agent.end().await;
    let agent = Running::start(config(&hub, folder.path(), true));
    let mut state = agent.handle.status.clone();
    let told = state.wait_for(|state| {
        state.connected
            && state.code == 500
            && state.reported_version == 3
            && state.modules.iter().all(|one| one.status == RuntimeStatus::Running)
    });
    assert_eq!(within(LIMIT, "still rolled back", told).await.unwrap().desired_version, Some(2));

    // The next version is another matter.
    hub.patch(json!({"modules": {"one": {"settings": {"command": ["/bin/sh", "-c", "while true; do sleep 0.06; done"]}}}})).await;
    hub.until("all is well again", |reported| course(reported) == ("good", 4) && code(reported) == 200).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_one_the_first_is_kept_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut first =
        desired(&json!({"bad": module("exit 3"), "one": module("while true; do sleep 0.05; done")}));
    first["hemline"] = json!({"deadline": "1s"});
    let hub = FakeHub::start(first).await;
    hub.identity("one", "g");
    hub.identity("bad", "g");
    let agent = Running::start(config(&hub, folder.path(), true));
    hub.until("the rest runs", |reported| {
        status(reported, "one") == "running" && status(reported, "bad") == "backoff"
    })
    .await;
    // A change that helps is taken up, although the deadline is over.
    hub.patch(json!({"modules": {"bad": null}})).await;
    hub.until("it is good", |reported| course(reported) == ("good", 3) && code(reported) == 200).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_module_is_back_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(desired(&json!({"one": module("while true; do sleep 0.05; done")}))).await;
    hub.identity("one", "g");
    let agent = Running::start(config(&hub, folder.path(), true));
    hub.until("it is good", |reported| course(reported) == ("good", 2)).await;
    let pid = || {
        let record = std::fs::read(folder.path().join("modules/one/run.json")).ok()?;
        serde_json::from_slice::<Value>(&record).ok()?["child"]["pid"].as_u64()
    };
    let before = pid().unwrap();
    let killed = std::time::Instant::now();
    assert!(std::process::Command::new("kill").args(["-9", &before.to_string()]).status().unwrap().success());
    let again = || async { pid().filter(|now| *now != before) };
    hemline_testkit::eventually(LIMIT, "another process", again).await;
    // Far from the ten seconds of IoT Edge, also on a machine under load.
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    agent.end().await;
}
