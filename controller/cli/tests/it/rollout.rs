//! Rollouts with real agents and processes: a bad change stops at its first device and goes back, people say when it goes on,
//! and what was decided outlives the program. And the same without a hub, rehearsed.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    hem::{Hem, hem},
    repository::{git, git_is_here},
};

/// Three devices with one process module; `command` and what the rollout says.
fn fleet(command: &str, rollout: &str) -> String {
    let device = |name: &str| {
        format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{edge: true}}\n---\n"
        )
    };
    let deployment = format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  targetCondition: '*'\n  modules:\n    camera: {{type: process, restartPolicy: never, command: {command}}}\n  rollout: {rollout}\n"
    );
    format!("{}{}{}{deployment}", device("press-01"), device("press-02"), device("press-03"))
}

fn put(hem: &Hem, text: &str) {
    let temporary = hem.fleet().join(".new");
    fs::write(&temporary, text).expect("a writable folder");
    fs::rename(&temporary, hem.fleet().join("fleet.yaml")).expect("a writable folder");
}

/// The rollout of the deployment, as a program reads it; its exit code says whether it stopped, so it may fail.
pub(crate) fn rollout(hem: &Hem) -> Option<Value> {
    let output = hem.command(&["rollout", "status", "-o", "json"]).output().expect("hem starts");
    let all: Value = serde_json::from_slice(&output.stdout).ok()?;
    all.as_array()?.first().cloned()
}

fn until(hem: &Hem, phase: &str) -> Value {
    hem.eventually(&format!("the rollout is {phase}"), |hem| {
        rollout(hem).filter(|rollout| rollout["phase"] == phase)
    })
}

/// The argument of each device's process, as the hub wants it.
fn wanted(hem: &Hem) -> Vec<String> {
    ["press-01", "press-02", "press-03"]
        .iter()
        .map(|device| {
            let twin = hem.json(&["twin", "get", device, "$edgeAgent"]);
            let command = twin.pointer("/properties/desired/modules/camera/settings/command").cloned();
            command
                .and_then(|command| command.as_array()?.last()?.as_str().map(str::to_owned))
                .unwrap_or_default()
        })
        .collect()
}

#[test]
fn a_bad_change_goes_back_by_itself_and_stays_away() {
    let rules = "{waves: [{name: canary, count: 1}, {percent: 100}], healthyFor: 1s, deadline: 60s, onFailure: revert}";
    let mut hem = Hem::up_with(&[("fleet.yaml", &fleet("[/bin/sleep, '1001']", rules))], &[]);
    let first = until(&hem, "complete");
    assert_eq!(first["took"], 3, "{first}");

    put(&hem, &fleet("[/bin/sh, -c, 'exit 3']", rules));
    let back = until(&hem, "reverted");
    assert_eq!(
        back["failed"][0].as_str().map(|text| text.starts_with("camera on press-01 exits 3")),
        Some(true),
        "{back}"
    );
    assert_eq!(wanted(&hem), ["1001", "1001", "1001"]);
    let story = back["story"].to_string();
    assert!(!story.contains("100 %: "), "nobody else ever saw it: {story}");
    let status = hem.status();
    assert!(status.contains("camera on press-01 exits 3") && status.contains("went back"), "{status}");
    // Files are written a little later than the program knows.
    hem.eventually("the status file tells it", |hem| {
        let readme = fs::read_to_string(hem.fleet().join("status/README.md")).ok()?;
        let first = readme.lines().next()?;
        (first.starts_with("revision ") && first.contains("reverted")).then_some(())
    });

    // What was decided is decided, whatever happens to the program.
    hem.kill();
    hem.start_again();
    hem.eventually("the controller knows it again", |hem| hem.status().contains("went back").then_some(()));
    assert_eq!(wanted(&hem), ["1001", "1001", "1001"]);

    put(&hem, &fleet("[/bin/sleep, '1002']", rules));
    hem.eventually("the mended revision is everywhere", |hem| {
        (wanted(hem) == ["1002", "1002", "1002"] && rollout(hem)?["phase"] == "complete").then_some(())
    });
    assert!(!hem.status().contains("went back"), "{}", hem.status());
}

