//! `examples/pull-request/plan.sh` as a CI runs it: on a real repository with a real branch.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    hem::HEM,
    plan::{BEFORE, commit, git},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pull-request").join(name)
}

/// A repository whose branch `change` is checked out; `main` moved on meanwhile. `None` without Git.
fn repository(after: &str) -> Option<TempDir> {
    let there = Command::new("git").arg("--version").output().is_ok();
    if !hemline_testkit::require("git", there, "install git") {
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    commit(folder.path(), BEFORE, "before");
    git(folder.path(), &["checkout", "--quiet", "-b", "change"]);
    commit(folder.path(), after, "after");
    git(folder.path(), &["checkout", "--quiet", "main"]);
    commit(folder.path(), &BEFORE.replace("filter:1.0", "filter:9.9"), "elsewhere");
    git(folder.path(), &["checkout", "--quiet", "change"]);
    Some(folder)
}

/// Exit code, Markdown and log of the script.
fn run(folder: &Path, base: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = folder.join(".git/plan.md");
    let output = Command::new("sh")
        .arg(example("plan.sh"))
        .args(arguments)
        .current_dir(folder)
        .env("HEM", HEM)
        .env("FLEET", ".")
        .env("BASE", base)
        .env("PLAN_FILE", &file)
        .env("NO_COLOR", "1")
        .env_remove("HEM_DATA_DIR")
        .env_remove("HEAD")
        .output()
        .expect("sh starts");
    let log =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), fs::read_to_string(&file).unwrap_or_default(), log)
}

#[test]
fn a_change_becomes_markdown() {
    let after = BEFORE.replace("camera:1.2", "camera:1.3").replace("threshold: 20", "threshold: 25");
    let Some(folder) = repository(&after) else { return };
    let (code, markdown, log) = run(folder.path(), "main", &[]);
    assert_eq!(code, Some(0), "{log}");
    assert!(!markdown.contains("9.9"), "what the base got meanwhile is not part of it:\n{markdown}");
    insta::assert_snapshot!(markdown);
    let (code, again, log) = run(folder.path(), "main", &["--detailed-exitcode"]);
    assert_eq!(code, Some(2), "{log}");
    assert_eq!(again, markdown, "the same twice");
}

#[test]
fn no_change_is_success() {
    let Some(folder) = repository(&format!("# A comment changes nothing.\n{BEFORE}")) else { return };
    let (code, markdown, log) = run(folder.path(), "main", &["--detailed-exitcode"]);
    assert_eq!(code, Some(0), "{log}");
    assert!(markdown.contains("No changes. 2 devices are as the documents say."), "{markdown}");
}

#[test]
fn invalid_documents_fail_and_say_so() {
    let Some(folder) = repository(&BEFORE.replace("priority: 10", "priority: high")) else { return };
    let (code, markdown, log) = run(folder.path(), "main", &["--detailed-exitcode"]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("fleet.yaml:16:13"), "{log}");
    assert!(markdown.starts_with("### No plan: 1 error in the documents\n"), "{markdown}");
    assert!(markdown.contains("fleet.yaml:16:13"), "{markdown}");
}

#[test]
fn a_base_that_is_not_there_fails_and_says_so() {
    let Some(folder) = repository(&BEFORE.replace("fps: 10", "fps: 12")) else { return };
    let (code, markdown, log) = run(folder.path(), "origin/main", &[]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("origin/main"), "{log}");
    assert!(markdown.starts_with("### No plan\n"), "{markdown}");
    assert_eq!(run(folder.path(), "main", &["--nonsense"]).0, Some(64));
}

#[test]
fn the_recipes_read_as_yaml_and_run_the_script() {
    for (name, depth) in [("github.yml", "fetch-depth: 0"), ("gitlab.yml", "GIT_DEPTH: \"0\"")] {
        let text = fs::read_to_string(example(name)).expect("it is there");
        let value: serde_json::Value = serde_yaml_ng::from_str(&text).expect("YAML");
        assert!(value.is_object(), "{name}");
        for word in ["ci/plan.sh", depth, "<!-- hemline-plan -->"] {
            assert!(text.contains(word), "{name} lacks {word}");
        }
    }
}
