//! `hem up` on a Git repository: a commit is what changes the fleet.

use std::{fs, path::Path, process::Command};

use crate::{
    hem::Hem,
    repository::{git, git_is_here, origin_and_clone, push},
};

fn device(name: &str) -> String {
    format!("apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{}}\n")
}

fn commit(folder: &Path, file: &str, text: &str) {
    fs::create_dir_all(folder.join("lyon")).expect("writable");
    fs::write(folder.join("lyon").join(file), text).expect("writable");
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "change"]);
}

fn device_ids(hem: &Hem) -> Vec<String> {
    let rows = hem.json(&["query", "SELECT * FROM devices"]);
    let mut ids: Vec<String> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["deviceId"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn commits_change_the_fleet_and_files_do_not() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let repository = folder.path().join("fleet");
    fs::create_dir(&repository).expect("a new folder");
    git(&repository, &["init", "--quiet", "-b", "main"]);
    commit(&repository, "a.yaml", &device("a"));
    let hem = Hem::up_on(folder, &["--branch", "main", "--folder", "lyon", "--interval", "1s"]);
    hem.eventually("the first commit is in force", |hem| (device_ids(hem) == ["a"]).then_some(()));
    fs::write(repository.join("lyon/c.yaml"), device("c")).expect("writable");
    fs::remove_file(repository.join("lyon/c.yaml")).expect("writable");
    commit(&repository, "b.yaml", &device("b"));
    hem.eventually("the second commit is in force", |hem| (device_ids(hem) == ["a", "b"]).then_some(()));
    // A broken commit changes nothing, the next good one does.
    commit(&repository, "b.yaml", "kind: Nonsense\n");
    hem.eventually("status shows the finding", |hem| hem.status().contains("b.yaml:1").then_some(()));
    assert_eq!(device_ids(&hem), ["a", "b"]);
    commit(&repository, "b.yaml", &device("d"));
    hem.eventually("the last commit is in force", |hem| (device_ids(hem) == ["a", "d"]).then_some(()));
}

/// One webhook; the HTTP status that came of it. A body that begins with `@` names a file.
pub(crate) fn webhook(hem: &Hem, ca: &Path, name: &str, headers: &[&str], body: &str) -> String {
    let url = format!("https://{}:{}/api/v1/sources/{name}/sync", hem.address(), hem.https_port());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--data-binary", body]);
    for header in headers {
        curl.args(["--header", header]);
    }
    let output = curl.arg("--cacert").arg(ca).arg(url).output().expect("curl starts");
    String::from_utf8(output.stdout).expect("a number")
}

#[test]
fn a_webhook_wakes_the_source_and_the_status_branch_tells_the_planner() {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    if !git_is_here() || !hemline_testkit::require("curl", curl, "apt-get install curl") {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let repository = folder.path().join("fleet");
    fs::create_dir(&repository).expect("a new folder");
    git(&repository, &["init", "--quiet", "-b", "main"]);
    commit(&repository, "a.yaml", &device("a"));
    let origin = folder.path().join("origin.git");
    git(folder.path(), &["clone", "--quiet", "--bare", "fleet", "origin.git"]);
    git(&repository, &["remote", "add", "origin", &origin.display().to_string()]);
    // What GitHub's documentation signs as an example.
    let secret = folder.path().join("secret");
    fs::write(&secret, "It's a Secret to Everybody\n").expect("writable");
    let secret = secret.display().to_string();
    let url = format!("file://{}", origin.display());
    let options = ["--branch", "main", "--folder", "lyon", "--interval", "1h", "--status-every", "1s"];
    let hem = Hem::up_from(folder, &url, &[&options[..], &["--webhook-secret-file", &secret]].concat());
    let ca = hem.ca_file();
    hem.eventually("the first commit is in force", |hem| (device_ids(hem) == ["a"]).then_some(()));

    // Nobody looks for an hour, but the forge says that there is something to see.
    commit(&repository, "b.yaml", &device("b"));
    git(&repository, &["push", "--quiet", "origin", "main"]);
    let signed =
        "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let body = "Hello, World!";
    for (name, headers, body, status) in [
        ("default", &[][..], body, "401"),
        ("default", &[signed], "Hello, World?", "401"),
        ("default", &["X-Gitlab-Token: wrong"], body, "401"),
        ("other", &[signed], body, "404"),
    ] {
        assert_eq!(webhook(&hem, &ca, name, headers, body), status, "{name} {headers:?}");
    }
    assert_eq!(device_ids(&hem), ["a"], "nothing was woken by strangers");
    assert_eq!(webhook(&hem, &ca, "default", &[signed], body), "200");
    hem.eventually("the second commit is in force", |hem| (device_ids(hem) == ["a", "b"]).then_some(()));
    // Sent again it does no harm.
    assert_eq!(webhook(&hem, &ca, "default", &["X-Gitlab-Token: It's a Secret to Everybody"], "{}"), "200");

    // The status branch tells who was asleep, and the planner of a pull request.
    let readme = || {
        let mut command = Command::new("git");
        command.args(["show", "hemline/status:README.md"]).current_dir(&origin);
        String::from_utf8(command.output().expect("git starts").stdout).expect("UTF-8")
    };
    hem.eventually("the status is written", |_| readme().contains("| b |").then_some(()));
    git(&repository, &["fetch", "--quiet", "origin"]);
    commit(&repository, "c.yaml", &device("c"));
    for state in ["hemline/status", "origin/hemline/status", "origin/hemline/status:state.json"] {
        let lyon = repository.join("lyon").display().to_string();
        let plan = hem.text(&["plan", &lyon, "--base", "origin/main", "--state", state]);
        assert!(plan.contains("Plan: 1 to add"), "{state}: {plan}");
    }
}

#[test]
fn sync_makes_it_look_at_a_remote_that_it_would_not_look_at_for_an_hour() {
    if !git_is_here() {
        return;
    }
    let (folder, origin, clone) = origin_and_clone();
    push(&clone, &device("a"), "first");
    let options = ["--branch", "main", "--interval", "1h", "--status-branch", "off"];
    let hem = Hem::up_from(folder, &format!("file://{}", origin.display()), &options);
    hem.eventually("the first commit is in force", |hem| (device_ids(hem) == ["a"]).then_some(()));
    // It is fetched into a mirror, so the hour counts: what is read in place is looked at each second.
    let mirrors = fs::read_dir(hem.data().join("git")).expect("a folder of mirrors").count();
    assert_ne!(mirrors, 0);
    let log = || fs::read_to_string(hem.data().with_file_name("stderr")).expect("a log");
    let second = push(&clone, &device("b"), "second");
    assert!(!log().contains(&second), "nothing knows of it yet");
    let told = hem.text(&["sync"]);
    hem.eventually("the second commit is in force", |hem| (device_ids(hem) == ["b"]).then_some(()));
    assert!(log().contains(&second), "{told}");
    // And once more, as often as somebody says so.
    push(&clone, &device("c"), "third");
    hem.text(&["sync"]);
    hem.eventually("the third commit is in force", |hem| (device_ids(hem) == ["c"]).then_some(()));
}
