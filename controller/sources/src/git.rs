//! A Git repository as a source: a path or an address, one branch, tag or commit, one folder of it.
//!
//! Read from the object database only: nothing is checked out, no hook runs, symlinks and submodules are skipped. A local
//! path is read in place; an address is fetched into a bare mirror under the data directory, which also answers while the
//! remote is away. git2 stays in this file and in `git/`.

mod channel;
mod fetch;
mod look;
mod open;
mod push;
mod read;
mod restore;
mod revert;
mod signed;
mod status;
mod tree;

use std::{path::PathBuf, time::Duration};

use git2::Oid;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Access, ForgeConfig, Limits, News, Note, Nudge, Outcome, Reason, Signers, Snapshot, Source, SourceError,
    StatusFile, Trouble, forge::Channels, pace::jittered,
};

use self::{channel::Channel, fetch::Origin};
pub use self::{
    open::{Located, locate},
    read::{Way, merge_base, read_file, read_revision, way},
    revert::{Proposed, Proposer, Revert},
    status::StatusBranch,
};

/// For so long what a look found is what there is: the time from the news to the question.
const JUST: Duration = Duration::from_secs(10);

/// Looking at a local repository costs a file read, so it is not worth waiting for.
const LOCAL_INTERVAL: Duration = Duration::from_secs(1);

/// What to read and how often to look.
#[derive(Debug, Clone)]
pub struct GitConfig {
    /// A path, `file://…`, `https://…`, `http://…`, `ssh://…` or `git@host:path`.
    pub url_or_path: String,
    /// Branch, tag, full reference name or commit id; empty and `HEAD` mean the branch that `HEAD` names.
    pub reference: String,
    /// Folder inside the repository; empty is its root.
    pub folder: String,
    /// Time between two looks at the remote; each is up to a tenth longer or shorter, so that controllers do not march in
    /// step.
    pub interval: Duration,
    /// Folder for mirrors of remote repositories.
    pub mirror_dir: PathBuf,
    /// How the remote is entered.
    pub access: Access,
    /// Who may sign commits. With it a commit that is not signed by one of them is refused.
    pub signers: Option<Signers>,
    /// Where status goes; without it nowhere.
    pub status: Option<StatusBranch>,
    /// The forge that is told what becomes of commits.
    pub forge: Option<ForgeConfig>,
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
            access: Access::default(),
            signers: None,
            status: None,
            forge: None,
        }
    }
}

