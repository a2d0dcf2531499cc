//! Uploaded files on the disk. What may be done is decided in `hemline_hub_core::files`; here it is done, in the order that
//! survives a kill between any two steps:
//!
//! - a segment is written under another name, synced, renamed, and only then counts as put;
//! - a file becomes visible by the rename of its record, which names segments that are durable already;
//! - what is given up is removed last; what a kill leaves behind is removed at the next start.
//!
//! Every look at the state happens on a thread that may block, because whoever commits a file holds it while the disk syncs.

mod disk;
mod read;
mod receive;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hemline_hub_core::files::{
    BlobRecord, Bounds, Commit, Content, FileError, Files, Slot, Terms, UploadId, UploadRecord,
};
use hemline_model::id::DeviceId;
use hemline_protocol::blob::{
    BlobErrorCode, BlobName, BlobPermission, BlobSas, BlockId, BlockSource, Precondition,
};
use jiff::Timestamp;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use disk::Disk;
pub(crate) use read::content;
pub(crate) use receive::{Incoming, Received, receive};

/// How often uploads are looked for whose time is over.
const SWEEP: Duration = Duration::from_secs(5);

/// The uploaded files of a hub. Cheap to share; outliving the hub is harmless.
#[derive(Debug)]
pub struct FileStore {
    disk: Disk,
    state: Mutex<Files>,
    blocks: usize,
    /// One body takes at most as long as an upload may be open.
    longest: Duration,
}

/// Why something with a file did not happen.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It must not.
    #[error(transparent)]
    Refused(#[from] FileError),
    /// The disk did not do it. Nothing has changed.
    #[error("the disk of the hub failed")]
    Disk(#[from] io::Error),
    /// What came is not what was announced.
    #[error("{0}")]
    Body(&'static str, BlobErrorCode),
    /// The hub is stopping, or has no random numbers.
    #[error("the hub cannot do this now")]
    Unavailable,
}

impl FilesError {
    /// As storage clients are told.
    #[must_use]
    pub fn code(&self) -> BlobErrorCode {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Disk(error) if is_full(error) => BlobErrorCode::InsufficientStorage,
            Self::Disk(_) => BlobErrorCode::InternalError,
            Self::Body(_, code) => *code,
            Self::Unavailable => BlobErrorCode::ServerBusy,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How a file is to become visible.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) content: Content,
    pub(crate) condition: Precondition,
}

impl Wanted {
    fn terms(self) -> Result<Terms, FilesError> {
        let now = Timestamp::now();
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|_| FilesError::Unavailable)?;
        let etag = format!("0x{:016X}", u64::from_be_bytes(bytes));
        Ok(Terms { content: self.content, condition: self.condition, etag, now })
    }
}

/// An upload that the device says is done.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) record: UploadRecord,
    /// The file that came of it, if one did.
    pub(crate) blob: Option<Arc<BlobRecord>>,
}

