//! Notices that a device has uploaded a file, waiting for the service side (reference service-api §5.5).
//!
//! Taken one by one under a lock. As with feedback, locks are not on disk: after a restart every notice that was not settled
//! is there to be received again.

use std::collections::BTreeMap;

use hemline_model::id::DeviceId;
use hemline_protocol::{blob::BlobName, time};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    clock::{later, moved},
    cloud_to_device::LockToken,
    files::UploadId,
    message::Sequence,
};

/// What the hub knows of an uploaded file when the device says that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFile {
    /// Which upload.
    pub upload: UploadId,
    /// Whose.
    pub device: DeviceId,
    /// What it is called, without the device.
    pub name: BlobName,
    /// Where it is.
    pub uri: String,
    /// How long it is.
    pub bytes: u64,
    /// When it became what it is.
    pub modified: Timestamp,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNotice {
    /// Its place.
    pub sequence: Sequence,
    /// When the device said so.
    pub enqueued: Timestamp,
    /// What it is about.
    pub file: UploadedFile,
}

/// A notice that the service side received and has to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LentNotice {
    /// For settling it.
    pub lock: LockToken,
    /// The notice.
    pub notice: FileNotice,
}

impl FileNotice {
    /// As service clients read it.
    #[must_use]
    pub fn document(&self) -> Value {
        let UploadedFile { upload: _, device, name, uri, bytes, modified } = &self.file;
        json!({
            "deviceId": device,
            "blobUri": uri,
            "blobName": format!("{device}/{name}"),
            "lastUpdatedTime": time::iso(*modified),
            "blobSizeInBytes": bytes,
            "enqueuedTimeUtc": time::iso(self.enqueued),
        })
    }
}

/// All notices, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FileNotices {
    available: BTreeMap<Sequence, FileNotice>,
    locked: BTreeMap<LockToken, (Timestamp, FileNotice)>,
}

impl FileNotices {
    /// One more notice, new or read from the store.
    pub(crate) fn push(&mut self, notice: FileNotice) {
        self.available.insert(notice.sequence, notice);
    }

    /// Is this upload told of already?
    pub(crate) fn tells_of(&self, upload: UploadId) -> bool {
        let mut all = self.available.values().chain(self.locked.values().map(|(_, notice)| notice));
        all.any(|notice| notice.file.upload == upload)
    }

    /// The oldest notice under a lock, if there is one.
    pub(crate) fn receive(&mut self, lock: LockToken, until: Timestamp) -> Option<LentNotice> {
        let (_, notice) = self.available.pop_first()?;
        self.locked.insert(lock, (until, notice.clone()));
        Some(LentNotice { lock, notice })
    }

    /// A notice that was dealt with; it is nobody's now.
    pub(crate) fn settle(&mut self, lock: LockToken) -> Option<FileNotice> {
        self.locked.remove(&lock).map(|(_, notice)| notice)
    }

    /// The clock was set: every lock lasts as long as before.
    pub(crate) fn clock_set(&mut self, by: SignedDuration) {
        self.locked.values_mut().for_each(|(until, _)| *until = moved(*until, by));
    }

    /// Locks that ran out are given back; notices that nobody took for so many seconds, or for which there is no room, the
    /// oldest first, are named, and are nobody's now.
    pub(crate) fn expire(&mut self, now: Timestamp, keep_seconds: i64, most: usize) -> Vec<Sequence> {
        let over: Vec<LockToken> =
            self.locked.iter().filter(|(_, (until, _))| *until <= now).map(|(lock, _)| *lock).collect();
        for lock in over {
            if let Some(notice) = self.settle(lock) {
                self.push(notice);
            }
        }
        let mut gone = Vec::new();
        while let Some((sequence, notice)) = self.available.first_key_value() {
            if later(notice.enqueued, keep_seconds) > now && self.available.len() <= most {
                break;
            }
            gone.push(*sequence);
            self.available.pop_first();
        }
        gone
    }
}
