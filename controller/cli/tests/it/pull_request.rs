//! `examples/pull-request/plan.sh` as a CI runs it: on a real repository with a real branch.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    hem::HEM,
    plan::BEFORE,
    repository::{commit, git, git_is_here},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pull-request").join(name)
}

/// A repository whose branch `change` is checked out; `main` moved on meanwhile. `None` without Git.
fn repository(after: &str) -> Option<TempDir> {
    if !git_is_here() {
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
    run_in(folder, base, arguments, &[])
}

/// The same with further variables.
fn run_in(
    folder: &Path,
    base: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let file = folder.join(".git/plan.md");
    let mut command = Command::new("sh");
    command.arg(example("plan.sh")).args(arguments).current_dir(folder);
    for name in ["HEM_DATA_DIR", "HEM_SERVER", "HEAD", "GITHUB_ACTIONS", "STATE", "SARIF_FILE"] {
        command.env_remove(name);
    }
    let output = command
        .env("HEM", HEM)
        .env("FLEET", ".")
        .env("BASE", base)
        .env("PLAN_FILE", &file)
        .env("NO_COLOR", "1")
        .envs(variables.iter().copied())
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

#[test]
fn findings_become_annotations_and_sarif() {
    let Some(folder) = repository(&BEFORE.replace("priority: 10", "priority: high")) else { return };
    let sarif = folder.path().join(".git/fleet.sarif");
    let variables = [("GITHUB_ACTIONS", "true"), ("SARIF_FILE", sarif.to_str().expect("UTF-8"))];
    let (code, _, log) = run_in(folder.path(), "main", &[], &variables);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.lines().any(|line| line.starts_with("::error file=fleet.yaml,line=16,")), "{log}");
    let sarif: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(sarif).expect("it was written")).expect("JSON");
    let region = sarif.pointer("/runs/0/results/0/locations/0/physicalLocation/region/startLine");
    assert_eq!(region, Some(&16.into()), "{sarif}");
}

#[test]
fn the_policy_of_the_ci_exits_with_3() {
    let Some(folder) = repository(&BEFORE.replace("camera:1.2", "camera:1.3")) else { return };
    let (code, markdown, log) = run(folder.path(), "main", &["--detailed-exitcode", "--deny", "restart"]);
    assert_eq!(code, Some(3), "{log}");
    assert!(markdown.contains("**Refused by policy (1)**\n\n- `deny restart`: "), "{markdown}");
}

/// A state on a branch of its own, in which somebody changed a value by hand.
#[test]
fn the_state_on_a_branch_tells_what_else_was_off() {
    let Some(folder) = repository(&BEFORE.replace("camera:1.2", "camera:1.3")) else { return };
    let at = folder.path();
    let held = |fps: u32| {
        serde_json::json!({
            "$edgeAgent": {"desired": {}}, "$edgeHub": {"desired": {}},
            "camera": {"desired": {"fps": fps}, "managedBy": "hemline"},
            "filter": {"desired": {"threshold": 20}, "managedBy": "hemline"},
        })
    };
    let device = |config: &str, connected: bool| {
        serde_json::json!({"enabled": true, "edge": true, "tags": {"site": "lyon"}, "config": config,
            "connected": connected, "since": {"camera.desired.fps": "2026-01-02T03:04:05Z"},
            "said": {"enabled": true, "edge": true, "tags": {"site": "lyon"}, "config": "a"}})
    };
    let state = serde_json::json!({
        "apiVersion": "hemline.dev/v1alpha1", "kind": "FleetState",
        "applied": {"revision": "3f2c1a9", "digest": "sha256:00"},
        "devices": {"press-01": device("b", true), "press-02": device("a", false)},
        "configs": {"a": held(10), "b": held(99)},
    });
    git(at, &["checkout", "--quiet", "--orphan", "hemline/status"]);
    fs::write(at.join("state.json"), state.to_string()).expect("writable");
    git(at, &["rm", "--quiet", "-f", "fleet.yaml"]);
    git(at, &["add", "state.json"]);
    git(at, &["commit", "--quiet", "-m", "status"]);
    git(at, &["checkout", "--quiet", "change"]);
    let variables = [("STATE", "hemline/status:state.json")];
    let (code, markdown, log) = run_in(at, "main", &[], &variables);
    assert_eq!(code, Some(0), "{log}");
    for words in [
        "1 of them offline",
        "- `twin of camera` on `press-01`: `desired.fps  99 → 10`, set `2026-01-02T03:04:05Z`",
        "the hub was last brought to 3f2c1a9, not to the base",
    ] {
        assert!(markdown.contains(words), "no {words:?} in\n{markdown}");
    }
    // A fleet that has no state yet is planned from its documents.
    let (code, markdown, log) = run_in(at, "main", &[], &[("STATE", "hemline/none:state.json")]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("planning without it") && !markdown.contains("offline"), "{log}{markdown}");
}

