//! A Git repository as a source: a path or an address, one branch, tag or commit, one folder of it.
//!
//! Read from the object database only: nothing is checked out, no hook runs, symlinks and submodules are skipped. A local
//! path is read in place; an address is fetched into a bare mirror under the data directory, which also answers while the
//! remote is away. git2 stays in this file and in `git/`.

mod fetch;
mod open;
mod tree;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use git2::Oid;
use hemline_model::id::Revision;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{Limits, Note, Nudge, Snapshot, Source, SourceError, StatusFile};

use self::fetch::Origin;
pub use self::open::{Located, locate};

/// Looking at a local repository costs a file read, so it is not worth waiting for.
const LOCAL_INTERVAL: Duration = Duration::from_secs(1);

/// What to read and how often to look.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// A path, `file://…`, `http://…` or `https://…`.
    pub url_or_path: String,
    /// Branch, tag, full reference name or commit id; empty and `HEAD` mean the branch that `HEAD` names.
    pub reference: String,
    /// Folder inside the repository; empty is its root.
    pub folder: String,
    /// Time between two looks at the remote.
    pub interval: Duration,
    /// Folder for mirrors of remote repositories.
    pub mirror_dir: PathBuf,
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest time that one fetch may take.
    pub timeout: Duration,
    /// Bounds on what is read from a commit.
    pub limits: Limits,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(120), limits: Limits::default() }
    }
}

impl GitConfig {
    /// The root folder of the default branch, looked at every 30 s.
    #[must_use]
    pub fn new(url_or_path: impl Into<String>, mirror_dir: impl Into<PathBuf>) -> Self {
        Self {
            url_or_path: url_or_path.into(),
            reference: String::new(),
            folder: String::new(),
            interval: Duration::from_secs(30),
            mirror_dir: mirror_dir.into(),
        }
    }
}

/// A repository that is polled.
#[derive(Debug)]
pub struct Git {
    origin: Origin,
    folder: String,
    interval: Duration,
    bounds: Bounds,
    nudge: Nudge,
    next_poll: Instant,
    /// The commit of the last snapshot; `None` before the first one and after one that had to use the mirror.
    seen: Option<Oid>,
    /// A look at the remote that is under way. Kept here so that `changed` may be cancelled, and so that a remote that
    /// hangs holds one thread and not one more per poll.
    under_way: Option<oneshot::Receiver<Result<Oid, SourceError>>>,
    status_refused: bool,
}

impl Git {
    /// Prepares a source; nothing is fetched yet.
    ///
    /// # Errors
    /// When the address cannot be spoken to by this build, the path is no repository, or the mirror cannot be made.
    pub fn open(config: GitConfig) -> Result<Self, SourceError> {
        Self::open_with(config, Bounds::default())
    }

    /// The same with bounds of one's own.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(config: GitConfig, bounds: Bounds) -> Result<Self, SourceError> {
        let origin = Origin::new(&config)?;
        let interval = if origin.is_local() { config.interval.min(LOCAL_INTERVAL) } else { config.interval };
        Ok(Self {
            origin,
            folder: config.folder,
            interval,
            bounds,
            nudge: Nudge::default(),
            next_poll: Instant::now() + interval,
            seen: None,
            under_way: None,
            status_refused: false,
        })
    }

    /// The commit that the reference names now, its objects in reach. Cancel-safe.
    async fn tip(&mut self) -> Result<Oid, SourceError> {
        let timeout = self.bounds.timeout;
        if self.under_way.is_none() {
            self.under_way = Some(look(self.origin.clone(), timeout)?);
        }
        // It stays in `self` while it is awaited, so that dropping this future loses nothing.
        let Some(under_way) = &mut self.under_way else { return Err(SourceError::Interrupted) };
        let Ok(finished) = tokio::time::timeout(timeout, under_way).await else {
            return Err(SourceError::TimedOut { url: self.origin.describe(), seconds: timeout.as_secs() });
        };
        self.under_way = None;
        finished.unwrap_or(Err(SourceError::Interrupted))
    }

    async fn read(&self, commit: Oid) -> Result<Snapshot, SourceError> {
        let (origin, folder, limits) = (self.origin.clone(), self.folder.clone(), self.bounds.limits);
        tokio::task::spawn_blocking(move || tree::snapshot(&origin.objects()?, commit, &folder, limits))
            .await
            .unwrap_or(Err(SourceError::Interrupted))
    }

    /// The snapshot of the mirror, when the remote is away and the mirror has one.
    async fn read_mirror(&mut self, failure: SourceError) -> Result<Snapshot, SourceError> {
        let away = matches!(failure, SourceError::Unreachable { .. } | SourceError::TimedOut { .. });
        let Some(commit) = away.then(|| self.origin.mirrored()).flatten() else {
            return Err(failure);
        };
        let mut snapshot = self.read(commit).await?;
        let message = format!(
            "{failure}; showing {} as fetched before{}",
            snapshot.revision.short(),
            because(&failure)
        );
        snapshot.notes.push(Note { rule: "source-unreachable", path: None, message });
        Ok(snapshot)
    }
}

