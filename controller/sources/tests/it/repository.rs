//! A repository made by the `git` command in a temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct Repository {
    pub(crate) folder: tempfile::TempDir,
}

/// Is the command there at all?
pub(crate) fn git_is_here() -> bool {
    let available = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    hemline_testkit::require("git", available, "apt-get install git")
}

impl Repository {
    pub(crate) fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes files and commits everything; returns the commit id.
    pub(crate) fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn rename_away(&self) -> PathBuf {
        let to = self.path().with_extension("away");
        fs::rename(self.path(), &to).unwrap();
        to
    }
}
