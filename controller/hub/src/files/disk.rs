//! Where uploads and files lie below the data directory:
//!
//! ```text
//! files/uploads/ID.json        an open upload, with what signs its credentials
//! files/data/ID/N-BLOCK        a segment: content, written once; N-BLOCK.part while it is written
//! files/blobs/HASH.json        a file: its name and its segments in order
//! ```
//!
//! Names that devices choose are never names of files here.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use hemline_hub_core::files::{BlobRecord, Found, Segment, UploadId, UploadRecord};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// End of the name of what is not whole yet.
const PART: &str = ".part";

/// The folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
}

impl Disk {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let disk = Self { root: root.to_owned() };
        for folder in [root.to_owned(), disk.uploads(), disk.data(), disk.blobs()] {
            make_folder(&folder)?;
        }
        sync_folder(root)?;
        if let Some(parent) = root.parent() {
            sync_folder(parent)?;
        }
        Ok(disk)
    }

    fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    fn upload(&self, upload: UploadId) -> PathBuf {
        self.uploads().join(format!("{upload}.json"))
    }

    fn folder(&self, upload: UploadId) -> PathBuf {
        self.data().join(upload.to_string())
    }

    fn blob(&self, blob: &BlobRecord) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(blob.device.as_str());
        // No id and no name holds it.
        hash.update([0]);
        hash.update(blob.name.as_str());
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.blobs().join(format!("{digits}.json"))
    }

    /// Where a segment lies.
    pub(super) fn segment(&self, segment: &Segment) -> PathBuf {
        self.folder(segment.upload).join(segment.file_name())
    }

    /// Where a segment is written.
    pub(super) fn part(&self, segment: &Segment) -> PathBuf {
        self.folder(segment.upload).join(format!("{}{PART}", segment.file_name()))
    }

    /// A new file for a segment.
    pub(super) fn create_part(&self, segment: &Segment) -> io::Result<File> {
        let path = self.part(segment);
        match File::create(&path) {
            // Another file of the same upload was removed just now, and the empty folder with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.folder(segment.upload))?;
                sync_folder(&self.data())?;
                File::create(&path)
            }
            created => created,
        }
    }

    /// A segment is written and synced: it gets its name.
    pub(super) fn finish_part(&self, segment: &Segment) -> io::Result<()> {
        fs::rename(self.part(segment), self.segment(segment))?;
        sync_folder(&self.folder(segment.upload))
    }

    pub(super) fn put_upload(&self, record: &UploadRecord) -> io::Result<()> {
        put(&self.uploads(), &self.upload(record.id), record)
    }

    pub(super) fn remove_upload(&self, upload: UploadId) -> io::Result<()> {
        remove(&self.upload(upload))?;
        sync_folder(&self.uploads())
    }

    pub(super) fn put_blob(&self, record: &BlobRecord) -> io::Result<()> {
        put(&self.blobs(), &self.blob(record), record)
    }

    /// Is this what a reader would find, although `put_blob` failed? Only its durability is unknown then.
    pub(super) fn shows(&self, record: &BlobRecord) -> bool {
        let found = fs::read(self.blob(record)).ok();
        found.is_some_and(|text| {
            serde_json::from_slice::<BlobRecord>(&text).is_ok_and(|found| found.etag == record.etag)
        })
    }

    pub(super) fn remove_blob(&self, record: &BlobRecord) -> io::Result<()> {
        remove(&self.blob(record))?;
        sync_folder(&self.blobs())
    }

    /// Nobody needs these any more. What cannot be removed now is removed at the next start.
    pub(super) fn remove_segments(&self, segments: &[Segment]) {
        for segment in segments {
            if let Err(error) = remove(&self.segment(segment)) {
                tracing::warn!(path = %self.segment(segment).display(), %error, "a piece of a file cannot be removed");
            }
        }
        let uploads: BTreeSet<UploadId> = segments.iter().map(|segment| segment.upload).collect();
        uploads.into_iter().for_each(|upload| self.remove_folder(upload));
    }

    /// Removes the folder of an upload if nothing is in it.
    pub(super) fn remove_folder(&self, upload: UploadId) {
        drop(fs::remove_dir(self.folder(upload)));
    }

    /// Removes folders that an earlier process left empty.
    pub(super) fn remove_empty_folders(&self) {
        for entry in fs::read_dir(self.data()).into_iter().flatten().flatten() {
            drop(fs::remove_dir(entry.path()));
        }
    }

    /// Bytes that the disk has left for us.
    pub(super) fn free(&self) -> io::Result<u64> {
        let told = rustix::fs::statvfs(&self.root)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }

    /// Reads everything. What was being written when a process ended is removed.
    pub(super) fn load(&self) -> io::Result<Found> {
        let mut found = Found {
            uploads: records(&self.uploads())?,
            blobs: records(&self.blobs())?,
            segments: Vec::new(),
        };
        for folder in fs::read_dir(self.data())? {
            let folder = folder?;
            let Some(upload) = folder.file_name().to_str().and_then(|name| name.parse().ok()) else {
                tracing::warn!(path = %folder.path().display(), "this is no upload's folder, it is left alone");
                continue;
            };
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let name = file.file_name();
                let name = name.to_string_lossy();
                if name.ends_with(PART) {
                    remove(&file.path())?;
                } else if let Some(segment) = Segment::from_file_name(upload, &name, file.metadata()?.len()) {
                    found.segments.push(segment);
                }
            }
        }
        Ok(found)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a document so that there is either the old one or the new one.
fn put(folder: &Path, path: &Path, document: &impl Serialize) -> io::Result<()> {
    let part = path.with_extension("json.part");
    let written = write(&part, document).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        drop(fs::remove_file(&part));
    }
    written?;
    sync_folder(folder)
}

fn write(path: &Path, document: &impl Serialize) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&serde_json::to_vec(document)?)?;
    file.sync_all()
}

/// All documents of a folder. One that cannot be read is told and left alone: it is no reason not to start.
fn records<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            remove(&path)?;
            continue;
        }
        match serde_json::from_slice(&fs::read(&path)?) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the record of an uploaded file is damaged, it is left alone");
            }
        }
    }
    Ok(records)
}
