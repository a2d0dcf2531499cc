//! A file becomes visible: which segments it is made of, and what is given up for it.

use std::{collections::BTreeMap, sync::Arc};

use hemline_protocol::blob::{BlockId, BlockSource, Precondition};
use jiff::Timestamp;

use super::{BlobRecord, FileError, Files, Piece, Segment, Slot, UploadId};

/// What a device says about the content of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// `x-ms-blob-content-type`
    pub kind: Option<String>,
    /// `x-ms-blob-content-encoding`
    pub encoding: Option<String>,
    /// `x-ms-blob-content-md5`
    pub md5: Option<String>,
}

/// How a file becomes visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What it is.
    pub content: Content,
    /// Only if this holds.
    pub condition: Precondition,
    /// What it will be told from others by: never used before, no quotes.
    pub etag: String,
    /// When.
    pub now: Timestamp,
}

/// A file that is about to become visible. Its record is to be put on disk, then `committed` is called.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what was decided is to be carried out"]
pub struct Commit {
    record: Arc<BlobRecord>,
}

impl Commit {
    /// What goes to the disk.
    #[must_use]
    pub fn record(&self) -> &BlobRecord {
        &self.record
    }
}

/// What a file of an upload is made of.
enum Made<'a> {
    Of(&'a Segment),
    OfList(&'a [(BlockSource, BlockId)]),
}

impl Files {
    /// Decides on a file that came in one request; its segment is on disk.
    ///
    /// # Errors
    /// When the upload is over or the condition does not hold. The slot is to be given back then.
    pub fn commit_whole(&self, slot: &Slot, terms: Terms) -> Result<Commit, FileError> {
        self.commit(slot.segment.upload, &Made::Of(&slot.segment), terms)
    }

    /// Decides on a file that is made of blocks.
    ///
    /// # Errors
    /// When the upload is over, the condition does not hold, or a block of the list is not there.
    pub fn commit_list(
        &self,
        id: UploadId,
        list: &[(BlockSource, BlockId)],
        terms: Terms,
    ) -> Result<Commit, FileError> {
        self.commit(id, &Made::OfList(list), terms)
    }

    fn commit(&self, id: UploadId, made: &Made<'_>, terms: Terms) -> Result<Commit, FileError> {
        let Terms { content, condition, etag, now } = terms;
        let upload = self.uploads.get(&id).ok_or(FileError::Over)?;
        let record = &upload.record;
        let before = self.blob(&record.device, &record.name);
        condition.holds(before.map(|blob| blob.etag.as_str())).map_err(FileError::Condition)?;
        if before.is_none() {
            self.quota.check_record(&self.bounds, &record.device)?;
        }
        let segments = match made {
            Made::Of(segment) => vec![(*segment).clone()],
            Made::OfList(list) => {
                // The last of equal ones counts, as in the list that made the file before.
                let of_before: BTreeMap<&BlockId, &Segment> = before
                    .into_iter()
                    .flat_map(|blob| &blob.segments)
                    .filter_map(|segment| match &segment.piece {
                        Piece::Block(id) => Some((id, segment)),
                        Piece::Whole => None,
                    })
                    .collect();
                let found = |(place, (source, id)): (usize, &(BlockSource, BlockId))| {
                    let staged = upload.staged.get(id);
                    let committed = || of_before.get(id).copied();
                    let segment = match source {
                        BlockSource::Uncommitted => staged,
                        BlockSource::Committed => committed(),
                        BlockSource::Latest => staged.or_else(committed),
                    };
                    segment.cloned().ok_or(FileError::NoSuchBlock(place))
                };
                list.iter().enumerate().map(found).collect::<Result<Vec<_>, _>>()?
            }
        };
        let bytes = segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        if bytes > self.bounds.file_bytes {
            return Err(FileError::TooLarge(self.bounds.file_bytes));
        }
        let blob = BlobRecord {
            device: record.device.clone(),
            name: record.name.clone(),
            upload: id,
            bytes,
            etag,
            created: before.map_or(now, |blob| blob.created),
            modified: now,
            content_type: content.kind.unwrap_or_else(|| "application/octet-stream".to_owned()),
            content_encoding: content.encoding,
            content_md5: content.md5,
            segments,
        };
        Ok(Commit { record: Arc::new(blob) })
    }

    /// The record of a file is on disk: it is visible. `slot` is that of a file in one request. Gives the segments that are
    /// part of nothing now: those of the file before, and blocks that the list left out.
    pub fn committed(&mut self, commit: Commit, slot: Option<Slot>) -> Vec<Segment> {
        let Commit { record } = commit;
        if let Some(slot) = slot {
            self.quota.written(slot.segment.bytes);
        }
        let staged = self.uploads.get_mut(&record.upload).map(|upload| std::mem::take(&mut upload.staged));
        let blobs = self.blobs.entry(record.device.clone()).or_default();
        let before = blobs.insert(record.name.clone(), record.clone());
        if before.is_none() {
            self.quota.take(&record.device, 0);
        }
        let mut dropped: Vec<Segment> = staged
            .unwrap_or_default()
            .into_values()
            .chain(before.iter().flat_map(|blob| super::distinct(blob)).cloned())
            .collect();
        dropped.sort();
        dropped.dedup();
        let kept = super::distinct(&record);
        dropped.retain(|segment| !kept.contains(segment));
        for segment in &dropped {
            self.quota.give_back(&record.device, segment.bytes);
        }
        dropped
    }
}
