//! What somebody does by hand to a device of a running fleet, on a real engine and in the hub: each becomes a row of the
//! ledger, with its healing, and `hem get drift`, `hem diff` and `hem status` tell it.

use std::{fs, sync::PoisonError};

use serde_json::{Value, json};

use crate::{
    engines::{BRIDGES, Engine},
    hem::Hem,
};

const MEMORY: u64 = 33_554_432;

/// The rows of a path with this finding, the newest first.
fn rows(hem: &Hem, path: &str, found: &str) -> Vec<Value> {
    let all = hem.json(&["get", "drift", "box-1"]);
    let all = all.as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|row| row["path"] == path && row["found"] == found).collect()
}

/// Waits until so many of them are in this state.
fn until(hem: &Hem, path: &str, found: &str, state: &str, count: usize) -> Value {
    hem.eventually(&format!("{path} {found} is {state}"), |hem| {
        let rows: Vec<Value> =
            rows(hem, path, found).into_iter().filter(|row| row["state"] == state).collect();
        if rows.len() == count { rows.into_iter().next() } else { None }
    })
}

/// What `hem diff` says, and its exit code.
fn diff(hem: &Hem) -> (Option<i32>, String) {
    let output = hem.command(&["diff", "box-1", "--detailed-exitcode"]).output().expect("hem starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn until_equal(hem: &Hem) {
    hem.eventually("it is what its documents say", |hem| (diff(hem).0 == Some(0)).then_some(()));
}

#[test]
fn docker_by_hand_is_told_from_its_beginning_to_its_end() {
    let Some(engine) = Engine::docker("hand") else { return };
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let socket = format!("unix://{}", engine.socket);
    let mut hem = Hem::up_with(&[("fleet.yaml", &engine.fleet(MEMORY))], &["--docker", &socket]);
    let first = hem.eventually("the container runs", |_| engine.running());
    until_equal(&hem);
    assert_eq!(hem.json(&["get", "drift"]), json!([]));
    assert!(hem.text(&["get", "drift"]).starts_with("no drift"));

    let module = format!("modules.{}", engine.module);
    let (status, memory) = (format!("{module}.status"), format!("{module}.createOptions.HostConfig.Memory"));
    let name = first["Name"].as_str().expect("a name").trim_start_matches('/').to_owned();
    let docker = |arguments: &[&str]| engine.run(arguments).expect("the engine does it");
    docker(&["kill", &name]);
    let row = until(&hem, &status, "stopped", "healed", 1);
    assert_eq!(
        (&row["kind"], &row["expected"], &row["module"]),
        (&json!("actual"), &json!("running"), &json!(engine.module))
    );
    let time = |member: &str| row[member].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    assert!(time("firstSeen").is_some() && time("firstSeen") <= time("healedAt"), "{row}");
    hem.eventually("it runs again", |_| engine.running());
    docker(&["stop", "-t", "1", &name]);
    until(&hem, &status, "stopped", "healed", 2);
    hem.eventually("it runs again", |_| engine.running());
    docker(&["update", "--memory", "24m", "--memory-swap", "48m", &name]);
    until(&hem, &memory, "25165824", "healed", 1);
    assert_eq!(engine.running().expect("it runs")["HostConfig"]["Memory"], json!(MEMORY));
    docker(&["rm", "-f", &name]);
    until(&hem, &module, "removed", "healed", 1);
    let second = hem.eventually("it is made again", |_| engine.running());
    assert_ne!(first["Id"], second["Id"]);

    // Another image gets the name: the module is made anew of it.
    engine.move_name();
    hem.eventually("it is made of the new image", |_| {
        engine.running().filter(|container| container["Image"] != second["Image"])
    });
    let old = second["Image"].as_str().expect("an id").trim_start_matches("sha256:");
    until(&hem, &format!("{module}.image"), old.get(..12).expect("a long id"), "healed", 1);

    // In the hub, past the documents.
    let patch = json!({"modules": {&engine.module: {"env": {"GREETING": {"value": "goodbye"}}}}}).to_string();
    hem.text(&["twin", "patch", "box-1", "$edgeAgent", "--desired", &patch]);
    let row = until(&hem, &format!("{module}.env.GREETING"), "goodbye", "healed", 1);
    assert_eq!((&row["kind"], &row["expected"]), (&json!("desired"), &json!("hello, world")));
    assert!(row["by"].as_str().is_some_and(|by| by.starts_with("policy ")), "{row}");
    until_equal(&hem);

    // The ledger outlives the program, and nothing in it is told twice.
    let told = hem.json(&["get", "drift"]);
    hem.kill();
    hem.start_again();
    hem.eventually("the ledger is there again", |hem| {
        let output = hem.command(&["get", "drift", "-o", "json"]).output().ok()?;
        let rows: Value = serde_json::from_slice(&output.stdout).ok()?;
        let path = |row: &Value| (row["path"].clone(), row["firstSeen"].clone());
        let paths = |rows: &Value| rows.as_array().map(|rows| rows.iter().map(path).collect::<Vec<_>>());
        (paths(&rows) == paths(&told)).then_some(())
    });

    what_is_only_to_be_told_stays(&hem, &engine, &name);
    assert_eq!(hem.interrupt().code(), Some(0));
}

fn what_is_only_to_be_told_stays(hem: &Hem, engine: &Engine, name: &str) {
    let status = format!("modules.{}.status", engine.module);
    let docker = |arguments: &[&str]| engine.run(arguments).expect("the engine does it");
    let report = format!("{}  drift: {{mode: report}}\n", engine.fleet(MEMORY));
    fs::write(hem.fleet().join("fleet.yaml"), report).expect("writable");
    hem.eventually("the agent has the rule", |hem| {
        let twin = hem.json(&["twin", "get", "box-1", "$edgeAgent"]);
        let properties = &twin["properties"];
        (properties["desired"]["hemline"]["drift"]["mode"] == "report"
            && properties["reported"]["lastDesiredVersion"] == properties["desired"]["$version"])
            .then_some(())
    });
    until_equal(hem);
    let third = engine.running().expect("it runs");
    docker(&["stop", "-t", "1", name]);
    until(hem, &status, "stopped", "reported", 1);
    let (code, text) = diff(hem);
    assert_eq!(code, Some(2), "{text}");
    let lines = ["  status", "    - running", "    + stopped   changed on the device by hand since "];
    assert!(lines.iter().all(|line| text.contains(line)) && text.contains(", reported only"), "{text}");
    assert_eq!(engine.container().expect("it is there")["State"]["Running"], false);
    assert!(hem.status().contains("1 reported"), "{}", hem.status());
    let table = hem.text(&["get", "drift", "-o", "wide"]);
    assert!(table.contains("reported") && table.contains("LAST SEEN") && table.contains("so far"), "{table}");
    let readme = hem.eventually("the status tells it", |hem| {
        let text = fs::read_to_string(hem.fleet().join("status/README.md")).ok()?;
        text.contains("reported only").then_some(text)
    });
    assert!(readme.contains("**changed by hand**"), "{readme}");
    let device = fs::read_to_string(hem.fleet().join("status/devices/box-1.yaml")).expect("a status");
    assert!(device.contains("type: Drifted") && device.contains("state: reported"), "{device}");
    docker(&["start", name]);
    until(hem, &status, "stopped", "healed", 3);
    until_equal(hem);
    assert_eq!(engine.running().expect("it runs")["Id"], third["Id"]);
}

#[test]
fn a_device_that_no_document_describes_has_no_difference() {
    let hem = Hem::up(&[(
        "fleet.yaml",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: meter}\nspec: {desired: {every: 5}}\n",
    )]);
    hem.eventually("the device is there", |hem| {
        let output = hem.command(&["diff", "meter"]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).contains("as its documents say").then_some(())
    });
    let output = hem.command(&["diff", "nobody"]).output().expect("hem starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("\"nobody\""), "{said}");
}
