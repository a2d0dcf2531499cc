//! A real repository with the commits of a plot, to be copied for each play of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hemline_sources::{AnySource, Git, GitConfig};
use hemline_testkit::{git, git_is_here};

use super::{Plot, documents};

const BRANCH: &str = "refs/heads/main";

/// The commits of a plot.
pub(super) struct History {
    folder: tempfile::TempDir,
    /// By the names that the plot gives them.
    ids: BTreeMap<&'static str, String>,
}

impl History {
    /// `None` where there is no `git`.
    pub(super) fn of(plot: Plot) -> Option<Self> {
        if !git_is_here() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        git(at, &["init", "--quiet", "--initial-branch=main", "work"]);
        let work = at.join("work");
        let mut ids = BTreeMap::new();
        for commit in plot.commits {
            fs::write(work.join("fleet.yaml"), documents(commit)).unwrap();
            git(&work, &["add", "."]);
            git(&work, &["commit", "--quiet", "-m", commit.revision]);
            ids.insert(commit.revision, git(&work, &["rev-parse", "HEAD"]));
        }
        git(at, &["init", "--quiet", "--bare", "--initial-branch=main", "fleet.git"]);
        git(&work, &["push", "--quiet", "../fleet.git", "main"]);
        git(&at.join("fleet.git"), &["repack", "-adq"]);
        Some(Self { folder, ids })
    }

    /// The id of a commit.
    pub(super) fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// The same text with the names of the plot.
    pub(super) fn named(&self, text: &str) -> String {
        let whole = self.ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(id, name));
        self.ids.iter().fold(whole, |text, (name, id)| text.replace(&id[..7], name))
    }

    /// A repository of one's own with these commits; nothing was pushed yet but the first.
    pub(super) fn copy_to(&self, folder: &Path) {
        copy(&self.folder.path().join("fleet.git"), &bare(folder));
    }

    /// Somebody pushes.
    pub(super) fn push(&self, folder: &Path, name: &str) {
        fs::write(bare(folder).join(BRANCH), format!("{}\n", self.id(name))).unwrap();
    }
}

pub(super) fn source(folder: &Path) -> AnySource {
    let config = GitConfig {
        reference: "main".to_owned(),
        ..GitConfig::new(bare(folder).display().to_string(), folder.join("mirrors"))
    };
    Git::open(config).unwrap().into()
}

/// The branches of the repository.
pub(super) fn branches(folder: &Path) -> Vec<String> {
    let output = git(&bare(folder), &["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    output.lines().map(str::to_owned).collect()
}

fn bare(folder: &Path) -> PathBuf {
    folder.join("fleet.git")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if !entry.file_name().to_string_lossy().ends_with(".sample") {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
