//! Repositories made on the spot by the `git` command.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) use hemline_testkit::git_is_here;
use tempfile::TempDir;

/// Snapshots show ids of commits.
const TIME: &str = "2026-01-02T03:04:05Z";

/// Runs `git` in a folder, always at the same time; returns what it said.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    hemline_testkit::git_at(TIME, folder, arguments)
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
    git(clone, &["rev-parse", "HEAD"])
}

/// Writes the documents and commits everything.
pub(crate) fn commit(folder: &Path, text: &str, message: &str) {
    fs::write(folder.join("fleet.yaml"), text).expect("writable");
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", message]);
}
