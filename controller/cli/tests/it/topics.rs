//! User-defined topics with clients that nobody wrote for us: `mosquitto_pub` and `mosquitto_sub`, and Eclipse Paho for
//! Python, under a policy that stands in a document (reference edge-runtime §6).

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
};

use serde_json::{Value, json};

use crate::{
    hem::{Hem, SOON, lines_of},
    script::{Script, program as script},
    wire::Credentials,
};

/// A gateway with three devices beneath it. Everybody may use `plant/…`, nobody `plant/secret`; a device has a topic of its
/// own name.
const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: gateway}
spec: {edge: true, tags: {site: north}}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: pump}
spec: {parent: gateway}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: panel}
spec: {parent: gateway}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: board}
spec: {parent: gateway}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: topics}
spec:
  targetCondition: tags.site = 'north'
  broker:
    authorizations:
    - identities: ['{{iot:identity}}']
      deny:
      - {operations: ['mqtt:subscribe', 'mqtt:publish'], resources: [plant/secret]}
      allow:
      - {operations: ['mqtt:connect']}
      - {operations: ['mqtt:publish', 'mqtt:subscribe'], resources: ['plant/#', 'own/{{iot:device_id}}']}
";

fn available() -> bool {
    let there = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    hemline_testkit::require("mosquitto_pub and mosquitto_sub", there, "install mosquitto-clients")
}