/// What a look found, and when it began.
#[derive(Debug)]
struct Tip {
    begun: Timestamp,
    commit: Result<Oid, SourceError>,
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
    /// Why the last snapshot did not come from the remote.
    away: Option<Trouble>,
    /// A look at the remote that is under way. Kept here so that `changed` may be cancelled, and so that a remote that
    /// hangs holds one thread and not one more per poll.
    under_way: Option<(Timestamp, AbortOnDropHandle<Result<Oid, SourceError>>)>,
    /// What the last look found, and when, for the snapshot that is asked for because of it.
    found: Option<(Tip, Instant)>,
    /// When the look began that the last snapshot came from.
    looked: Option<Timestamp>,
    /// Somebody wants a look now, whatever it finds.
    nudged: bool,
    /// The look that is under way began before that.
    stale: bool,
    signers: Option<Signers>,
    status: Option<Channel>,
    forge: Option<Channels>,
    mirrors: PathBuf,
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
        let mirrors = &config.mirror_dir;
        let status = config.status.map(|branch| Channel::new(&origin, branch, mirrors, bounds));
        let forge = config.forge.map(Channels::new).transpose()?;
        Ok(Self {
            origin,
            folder: config.folder,
            interval,
            bounds,
            nudge: Nudge::default(),
            next_poll: Instant::now() + interval,
            seen: None,
            away: None,
            under_way: None,
            found: None,
            looked: None,
            nudged: false,
            stale: false,
            signers: config.signers,
            status,
            forge,
            mirrors: config.mirror_dir,
        })
    }

    /// The commit that the reference names now, its objects in reach. Cancel-safe.
    async fn tip(&mut self) -> Tip {
        let bounds = self.bounds;
        // It stays in `self` while it is awaited, so that dropping this future loses nothing.
        let (begun, look) =
            self.under_way.get_or_insert_with(|| (Timestamp::now(), look::look(self.origin.clone(), bounds)));
        let begun = *begun;
        let finished = look.await;
        self.under_way = None;
        Tip { begun, commit: finished.unwrap_or(Err(SourceError::Interrupted)) }
    }

    /// Does status written to it arrive anywhere?
    #[must_use]
    pub fn takes_status(&self) -> bool {
        self.status.is_some()
    }

    /// Waits until no status waits to be written and nothing waits to be told, or it cannot be done now.
    pub async fn settle(&mut self) {
        if let Some(status) = &mut self.status {
            status.settle().await;
        }
        while let Some(forge) = self.forge.as_mut().filter(|forge| forge.busy()) {
            forge.step().await;
        }
    }

    /// What cannot be read, written or told now, and why.
    #[must_use]
    pub fn trouble(&self) -> Vec<Trouble> {
        self.away.iter().cloned().chain(self.untold()).collect()
    }

    /// What does not reach people.
    fn untold(&self) -> impl Iterator<Item = Trouble> {
        let status = self.status.iter().flat_map(Channel::trouble);
        status.chain(self.forge.iter().flat_map(Channels::trouble))
    }

    /// The same in one word each: other words for the same trouble are no news.
    fn in_vain(&self) -> Vec<Reason> {
        self.untold().map(|trouble| trouble.reason).collect()
    }

    /// Who proposes to go back, apart from this source.
    #[must_use]
    pub fn proposer(&self) -> Proposer {
        let credentials = self.status.as_ref().and_then(Channel::credentials);
        Proposer {
            origin: self.origin.entered_with(credentials),
            folder: self.folder.clone(),
            mirrors: self.mirrors.clone(),
            bounds: self.bounds,
            puller: self.forge.as_ref().and_then(Channels::puller),
        }
    }

    /// Is there a forge that hears of commits?
    #[must_use]
    pub fn tells(&self) -> bool {
        self.forge.is_some()
    }

    /// Tells the forge, if there is one, what became of commits: of the one in force first, of the newest last. Returns at once.
    pub fn tell(&mut self, outcomes: &[Outcome]) {
        if let Some(forge) = &mut self.forge {
            forge.tell(outcomes);
        }
    }

    async fn read(&self, commit: Oid) -> Result<Snapshot, SourceError> {
        let (origin, folder, limits) = (self.origin.clone(), self.folder.clone(), self.bounds.limits);
        let signers = self.signers.clone();
        let work = move || {
            let objects = origin.objects()?;
            let tag = origin.tag(&objects, commit);
            let tag = tag.zip(origin.reference());
            let refusal = signers.map(|signers| signed::refusal(&objects, commit, tag, &signers));
            match refusal.transpose()?.flatten() {
                // Nothing of a commit by nobody knows whom is parsed.
                Some(note) => signed::refused(&objects, commit, note),
                None => tree::snapshot(&objects, commit, &folder, limits),
            }
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(SourceError::Interrupted))
    }

    fn wait(&mut self) {
        self.next_poll = Instant::now() + jittered(self.interval);
    }

    /// The snapshot of the mirror, when the remote is away and the mirror has one.
    async fn read_mirror(&mut self, failure: SourceError) -> Result<Snapshot, SourceError> {
        let away = matches!(
            failure,
            SourceError::Unreachable { .. } | SourceError::TimedOut { .. } | SourceError::NotKept { .. }
        );
        let Some(commit) = away.then(|| self.origin.mirrored()).flatten() else {
            return Err(failure);
        };
        let mut snapshot = self.read(commit).await?;
        let message = format!(
            "{failure}; showing {} as fetched before{}",
            snapshot.revision.short(),
            because(&failure)
        );
        snapshot.notes.push(Note::new("source-unreachable", None, message));
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
        // What a look has just found need not be looked for again, least of all at a remote that is silent: whoever asks for a
        // snapshot waits for it.
        let just = self.found.take().filter(|(_, at)| at.elapsed() < JUST).map(|(found, _)| found);
        let tip = match just {
            Some(found) => found,
            None => self.tip().await,
        };
        self.wait();
        match tip.commit {
            Ok(commit) => {
                let snapshot = self.read(commit).await;
                if snapshot.is_ok() {
                    self.looked = Some(tip.begun);
                }
                if self.away.is_some()
                    && let Some(status) = &mut self.status
                {
                    status.again();
                }
                self.away = snapshot.as_ref().err().map(Trouble::reading);
                self.seen = snapshot.is_ok().then_some(commit);
                snapshot
            }
            Err(failure) => {
                self.seen = None;
                self.away = Some(Trouble::reading(&failure));
                self.read_mirror(failure).await
            }
        }
    }

    fn looked(&self) -> Option<Timestamp> {
        self.looked
    }

    async fn changed(&mut self) -> News {
        loop {
            let before = self.in_vain();
            tokio::select! {
                // Cancel-safe: the nudge keeps its permit, and the deadline, the running look and the running write are
                // kept in `self`.
                // Who nudges wants what is there now: a look that began before is ended by itself, and another one follows.
                () = self.nudge.nudged() => (self.nudged, self.stale) = (true, self.under_way.is_some()),
                () = sleep_until(if self.nudged { Instant::now() } else { self.next_poll }) => {}
                () = tell(&mut self.status, &mut self.forge) => {
                    if self.in_vain() != before {
                        return News::Trouble;
                    }
                    continue;
                }
            }
            let found = self.tip().await;
            self.wait();
            let stale = std::mem::take(&mut self.stale);
            let same = found.commit.as_ref().is_ok_and(|commit| self.seen == Some(*commit));
            if same && (stale || !self.nudged) {
                continue;
            }
            // A failure is a change too: the snapshot will say what is wrong.
            self.nudged &= stale;
            self.found = Some((found, Instant::now()));
            return News::Documents;
        }
    }

    /// Takes the files; the branch gets them when it is time.
    async fn write_status(&mut self, files: &[StatusFile]) -> Result<(), SourceError> {
        if let Some(status) = &mut self.status {
            status.put(files);
        }
        Ok(())
    }

    fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }
}

/// The next step of the status branch or call to the forge, where they are.
async fn tell(status: &mut Option<Channel>, forge: &mut Option<Channels>) {
    let status = async {
        match status {
            Some(status) => status.step().await,
            None => std::future::pending().await,
        }
    };
    let forge = async {
        match forge {
            Some(forge) => forge.step().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Cancel-safe, both of them.
        () = status => {}
        () = forge => {}
    }
}

/// The innermost cause, for a sentence that is read without the chain.
fn because(failure: &SourceError) -> String {
    std::error::Error::source(failure).map(|cause| format!(" ({cause})")).unwrap_or_default()
}
