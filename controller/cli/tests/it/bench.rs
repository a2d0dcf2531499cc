//! `hem bench`: a small load on a real hub. What is counted adds up, and nothing is left behind.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::hem::{self, Hem, SOON, eventually, signal};

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: bystander}
";

fn up() -> Hem {
    let hem = Hem::up(&[("fleet.yaml", FLEET)]);
    hem.eventually("the device is in the registry", |hem| (devices(hem) == 1).then_some(()));
    hem
}

fn devices(hem: &Hem) -> usize {
    hem.json(&["query", "SELECT deviceId FROM devices"]).as_array().map(Vec::len).unwrap_or_default()
}

#[test]
fn a_small_load_adds_up_and_leaves_nothing_behind() {
    let hem = up();
    let typed = "bench hub --sessions 50 --connects 120 --patched 40 --calls 60 --messages 500 --senders 4 --time-limit 5m";
    let report = hem.json(&typed.split(' ').collect::<Vec<_>>());
    let rows = report["rows"].as_array().expect("rows");
    let counted: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| (row["load"].as_str().unwrap_or_default(), row["count"].as_u64().unwrap_or_default()))
        .collect();
    let expected = [
        ("arrivals", 50),
        ("idle", 50),
        ("patches", 40),
        ("methods", 60),
        ("connects", 120),
        ("telemetry", 500),
        ("delivery", 500),
    ];
    assert_eq!(counted, expected, "{report:#}");
    assert_eq!(report["missing"], 0, "{report:#}");
    // The devices with the sessions, and the one whose modules sent.
    assert_eq!(report["identities"], json!({"removed": 51, "left": 0}));
    for row in rows.iter().filter(|row| row["load"] != "idle") {
        assert!(row["perSecond"].as_f64().is_some_and(|rate| rate > 0.0), "{row:#}");
        let latency = |name: &str| row["latency"][name].as_f64().expect("a latency");
        assert!(0.0 < latency("p50Us") && latency("p50Us") <= latency("p99Us"), "{row:#}");
        assert!(latency("p99Us") <= latency("maxUs"), "{row:#}");
        // The data directory says which process the hub is.
        assert!(row["cores"]["own"].is_f64() && row["cores"]["server"].is_f64(), "{row:#}");
        assert!(row["limit"].is_string(), "{row:#}");
    }
    assert!(rows.iter().any(|row| row["load"] == "idle" && row["bytesEach"].is_i64()), "{report:#}");
    assert_eq!(devices(&hem), 1, "the load removed its devices and no other");
}

/// A load that lasts, once it has made its devices.
fn long_load(hem: &Hem) -> Child {
    let typed = "bench hub --only patches,telemetry --sessions 20 --patched 20 --messages 10000000";
    let mut command = hem.command(&typed.split(' ').collect::<Vec<_>>());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hem starts");
    hem.eventually("the devices of the load are there", |hem| (devices(hem) == 22).then_some(()));
    child
}

#[test]
fn a_load_that_is_interrupted_leaves_nothing_behind() {
    let hem = up();
    let mut child = long_load(&hem);
    signal("INT", child.id());
    let status = eventually(SOON, "the load ends", || child.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(1));
    assert_eq!(devices(&hem), 1);
}

#[test]
fn what_a_killed_load_left_behind_can_be_removed() {
    let hem = up();
    let mut child = long_load(&hem);
    child.kill().expect("our child");
    child.wait().expect("our child");
    let removed = hem.json(&["bench", "hub", "--remove-leftovers"]);
    assert_eq!(removed, json!({"removed": 21, "left": 0}));
    assert_eq!(devices(&hem), 1);
}

#[test]
fn what_is_not_loaded() {
    let told = |command: &mut std::process::Command| {
        let output = command.output().expect("hem starts");
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // An address that is nobody's, so that nobody is hit if this fails.
    let (code, said) = told(hem::hem().args(["bench", "broker", "--host", "192.0.2.1"]));
    assert_eq!(code, Some(1));
    assert!(said.contains("192.0.2.1:1883 is not on this machine"), "{said}");
    let (code, said) = told(hem::hem().args(["bench", "broker", "--tls"]));
    assert_eq!(code, Some(64));
    assert!(said.contains("--ca FILE"), "{said}");
    let hem = up();
    let (code, said) = told(&mut hem.command(&["bench", "hub", "--sessions", "2", "--connects", "101"]));
    assert_eq!(code, Some(64));
    assert!(said.contains("50 times --sessions"), "{said}");
    let (code, said) = told(&mut hem.command(&["bench", "hub", "--host", "192.0.2.1"]));
    assert_eq!(code, Some(1));
    assert!(said.contains("192.0.2.1:8883 is not on this machine"), "{said}");
    // A hub is no broker: it wants to know who comes.
    let (host, ca) = (hem.address().to_string(), hem.ca_file());
    let broker =
        ["bench", "broker", "--host", &host, "--port", "8883", "--tls", "--ca", &ca.to_string_lossy()];
    let (code, said) = told(hem::hem().args(broker));
    assert_eq!(code, Some(1));
    assert!(said.contains("is refused (CONNACK 5)"), "{said}");
}

/// Of the JSON, so that a renamed field is noticed here and not in the table of `cargo xtask bench hub`.
#[test]
fn one_load_alone() {
    let hem = up();
    let report = hem.json(&["bench", "hub", "--only", "telemetry", "--messages", "50", "--senders", "1"]);
    let loads: Vec<&Value> =
        report["rows"].as_array().expect("rows").iter().map(|row| &row["load"]).collect();
    assert_eq!(loads, ["telemetry", "delivery"]);
    assert_eq!(report["identities"], json!({"removed": 1, "left": 0}));
    assert!(report["target"].as_str().is_some_and(|target| target.ends_with(":8883, TLS")), "{report:#}");
}
