//! Somebody commits a merge conflict: the fleet stays on the commit before, and everybody who looks is told why, in one word and
//! in one sentence.

use std::{fs, process::Command};

use hemline_protocol::sas::{SasToken, SymmetricKey};
use jiff::{SignedDuration, Timestamp};

use crate::{
    credentials::{device, every},
    hem::Hem,
    repository::{git_is_here, origin_and_clone, push},
    trouble::reasons,
};

/// What Prometheus reads, with the key of the policy that may.
fn metrics(hem: &Hem) -> String {
    let text = hem.text(&["connection-string", "--policy", "service"]);
    let field = |name: &str| {
        let found = text.trim().split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let key = SymmetricKey::from_base64(field("SharedAccessKey")).expect("a key");
    let expiry = Timestamp::now() + SignedDuration::from_secs(600);
    let token = SasToken::sign(&key, field("HostName"), expiry, Some("service"));
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--header", &format!("Authorization: {token}")])
        .arg("--cacert")
        .arg(hem.ca_file())
        .arg(format!("https://{}:{}/metrics", hem.address(), hem.https_port()))
        .output()
        .expect("curl starts");
    assert!(output.status.success(), "curl ended with {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The lines of reasons why the fleet stays where it is.
fn troubles(hem: &Hem) -> Vec<String> {
    let text = metrics(hem);
    assert!(text.contains("# TYPE hemline_source_trouble gauge\n"), "{text}");
    text.lines().filter(|line| line.starts_with("hemline_source_trouble{")).map(str::to_owned).collect()
}

/// How many passes there were.
fn passes(hem: &Hem) -> u64 {
    let text = metrics(hem);
    let count = text.lines().find_map(|line| line.strip_prefix("hemline_pass_seconds_count "));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_committed_merge_conflict_is_told_everywhere_and_logged_once() {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    if !git_is_here() || !hemline_testkit::require("curl", curl, "apt-get install curl") {
        return;
    }
    let (folder, origin, clone) = origin_and_clone();
    let good = push(&clone, &device("press", 1), "good");
    let options = ["--branch", "main", "--interval", "1s", "--status-branch", "off"];
    let hem = Hem::up_from(folder, &format!("file://{}", origin.display()), &options);
    hem.eventually("the first commit is in force", |hem| (every(hem, "press") == Some(1)).then_some(()));
    hem.eventually("all is well", |hem| reasons(hem).is_empty().then_some(()));
    assert_eq!(troubles(&hem), Vec::<String>::new());

    let both = format!("<<<<<<< HEAD\n{}=======\n{}>>>>>>> faster\n", device("press", 2), device("press", 3));
    let bad = push(&clone, &both, "merge");
    hem.eventually("the refusal is known", |hem| (reasons(hem) == ["refused"]).then_some(()));
    assert_eq!(troubles(&hem), ["hemline_source_trouble{source=\"default\",reason=\"refused\"} 1"]);
    let status = hem.status();
    assert!(status.contains("fleet.yaml:1:1: a merge conflict was committed"), "{status}");
    assert!(status.contains(&good[..7]) && status.contains(&bad[..7]), "{status}");
    assert_eq!(every(&hem, "press"), Some(1), "neither side of the conflict is taken");
    assert_eq!(hem.command(&["status"]).output().expect("hem starts").status.code(), Some(1));

    // Looked at again it is no news.
    let before = passes(&hem);
    hem.text(&["sync"]);
    hem.eventually("it was looked at again", |hem| (passes(hem) > before).then_some(()));
    assert_eq!(reasons(&hem), ["refused"]);

    push(&clone, &device("press", 4), "mended");
    hem.eventually("the mended one is in force", |hem| (every(hem, "press") == Some(4)).then_some(()));
    hem.eventually("it is over", |hem| reasons(hem).is_empty().then_some(()));
    assert_eq!(troubles(&hem), Vec::<String>::new());
    assert!(!hem.status().contains("merge conflict"), "{}", hem.status());
    let log = fs::read_to_string(hem.data().with_file_name("stderr")).expect("a log");
    let told =
        log.lines().filter(|line| line.contains("WARN") && line.contains("the revision is not usable"));
    assert_eq!(told.filter(|line| line.contains(&bad)).count(), 1, "{log}");
}
