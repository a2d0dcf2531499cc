//! Containers changed by hand on a real engine, under a real agent.

use std::{process::Command, time::Duration};

use hemline_testkit::eventually;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    agent::{Running, config, desired, status},
    docker::{IMAGE, engine},
    fake_hub::{FakeHub, HUB},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Two agents of one device would take each other's containers away.
static ONE: Mutex<()> = Mutex::const_new(());

struct Place {
    name: String,
    hub: FakeHub,
    agent: Running,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn with(test: &str, mode: &str, extra: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{test}-{}", std::process::id());
        let options = json!({"Cmd": ["/bin/sh", "-c", "echo up > /tmp/up; while true; do sleep 0.1; done"],
            "HostConfig": {"Memory": 67_108_864, "MemorySwap": 134_217_728}});
        let mut module = json!({"type": "docker", "status": "running", "restartPolicy": "always", "imagePullPolicy": "never",
            "settings": {"image": IMAGE, "createOptions": options.to_string()}});
        for (key, value) in extra.as_object().unwrap() {
            module[key] = value.clone();
        }
        let mut wanted = desired(&json!({name.as_str(): module}));
        wanted["hemline"] = json!({"drift": {"mode": mode}});
        let hub = FakeHub::start(wanted).await;
        hub.identity(&name, "g");
        let mut config = config(&hub, folder.path(), true);
        config.docker = None;
        let agent = Running::start(config);
        let place = Self { name, hub, agent, _folder: folder };
        place.until_running().await;
        place
    }

    async fn until_running(&self) -> Value {
        self.hub.until("it runs", |reported| status(reported, &self.name) == "running").await
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What the engine says about the container, none while there is none.
    fn inspect(&self, format: &str) -> Option<String> {
        let output = Command::new("docker").args(["inspect", "-f", format, &self.name]).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    async fn until(&self, what: &str, format: &str, expected: &str) {
        eventually(LIMIT, what, || async { self.inspect(format).filter(|found| found == expected) }).await;
    }

    /// The row of the ledger for a path, healed or open.
    async fn row(&self, path: &str, found: &str, healed: bool) -> Value {
        let path = format!("modules.{}{path}", self.name);
        let of = |reported: &Value| {
            let rows = reported["hemline"]["drift"].as_array().cloned().unwrap_or_default();
            rows.into_iter().find(|row| {
                row["path"] == path.as_str() && row["found"] == found && row.get("healed").is_some() == healed
            })
        };
        let reported = self.hub.until(&format!("{path}: {found}"), |reported| of(reported).is_some()).await;
        of(&reported).unwrap()
    }

    async fn end(self) {
        self.agent.end().await;
        let script = format!("docker ps -aq --filter label=dev.hemline.hub={} | xargs -r docker rm -f", *HUB);
        drop(Command::new("sh").args(["-c", &script]).output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_put_right() {
    if !engine() {
        return;
    }
    let _one = ONE.lock().await;
    let place = Place::with("heal", "heal", &json!({})).await;
    let name = place.name.clone();
    let id = place.inspect("{{.Id}}").unwrap();

    for (command, found) in [("kill", "stopped"), ("kill", "stopped")] {
        let started = place.inspect("{{.State.StartedAt}}").unwrap();
        place.docker(&[command, &name]);
        let again = || async {
            let running = place.inspect("{{.State.Running}}")? == "true";
            (running && place.inspect("{{.State.StartedAt}}")? != started).then_some(())
        };
        eventually(LIMIT, "started again", again).await;
        place.row(".status", found, true).await;
    }
    assert_eq!(place.inspect("{{.Id}}").unwrap(), id, "the same container");

    place.docker(&["update", "--memory", "32m", "--memory-swap", "64m", &name]);
    place.until("the memory is put back", "{{.HostConfig.Memory}}", "67108864").await;
    place.row(".createOptions.HostConfig.Memory", "33554432", true).await;
    place.docker(&["rename", &name, &format!("{name}-other")]);
    place.until("the name is put back", "{{.Name}}", &format!("/{name}")).await;
    place.row(".name", &format!("{name}-other"), true).await;
    assert_eq!(place.inspect("{{.Id}}").unwrap(), id, "put back without making it anew");

    place.docker(&["rm", "-f", &name]);
    let another = || async {
        place
            .inspect("{{.Id}} {{.State.Running}}")
            .filter(|found| !found.starts_with(&id) && found.ends_with("true"))
    };
    eventually(LIMIT, "made anew", another).await;
    let row = place.row("", "removed", true).await;
    assert_eq!((&row["module"], &row["expected"]), (&json!(name), &json!("there")));
    let reported = place.until_running().await;
    assert_eq!(reported["modules"][&name]["restartCount"], 0, "none of it was a crash");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_reported_stays_as_it_was_put() {
    if !engine() {
        return;
    }
    let _one = ONE.lock().await;
    let place = Place::with("report", "report", &json!({})).await;
    let name = place.name.clone();
    place.docker(&["stop", "-t", "1", &name]);
    place.row(".status", "stopped", false).await;
    place.hub.until("it is told as stopped", |reported| status(reported, &name) == "stopped").await;
    assert_eq!(place.inspect("{{.State.Running}}").unwrap(), "false");
    // Started by hand again, the row is closed.
    place.docker(&["start", &name]);
    place.row(".status", "stopped", true).await;
    place.docker(&["rm", "-f", &name]);
    place.row("", "removed", false).await;
    assert_eq!(place.inspect("{{.Id}}"), None);
    // With another rule it is healed.
    place.hub.patch(json!({"hemline": {"drift": {"mode": "heal"}}})).await;
    place.until("made anew", "{{.State.Running}}", "true").await;
    place.row("", "removed", true).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_asked_for_their_health() {
    if !engine() {
        return;
    }
    let _one = ONE.lock().await;
    let check =
        json!({"health": {"command": ["/bin/sh", "-c", "cat /tmp/up"], "interval": "1s", "retries": 2}});
    let place = Place::with("asked", "heal", &check).await;
    let name = place.name.clone();
    place.hub.until("it is good", |reported| reported["hemline"]["config"]["state"] == "good").await;
    place.docker(&["exec", &name, "/bin/busybox", "rm", "/tmp/up"]);
    let reported = place
        .hub
        .until("it was restarted", |reported| reported["modules"][&name]["restartCount"].as_u64() == Some(1))
        .await;
    assert_eq!(reported["hemline"]["drift"], Value::Null, "nobody did that by hand");
    place.hub.until("it is well again", |reported| status(reported, &name) == "running").await;
    // At its address.
    place.hub.patch(json!({"modules": {name.as_str(): {"health": {"command": null, "tcp": {"port": 7}, "retries": 1}}}})).await;
    place
        .hub
        .until("nobody listens there", |reported| {
            let module = &reported["modules"][&name];
            module["restartCount"].as_u64() >= Some(2)
                || module["statusDescription"].as_str().is_some_and(|text| text.contains("port 7"))
        })
        .await;
    place.end().await;
}