impl Source for Git {
    fn describe(&self) -> String {
        let mut text = self.origin.describe();
        if let Some(reference) = self.origin.reference() {
            text.push('#');
            text.push_str(reference);
        }
        if !self.folder.is_empty() {
            text.push(':');
            text.push_str(&self.folder);
        }
        text
    }

    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        let tip = self.tip().await;
        self.next_poll = Instant::now() + self.interval;
        match tip {
            Ok(commit) => {
                let snapshot = self.read(commit).await?;
                self.seen = Some(commit);
                Ok(snapshot)
            }
            Err(failure) => {
                self.seen = None;
                self.read_mirror(failure).await
            }
        }
    }

    async fn changed(&mut self) {
        loop {
            tokio::select! {
                // Cancel-safe: the nudge keeps its permit, and the deadline and the running look are kept in `self`.
                () = self.nudge.nudged() => return,
                () = sleep_until(self.next_poll) => {}
            }
            let found = self.tip().await;
            self.next_poll = Instant::now() + self.interval;
            match found {
                Ok(commit) if self.seen == Some(commit) => {}
                // A failure is a change too: the snapshot will say what is wrong.
                Ok(_) | Err(_) => return,
            }
        }
    }

    async fn write_status(&mut self, _files: &[StatusFile]) -> Result<(), SourceError> {
        if !self.status_refused {
            self.status_refused = true;
            tracing::info!(source = %self.describe(), "status is not written to a Git source");
        }
        Ok(())
    }

    fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }
}

/// Starts a look at the remote. On a thread of its own and not on the runtime's: libgit2 offers no safe way to interrupt a
/// read from a silent server, and a runtime waits for its blocking threads before the program may end. This one thread is
/// therefore not joined; it writes to the mirror only, which survives being cut off.
fn look(
    origin: Origin,
    timeout: Duration,
) -> Result<oneshot::Receiver<Result<Oid, SourceError>>, SourceError> {
    let (answer, result) = oneshot::channel();
    let work = move || {
        // Nobody waits any more when the source was dropped.
        drop(answer.send(origin.tip(std::time::Instant::now() + timeout)));
    };
    match std::thread::Builder::new().name("git-fetch".to_owned()).spawn(work) {
        Ok(_) => Ok(result),
        Err(_) => Err(SourceError::Interrupted),
    }
}

/// Reads one revision of a local repository, for `hem plan --base --head`. `revision` is anything that `git rev-parse`
/// takes; `folder` may also name one file.
///
/// # Errors
/// When the path is in no repository, the revision or folder does not exist, or the limits are exceeded.
pub fn read_revision(repository: &Path, revision: &str, folder: &str) -> Result<Snapshot, SourceError> {
    let objects = open::discover(repository)?;
    let commit = open::resolve(&objects, repository, revision)?;
    tree::snapshot(&objects, commit, folder, Limits::default())
}

/// Reads one file of a revision of a local repository, such as the state on a status branch.
///
/// # Errors
/// When the path is in no repository, or the revision has no such file, or it has more than `bytes_at_most`.
pub fn read_file(
    repository: &Path,
    revision: &str,
    file: &str,
    bytes_at_most: u64,
) -> Result<Vec<u8>, SourceError> {
    let objects = open::discover(repository)?;
    let commit = open::resolve(&objects, repository, revision)?;
    let missing = || SourceError::NoFile { revision: revision.to_owned(), file: file.to_owned() };
    tree::file(&objects, commit, file, bytes_at_most)?.ok_or_else(missing)
}

/// The best common ancestor of two revisions of a local repository, so that commits which landed on the base later do not
/// count as changes.
///
/// # Errors
/// When a revision does not exist or there is no common ancestor.
pub fn merge_base(repository: &Path, a: &str, b: &str) -> Result<Revision, SourceError> {
    let objects = open::discover(repository)?;
    let (one, other) = (open::resolve(&objects, repository, a)?, open::resolve(&objects, repository, b)?);
    match objects.merge_base(one, other) {
        Ok(base) => tree::revision(base),
        Err(_) => {
            let shallow = objects.is_shallow();
            Err(SourceError::NoMergeBase { a: a.to_owned(), b: b.to_owned(), shallow })
        }
    }
}

/// The innermost cause, for a sentence that is read without the chain.
fn because(failure: &SourceError) -> String {
    std::error::Error::source(failure).map(|cause| format!(" ({cause})")).unwrap_or_default()
}
