//! `hem state`, `hem plan --live`, sealed plans and `hem apply`, against a real hub that holds new revisions back.

use std::{
    fs,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    hem::{Hem, SOON},
    plan::BEFORE,
};

/// The documents of the plan tests, with a secret.
fn documents() -> String {
    BEFORE.replace("      desired: {fps: 10}", "      env: {API_TOKEN: hunter2}\n      desired: {fps: 10}")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a command and checks its exit code.
fn run(hem: &Hem, arguments: &[&str], code: i32) -> String {
    let output = hem.command(arguments).output().expect("hem starts");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn put(hem: &Hem, text: &str) {
    let temporary = hem.fleet().join(".new");
    fs::write(&temporary, text).expect("a writable folder");
    fs::rename(&temporary, hem.fleet().join("fleet.yaml")).expect("a writable folder");
}

fn fps(hem: &Hem) -> Option<Value> {
    let twin = hem.json(&["twin", "get", "press-01", "camera"]);
    twin.pointer("/properties/desired/fps").cloned()
}

#[test]
fn a_sealed_plan_is_carried_out_or_says_what_moved() {
    let mut hem = Hem::up_with(&[("fleet.yaml", &documents())], &["--hold", "--no-agents"]);
    let (fleet, file) = (hem.fleet(), hem.data().join("plan.json"));
    let (fleet, file) = (fleet.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));

    // Nothing happens before somebody says so.
    assert_eq!(hem.json(&["get", "devices"]), serde_json::json!([]));
    let plan = run(&hem, &["plan", "--live", "--out", file, fleet], 0);
    assert!(plan.contains("all 2 devices change"), "{plan}");
    let sealed = fs::read_to_string(file).expect("the plan was written");
    assert!(!sealed.contains("hunter2"), "{sealed}");

    // A file that was changed is no plan, and other documents are not what was planned.
    fs::write(file, sealed.replace("press-01", "press-09")).expect("writable");
    assert!(run(&hem, &["apply", "--plan", file], 64).contains("changed after it was sealed"));
    fs::write(file, &sealed).expect("writable");
    put(&hem, &documents().replace("fps: 10", "fps: 11"));
    let refusal = run(&hem, &["apply", "--plan", file], 3);
    assert!(refusal.contains("head:") && refusal.contains("plan: something else would be done"), "{refusal}");
    put(&hem, &documents());

    let done = run(&hem, &["apply", "--plan", file], 0);
    assert!(done.contains("is in force: added"), "{done}");
    assert_eq!(fps(&hem), Some(10.into()));
    assert!(run(&hem, &["apply", "--plan", file], 0).contains("nothing left to do"));

    // What was agreed to stays agreed to, whatever happens to the program.
    hem.kill();
    hem.start_again();
    hem.eventually("the state of the restarted hub", |hem| {
        let state = hem.json(&["state"]);
        (state.get("applied").is_some() && state.get("waiting").is_none()).then_some(())
    });
    assert_eq!(fps(&hem), Some(10.into()));

    // The next revision waits, and a tag set meanwhile is a fact that moved.
    put(&hem, &documents().replace("fps: 10", "fps: 12").replace("hunter2", "hunter3"));
    hem.eventually("the new revision waits", |hem| {
        hem.json(&["state"]).get("waiting").is_some().then_some(())
    });
    assert!(hem.status().contains("waiting"), "{}", hem.status());
    assert_eq!(fps(&hem), Some(10.into()));
    let plan = run(&hem, &["plan", "--live", "--out", file, "--detailed-exitcode", fleet], 2);
    assert!(plan.contains("desired.fps  10 → 12") && plan.contains("2 of them offline"), "{plan}");
    assert!(plan.contains("env.API_TOKEN  *** → ***"), "that a secret differs is no secret: {plan}");
    run(&hem, &["twin", "patch", "press-01", "--tags", r#"{"note": "by hand"}"#], 0);
    let refusal = run(&hem, &["apply", "--plan", file], 3);
    assert!(refusal.contains("hub: identity, tags or desired properties changed on press-01"), "{refusal}");
    assert_eq!(fps(&hem), Some(10.into()));

    // Without a sealed plan it asks, and there is nobody to ask here.
    run(&hem, &["apply", fleet], 64);
    run(&hem, &["apply", "--yes", "--max-devices", "1", fleet], 3);
    run(&hem, &["apply", "--yes", fleet], 0);
    assert_eq!(fps(&hem), Some(12.into()));
}

#[test]
fn what_the_documents_want_reported_is_no_work_for_plan_and_apply() {
    let documents = |threshold: u32| {
        BEFORE
            .replace("  priority: 10\n", "  priority: 10\n  drift: {mode: report}\n")
            .replace("threshold: 20", &format!("threshold: {threshold}"))
    };
    let hem = Hem::up_with(&[("fleet.yaml", &documents(20))], &["--hold", "--no-agents"]);
    let (fleet, file) = (hem.fleet(), hem.data().join("plan.json"));
    let (fleet, file) = (fleet.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    run(&hem, &["apply", "--yes", fleet], 0);
    run(&hem, &["twin", "patch", "press-01", "camera", "--desired", r#"{"fps": 99}"#], 0);
    hem.eventually("it is reported", |hem| {
        let rows = hem.json(&["get", "drift"]);
        rows.as_array()?.iter().any(|row| row["state"] == "reported").then_some(())
    });

    let stays = "modules.camera.desired.fps  99   the documents say 10   on press-01";
    let plan = run(&hem, &["plan", "--live", "--detailed-exitcode", "--deny", "drift", fleet], 0);
    assert!(plan.contains("No changes on 2 devices.") && plan.contains(stays), "{plan}");

    // The hub carries out what was planned, and nothing else.
    put(&hem, &documents(25));
    hem.eventually("the new revision waits", |hem| {
        hem.json(&["state"]).get("waiting").is_some().then_some(())
    });
    let plan = run(&hem, &["plan", "--live", "--out", file, "--deny", "drift", fleet], 0);
    assert!(plan.contains("desired.threshold  20 → 25") && plan.contains(stays), "{plan}");
    assert!(!plan.contains("overwrites") && !plan.contains("99 →"), "{plan}");
    run(&hem, &["apply", "--plan", file], 0);
    assert_eq!(fps(&hem), Some(99.into()));
    let filter = hem.json(&["twin", "get", "press-01", "filter"]);
    assert_eq!(filter["properties"]["desired"]["threshold"], 25);
}

/// Devices of the fleet that is killed while it is applied: the steps take long enough to be in the middle of them.
const MANY: usize = 1000;

/// Waits for something that is over again soon: looks every millisecond.
fn at_once(what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: did not happen within {SOON:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Many edge devices with one module each.
fn many(fps: u32) -> String {
    let device = |n| {
        format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-{n:04}}}\nspec: {{edge: true, tags: {{site: lyon}}}}\n---\n"
        )
    };
    let devices: String = (0..MANY).map(device).collect();
    format!(
        "{devices}apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  targetCondition: tags.site = 'lyon'\n  modules:\n    camera: {{image: 'registry.example/camera:1', desired: {{fps: {fps}}}}}\n"
    )
}

#[test]
fn an_apply_that_is_killed_is_finished_after_the_restart() {
    let mut hem = Hem::up_with(&[("fleet.yaml", &many(1))], &["--hold", "--no-agents"]);
    let fleet = hem.fleet();
    let fleet = fleet.to_str().expect("UTF-8").to_owned();
    let in_force = hem.data().join("last-good/in-force.json");
    // First thing after the revision was kept; then after some of the steps were written.
    for (fps, commits) in [(1, 0), (2, 2), (3, 4)] {
        put(&hem, &many(fps));
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let before = changed(&in_force);
        let mut apply = hem
            .command(&["apply", "--yes", &fleet])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("hem starts");
        let wal = hem.data().join("hub.sqlite-wal");
        at_once("the revision is kept", || changed(&in_force) != before);
        for _ in 0..commits {
            let before = changed(&wal);
            at_once("a step is on disk", || changed(&wal) != before);
        }
        hem.kill();
        let ended = apply.wait().expect("our child");
        assert!(!ended.success(), "round {fps}: the apply was over before the kill; MANY is too few");
        hem.start_again();
        hem.eventually("nothing is left to do", |hem| {
            let output = hem.command(&["plan", "--live", "--detailed-exitcode", &fleet]).output().ok()?;
            (output.status.success() && said(&output).contains("No changes.")).then_some(())
        });
        assert!(hem.json(&["state"]).get("waiting").is_none(), "round {fps}: nobody has to ask again");
        let last = hem.json(&["twin", "get", &format!("press-{:04}", MANY - 1), "camera"]);
        assert_eq!(last.pointer("/properties/desired/fps"), Some(&fps.into()));
        assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(MANY));
    }
}

#[test]
fn removals_need_a_word_of_their_own() {
    let hem = Hem::up_with(&[("fleet.yaml", &documents())], &["--hold", "--no-agents"]);
    let fleet = hem.fleet();
    let fleet = fleet.to_str().expect("UTF-8");
    run(&hem, &["apply", "--yes", fleet], 0);
    let second = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-02}\nspec: {edge: true, tags: {site: lyon}}\n---\n";
    assert!(documents().contains(second));
    put(&hem, &documents().replace(second, ""));
    assert!(run(&hem, &["apply", "--yes", fleet], 3).contains("deny remove-device"));
    assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(2));
    run(&hem, &["apply", "--yes", "--allow-remove", fleet], 0);
    assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(1));
    // A hub follows its own source: documents from elsewhere are not applied to it.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    fs::write(elsewhere.path().join("fleet.yaml"), documents()).expect("writable");
    let refusal = run(&hem, &["apply", "--yes", elsewhere.path().to_str().expect("UTF-8")], 3);
    assert!(refusal.contains("source: this hub follows"), "{refusal}");
}

#[test]
fn the_public_state_plans_without_the_hub() {
    let hem = Hem::up_with(&[("fleet.yaml", &documents())], &["--no-agents"]);
    let (fleet, file) = (hem.fleet(), hem.fleet().join("status/state.json"));
    let (fleet, file) = (fleet.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    hem.eventually("the state beside the documents", |_| {
        let text = fs::read_to_string(file).ok()?;
        assert!(!text.contains("hunter2"), "{text}");
        let state: Value = serde_json::from_str(&text).ok()?;
        (state["devices"].as_object()?.len() == 2 && state.get("applied").is_some()).then_some(())
    });
    let same = run(&hem, &["plan", "--state", file, fleet], 0);
    assert!(same.contains("No changes.") && same.contains("masked value"), "{same}");

    let other = hem.data().join("other");
    fs::create_dir(&other).expect("a new folder");
    let changed = documents().replace("camera:1.2", "camera:1.3").replace("hunter2", "hunter3");
    fs::write(other.join("fleet.yaml"), changed).expect("writable");
    let plan = run(&hem, &["plan", "--state", file, other.to_str().expect("UTF-8")], 0);
    assert!(plan.contains("all 2 devices change, 2 of them offline"), "{plan}");
    assert!(plan.contains("1.2 → registry.example/camera:1.3"), "{plan}");
    // What the secret was is unknown without a base: no guess, and a word about it.
    assert!(!plan.contains("***") && plan.contains("unknown here and taken as unchanged"), "{plan}");
    run(&hem, &["plan", "--state", "no-such-file.json", fleet], 1);
    run(&hem, &["plan", "--state", &format!("{fleet}/fleet.yaml"), fleet], 64);
}
