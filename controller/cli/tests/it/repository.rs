//! Repositories made on the spot by the `git` command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Is the command there at all?
pub(crate) fn git_is_here() -> bool {
    hemline_testkit::require("git", Command::new("git").arg("--version").output().is_ok(), "install git")
}

/// Runs `git` in a folder; returns what it said.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    // Fixed names and times make fixed commit ids.
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ] {
        command.env(name, value);
    }
    let output = command.current_dir(folder).args(arguments).output().expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A folder with a bare repository `origin.git` and a clone of it, `clone`, that pushes to it.
pub(crate) fn origin_and_clone() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let (origin, clone) = (folder.path().join("origin.git"), folder.path().join("clone"));
    git(folder.path(), &["init", "--quiet", "--bare", "-b", "main", "origin.git"]);
    git(folder.path(), &["init", "--quiet", "-b", "main", "clone"]);
    git(&clone, &["remote", "add", "origin", &origin.display().to_string()]);
    (folder, origin, clone)
}

/// Commits documents and pushes them; the id of the commit.
pub(crate) fn push(clone: &Path, text: &str, message: &str) -> String {
    commit(clone, text, message);
    git(clone, &["push", "--quiet", "origin", "main"]);
    git(clone, &["rev-parse", "HEAD"]).trim().to_owned()
}

/// Writes the documents and commits everything.
pub(crate) fn commit(folder: &Path, text: &str, message: &str) {
    fs::write(folder.join("fleet.yaml"), text).expect("writable");
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", message]);
}