impl FileStore {
    /// Opens the folder, makes it when it is not there, and removes what an earlier process left half done.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(folder: &Path, bounds: Bounds) -> io::Result<Self> {
        let disk = Disk::open(folder)?;
        let blocks = bounds.blocks;
        let longest = Duration::from_secs(bounds.open_seconds.unsigned_abs());
        let (files, leftovers) = Files::restore(bounds, disk.load()?);
        disk.remove_segments(&leftovers);
        disk.remove_empty_folders();
        let store = Self { disk, state: Mutex::new(files), blocks, longest };
        store.sweep(Timestamp::now());
        Ok(store)
    }

    /// Most blocks of one file.
    pub(crate) fn most_blocks(&self) -> usize {
        self.blocks
    }

    fn state(&self) -> MutexGuard<'_, Files> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something that may wait for the disk.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, FilesError> {
        let store = Arc::clone(self);
        spawn_blocking(move || work(&store)).await.unwrap_or(Err(FilesError::Unavailable))
    }

    /// Opens an upload. `authority` is the host name that the device will find the file at.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        device: DeviceId,
        name: BlobName,
        authority: String,
    ) -> Result<UploadRecord, FilesError> {
        self.run(move |store| {
            let mut entropy = [0; 48];
            getrandom::fill(&mut entropy).map_err(|_| FilesError::Unavailable)?;
            let mut state = store.state();
            let record = state.open(&device, name, authority, entropy, Timestamp::now())?;
            store.disk.put_upload(&record)?;
            state.opened(record.clone())?;
            Ok(record)
        })
        .await
    }

    /// Which upload a credential opens.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        sas: BlobSas,
        path: String,
        wanted: BlobPermission,
    ) -> Result<UploadId, FilesError> {
        self.run(move |store| Ok(store.state().judge(&sas, &path, wanted, Timestamp::now())?)).await
    }

    /// Makes a file of blocks.
    pub(crate) async fn commit_list(
        self: &Arc<Self>,
        upload: UploadId,
        list: Vec<(BlockSource, BlockId)>,
        wanted: Wanted,
    ) -> Result<BlobRecord, FilesError> {
        self.run(move |store| {
            let terms = wanted.terms()?;
            let state = store.state();
            let commit = state.commit_list(upload, &list, terms)?;
            store.show(state, commit, &mut None)
        })
        .await
    }

    /// Makes a file visible that was decided on.
    fn show(
        &self,
        mut state: MutexGuard<'_, Files>,
        commit: Commit,
        slot: &mut Option<Slot>,
    ) -> Result<BlobRecord, FilesError> {
        let record = commit.record().clone();
        match self.disk.put_blob(&record) {
            Ok(()) => {
                let dropped = state.committed(commit, slot.take());
                drop(state);
                self.disk.remove_segments(&dropped);
                Ok(record)
            }
            Err(error) => {
                if self.disk.shows(&record) {
                    // Visible, but perhaps not for long: the client puts it again, and what either of the two files needs
                    // stays until the next start knows which one there is.
                    drop(state.committed(commit, slot.take()));
                }
                Err(error.into())
            }
        }
    }

    /// Looks at an upload that its device says is done.
    pub(crate) async fn ending(
        self: &Arc<Self>,
        upload: UploadId,
        device: DeviceId,
    ) -> Result<Ending, FilesError> {
        self.run(move |store| {
            let state = store.state();
            let (record, blob) = state.ending(upload, &device)?;
            Ok(Ending { record: record.clone(), blob: blob.cloned() })
        })
        .await
    }

    /// Closes an upload.
    pub(crate) async fn end(self: &Arc<Self>, upload: UploadId) -> Result<(), FilesError> {
        self.run(move |store| Ok(store.close(upload)?)).await
    }

    fn close(&self, upload: UploadId) -> io::Result<()> {
        let mut state = self.state();
        self.disk.remove_upload(upload)?;
        let dropped = state.ended(upload);
        drop(state);
        self.disk.remove_segments(&dropped);
        self.disk.remove_folder(upload);
        Ok(())
    }

    /// Closes uploads whose time is over.
    fn sweep(&self, now: Timestamp) {
        let overdue = self.state().overdue(now);
        for upload in overdue {
            if let Err(error) = self.close(upload) {
                tracing::warn!(%upload, %error, "an upload whose time is over cannot be closed");
            }
        }
    }

    /// A file.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(
        self: &Arc<Self>,
        device: DeviceId,
        name: BlobName,
    ) -> Result<Arc<BlobRecord>, FilesError> {
        self.run(move |store| {
            let found = store.state().blob(&device, &name).cloned();
            Ok(found.ok_or(FileError::NoSuchFile)?)
        })
        .await
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none, or the disk fails.
    pub async fn remove(self: &Arc<Self>, device: DeviceId, name: BlobName) -> Result<(), FilesError> {
        self.run(move |store| {
            let mut state = store.state();
            let blob = state.blob(&device, &name).cloned().ok_or(FileError::NoSuchFile)?;
            store.disk.remove_blob(&blob)?;
            let dropped = state.removed(&device, &name);
            drop(state);
            store.disk.remove_segments(&dropped);
            Ok(())
        })
        .await
    }

    /// Files in the order of devices and names, behind a place, at most so many.
    ///
    /// # Errors
    /// When the hub is stopping.
    pub async fn list(
        self: &Arc<Self>,
        device: Option<DeviceId>,
        after: Option<(DeviceId, BlobName)>,
        most: usize,
    ) -> Result<Vec<Arc<BlobRecord>>, FilesError> {
        self.run(move |store| Ok(store.state().list(device.as_ref(), after.as_ref(), most))).await
    }
}

/// Closes uploads whose time is over, until `stop`.
pub(crate) async fn sweep(store: Arc<FileStore>, stop: CancellationToken) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        // Cancel-safe: an interval keeps its schedule.
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let swept = store.run(|store| {
            store.sweep(Timestamp::now());
            Ok(())
        });
        drop(swept.await);
    }
}
