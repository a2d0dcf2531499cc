//! What every source offers: the trait, the snapshot it yields, and the nudge that wakes it.
//!
//! Not here: how a folder or a repository is read (`directory.rs`, `git.rs`).

use std::{future::Future, sync::Arc};

use hemline_model::{Finding, Position, SourceFile, id::Revision};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::SourceError;

/// One consistent set of files.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Identity of the set: a commit id, or a digest of paths and contents.
    pub revision: Revision,
    /// The documents, sorted by path. Paths are relative to the source's folder and use `/`.
    pub files: Vec<SourceFile>,
    /// First line of the commit message, when there is a commit.
    pub message: Option<String>,
    /// What was left out or is not as fresh as it should be. Sorted by path.
    pub notes: Vec<Note>,
}

/// Something a person should know about a snapshot that is not an error of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Stable id, such as `source-symlink-skipped`.
    pub rule: &'static str,
    /// The path it is about, relative to the source's folder.
    pub path: Option<String>,
    /// One sentence.
    pub message: String,
    /// Must the revision not be used?
    pub refuses: bool,
}

impl Note {
    /// Something to know.
    #[must_use]
    pub fn new(rule: &'static str, path: Option<String>, message: impl Into<String>) -> Self {
        Self { rule, path, message: message.into(), refuses: false }
    }

    /// A reason not to use the revision.
    #[must_use]
    pub fn refusing(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, path: None, message: message.into(), refuses: true }
    }
}

/// One file of status to keep beside the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFile {
    /// Relative to the status folder, with `/`: `devices/press-01.yaml`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Wakes a source out of turn. Carries no data: the source looks again by itself.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

/// Why [`Source::changed`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A new snapshot may differ from the last one.
    Documents,
    /// Something that status or news go through got into trouble, or out of it. The documents are as they were.
    Trouble,
}

/// Where documents come from.
pub trait Source {
    /// For people: a path, or an address without its password.
    fn describe(&self) -> String;

    /// Reads everything now.
    fn snapshot(&mut self) -> impl Future<Output = Result<Snapshot, SourceError>> + Send;

    /// When the look began that the last snapshot came from: whatever was there before that is in it, or in one before. A look
    /// that failed does not count, whatever stood in for it. `None` before the first.
    fn looked(&self) -> Option<Timestamp>;

    /// Returns when a new snapshot may differ from the last one, or when there is other trouble than before. Cancel-safe:
    /// nothing is lost when the future is dropped; of trouble, who drops it asks the source.
    fn changed(&mut self) -> impl Future<Output = News> + Send;

    /// Makes the status folder hold exactly these files (and those that somebody else put there). Files that are right
    /// already are not touched.
    fn write_status(&mut self, files: &[StatusFile]) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Makes `changed` return soon.
    fn nudge(&self) -> Nudge;
}

impl Note {
    /// The note as a finding: a warning, because a skipped file may be one that its author counts on,
    /// and an error where the revision must not be used.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let make = if self.refuses { Finding::error } else { Finding::warning };
        let finding = make(self.rule, self.message.clone());
        match &self.path {
            Some(path) => finding.with_position(Position { file: path.as_str().into(), line: 1, column: 1 }),
            None => finding,
        }
    }
}

// === impl Nudge ===

impl Nudge {
    /// Look again now. Several nudges before the source wakes count as one.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Waits for a nudge. Cancel-safe: a nudge that came is kept until somebody waits.
    pub(crate) async fn nudged(&self) {
        self.0.notified().await;
    }
}
