//! The status branch as a channel that never makes anybody wait: files come in, a commit goes out when it is time.
//!
//! What cannot be written is trouble until it is, and tried again later; documents are read all the same.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bounds, StatusBranch,
    fetch::{Origin, PACK_AT_MOST, mirror_name},
    look::through,
    push::Side,
    status::{Notice, Writing, Written, mend, tidy},
};
use crate::{
    Credentials, Reason, SourceError, StatusFile, Trouble,
    batch::{Batch, REFUSED},
    bridge::Carries,
};

/// How long it is told that somebody else changed the branch.
const NOTICE_TOLD: Duration = Duration::from_secs(3600);

type Files = Arc<Vec<StatusFile>>;

/// Files on their way to the branch.
#[derive(Debug)]
pub(super) struct Channel {
    origin: Origin,
    branch: StatusBranch,
    folder: PathBuf,
    bounds: Bounds,
    batch: Batch<Files>,
    /// A write that is under way. Kept here so that waiting for it may be cancelled.
    under_way: Option<(Files, AbortOnDropHandle<Result<Written, SourceError>>)>,
    /// Why the last write failed.
    told: Option<String>,
    /// What somebody else did to the branch.
    noticed: Option<Noticed>,
}

/// What somebody else did, as it is told for a while.
#[derive(Debug)]
struct Noticed {
    text: String,
    /// How often, while it was told.
    times: u32,
    until: Instant,
    /// The last write did not find it any more.
    over: bool,
}

impl Channel {
    pub(super) fn new(
        origin: &Origin,
        branch: StatusBranch,
        mirrors: &std::path::Path,
        bounds: Bounds,
    ) -> Self {
        let name = mirror_name(&origin.describe(), &format!("status\0{}", branch.name));
        Self {
            origin: origin.entered_with(branch.credentials.as_ref()),
            folder: mirrors.join(name),
            batch: Batch::new(branch.every),
            branch,
            bounds,
            under_way: None,
            told: None,
            noticed: None,
        }
    }

    /// Takes files; they replace those that wait.
    pub(super) fn put(&mut self, files: &[StatusFile]) {
        self.batch.put(Arc::new(files.to_vec()));
        self.start(Instant::now());
    }

    /// Does what is due next: starts a write, or waits for the end of one. Never returns when nothing waits. Cancel-safe.
    pub(super) async fn step(&mut self) {
        if let Some((files, under_way)) = &mut self.under_way {
            let finished = under_way.await.unwrap_or(Err(SourceError::Interrupted));
            let files = Arc::clone(files);
            self.under_way = None;
            self.finish(files, finished);
            return;
        }
        match self.batch.due(Instant::now()) {
            Some(due) => {
                sleep_until(due).await;
                self.start(Instant::now());
            }
            None => std::future::pending().await,
        }
    }

    /// Steps until nothing waits, or a write failed.
    pub(super) async fn settle(&mut self) {
        while self.under_way.is_some() || self.batch.waits() {
            self.step().await;
            if self.told.is_some() {
                return;
            }
        }
    }

    /// The remote answers again: what waits because it did not is tried at once.
    pub(super) fn again(&mut self) {
        if self.told.is_some() {
            self.batch.again();
        }
    }

    pub(super) fn trouble(&self) -> impl Iterator<Item = Trouble> {
        let told = self.told.as_ref().map(|text| Trouble::new(Reason::Status, text.as_str()));
        let noticed = self.noticed.as_ref().filter(|noticed| Instant::now() < noticed.until);
        let noticed = noticed.map(|Noticed { text, times, .. }| match times {
            1 => Trouble::new(Reason::StatusRewritten, text.as_str()),
            _ => Trouble::new(Reason::StatusRewritten, format!("{text}; that was {times} times")),
        });
        told.into_iter().chain(noticed)
    }

    /// Says each happening once in the log, and for a while as trouble.
    fn notice(&mut self, notice: Option<Notice>) {
        let now = Instant::now();
        let before = self.noticed.take().filter(|before| now < before.until);
        let (text, each) = match notice {
            Some(Notice::Changed(text)) => (text, true),
            Some(Notice::Shared(text)) => (text, false),
            None => {
                self.noticed = before.map(|before| Noticed { over: true, ..before });
                return;
            }
        };
        let same = before.filter(|before| before.text == text);
        let happened = each || same.as_ref().is_none_or(|same| same.over);
        if happened {
            tracing::warn!(source = %self.origin.describe(), "{text}");
        }
        let times = same.map_or(0, |same| same.times).saturating_add(u32::from(happened));
        self.noticed = Some(Noticed { text, times, until: now + NOTICE_TOLD, over: false });
    }

    /// How the branch is entered.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.branch.credentials.as_ref()
    }

    fn start(&mut self, now: Instant) {
        if self.under_way.is_some() {
            return;
        }
        let Some(files) = self.batch.take(now) else { return };
        let (origin, branch, folder) = (self.origin.clone(), self.branch.clone(), self.folder.clone());
        let (written, bounds) = (Arc::clone(&files), self.bounds);
        let under_way = tokio::spawn(async move {
            let carries = Carries { bytes: PACK_AT_MOST as u64, blob_bytes: None };
            let at = origin.clone();
            through(&at, carries, bounds.timeout, "git-status", move |address, deadline| {
                let noted = folder.with_extension("written");
                if origin.remote().is_some() {
                    tidy(&folder, &noted);
                }
                let writing = Writing {
                    side: Side::of(&origin.place, &folder, address, deadline)?,
                    branch: &branch,
                    read_from: origin.reference(),
                    files: &written,
                    at: jiff::Timestamp::now(),
                    noted: &noted,
                };
                writing.write().inspect_err(|error| mend(&folder, error))
            })
            .await
        });
        self.under_way = Some((files, AbortOnDropHandle::new(under_way)));
    }

    fn finish(&mut self, files: Files, finished: Result<Written, SourceError>) {
        let error = match finished {
            Ok(written) => {
                self.notice(written.notice);
                let (source, branch) = (self.origin.describe(), &self.branch.name);
                if let Some(commit) = written.commit {
                    tracing::debug!(%source, %branch, %commit, "status was written");
                }
                self.told = None;
                return self.batch.sent();
            }
            Err(error) => error,
        };
        // Whoever asks for the trouble says it once.
        self.told = Some(crate::error::chain(&error));
        let now = Instant::now();
        match error {
            SourceError::Denied { .. } | SourceError::Unsupported { .. } => {
                self.batch.refused(files, now + REFUSED);
            }
            _ => self.batch.failed(files, now),
        }
    }
}
