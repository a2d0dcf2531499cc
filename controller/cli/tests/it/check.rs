//! `hem check` beside a hub that runs, beside one that died, and where nothing is.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use serde_json::Value;

use crate::hem::Hem;

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-1}
";

/// No engine belongs to this test, and whether the machine's own disk lasts is not its matter.
const APART: [&str; 8] = [
    "--dont-run",
    "container-engine",
    "--dont-run",
    "container-connect-hub-mqtt",
    "--dont-run",
    "storage-lasts",
    "--dont-run",
    "open-files",
];

fn check(hem: &Hem, more: &[&str]) -> Output {
    hem.command(&[&["check"], APART.as_slice(), more].concat()).output().expect("hem starts")
}

/// Exit code, and the result of each check that is not the one expected.
fn other_than(hem: &Hem, expected: &str) -> (i32, Vec<String>) {
    let output = check(hem, &["-o", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = told["checks"].as_object().expect("checks");
    let others = checks.iter().filter(|(_, one)| one["result"] != expected && one["result"] != "ignored");
    let others = others.map(|(id, one)| format!("{id} {}", one["result"].as_str().unwrap_or_default()));
    let mut others: Vec<String> = others.collect();
    others.sort();
    (output.status.code().expect("an exit code"), others)
}

#[test]
fn a_machine_that_is_fit_and_one_that_is_not() {
    let mut hem = Hem::up(&[("fleet.yaml", FLEET)]);
    let no_time_server = vec!["host-local-time skipped".to_owned()];
    hem.eventually("nothing is wrong", |hem| {
        (other_than(hem, "ok") == (0, no_time_server.clone())).then_some(())
    });
    let text = String::from_utf8(check(&hem, &[]).stdout).expect("UTF-8");
    for part in [
        "ok       host-connect-hub-mqtt-ws ",
        "answers and knows 1 device",
        "\n16 checks: 11 ok, 4 ignored, 1 skipped\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }

    // Somebody made the keys readable.
    let owner = hem.data().join("owner");
    fs::set_permissions(&owner, fs::Permissions::from_mode(0o644)).expect("our file");
    let output = check(&hem, &[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("error    private-keys ") && text.contains("chmod 600 owner"), "{text}");
    assert_eq!(check(&hem, &["--dont-run", "private-keys"]).status.code(), Some(0));
    fs::set_permissions(&owner, fs::Permissions::from_mode(0o600)).expect("our file");

    // It dies, and leaves the file that says where it was.
    hem.kill();
    let (code, others) = other_than(&hem, "ok");
    let wanted = [
        "host-connect-hub-https error",
        "host-connect-hub-mqtt error",
        "host-connect-hub-mqtt-ws error",
        "host-local-time skipped",
        "hub-running error",
        "hub-version skipped",
        "server-certificate skipped",
        "source skipped",
    ];
    assert_eq!((code, others), (1, wanted.map(str::to_owned).to_vec()));
}

#[test]
fn where_nothing_is_it_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("none");
    let hem = |arguments: &[&str]| {
        let mut command = crate::hem::hem();
        command.arg("--data-dir").arg(&data).arg("check").args(arguments).output().expect("hem starts")
    };
    let output = hem(&APART);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("error    hub-running ") && text.contains("start one with `hem up PATH`"),
        "{text}"
    );
    assert!(!data.exists(), "it only looks");
    let list = String::from_utf8(hem(&["--list"]).stdout).expect("UTF-8");
    assert_eq!(list.lines().count(), 17, "{list}");
    assert!(
        list.contains("disk-space") && list.contains("The disk of the data directory has room"),
        "{list}"
    );
}
