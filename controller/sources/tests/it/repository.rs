//! A repository made by the `git` command in a temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct Repository {
    pub(crate) folder: tempfile::TempDir,
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
        hemline_testkit::git(self.path(), arguments)
    }

    /// The same with a clock of one's own: seconds since 1970, or empty for now.
    pub(crate) fn git_at(&self, date: &str, arguments: &[&str]) -> String {
        match date {
            "" => self.git(arguments),
            date => hemline_testkit::git_at(&format!("{date} +0000"), self.path(), arguments),
        }
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

    /// A file of a branch; `None` when there is none.
    pub(crate) fn show(&self, branch: &str, path: &str) -> Option<String> {
        let mut command = Command::new("git");
        command.arg("show").arg(format!("{branch}:{path}")).current_dir(self.path());
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    pub(crate) fn rename_away(&self) -> PathBuf {
        let to = self.path().with_extension("away");
        fs::rename(self.path(), &to).unwrap();
        to
    }
}

/// Lets a file be run.
pub(crate) fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
