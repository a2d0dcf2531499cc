//! The real `git`, run by nobody in particular: no settings of the machine or of its user count.

use std::{path::Path, process::Command};

use crate::require;

/// Is `git` there? Says so when not.
#[must_use]
pub fn git_is_here() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    require("git", there, "apt-get install git")
}

/// Runs it in a folder; what it said, without the space around it.
///
/// # Panics
/// When it cannot be run or fails, with what it said then.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    run(folder, None, arguments)
}

/// The same at a time of one's own, in any form that git reads. The same work at the same time makes the same commit ids.
///
/// # Panics
/// As [`git`].
pub fn git_at(time: &str, folder: &Path, arguments: &[&str]) -> String {
    run(folder, Some(time), arguments)
}

fn run(folder: &Path, time: Option<&str>, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder);
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ] {
        command.env(name, value);
    }
    if let Some(time) = time {
        command.env("GIT_AUTHOR_DATE", time).env("GIT_COMMITTER_DATE", time);
    }
    let output = command.output().unwrap_or_else(|error| panic!("git does not start: {error}"));
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
