//! Files that devices upload: which uploads are open, what lies staged, which files there are, and what may be added.
//!
//! Decides only. Whoever owns the disk (`hub/src/files.rs`) asks before it writes, says what it has written, and removes what
//! this gives up. A *segment* is a piece of content that lies in one file of the disk and never changes; a *blob* is a list of
//! segments under a name. So a blob is made by naming segments that are durable already, and nothing is copied.
//!
//! Not here: who may open an upload (`authenticate.rs`), what is told to the service side (`file_notices.rs`).

mod commit;
mod error;
mod quota;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use hemline_model::id::DeviceId;
use hemline_protocol::blob::{BlobName, BlobPermission, BlobSas, BlobSecret, BlockId};
use jiff::Timestamp;

pub use commit::{Commit, Content, Terms};
pub use error::FileError;
pub use quota::{Bounds, Room};
pub use records::{BlobRecord, NoUploadId, Piece, Segment, UploadId, UploadRecord};

use crate::clock::later;
use quota::Quota;

/// All uploads and files.
#[derive(Debug)]
pub struct Files {
    bounds: Bounds,
    quota: Quota,
    uploads: BTreeMap<UploadId, Upload>,
    blobs: BTreeMap<DeviceId, BTreeMap<BlobName, Arc<BlobRecord>>>,
}

#[derive(Debug)]
struct Upload {
    record: UploadRecord,
    staged: BTreeMap<BlockId, Segment>,
    /// Number of the next segment; numbers of one upload are never used twice.
    next: u64,
}

/// Room for one segment that is about to be written. Comes back in `staged`, `commit` or `abandon`, exactly once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "room that is not given back stays taken"]
pub struct Slot {
    segment: Segment,
    device: DeviceId,
}

impl Slot {
    /// The segment to be written: as many bytes as it says.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.segment
    }
}

/// What was found on the disk.
#[derive(Debug, Default)]
pub struct Found {
    /// Uploads that were open.
    pub uploads: Vec<UploadRecord>,
    /// Files.
    pub blobs: Vec<BlobRecord>,
    /// Whole segments, whoever they belong to.
    pub segments: Vec<Segment>,
}

impl Files {
    /// Takes up what is on the disk. Gives the segments that nobody needs: those of uploads that are over, of files that
    /// were replaced, and blocks that were put again.
    #[must_use]
    pub fn restore(bounds: Bounds, found: Found) -> (Self, Vec<Segment>) {
        let Found { uploads, blobs, mut segments } = found;
        let mut files =
            Self { bounds, quota: Quota::default(), uploads: BTreeMap::new(), blobs: BTreeMap::new() };
        let mut named: BTreeSet<Segment> = BTreeSet::new();
        for blob in blobs {
            named.extend(blob.segments.iter().cloned());
            files.charge_blob(&blob);
            files.blobs.entry(blob.device.clone()).or_default().insert(blob.name.clone(), Arc::new(blob));
        }
        for record in uploads {
            let upload = Upload { record, staged: BTreeMap::new(), next: 0 };
            files.uploads.insert(upload.record.id, upload);
        }
        // Blocks put again have a higher number: the last one counts.
        segments.sort_by_key(|segment| segment.number);
        let mut leftovers = Vec::new();
        for segment in segments {
            let upload = files.uploads.get_mut(&segment.upload);
            let next = segment.number.saturating_add(1);
            match (upload, &segment.piece) {
                (Some(upload), _) if named.contains(&segment) => upload.next = upload.next.max(next),
                (None, _) if named.contains(&segment) => {}
                (Some(upload), Piece::Block(id)) => {
                    upload.next = upload.next.max(next);
                    files.quota.take(&upload.record.device, segment.bytes);
                    if let Some(old) = upload.staged.insert(id.clone(), segment.clone()) {
                        files.quota.give_back(&upload.record.device, old.bytes);
                        leftovers.push(old);
                    }
                }
                (Some(upload), Piece::Whole) => {
                    upload.next = upload.next.max(next);
                    leftovers.push(segment);
                }
                (None, _) => leftovers.push(segment),
            }
        }
        (files, leftovers)
    }