/// One of the two programs, ready to connect as a device.
fn program(hem: &Hem, name: &str, device: &str, arguments: &[&str]) -> Command {
    let login = Credentials::of(hem, device).login();
    // What it prints comes line by line, also into a pipe.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", name, "-h", &hem.address().to_string(), "-p", "8883", "-i", &login.client_id]);
    command
        .args(["-u", &login.user_name, "-P", &login.password, "-V", "mqttv311", "--cafile"])
        .arg(hem.ca_file());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn publish(hem: &Hem, device: &str, arguments: &[&str]) -> Output {
    program(hem, "mosquitto_pub", device, arguments).output().expect("mosquitto_pub starts")
}

/// A hub that knows all of the fleet, and has its policy in force.
fn up() -> Hem {
    let hem = Hem::up(&[("fleet.yaml", FLEET)]);
    hem.eventually("the fleet is in the registry", |hem| {
        let is_known = |device: &str| {
            let asked = hem.command(&["connection-string", "--device", device]).output();
            asked.is_ok_and(|output| output.status.success())
        };
        ["gateway", "pump", "panel", "board"].into_iter().all(is_known).then_some(())
    });
    hem.eventually("the policy to be in force", |hem| {
        let twin = hem.command(&["twin", "get", "gateway", "$edgeHub", "-o", "json"]).output().ok()?;
        let twin: Value = serde_json::from_slice(&twin.stdout).ok()?;
        (twin["properties"]["reported"]["lastDesiredStatus"]["code"] == 200).then_some(())
    });
    hem
}

/// Publishes at QoS 1 and waits for the acknowledgement.
fn say(hem: &Hem, device: &str, topic: &str, body: &str) {
    let output = publish(hem, device, &["-q", "1", "-t", topic, "-m", body]);
    assert!(output.status.success(), "{device} {topic}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A subscriber that is there.
struct Listener {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Listener {
    /// Waits until the subscription is granted.
    fn start(hem: &Hem, device: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["-v", "-d"];
        all.extend(arguments);
        let mut child = program(hem, "mosquitto_sub", device, &all).spawn().expect("mosquitto_sub starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let listener = Self { child, lines };
        while !listener.line().contains("Subscribed (mid") {}
        listener
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).expect("mosquitto_sub says something in time")
    }

    /// The next message, topic and body.
    fn message(&self) -> String {
        loop {
            let line = self.line();
            // With -d it also tells of packets.
            if line.starts_with("plant/") || line.starts_with("own/") {
                return line;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Subscribes, takes so many messages and says goodbye.
fn take(hem: &Hem, device: &str, count: usize, arguments: &[&str]) -> Vec<String> {
    let (count, seconds) = (count.to_string(), SOON.as_secs().to_string());
    let mut all = vec!["-v", "-C", &count, "-W", &seconds];
    all.extend(arguments);
    let output = program(hem, "mosquitto_sub", device, &all).output().expect("mosquitto_sub starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{device} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_policy_from_a_document_is_what_mosquitto_meets() {
    if !available() {
        return;
    }
    let hem = up();
    let code = |hem: &Hem| {
        let twin = hem.json(&["twin", "get", "gateway", "$edgeHub"]);
        twin["properties"]["reported"]["lastDesiredStatus"]["code"].as_u64()
    };
    hem.eventually("the policy to be in force", |hem| (code(hem) == Some(200)).then_some(()));

    // Allowed, with wildcards, at both guarantees.
    let panel = Listener::start(&hem, "panel", &["-q", "1", "-t", "plant/+/heat"]);
    let board = Listener::start(&hem, "board", &["-q", "0", "-t", "plant/#", "-t", "own/board"]);
    say(&hem, "pump", "plant/boiler/heat", "90");
    assert_eq!(panel.message(), "plant/boiler/heat 90");
    assert_eq!(board.message(), "plant/boiler/heat 90");
    say(&hem, "pump", "plant/boiler/level", "3");
    assert_eq!(board.message(), "plant/boiler/level 3");

    // Denied: publishing closes, subscribing is refused, and a wide subscription does not reach what is denied.
    for topic in ["plant/secret", "own/panel", "elsewhere", "$SYS/broker/uptime"] {
        let output = publish(&hem, "pump", &["-q", "1", "-t", topic, "-m", "x"]);
        assert!(!output.status.success(), "{topic} was taken");
    }
    for filter in ["plant/secret", "own/+", "+/x", "elsewhere/#"] {
        let output = program(&hem, "mosquitto_sub", "pump", &["-C", "1", "-W", "20", "-t", filter]).output();
        let said = output.expect("mosquitto_sub starts").stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("denied"), "{filter}: {said}");
    }
    say(&hem, "pump", "own/pump", "mine");
    say(&hem, "pump", "plant/last", "1");
    assert_eq!(board.message(), "plant/last 1");
}

#[test]
fn what_is_retained_and_what_waits_outlives_a_kill() {
    if !available() {
        return;
    }
    let mut hem = up();
    assert!(publish(&hem, "pump", &["-q", "1", "-r", "-t", "plant/state", "-m", "on"]).status.success());
    // A session that outlives its connection: -c is "do not clean".
    let durable = ["-c", "-q", "1", "-t", "plant/jobs/#"];
    drop(Listener::start(&hem, "panel", &durable));
    say(&hem, "pump", "plant/jobs/1", "first");
    say(&hem, "pump", "plant/jobs/2", "second");
    hem.kill();
    hem.start_again();
    assert_eq!(take(&hem, "panel", 2, &durable), ["plant/jobs/1 first", "plant/jobs/2 second"]);
    assert_eq!(take(&hem, "board", 1, &["-q", "1", "-t", "plant/+"]), ["plant/state on"]);
    let output = publish(&hem, "pump", &["-q", "1", "-r", "-t", "plant/state", "-n"]);
    assert!(output.status.success(), "an empty one takes it away");
    say(&hem, "pump", "plant/jobs/3", "third");
    let board = Listener::start(&hem, "board", &["-q", "1", "-t", "plant/+"]);
    say(&hem, "pump", "plant/next", "1");
    assert_eq!(board.message(), "plant/next 1", "nothing retained came before it");
}

#[test]
fn jobs_are_shared_among_workers() {
    if !available() {
        return;
    }
    let hem = up();
    let filter = ["-q", "1", "-t", "$share/workers/plant/jobs"];
    let (panel, board) = (Listener::start(&hem, "panel", &filter), Listener::start(&hem, "board", &filter));
    for job in ["1", "2", "3", "4"] {
        say(&hem, "pump", "plant/jobs", job);
    }
    let mut jobs = Vec::new();
    for listener in [&panel, &board] {
        jobs.extend([listener.message(), listener.message()]);
    }
    jobs.sort();
    assert_eq!(jobs, ["plant/jobs 1", "plant/jobs 2", "plant/jobs 3", "plant/jobs 4"], "two each");
}

// === Paho ===

/// The interpreter that has Paho.
fn paho() -> Option<PathBuf> {
    let python = std::env::var_os("HEM_TEST_PAHO").map(PathBuf::from).filter(|python| python.exists());
    let there = hemline_testkit::require("paho-mqtt", python.is_some(), "run `cargo xtask test`");
    python.filter(|_| there)
}

/// A device on Paho that is connected.
struct Paho(Script);

impl Paho {
    fn connect(hem: &Hem, python: &Path, device: &str, will: &Value) -> Self {
        let connection = hem.text(&["connection-string", "--device", device]);
        let config = json!({"ca": hem.ca_file(), "connection": connection.trim()});
        let program = script("matrix/topics_paho.py");
        let mut client = Script::start(Command::new(python).arg("-u").arg(program).arg(config.to_string()));
        client.ask(&json!({"do": "connect", "will": will}));
        Self(client)
    }

    /// What is granted to each filter.
    fn subscribe(&mut self, filters: &[&str]) -> Value {
        self.0.ask(&json!({"do": "subscribe", "filters": filters, "qos": 1}))
    }

    fn say(&mut self, topic: &str, body: &str, retain: bool) {
        self.0.ask(&json!({"do": "publish", "topic": topic, "body": body, "retain": retain}));
    }

    /// The next message, topic and body, and whether it was there before.
    fn message(&mut self) -> (String, bool) {
        let got = self.0.event("a message", |event| event["event"] == "message");
        let text = |name: &str| got[name].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", text("topic"), text("body")), got["retained"] == true)
    }
}

#[test]
fn paho_meets_the_same_policy() {
    let Some(python) = paho() else { return };
    let mut hem = up();
    let fresh = |text: &str| (text.to_owned(), false);
    let will = json!({"topic": "plant/gone/pump", "payload": "bye", "retain": true});
    let mut pump = Paho::connect(&hem, &python, "pump", &will);
    let mut panel = Paho::connect(&hem, &python, "panel", &Value::Null);
    let mut board = Paho::connect(&hem, &python, "board", &Value::Null);

    // Wildcards, retained messages, and what is refused among what is granted.
    assert_eq!(
        panel.subscribe(&["plant/+/heat", "plant/secret", "own/+", "own/panel"]),
        json!([1, null, null, 1])
    );
    pump.say("plant/boiler/heat", "90", false);
    assert_eq!(panel.message(), fresh("plant/boiler/heat 90"));
    pump.say("plant/state", "on", true);
    assert_eq!(board.subscribe(&["plant/#"]), json!([1]));
    assert_eq!(board.message(), ("plant/state on".to_owned(), true));
    pump.say("plant/state", "off", true);
    assert_eq!(board.message(), fresh("plant/state off"), "it was there when that came");

    // A denied message closes its sender; who comes back finds its session.
    panel.0.ask(&json!({"do": "offer", "topic": "plant/secret"}));
    panel.0.event("the connection is closed", |event| event["event"] == "closed");
    panel.0.event("it comes back", |event| event["event"] == "connection" && event["present"] == true);
    pump.say("plant/mixer/heat", "40", false);
    assert_eq!(panel.message(), fresh("plant/mixer/heat 40"));
    assert_eq!(board.message(), fresh("plant/mixer/heat 40"), "and nobody got the other one");

    // Jobs are shared.
    for worker in [&mut panel, &mut board] {
        assert_eq!(
            worker.subscribe(&["$share/workers/own/#"]),
            json!([null]),
            "the policy is asked about the filter"
        );
        assert_eq!(worker.subscribe(&["$share/workers/plant/jobs/+"]), json!([1]));
    }
    for job in ["1", "2", "3", "4"] {
        pump.say("plant/jobs/now", job, false);
    }
    let mine = [panel.message().0, panel.message().0];
    assert_ne!(mine[0], mine[1]);
    let all: Vec<(String, bool)> = (0..4).map(|_| board.message()).collect();
    assert_eq!(
        all,
        ["1", "2", "3", "4"].map(|job| fresh(&format!("plant/jobs/now {job}"))),
        "by `plant/#`, once each"
    );

    // The hub is killed: sessions, subscriptions and what is retained stay.
    hem.kill();
    hem.start_again();
    // The pump has subscribed to nothing, so there is nothing of its session to keep.
    for (client, kept) in [(&mut pump, false), (&mut panel, true), (&mut board, true)] {
        let back = client.0.event("it comes back", |event| event["event"] == "connection");
        assert_eq!(back["present"], kept);
    }
    pump.say("plant/boiler/heat", "91", false);
    for client in [&mut panel, &mut board] {
        // At least once: a job whose acknowledgement the hub had not kept when it was killed comes again.
        let mut next = std::iter::from_fn(|| Some(client.message()));
        let next = next.find(|(text, _)| !text.starts_with("plant/jobs/now "));
        assert_eq!(next, Some(fresh("plant/boiler/heat 91")));
    }

    // A client that vanishes leaves its will.
    drop(pump);
    assert_eq!(board.message(), fresh("plant/gone/pump bye"));
    assert_eq!(panel.subscribe(&["plant/gone/+"]), json!([1]));
    assert_eq!(panel.message(), ("plant/gone/pump bye".to_owned(), true));
}
