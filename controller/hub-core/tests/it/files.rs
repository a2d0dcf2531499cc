//! Uploaded files: tables, and random lives of uploads against a naive model, with a restart after any step.

use std::collections::{BTreeMap, BTreeSet};

use hemline_hub_core::files::{
    BlobRecord, Bounds, FileError, Files, Found, Piece, Room, Segment, Slot, Terms, UploadId, UploadRecord,
};
use hemline_model::id::DeviceId;
use hemline_protocol::blob::{
    BlobErrorCode, BlobName, BlobPermission, BlobQuery, BlobSas, BlockId, BlockSource, Precondition,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// What every segment and record counts at least.
const LEAST: u64 = 64 << 10;
const FREE: u64 = u64::MAX;

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn name(text: &str) -> BlobName {
    BlobName::new(text).unwrap()
}

fn block(number: u8) -> BlockId {
    BlockId::from_hex(&format!("{number:02x}")).unwrap()
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn terms(etag: &str) -> Terms {
    Terms { etag: etag.to_owned(), now: now(), ..Terms::default() }
}

fn latest(blocks: &[u8]) -> Vec<(BlockSource, BlockId)> {
    blocks.iter().map(|number| (BlockSource::Latest, block(*number))).collect()
}

/// Files and the disk beneath them.
struct Place {
    bounds: Bounds,
    files: Files,
    uploads: BTreeMap<UploadId, UploadRecord>,
    blobs: BTreeMap<(DeviceId, BlobName), BlobRecord>,
    /// Each with what it holds.
    segments: BTreeMap<Segment, u64>,
    drawn: u64,
}

impl Place {
    fn new(bounds: Bounds) -> Self {
        let (files, _) = Files::restore(bounds.clone(), Found::default());
        let (uploads, blobs, segments) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { bounds, files, uploads, blobs, segments, drawn: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn open(&mut self, of: &str, called: &str) -> Result<UploadId, FileError> {
        let mut entropy = [0; 48];
        entropy[8..16].copy_from_slice(&self.draw().to_be_bytes());
        let record = self.files.open(&device(of), name(called), "hub".into(), entropy, now())?;
        self.uploads.insert(record.id, record.clone());
        self.files.opened(record.clone())?;
        Ok(record.id)
    }

    fn reserve(&mut self, upload: UploadId, piece: Piece, bytes: u64) -> Result<Slot, FileError> {
        self.files.reserve(upload, piece, bytes, FREE)
    }

    /// Puts a block that holds this.
    fn put(&mut self, upload: UploadId, number: u8, bytes: u64, content: u64) -> Result<(), FileError> {
        let slot = self.reserve(upload, Piece::Block(block(number)), bytes)?;
        self.segments.insert(slot.segment().clone(), content);
        if let Some(old) = self.files.staged(slot)? {
            self.remove(&[old]);
        }
        Ok(())
    }

    fn put_whole(&mut self, upload: UploadId, bytes: u64, content: u64) -> Result<(), FileError> {
        let slot = self.reserve(upload, Piece::Whole, bytes)?;
        self.segments.insert(slot.segment().clone(), content);
        let etag = self.draw().to_string();
        let commit = match self.files.commit_whole(&slot, terms(&etag)) {
            Ok(commit) => commit,
            Err(refused) => {
                self.segments.remove(slot.segment());
                self.files.abandon(slot);
                return Err(refused);
            }
        };
        let record = commit.record().clone();
        self.blobs.insert((record.device.clone(), record.name.clone()), record);
        let dropped = self.files.committed(commit, Some(slot));
        self.remove(&dropped);
        Ok(())
    }

    fn commit(&mut self, upload: UploadId, list: &[(BlockSource, BlockId)]) -> Result<(), FileError> {
        let etag = self.draw().to_string();
        let commit = self.files.commit_list(upload, list, terms(&etag))?;
        let record = commit.record().clone();
        self.blobs.insert((record.device.clone(), record.name.clone()), record);
        let dropped = self.files.committed(commit, None);
        self.remove(&dropped);
        Ok(())
    }

    fn end(&mut self, upload: UploadId) {
        self.uploads.remove(&upload);
        let dropped = self.files.ended(upload);
        self.remove(&dropped);
    }

    fn delete(&mut self, of: &str, called: &str) {
        self.blobs.remove(&(device(of), name(called)));
        let dropped = self.files.removed(&device(of), &name(called));
        self.remove(&dropped);
    }

    fn remove(&mut self, segments: &[Segment]) {
        for segment in segments {
            assert!(self.segments.remove(segment).is_some(), "{segment:?} is removed and was there");
        }
    }

    /// A new process on the same disk.
    fn restart(&mut self) {
        let found = Found {
            uploads: self.uploads.values().cloned().collect(),
            blobs: self.blobs.values().cloned().collect(),
            segments: self.segments.keys().cloned().collect(),
        };
        let (files, leftovers) = Files::restore(self.bounds.clone(), found);
        self.files = files;
        self.remove(&leftovers);
    }

    /// Everything that can be read, by device and name.
    fn shown(&self) -> BTreeMap<(String, String), Vec<u64>> {
        let all = self.files.list(None, None, usize::MAX);
        let content = |blob: &BlobRecord| {
            let of = |segment| *self.segments.get(segment).unwrap_or_else(|| panic!("{segment:?} is gone"));
            blob.segments.iter().map(of).collect()
        };
        all.iter().map(|blob| ((blob.device.to_string(), blob.name.to_string()), content(blob))).collect()
    }

    fn total(&self) -> u64 {
        self.files.counts().2
    }
}

#[test]
fn a_file_of_blocks() {
    let mut place = Place::new(Bounds::default());
    let upload = place.open("d", "a/b").unwrap();
    for (number, content) in [(2, 20), (1, 10), (3, 30), (1, 11)] {
        place.put(upload, number, 5, content).unwrap();
    }
    assert_eq!(place.shown(), BTreeMap::new(), "nothing is visible before the list");
    assert_eq!(place.commit(upload, &latest(&[1, 9])), Err(FileError::NoSuchBlock(1)));
    place.commit(upload, &latest(&[1, 2, 1])).unwrap();
    let key = ("d".to_owned(), "a/b".to_owned());
    assert_eq!(place.shown()[&key], [11, 20, 11]);
    assert_eq!(place.files.blob(&device("d"), &name("a/b")).unwrap().bytes, 15);
    assert_eq!(place.segments.len(), 2, "what the list left out is gone");
    assert_eq!(place.total(), 3 * LEAST, "two blocks and the record");
    // Blocks of the file may be part of the next one.
    place.put(upload, 4, 5, 40).unwrap();
    place.commit(upload, &latest(&[4, 2])).unwrap();
    assert_eq!(place.shown()[&key], [40, 20]);
    let gone = vec![(BlockSource::Uncommitted, block(2))];
    assert_eq!(place.commit(upload, &gone), Err(FileError::NoSuchBlock(0)));
    place.end(upload);
    assert_eq!(place.shown()[&key], [40, 20]);
    place.delete("d", "a/b");
    assert_eq!((place.total(), place.segments.len()), (0, 0));
}

#[test]
fn bounds_hold() {
    let bounds = Bounds {
        uploads: 2,
        file_bytes: 10 * LEAST,
        blocks: 3,
        device_bytes: 12 * LEAST,
        total_bytes: 20 * LEAST,
        spare_bytes: LEAST,
        ..Bounds::default()
    };
    let mut place = Place::new(bounds);
    let first = place.open("d", "a").unwrap();
    let second = place.open("d", "b").unwrap();
    assert_eq!(place.open("d", "c"), Err(FileError::TooManyUploads(2)));
    assert_eq!(FileError::TooManyUploads(2).code(), BlobErrorCode::AuthenticationFailed);
    let other = place.open("e", "c").unwrap();
    assert_eq!(place.put_whole(first, 10 * LEAST + 1, 0), Err(FileError::TooLarge(10 * LEAST)));
    for number in 0..3 {
        place.put(first, number, 3 * LEAST, 0).unwrap();
    }
    assert_eq!(place.put(first, 4, 1, 0), Err(FileError::TooManyBlocks(3)));
    assert_eq!(place.put(first, 2, 5 * LEAST, 0), Err(FileError::TooLarge(10 * LEAST)));
    // Putting a block again takes room for both until the new one is there.
    place.put(first, 2, 2 * LEAST, 0).unwrap();
    assert_eq!(place.total(), 8 * LEAST);
    let full = Room { used: 8 * LEAST, most: 12 * LEAST };
    assert_eq!(place.put_whole(second, 5 * LEAST, 0), Err(FileError::DeviceFull(full)));
    place.put_whole(other, 10 * LEAST, 0).unwrap();
    assert_eq!(place.put_whole(second, 2 * LEAST, 0), Err(FileError::DiskFull), "all devices together");
    place.delete("e", "c");
    // What is on its way counts against what the disk has left.
    let held = place.files.reserve(second, Piece::Whole, LEAST, 2 * LEAST).unwrap();
    assert_eq!(place.files.reserve(other, Piece::Whole, LEAST, 2 * LEAST), Err(FileError::DiskFull));
    place.files.abandon(held);
    let held = place.files.reserve(other, Piece::Whole, LEAST, 2 * LEAST).unwrap();
    place.files.abandon(held);
    for upload in [first, second, other] {
        place.end(upload);
    }
    assert_eq!((place.total(), place.segments.len()), (0, 0));
    assert_eq!(place.put(first, 1, 1, 0), Err(FileError::Over));
}

#[test]
fn credentials_are_judged() {
    let mut place = Place::new(Bounds::default());
    let upload = place.open("d", "a b").unwrap();
    let record = place.uploads[&upload].clone();
    let sign = |expiry| {
        let text = BlobSas::sign(&record.secret, &upload.to_string(), &record.path(), expiry);
        BlobSas::find(&BlobQuery::parse(&text[1..]).unwrap()).unwrap()
    };
    let late = record.expires + SignedDuration::from_secs(1);
    let (good, old, long) = (sign(record.expires), sign(now() - SignedDuration::from_secs(1)), sign(late));
    let judge = |place: &Place, sas: &BlobSas, path: &str, at| {
        place.files.judge(sas, path, BlobPermission::Write, at)
    };
    assert_eq!(judge(&place, &good, "d/a b", now()), Ok(upload));
    assert_eq!(judge(&place, &good, "d/a b", record.expires), Ok(upload));
    for (sas, path, at) in
        [(&good, "d/b", now()), (&good, "d/a b", late), (&old, "d/a b", now()), (&long, "d/a b", late)]
    {
        assert_eq!(judge(&place, sas, path, at), Err(FileError::Forbidden), "{sas:?} {path} {at}");
    }
    assert_eq!(place.files.overdue(now()), []);
    assert_eq!(place.files.overdue(record.expires), [upload]);
    assert!(place.files.ending(upload, &device("e")).is_err(), "somebody else's");
    place.restart();
    assert_eq!(judge(&place, &good, "d/a b", now()), Ok(upload), "it outlives the process");
    place.end(upload);
    assert_eq!(judge(&place, &good, "d/a b", now()), Err(FileError::Forbidden));
}

#[test]
fn conditions_and_uploads_of_one_name() {
    let mut place = Place::new(Bounds::default());
    let (first, second) = (place.open("d", "a").unwrap(), place.open("d", "a").unwrap());
    place.put_whole(first, 1, 1).unwrap();
    assert!(place.files.ending(first, &device("d")).unwrap().1.is_some());
    assert!(place.files.ending(second, &device("d")).unwrap().1.is_none(), "it is not its file");
    place.put(second, 1, 1, 2).unwrap();
    let condition = Precondition { if_none_match: Some("*".into()), ..Precondition::default() };
    let none = Terms { condition, ..terms("x") };
    assert_eq!(
        place.files.commit_list(second, &latest(&[1]), none),
        Err(FileError::Condition(BlobErrorCode::BlobAlreadyExists))
    );
    place.commit(second, &latest(&[1])).unwrap();
    assert!(place.files.ending(first, &device("d")).unwrap().1.is_none(), "another one is there now");
    place.end(first);
    assert_eq!(place.shown()[&("d".into(), "a".into())], [2]);
}

#[test]
fn a_list_has_an_order_and_pages() {
    let mut place = Place::new(Bounds::default());
    for (of, called) in [("e", "a"), ("d", "b"), ("d", "a/b"), ("d", "a"), ("f", "x")] {
        let upload = place.open(of, called).unwrap();
        place.put_whole(upload, 1, 0).unwrap();
        place.end(upload);
    }
    let told = |device: Option<&str>, after: Option<(&str, &str)>, most| -> Vec<String> {
        let device = device.map(self::device);
        let after = after.map(|(of, called)| (self::device(of), name(called)));
        let found = place.files.list(device.as_ref(), after.as_ref(), most);
        found.iter().map(|blob| format!("{}:{}", blob.device, blob.name)).collect()
    };
    assert_eq!(told(None, None, 9), ["d:a", "d:a/b", "d:b", "e:a", "f:x"]);
    assert_eq!(told(None, Some(("d", "a")), 2), ["d:a/b", "d:b"]);
    assert_eq!(told(None, Some(("d", "z")), 2), ["e:a", "f:x"]);
    assert_eq!(told(Some("d"), Some(("d", "a")), 9), ["d:a/b", "d:b"]);
    assert_eq!(told(Some("x"), None, 9), [""; 0]);
}

/// One step of a random life. Which upload and which file are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Open(u8, u8),
    Put {
        upload: usize,
        block: u8,
        bytes: u64,
    },
    /// Written, and then the process was killed before anybody knew.
    PutUnknown {
        upload: usize,
        block: u8,
    },
    GiveUp {
        upload: usize,
    },
    Whole {
        upload: usize,
    },
    Commit {
        upload: usize,
        list: Vec<(u8, u8)>,
    },
    End {
        upload: usize,
    },
    Delete(u8, u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let upload = || 0..4_usize;
    prop_oneof![
        2 => (0..2_u8, 0..2_u8).prop_map(|(device, name)| Step::Open(device, name)),
        6 => (upload(), 0..4_u8, 0..200_000_u64)
            .prop_map(|(upload, block, bytes)| Step::Put { upload, block, bytes }),
        1 => (upload(), 0..4_u8).prop_map(|(upload, block)| Step::PutUnknown { upload, block }),
        1 => upload().prop_map(|upload| Step::GiveUp { upload }),
        1 => upload().prop_map(|upload| Step::Whole { upload }),
        4 => (upload(), prop::collection::vec((0..3_u8, 0..4_u8), 0..5))
            .prop_map(|(upload, list)| Step::Commit { upload, list }),
        1 => upload().prop_map(|upload| Step::End { upload }),
        1 => (0..2_u8, 0..2_u8).prop_map(|(device, name)| Step::Delete(device, name)),
        2 => Just(Step::Restart),
    ]
}

/// The naive model of one upload: whose, what it is called, and what was put.
type Naive = (UploadId, String, String, BTreeMap<u8, u64>);

/// The naive model of one file: blocks with their content; no number for a file in one request.
type NaiveFile = Vec<(Option<u8>, u64)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_lives(steps in prop::collection::vec(steps(), 1..60)) {
        let mut place = Place::new(Bounds { uploads: 3, ..Bounds::default() });
        let mut uploads: Vec<Naive> = Vec::new();
        let mut blobs: BTreeMap<(String, String), NaiveFile> = BTreeMap::new();
        let named = |device: u8, name: u8| (format!("d{device}"), format!("n{name}"));
        for (number, step) in steps.into_iter().enumerate() {
            let content = number as u64;
            let open = uploads.len();
            match step {
                Step::Open(device, name) => {
                    let (device, name) = named(device, name);
                    let many = uploads.iter().filter(|upload| upload.1 == device).count() >= 3;
                    match place.open(&device, &name) {
                        Ok(id) => {
                            prop_assert!(!many);
                            uploads.push((id, device, name, BTreeMap::new()));
                        }
                        Err(refused) => prop_assert_eq!((refused, many), (FileError::TooManyUploads(3), true)),
                    }
                }
                _ if open == 0 => continue,
                Step::Put { upload, block, bytes } => {
                    let upload = &mut uploads[upload % open];
                    place.put(upload.0, block, bytes, content).unwrap();
                    upload.3.insert(block, content);
                }
                Step::PutUnknown { upload, block } => {
                    let upload = &mut uploads[upload % open];
                    let slot = place.reserve(upload.0, Piece::Block(self::block(block)), 7).unwrap();
                    place.segments.insert(slot.segment().clone(), content);
                    drop(slot);
                    place.restart();
                    upload.3.insert(block, content);
                }
                Step::GiveUp { upload } => {
                    let before = place.total();
                    let slot = place.reserve(uploads[upload % open].0, Piece::Whole, 99).unwrap();
                    prop_assert!(place.total() > before);
                    place.files.abandon(slot);
                    prop_assert_eq!(place.total(), before);
                }
                Step::Whole { upload } => {
                    let upload = &mut uploads[upload % open];
                    place.put_whole(upload.0, 5, content).unwrap();
                    upload.3.clear();
                    blobs.insert((upload.1.clone(), upload.2.clone()), vec![(None, content)]);
                }
                Step::Commit { upload, list } => {
                    let upload = &mut uploads[upload % open];
                    let key = (upload.1.clone(), upload.2.clone());
                    let before = blobs.get(&key).cloned().unwrap_or_default();
                    let found = |(source, number): &(u8, u8)| {
                        let staged = upload.3.get(number).copied();
                        let committed = before.iter().rev().find(|part| part.0 == Some(*number)).map(|part| part.1);
                        let content = match source {
                            0 => staged.or(committed),
                            1 => staged,
                            _ => committed,
                        };
                        Some((Some(*number), content?))
                    };
                    let made: Option<NaiveFile> = list.iter().map(found).collect();
                    let asked: Vec<_> = list
                        .iter()
                        .map(|(source, number)| {
                            let source = match source {
                                0 => BlockSource::Latest,
                                1 => BlockSource::Uncommitted,
                                _ => BlockSource::Committed,
                            };
                            (source, block(*number))
                        })
                        .collect();
                    let committed = place.commit(upload.0, &asked);
                    prop_assert_eq!(committed.is_ok(), made.is_some());
                    if let Some(made) = made {
                        upload.3.clear();
                        blobs.insert(key, made);
                    }
                }
                Step::End { upload } => {
                    let upload = uploads.remove(upload % open);
                    place.end(upload.0);
                }
                Step::Delete(device, name) => {
                    let (device, name) = named(device, name);
                    place.delete(&device, &name);
                    blobs.remove(&(device, name));
                }
                Step::Restart => place.restart(),
            }
            let expected: BTreeMap<(String, String), Vec<u64>> = blobs
                .iter()
                .map(|(key, parts)| (key.clone(), parts.iter().map(|part| part.1).collect()))
                .collect();
            prop_assert_eq!(place.shown(), expected);
            // The disk holds what is visible or staged, and nothing else; room is counted for exactly that.
            let visible: BTreeSet<u64> = blobs.values().flatten().map(|part| part.1).collect();
            let staged: BTreeSet<u64> = uploads.iter().flat_map(|upload| upload.3.values().copied()).collect();
            let there: BTreeSet<u64> = place.segments.values().copied().collect();
            prop_assert_eq!(&there, &visible.union(&staged).copied().collect());
            let costs = place.segments.keys().map(|segment| segment.bytes.max(LEAST)).sum::<u64>();
            prop_assert_eq!(place.total(), costs + blobs.len() as u64 * LEAST);
        }
    }
}
