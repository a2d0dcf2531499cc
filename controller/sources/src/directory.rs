//! A folder as a source: read as a whole, watched, with `status/` beside the documents.
//!
//! Watching is an optimisation: a rescan every five seconds finds what the watcher missed (network mounts, exhausted inotify).

mod status;
mod walk;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hemline_model::SourceFile;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::{Limits, News, Note, Nudge, Reason, Snapshot, Source, SourceError, StatusFile, Trouble, select};

use self::{walk::Stamp, watch::Watch};

/// Quiet time after the last event before the folder is read: editors write, rename and touch in bursts.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// A folder that never gets quiet is read anyway.
const DEBOUNCE_AT_MOST: Duration = Duration::from_millis(500);
/// How often the folder is compared without any event.
const RESCAN: Duration = Duration::from_secs(5);

/// A folder of documents.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    limits: Limits,
    nudge: Nudge,
    watch: Watch,
    /// What the last snapshot looked like from outside.
    stamp: Stamp,
    /// Since when events have come in that no snapshot has seen. Kept here so that `changed` may be cancelled.
    dirty: Option<Dirty>,
    rescan: Instant,
    /// When the last snapshot was begun.
    looked: Option<Timestamp>,
    /// Why the last snapshot failed.
    unreadable: Option<Trouble>,
    /// Why status was not written last.
    unwritten: Option<Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Dirty {
    first: Instant,
    last: Instant,
}

impl Directory {
    /// Opens a folder with the default limits.
    ///
    /// # Errors
    /// When the path is not a readable folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        Self::open_with(path, Limits::default())
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// When the path is not a readable folder.
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, SourceError> {
        let root = path.as_ref().to_path_buf();
        std::fs::read_dir(&root).map_err(|source| SourceError::Unreadable { path: root.clone(), source })?;
        let watch = Watch::start(&root);
        let rescan = Instant::now() + RESCAN;
        Ok(Self {
            root,
            limits,
            nudge: Nudge::default(),
            watch,
            stamp: Stamp::default(),
            dirty: None,
            rescan,
            looked: None,
            unreadable: None,
            unwritten: None,
        })
    }

    /// What cannot be read or written now, and why.
    pub(crate) fn trouble(&self) -> Vec<Trouble> {
        self.unreadable.iter().chain(&self.unwritten).cloned().collect()
    }

    async fn read(&mut self) -> Result<Snapshot, SourceError> {
        let (root, limits) = (self.root.clone(), self.limits);
        // Events up to here are covered by what is read next; later ones stay pending in the watch.
        self.dirty = None;
        let (stamp, mut gathering) =
            blocking(move || Ok((walk::stamp(&root, limits)?, walk::read(&root, limits)?))).await?;
        self.stamp = stamp;
        gathering.sort();
        Ok(Snapshot {
            revision: select::digest(&gathering.files),
            files: gathering.files,
            message: None,
            notes: gathering.notes,
        })
    }

    /// Waits for one reason to look: an event (remembered in `dirty`), a nudge, or a rescan that found a difference. Status that
    /// could not be written is one at each rescan: nobody tells when it can.
    async fn wake(&mut self) -> Option<News> {
        tokio::select! {
            // Cancel-safe: both keep their permit until awaited.
            () = self.nudge.nudged() => Some(News::Documents),
            () = self.watch.event() => {
                let now = Instant::now();
                let first = self.dirty.map_or(now, |dirty| dirty.first);
                self.dirty = Some(Dirty { first, last: now });
                None
            }
            // Cancel-safe: the deadline is kept in `self`.
            () = sleep_until(self.rescan) => {
                let (root, limits) = (self.root.clone(), self.limits);
                let found = blocking(move || walk::stamp(&root, limits)).await;
                self.rescan = Instant::now() + RESCAN;
                // A folder that cannot be read is a change too: the snapshot will say why.
                if !found.is_ok_and(|found| found == self.stamp) {
                    return Some(News::Documents);
                }
                self.unwritten.as_ref().map(|_| News::Trouble)
            }
        }
    }
}

impl Source for Directory {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        let begun = Timestamp::now();
        let snapshot = self.read().await;
        if snapshot.is_ok() {
            self.looked = Some(begun);
        }
        self.unreadable = snapshot.as_ref().err().map(Trouble::reading);
        snapshot
    }

    fn looked(&self) -> Option<Timestamp> {
        self.looked
    }

    async fn changed(&mut self) -> News {
        loop {
            let Some(dirty) = self.dirty else {
                if let Some(news) = self.wake().await {
                    return news;
                }
                continue;
            };
            let quiet = (dirty.last + DEBOUNCE).min(dirty.first + DEBOUNCE_AT_MOST);
            tokio::select! {
                biased;
                // Cancel-safe: `dirty` stays set until the next snapshot.
                () = sleep_until(quiet) => {
                    self.dirty = None;
                    return News::Documents;
                }
                woken = self.wake() => {
                    if let Some(news) = woken {
                        return news;
                    }
                }
            }
        }
    }

    async fn write_status(&mut self, files: &[StatusFile]) -> Result<(), SourceError> {
        let (folder, files) = (self.root.join("status"), files.to_vec());
        let written = blocking(move || status::write(&folder, &files)).await;
        let why = written.as_ref().err().map(|error| crate::error::chain(error));
        self.unwritten = why.map(|why| Trouble::new(Reason::Status, why));
        written
    }

    fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }
}

/// Reads files and folders as given on a command line. The paths of the result start as the arguments do, so that a
/// finding names a path that the person can open.
///
/// What was passed over is among the notes.
///
/// # Errors
/// When a path cannot be read or the limits are exceeded.
pub fn read_paths(paths: &[PathBuf], limits: Limits) -> Result<(Vec<SourceFile>, Vec<Note>), SourceError> {
    let mut all = Vec::new();
    let mut notes = Vec::new();
    for path in paths {
        let found = walk::read(path, limits)?;
        let prefix = path.to_string_lossy().replace('\\', "/");
        let prefix = prefix.strip_prefix("./").unwrap_or(&prefix).trim_end_matches('/');
        let full = |inside: &str| match (prefix, inside) {
            ("" | ".", inside) => inside.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, inside) => format!("{prefix}/{inside}"),
        };
        all.extend(
            found
                .files
                .into_iter()
                .map(|file| SourceFile { path: full(&file.path).into(), bytes: file.bytes }),
        );
        let told = found.notes.into_iter();
        notes.extend(told.map(|note| Note { path: note.path.as_deref().map(full), ..note }));
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    // The same folder named twice must not make every document a duplicate of itself.
    all.dedup_by(|a, b| a.path == b.path);
    notes.sort_by(|a, b| a.path.cmp(&b.path));
    notes.dedup();
    Ok((all, notes))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(SourceError::Interrupted))
}
