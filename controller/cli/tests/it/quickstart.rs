//! `hem up examples/quickstart`, the first thing a newcomer does: two modules, messages, edits, Ctrl-C.

use std::{fs, path::Path, time::Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hem::{Hem, SOON, eventually};

const DEVICE: &str = "press-01";
const MODULES: [&str; 2] = ["sensor", "filter"];

/// The example, copied to `fleet` in a temporary folder so that it can be edited.
pub(crate) fn copy() -> TempDir {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let fleet = folder.path().join("fleet");
    fs::create_dir(&fleet).expect("a new folder");
    for entry in fs::read_dir(&example).expect("the example is there").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), fleet.join(entry.file_name())).expect("a readable example");
        }
    }
    folder
}

/// Waits until both modules run, as the agent reports and as the machine shows; their process ids.
pub(crate) fn wait_for_modules(hem: &Hem) -> Vec<(&'static str, u32)> {
    hem.eventually("both modules run", |hem| {
        let output = hem.command(&["twin", "get", DEVICE, "$edgeAgent", "-o", "json"]).output().ok()?;
        let twin: Value = serde_json::from_slice(&output.stdout).ok()?;
        let reported = &twin["properties"]["reported"]["modules"];
        MODULES
            .iter()
            .map(|module| {
                let running = reported[module]["runtimeStatus"] == "running";
                Some((*module, hem.module_process(module).filter(|_| running)?))
            })
            .collect()
    })
}

/// Replaces the number after `threshold:`; the new text and the new number.
fn with_another_threshold(text: &str) -> (String, i64) {
    let (before, after) = text.split_once("threshold: ").expect("the filter has a threshold");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    let number: i64 = digits.parse().expect("a number");
    (format!("{before}threshold: {}{}", number + 1, &after[digits.len()..]), number + 1)
}

/// The text with one more module, a second sensor.
fn with_a_third_module(text: &str) -> String {
    let line = text.lines().find(|line| line.trim_end() == "  modules:").expect("a deployment with modules");
    let module = "    third:\n      type: process\n      command: [hem, demo, sensor]\n";
    text.replacen(&format!("{line}\n"), &format!("{line}\n{module}"), 1)
}

#[test]
fn first_minute() {
    let folder = copy();
    let path = folder.path().join("fleet/fleet.yaml");
    let stdout = folder.path().join("stdout");
    let started = Instant::now();
    let mut hem = Hem::up_on(folder, &[]);
    let before = wait_for_modules(&hem);
    println!("both modules run {:?} after the start of hem up", started.elapsed());

    // The screen says where everything is.
    let screen = eventually(SOON, "the screen is printed", || {
        let text = fs::read_to_string(&stdout).ok()?;
        text.contains("SharedAccessKeyName=iothubowner").then_some(text)
    });
    for needed in [&format!("mqtts://{}:8883", hem.address()), "hub", DEVICE, "sensor", "filter", "Ctrl-C"] {
        assert!(screen.contains(needed), "the screen lacks {needed}:\n{screen}");
    }
    let message = hem.messages(&["--count", "1"]).next().expect("a message");
    assert_eq!(
        (&message["deviceId"], &message["moduleId"]),
        (&json!(DEVICE), &json!("filter")),
        "only what the filter lets through goes up: {message}"
    );
    println!("first message {:?} after the start", started.elapsed());
    assert!(!hem.text(&["logs", DEVICE, "sensor"]).is_empty());

    // A module's desired property: live, nothing restarts.
    let text = fs::read_to_string(&path).expect("the document");
    let (text, threshold) = with_another_threshold(&text);
    let saved = Instant::now();
    fs::write(&path, &text).expect("writable");
    hem.eventually("the filter's twin has the new threshold", |hem| {
        (hem.json(&["twin", "get", DEVICE, "filter"])["properties"]["desired"]["threshold"] == threshold)
            .then_some(())
    });
    println!("edit → twin {:?}", saved.elapsed());
    assert_eq!(wait_for_modules(&hem), before, "a change of a desired property restarted a module");

    // A module more.
    let text = with_a_third_module(&text);
    let saved = Instant::now();
    fs::write(&path, &text).expect("writable");
    let third = hem.eventually("the third module runs", |hem| hem.module_process("third"));
    println!("edit → new process {:?}", saved.elapsed());
    assert!(saved.elapsed().as_secs() < 10, "an edit should reach the fleet within a second");
    assert_eq!(wait_for_modules(&hem), before, "another module was restarted");

    // A broken edit changes nothing and is reported.
    fs::write(&path, text.replace("kind: EdgeDeployment", "kind: EdgeDeploymint")).expect("writable");
    hem.eventually("status shows the finding", |hem| {
        let said = hem.status();
        (said.contains("fleet.yaml:") && said.contains("EdgeDeploymint")).then_some(())
    });
    assert_eq!(wait_for_modules(&hem), before);
    assert_eq!(hem.module_process("third"), Some(third));

    // And a module less.
    let (without, _) = with_another_threshold(
        &text.replace("    third:\n      type: process\n      command: [hem, demo, sensor]\n", ""),
    );
    fs::write(&path, without).expect("writable");
    hem.eventually("the third module is gone", |hem| hem.module_process("third").is_none().then_some(()));
    assert_eq!(wait_for_modules(&hem), before);

    let stopping = Instant::now();
    let status = hem.interrupt();
    println!("Ctrl-C → stopped {:?}", stopping.elapsed());
    assert_eq!(status.code(), Some(0), "Ctrl-C is a normal end");
    assert_eq!(hem.processes(), [], "Ctrl-C stops everything that hem up started");
    assert!(!hem.data().join("endpoint.json").exists(), "other commands would dial a dead hub");
}

#[test]
fn a_module_that_cannot_start_hurts_no_other() {
    let folder = copy();
    let path = folder.path().join("fleet/fleet.yaml");
    let text = fs::read_to_string(&path).expect("the document");
    let broken = with_a_third_module(&text).replacen("[hem, demo, sensor]", "[/no/such/program]", 1);
    assert!(broken.contains("third:\n      type: process\n      command: [/no/such/program]"), "{broken}");
    fs::write(&path, broken).expect("writable");
    let hem = Hem::up_on(folder, &[]);
    wait_for_modules(&hem);
    let third = hem.eventually("the third module reports why it does not run", |hem| {
        let twin = hem.json(&["twin", "get", DEVICE, "$edgeAgent"]);
        let third = twin["properties"]["reported"]["modules"]["third"].clone();
        third["runtimeStatus"].is_string().then_some(third)
    });
    assert_ne!(third["runtimeStatus"], "running", "{third}");
    let said = hem.eventually("status names the reason", |hem| {
        let said = hem.status();
        said.contains("third").then_some(said)
    });
    assert!(said.contains("third"), "{said}");
}

#[test]
fn one_hub_per_data_directory() {
    let hem = Hem::up(&[(
        "fleet.yaml",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {}\n",
    )]);
    let second = crate::hem::hem()
        .arg("up")
        .arg(hem.fleet())
        .arg("--data-dir")
        .arg(hem.data())
        .args(["--listen", &hemline_testkit::loopback().to_string()])
        .output()
        .expect("hem starts");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(1));
}
