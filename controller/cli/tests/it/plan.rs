//! `hem plan` between Git revisions, as a pull request shows it: golden text from a repository made on the spot.

use std::fs;

use crate::{
    hem::hem,
    repository::{commit, git, git_is_here},
};

pub(crate) const BEFORE: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec: {edge: true, tags: {site: lyon}}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-02}
spec: {edge: true, tags: {site: lyon}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tags.site = 'lyon'
  priority: 10
  modules:
    camera:
      image: registry.example/camera:1.2
      createOptions: {HostConfig: {Memory: 67108864}}
      desired: {fps: 10}
    filter:
      image: registry.example/filter:1.0
      desired: {threshold: 20}
  routes:
    frames: FROM /messages/modules/camera/outputs/frames INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")
    up: FROM /messages/modules/filter/outputs/* INTO $upstream
";

/// What `hem plan` says about the change from one text to another.
fn plan(before: &str, after: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    if !git_is_here() {
        return (None, String::new(), String::new());
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    commit(folder.path(), before, "before");
    git(folder.path(), &["checkout", "--quiet", "-b", "change"]);
    commit(folder.path(), after, "after");
    // The base moves on meanwhile: only what the branch changed may show.
    git(folder.path(), &["checkout", "--quiet", "main"]);
    fs::write(folder.path().join("README"), "text\n").expect("writable");
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "-m", "elsewhere"]);
    let output = hem()
        .current_dir(folder.path())
        .args(["plan", ".", "--base", "main", "--head", "change"])
        .args(arguments)
        .output()
        .expect("hem starts");
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*folder.path().to_string_lossy(), "[folder]");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn image_and_twin_change() {
    let after = BEFORE
        .replace("camera:1.2", "camera:1.3")
        .replace("Memory: 67108864", "Memory: 100663296")
        .replace("threshold: 20", "threshold: 25");
    let (code, said, complaints) = plan(BEFORE, &after, &[]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(0), "{complaints}");
    insta::assert_snapshot!(said);
}

#[test]
fn device_module_and_route_come_and_go() {
    let after = BEFORE
        .replace("metadata: {name: press-02}", "metadata: {name: press-03}")
        .replace(
            "    filter:\n      image: registry.example/filter:1.0\n      desired: {threshold: 20}\n",
            "    sieve:\n      image: registry.example/sieve:1.0\n      env: {LEVEL: debug}\n",
        )
        .replace("/modules/filter/", "/modules/sieve/")
        .replace("    up: FROM", "    cloud: FROM");
    let (code, said, complaints) = plan(BEFORE, &after, &[]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(0), "{complaints}");
    insta::assert_snapshot!(said);
}

#[test]
fn nothing_to_do() {
    let (code, said, complaints) =
        plan(BEFORE, &format!("# A comment changes nothing.\n{BEFORE}"), &["--detailed-exitcode"]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(0), "{complaints}");
    insta::assert_snapshot!(said);
}

#[test]
fn changes_exit_with_2_when_asked() {
    let (code, _, complaints) = plan(BEFORE, &BEFORE.replace("fps: 10", "fps: 12"), &["--detailed-exitcode"]);
    if code.is_some() {
        assert_eq!(code, Some(2), "{complaints}");
    }
}

#[test]
fn json_is_canonical() {
    let after = BEFORE.replace("fps: 10", "fps: 12");
    let (code, said, complaints) = plan(BEFORE, &after, &["-o", "json"]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(0), "{complaints}");
    let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).expect("JSON"));
    assert_eq!(plan(BEFORE, &after, &["-o", "json"]).1, said, "the same twice");
}

#[test]
fn formats() {
    let after = BEFORE.replace("fps: 10", "fps: 12");
    let (code, markdown, complaints) = plan(BEFORE, &after, &["--format", "markdown"]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(0), "{complaints}");
    insta::assert_snapshot!(markdown);
    let said = |arguments: &[&str]| plan(BEFORE, &after, arguments).1;
    assert_eq!(said(&["--format", "json"]), said(&["-o", "json"]));
    assert_eq!(said(&["--format", "human"]), said(&[]));
}

#[test]
fn broken_head_as_markdown() {
    let (code, said, complaints) =
        plan(BEFORE, &BEFORE.replace("priority: 10", "priority: '@high'"), &["--format", "markdown"]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(1), "{complaints}");
    insta::assert_snapshot!(said);
}

#[test]
fn broken_head_is_reported_and_not_planned() {
    let (code, said, complaints) = plan(BEFORE, &BEFORE.replace("priority: 10", "priority: high"), &[]);
    if code.is_none() {
        return;
    }
    assert_eq!(code, Some(1), "{said}{complaints}");
    assert!(complaints.contains("fleet.yaml:16:13"), "{complaints}");
}

#[test]
fn a_policy_refuses_with_3_in_every_format() {
    let after = BEFORE.replace("camera:1.2", "camera:1.3");
    let policy = ["--deny", "restart,remove-device", "--max-devices", "50%", "--detailed-exitcode"];
    for format in ["human", "markdown", "json"] {
        let (code, said, complaints) = plan(BEFORE, &after, &[&policy[..], &["--format", format]].concat());
        if code.is_none() {
            return;
        }
        assert_eq!(code, Some(3), "{complaints}");
        assert!(said.contains("deny restart") && said.contains("max-devices 50%"), "{said}");
        assert!(!said.contains("deny remove-device"), "{said}");
    }
    // What is not broken refuses nothing, and a word that is none is a mistake on the command line.
    for (arguments, expected) in [
        (["--deny", "remove-device,drift"], 0),
        (["--max-restarts", "100%"], 0),
        (["--max-restarts", "1"], 3),
        (["--deny", "everything"], 64),
        (["--max-devices", "200%"], 64),
    ] {
        let (code, said, complaints) = plan(BEFORE, &after, &arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {said}{complaints}");
    }
}