    /// Decides on a new upload. Nothing is open before `opened` says that the record is on disk.
    ///
    /// # Errors
    /// When the device has as many open as it may.
    pub fn open(
        &self,
        device: &DeviceId,
        name: BlobName,
        authority: String,
        entropy: [u8; 48],
        now: Timestamp,
    ) -> Result<UploadRecord, FileError> {
        let open = self.uploads.values().filter(|upload| upload.record.device == *device).count();
        if open >= self.bounds.uploads {
            return Err(FileError::TooManyUploads(self.bounds.uploads));
        }
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        for (to, from) in id.iter_mut().chain(secret.iter_mut()).zip(entropy) {
            *to = from;
        }
        Ok(UploadRecord {
            id: UploadId::new(id),
            device: device.clone(),
            name,
            authority,
            secret: BlobSecret::new(secret),
            opened: now,
            expires: later(now, self.bounds.open_seconds),
        })
    }

    /// The record of an upload is on disk. Asked again here, because another one may have been opened meanwhile.
    ///
    /// # Errors
    /// When the device has as many open as it may.
    pub fn opened(&mut self, record: UploadRecord) -> Result<(), FileError> {
        let open = self.uploads.values().filter(|upload| upload.record.device == record.device).count();
        if open >= self.bounds.uploads {
            return Err(FileError::TooManyUploads(self.bounds.uploads));
        }
        self.uploads.insert(record.id, Upload { record, staged: BTreeMap::new(), next: 0 });
        Ok(())
    }

    /// Judges a credential: which upload it opens.
    ///
    /// # Errors
    /// `Forbidden` whatever is wrong: whoever tries learns nothing.
    pub fn judge(
        &self,
        sas: &BlobSas,
        path: &str,
        wanted: BlobPermission,
        now: Timestamp,
    ) -> Result<UploadId, FileError> {
        let id: UploadId = sas.upload().parse().map_err(|_| FileError::Forbidden)?;
        let upload = self.uploads.get(&id).ok_or(FileError::Forbidden)?;
        let signed = sas.verify(&upload.record.secret, path) && upload.record.path() == path;
        if !signed || sas.expiry() < now || upload.record.expires < now {
            return Err(FileError::Forbidden);
        }
        if sas.allows(wanted) { Ok(id) } else { Err(FileError::NotAllowed) }
    }

    /// Takes room for a segment. `free` is what the disk has left, in bytes.
    ///
    /// # Errors
    /// When it would be too large, too many, or too much.
    pub fn reserve(&mut self, id: UploadId, piece: Piece, bytes: u64, free: u64) -> Result<Slot, FileError> {
        let upload = self.uploads.get_mut(&id).ok_or(FileError::Over)?;
        let others = match &piece {
            Piece::Whole => 0,
            Piece::Block(id) => {
                if upload.staged.len() >= self.bounds.blocks && !upload.staged.contains_key(id) {
                    return Err(FileError::TooManyBlocks(self.bounds.blocks));
                }
                upload.staged.iter().filter(|(other, _)| *other != id).map(|(_, other)| other.bytes).sum()
            }
        };
        if bytes.saturating_add(others) > self.bounds.file_bytes {
            return Err(FileError::TooLarge(self.bounds.file_bytes));
        }
        let device = upload.record.device.clone();
        self.quota.check(&self.bounds, &device, bytes, free)?;
        self.quota.take(&device, bytes);
        self.quota.writing(bytes);
        let number = upload.next;
        upload.next += 1;
        Ok(Slot { segment: Segment { upload: id, number, piece, bytes }, device })
    }

    /// A segment was not written after all.
    pub fn abandon(&mut self, slot: Slot) {
        let Slot { segment, device } = slot;
        self.quota.written(segment.bytes);
        self.quota.give_back(&device, segment.bytes);
    }

    /// A block is on disk. Gives the block that it takes the place of.
    ///
    /// # Errors
    /// `Over` when the upload has ended meanwhile; the block is then to be removed.
    pub fn staged(&mut self, slot: Slot) -> Result<Option<Segment>, FileError> {
        let Slot { segment, device } = slot;
        self.quota.written(segment.bytes);
        let upload = self.uploads.get_mut(&segment.upload);
        let (Some(upload), Piece::Block(id)) = (upload, segment.piece.clone()) else {
            self.quota.give_back(&device, segment.bytes);
            return Err(FileError::Over);
        };
        match upload.staged.entry(id) {
            Entry::Vacant(place) => {
                place.insert(segment);
                Ok(None)
            }
            // Two requests for one block at a time: the later number wins, whichever ends first.
            Entry::Occupied(mut place) => {
                let old = if place.get().number < segment.number { place.insert(segment) } else { segment };
                self.quota.give_back(&device, old.bytes);
                Ok(Some(old))
            }
        }
    }

