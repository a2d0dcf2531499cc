//! A repository that the real `git` writes.

use std::{path::Path, process::Command};

/// Is `git` there? Says so when not.
pub(crate) fn git_is_here() -> bool {
    let available = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    hemline_testkit::require("git", available, "apt-get install git")
}

/// Runs a command in a repository, as nobody in particular.
pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
