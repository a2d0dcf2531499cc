//! `hem up --allowed-signers`: what nobody known has signed never comes in force, a restart in between included.

use std::{fs, path::Path, process::Command};

use crate::{
    credentials::{device, every},
    hem::Hem,
    repository::{git, git_is_here, origin_and_clone},
    trouble::reasons,
};

fn keys_are_here() -> bool {
    // It says how it is used, and fails: that it starts is enough.
    let here = Command::new("ssh-keygen").arg("-?").output().is_ok();
    git_is_here() && hemline_testkit::require("ssh-keygen", here, "apt-get install openssh-client")
}

/// Makes a key; the path of its private half.
fn key(folder: &Path, name: &str) -> String {
    let path = folder.join(name).display().to_string();
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path])
        .output()
        .expect("ssh-keygen starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Commits and pushes; with a key the commit is signed.
fn push(clone: &Path, text: &str, key: Option<&str>) -> String {
    fs::write(clone.join("fleet.yaml"), text).expect("writable");
    git(clone, &["add", "."]);
    match key {
        Some(key) => {
            let key = format!("user.signingkey={key}");
            git(clone, &["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "-S", "-m", "signed"]);
        }
        None => {
            git(clone, &["commit", "--quiet", "-m", "unsigned"]);
        }
    }
    git(clone, &["push", "--quiet", "origin", "main"]);
    git(clone, &["rev-parse", "--short=7", "HEAD"])
}

#[test]
fn a_commit_that_nobody_known_signed_is_refused_until_one_is() {
    if !keys_are_here() {
        return;
    }
    let (folder, origin, clone) = origin_and_clone();
    let (ann, stranger) = (key(folder.path(), "ann"), key(folder.path(), "stranger"));
    let allowed = folder.path().join("allowed");
    let public = fs::read_to_string(format!("{ann}.pub")).expect("made");
    fs::write(&allowed, format!("ann@example.org {public}")).expect("writable");
    let good = push(&clone, &device("press", 1), Some(&ann));

    let (url, allowed) = (format!("file://{}", origin.display()), allowed.display().to_string());
    let options = ["--branch", "main", "--interval", "1s", "--status-branch", "off"];
    let options = [&options[..], &["--allowed-signers", &allowed]].concat();
    let mut hem = Hem::up_from(folder, &url, &options);
    hem.eventually("the signed commit is in force", |hem| (every(hem, "press") == Some(1)).then_some(()));
    hem.eventually("all is well", |hem| reasons(hem).is_empty().then_some(()));

    let refused = |hem: &Hem, bad: &str, why: &str| {
        let status = hem.eventually("the refusal is known", |hem| {
            let status = hem.status();
            (reasons(hem) == ["refused"] && status.contains(bad)).then_some(status)
        });
        assert!(status.contains(why) && status.contains(&good), "{why}: {status}");
        assert!(!status.contains("holds no device"), "it was refused unread: {status}");
        assert_eq!(every(hem, "press"), Some(1), "the fleet stays where it is");
    };
    let bad = push(&clone, &device("press", 2), None);
    refused(&hem, &bad, "it is not signed");
    let bad = push(&clone, &device("press", 3), Some(&stranger));
    refused(&hem, &bad, "not among the allowed signers");

    // Who starts again in this state is no easier to convince.
    hem.kill();
    hem.start_again();
    refused(&hem, &bad, "not among the allowed signers");

    push(&clone, &device("press", 4), Some(&ann));
    hem.eventually("the next signed one is in force", |hem| (every(hem, "press") == Some(4)).then_some(()));
    hem.eventually("all is well", |hem| reasons(hem).is_empty().then_some(()));
}