    /// An upload that a device says is done.
    ///
    /// # Errors
    /// `Unknown` when the device has no such upload.
    pub fn ending(
        &self,
        id: UploadId,
        device: &DeviceId,
    ) -> Result<(&UploadRecord, Option<&Arc<BlobRecord>>), FileError> {
        let upload = self.uploads.get(&id).filter(|upload| upload.record.device == *device);
        let record = &upload.ok_or(FileError::Unknown)?.record;
        // Another upload may have put another file under the same name since.
        let blob = self.blob(&record.device, &record.name).filter(|blob| blob.upload == id);
        Ok((record, blob))
    }

    /// An upload is over, and its record is gone from the disk. Gives the blocks that became part of no file.
    pub fn ended(&mut self, id: UploadId) -> Vec<Segment> {
        let Some(upload) = self.uploads.remove(&id) else { return Vec::new() };
        self.drop_unnamed(&upload.record, upload.staged)
    }

    /// Uploads whose time is over.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<UploadId> {
        let over = self.uploads.values().filter(|upload| upload.record.expires <= now);
        over.map(|upload| upload.record.id).collect()
    }

    /// A file.
    #[must_use]
    pub fn blob(&self, device: &DeviceId, name: &BlobName) -> Option<&Arc<BlobRecord>> {
        self.blobs.get(device)?.get(name)
    }

    /// A file is gone from the disk. Gives its segments.
    pub fn removed(&mut self, device: &DeviceId, name: &BlobName) -> Vec<Segment> {
        let Some(of_device) = self.blobs.get_mut(device) else { return Vec::new() };
        let Some(blob) = of_device.remove(name) else { return Vec::new() };
        if of_device.is_empty() {
            self.blobs.remove(device);
        }
        self.give_up(&blob)
    }

    /// Files in the order of devices and names, behind a place, at most so many.
    #[must_use]
    pub fn list(
        &self,
        device: Option<&DeviceId>,
        after: Option<&(DeviceId, BlobName)>,
        most: usize,
    ) -> Vec<Arc<BlobRecord>> {
        let begin = device.or(after.map(|(device, _)| device));
        let of_devices: Box<dyn Iterator<Item = _>> = match begin {
            Some(begin) => Box::new(self.blobs.range(begin.clone()..)),
            None => Box::new(self.blobs.iter()),
        };
        of_devices
            .take_while(|(found, _)| device.is_none_or(|device| device == *found))
            .flat_map(|(_, blobs)| blobs.values())
            .filter(|blob| after.is_none_or(|(device, name)| (&blob.device, &blob.name) > (device, name)))
            .take(most)
            .cloned()
            .collect()
    }

    /// Open uploads, files and the bytes that both take.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.uploads.len(), self.blobs.values().map(BTreeMap::len).sum(), self.quota.total())
    }

    fn charge_blob(&mut self, blob: &BlobRecord) {
        self.quota.take(&blob.device, 0);
        for segment in distinct(blob) {
            self.quota.take(&blob.device, segment.bytes);
        }
    }

    /// The segments of a file that is no more.
    fn give_up(&mut self, blob: &BlobRecord) -> Vec<Segment> {
        let segments: Vec<Segment> = distinct(blob).into_iter().cloned().collect();
        self.quota.give_back(&blob.device, 0);
        for segment in &segments {
            self.quota.give_back(&blob.device, segment.bytes);
        }
        segments
    }

    /// Blocks that are staged and in no file.
    fn drop_unnamed(&mut self, record: &UploadRecord, staged: BTreeMap<BlockId, Segment>) -> Vec<Segment> {
        let dropped: Vec<Segment> = staged.into_values().collect();
        for segment in &dropped {
            self.quota.give_back(&record.device, segment.bytes);
        }
        dropped
    }
}

/// A file may hold a block twice; it lies on the disk once.
fn distinct(blob: &BlobRecord) -> BTreeSet<&Segment> {
    blob.segments.iter().collect()
}
