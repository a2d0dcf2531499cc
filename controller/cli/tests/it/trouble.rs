//! Why the fleet stays where it is, and why people do not hear of it: on `hem status`, for people and programs, and in the log
//! once when it comes and once when it goes.

use std::{fs, process::Command};

use hemline_protocol::{connection_string::ServiceConnectionString, sas::SasToken};
use serde_json::Value;

use crate::{
    forge::Forge,
    hem::Hem,
    repository::{commit, git, git_is_here},
};

const FLEET: &str =
    "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: meter}\nspec: {desired: {every: 5}}\n";

/// The reasons that `hem status -o json` names.
pub(crate) fn reasons(hem: &Hem) -> Vec<String> {
    let output = hem.command(&["status", "-o", "json"]).output().expect("hem starts");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let trouble = status["controller"]["trouble"].as_array().cloned().unwrap_or_default();
    trouble.iter().filter_map(|one| one["reason"].as_str().map(str::to_owned)).collect()
}

/// The lines about trouble that a scraper reads.
fn scraped(hem: &Hem) -> Vec<String> {
    let service =
        ServiceConnectionString::parse(hem.text(&["connection-string", "--policy", "service"]).trim())
            .expect("a connection string");
    let expiry = jiff::Timestamp::now() + std::time::Duration::from_secs(600);
    let token = SasToken::sign(&service.key, &service.host_name, expiry, Some(&service.policy));
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--header", &format!("Authorization: {token}"), "--cacert"])
        .arg(hem.ca_file())
        .arg(format!("https://{}:{}/metrics", hem.address(), hem.https_port()))
        .output()
        .expect("curl starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("# TYPE hemline_source_trouble gauge"), "{text}");
    text.lines().filter(|line| line.starts_with("hemline_source_trouble{")).map(str::to_owned).collect()
}

/// Such a line.
fn gauge(reason: &str) -> String {
    format!("hemline_source_trouble{{source=\"default\",reason=\"{reason}\"}} 1")
}

#[test]
fn what_does_not_work_is_said_everywhere_and_logged_once() {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    if !git_is_here() || !hemline_testkit::require("curl", curl, "apt-get install curl") {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let forge = Forge::start(folder.path());
    forge.told().statuses_refused = true;
    let clone = folder.path().join("clone");
    fs::create_dir(&clone).expect("a new folder");
    git(&clone, &["init", "--quiet", "-b", "main"]);
    commit(&clone, FLEET, "first");
    git(&clone, &["push", "--quiet", &forge.bare().display().to_string(), "main"]);
    let options = forge.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let hem = Hem::up_from(folder, &forge.url(), &options);

    // The forge refuses one kind of call; everything else works.
    hem.eventually("the refusal is known", |hem| (reasons(hem) == ["commit-status"]).then_some(()));
    let status = hem.status();
    assert!(
        status
            .contains("trouble    the forge does not hear what becomes of commits: setting a commit status")
            && status.contains("lacks the right")
            && status.contains("(default, commit-status, since 20"),
        "{status}"
    );
    assert_eq!(hem.command(&["status"]).output().expect("hem starts").status.code(), Some(1));

    // The token is taken back in the middle: the fleet stays as it is, and says why.
    forge.told().git_refused = true;
    hem.eventually("the denial is known", |hem| reasons(hem).contains(&"denied".to_owned()).then_some(()));
    let status = hem.status();
    assert!(
        status.contains("the last good revision stays: no access to https://127.0.0.1")
            && status.contains("401"),
        "{status}"
    );
    assert_eq!(hem.json(&["twin", "get", "meter"])["properties"]["desired"]["every"], 5);
    let found = scraped(&hem);
    assert!(found.contains(&gauge("commit-status")) && found.contains(&gauge("denied")), "{found:?}");
    forge.told().git_refused = false;
    hem.eventually("it is over", |hem| (reasons(hem) == ["commit-status"]).then_some(()));
    assert_eq!(scraped(&hem), [gauge("commit-status")]);

    let log = fs::read_to_string(hem.data().with_file_name("stderr")).expect("a log");
    let lines =
        |parts: [&str; 2]| log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    assert_eq!(lines(["WARN", "reason=\"commit-status\""]), 1, "{log}");
    assert_eq!(lines(["WARN", "reason=\"denied\""]), 1, "{log}");
    assert_eq!(lines(["that is over", "reason=\"denied\""]), 1, "{log}");
}