#[test]
fn people_say_when_it_goes_on() {
    let rules = "{waves: [{count: 1}, {percent: 100}], healthyFor: 1s, approve: each-wave}";
    let hem = Hem::up_with(&[("fleet.yaml", &fleet("[/bin/sleep, '1001']", "{healthyFor: 1s}"))], &[]);
    until(&hem, "complete");
    put(&hem, &fleet("[/bin/sleep, '1002']", rules));
    let waits = until(&hem, "waiting");
    assert!(waits["says"].as_str().is_some_and(|says| says.contains("approval of 1 device")), "{waits}");
    assert_eq!(wanted(&hem), ["1001", "1001", "1001"]);

    let say = |arguments: &[&str]| {
        let mut all = vec!["rollout"];
        all.extend(arguments);
        let output = hem.command(&all).output().expect("hem starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (done, text) = say(&["pause", "vision", "--by", "ann"]);
    assert!(done && text.contains("paused by ann"), "{text}");
    let (done, text) = say(&["approve", "vision", "--by", "ann"]);
    assert!(done, "{text}");
    let (done, text) = say(&["resume", "--by", "ann"]);
    assert!(done, "{text}");
    hem.eventually("the second wave waits", |hem| {
        rollout(hem)?["says"].as_str().filter(|says| says.contains("approval of 100 %")).map(|_| ())
    });
    assert_eq!(wanted(&hem), ["1002", "1001", "1001"]);
    assert_eq!(say(&["resume"]), (false, say(&["resume"]).1));
    let (done, text) = say(&["approve", "nobody"]);
    assert!(!done && text.contains("vision"), "{text}");

    let (done, text) = say(&["abort", "vision", "--by", "ann"]);
    assert!(done && text.contains("aborted by ann"), "{text}");
    assert_eq!(wanted(&hem), ["1002", "1001", "1001"], "devices keep what they have");
    let (done, text) = say(&["revert", "vision", "--by", "ann"]);
    assert!(done, "{text}");
    let back = until(&hem, "reverted");
    assert_eq!(wanted(&hem), ["1001", "1001", "1001"]);
    let story = back["story"].to_string();
    for part in ["paused by ann", "approved by ann", "aborted by ann", "taken back by ann"] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let table = String::from_utf8_lossy(
        &hem.command(&["rollout", "status", "--watch"]).output().expect("hem starts").stdout,
    )
    .into_owned();
    assert!(table.contains("WAVE") && table.contains("taken back by ann"), "{table}");
}

#[test]
fn a_rehearsal_says_where_it_would_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = "{waves: [{name: canary, count: 1}, {percent: 100}], healthyFor: 2m, deadline: 30m}";
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).expect("a new folder");
        fs::write(path.join("fleet.yaml"), text).expect("writable");
        path.to_str().expect("UTF-8").to_owned()
    };
    let from = write("from", &fleet("[/bin/sleep, '1001']", rules));
    let to = write("to", &fleet("[/bin/sleep, '1002']", rules));
    let simulate = |more: &[&str]| {
        let output = hem()
            .args(["simulate", "--start", "2026-11-23T20:00:00Z"])
            .args(more)
            .output()
            .expect("hem starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = simulate(&["--from", &from, "--to", &to]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("complete after") && text.contains("on 3 devices"), "{text}");
    let (code, text) = simulate(&["--from", &from, "--to", &to, "--fail", "camera", "-o", "json"]);
    assert_eq!(code, Some(3), "{text}");
    let outcome: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((outcome["outcome"].as_str(), outcome["took"].as_u64()), (Some("halted"), Some(1)), "{text}");
    assert!(
        outcome["stopped"]
            .as_str()
            .is_some_and(|why| why.contains("halted at canary: camera on press-01 exits 1")),
        "{text}"
    );
    assert_eq!(simulate(&["--from", &from]).0, Some(64));
    assert_eq!(simulate(&["--from", &from, "--to", &to, "--offline", "200%"]).0, Some(64));

    if git_is_here() {
        let repository = folder.path().join("repository");
        fs::create_dir(&repository).expect("a new folder");
        git(&repository, &["init", "--quiet", "-b", "main"]);
        for side in ["from", "to"] {
            fs::copy(Path::new(&folder.path().join(side)).join("fleet.yaml"), repository.join("fleet.yaml"))
                .expect("writable");
            git(&repository, &["add", "."]);
            git(&repository, &["commit", "--quiet", "-m", side]);
        }
        let place = repository.to_str().expect("UTF-8");
        let (code, text) = simulate(&[place, "--commits", "HEAD~1..HEAD"]);
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(simulate(&[place, "--commits", "HEAD"]).0, Some(64));
    }
}

#[test]
fn a_rehearsal_pushes_each_commit_in_its_turn() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repository = folder.path();
    git(repository, &["init", "--quiet", "-b", "main"]);
    let rules = "{waves: [{name: canary, count: 1}, {percent: 100}], healthyFor: 2m, deadline: 30m}";
    let good = |argument: u32| fleet(&format!("[/bin/sleep, '{argument}']"), rules);
    for (text, message) in [
        (good(1001), "what it runs"),
        (good(1002), "a slower one"),
        ("kind: Nonsense\n".to_owned(), "a slip"),
        (good(1003), "the slip mended"),
    ] {
        fs::write(repository.join("fleet.yaml"), text).expect("writable");
        git(repository, &["add", "."]);
        git(repository, &["commit", "--quiet", "-m", message]);
    }
    let simulate = |range: &str, more: &[&str]| {
        let output = hem()
            .arg("simulate")
            .arg(repository)
            .args(["--start", "2026-11-23T20:00:00Z", "--commits", range])
            .args(more)
            .output()
            .expect("hem starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = simulate("HEAD~3..HEAD", &["--every", "1m"]);
    assert_eq!(code, Some(0), "{text}");
    for part in
        ["0 s", "pushed: a slower one", "60 s", "pushed: a slip", "refused: ", "pushed: the slip mended"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("complete after"), "{text}");

    let story = |range: &str, more: &[&str]| -> Value {
        let (code, text) = simulate(range, &[&["-o", "json"], more].concat());
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let pushed = |story: &Value| -> Vec<(u64, bool)> {
        let commits = story["commits"].as_array().expect("a list");
        let one = |one: &Value| (one["afterSecs"].as_u64().expect("seconds"), one["refused"].is_string());
        commits.iter().map(one).collect()
    };
    let played = story("HEAD~3..HEAD", &["--every", "1m"]);
    assert_eq!(pushed(&played), [(0, false), (60, true), (120, false)]);
    assert_eq!(
        (played["took"].as_u64(), played["olderLeftOut"].as_bool()),
        (Some(3), Some(false)),
        "{played}"
    );
    // The canary of the first commit had begun when the last one came, which starts anew: it takes longer than one commit alone.
    let alone = story("HEAD~3..HEAD~2", &[]);
    assert_eq!(pushed(&alone), [(0, false)]);
    assert!(played["seconds"].as_u64() > alone["seconds"].as_u64(), "{played} {alone}");
    // By the times of the commits, which are all the same here; and the way back, on which nothing is new.
    assert_eq!(pushed(&story("HEAD~3..HEAD", &[])), [(0, false), (0, true), (0, false)]);
    assert_eq!(pushed(&story("HEAD..HEAD~2", &[])), [(0, false)]);
    // What all of it leads to has to be usable.
    assert_eq!(simulate("HEAD~3..HEAD~1", &[]).0, Some(1));
    assert_eq!(simulate("HEAD~3..HEAD", &["--every", "often"]).0, Some(64));
}