#[test]
fn a_shallow_clone_is_deepened_to_the_merge_base() {
    let Some(folder) = repository(&BEFORE.replace("camera:1.2", "camera:1.3")) else { return };
    let clones = tempfile::tempdir().expect("a temporary folder");
    let url = format!("file://{}", folder.path().display());
    git(clones.path(), &["clone", "--quiet", "--depth", "1", "--no-single-branch", &url, "clone"]);
    let clone = clones.path().join("clone");
    let (code, markdown, log) = run(&clone, "origin/main", &["--detailed-exitcode"]);
    assert_eq!(code, Some(2), "{log}");
    assert!(markdown.contains("camera:1.3") && !markdown.contains("9.9"), "{markdown}");
}

/// What the forges themselves say about the recipes.
#[test]
fn the_recipes_are_what_the_forges_take() {
    let program = |name: &str, variable: &str| {
        let found = std::env::var_os(variable);
        hemline_testkit::require(name, found.is_some(), "run the tests with `cargo xtask test`")
            .then_some(found)
            .flatten()
    };
    let passes = |command: &mut Command| {
        let output = command.output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    if let Some(check) = program("check-jsonschema", "HEM_TEST_CHECK_JSONSCHEMA") {
        for (schema, file) in [("vendor.github-workflows", "github.yml"), ("vendor.gitlab-ci", "gitlab.yml")]
        {
            passes(Command::new(&check).args(["--builtin-schema", schema]).arg(example(file)));
        }
    }
    if let Some(lint) = program("actionlint", "HEM_TEST_ACTIONLINT") {
        passes(Command::new(lint).arg("-no-color").arg(example("github.yml")));
    }
}

/// What is printed is what the published schemas say.
#[test]
fn printed_plans_fit_their_schemas() {
    let found = std::env::var_os("HEM_TEST_CHECK_JSONSCHEMA");
    let there = hemline_testkit::require(
        "check-jsonschema",
        found.is_some(),
        "run the tests with `cargo xtask test`",
    );
    let (Some(check), true) = (found, there) else { return };
    let after = BEFORE.replace("camera:1.2", "camera:1.3").replace("fps: 10", "fps: 12");
    let Some(folder) = repository(&after.replace("metadata: {name: press-02}", "metadata: {name: press-03}"))
    else {
        return;
    };
    let git_folder = folder.path().join(".git");
    let (plan, sealed) = (git_folder.join("plan.json"), git_folder.join("sealed.json"));
    let output = crate::hem::hem()
        .current_dir(folder.path())
        .args(["plan", ".", "--base", "main", "--head", "change", "--format", "json", "--deny", "restart"])
        .arg("--out")
        .arg(&sealed)
        .output()
        .expect("hem starts");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&plan, &output.stdout).expect("writable");
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (schema, file) in [("plan.json", &plan), ("sealed-plan.json", &sealed)] {
        let output = Command::new(&check)
            .arg("--schemafile")
            .arg(schemas.join(schema))
            .arg(file)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{schema}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
