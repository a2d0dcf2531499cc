//! The status branch: an orphan branch that holds what is, beside the branch that holds what should be.
//!
//! One commit says all: trees are built from the objects of the commit before, so that what did not change makes no diff.
//! A generation has a bounded number of commits; then the branch starts anew with one commit, and the generation before
//! stays reachable as `NAME.previous` until the next time. Older commits are the server's to collect. Each commit carries
//! `[skip ci]` and trailers: which commit of its generation it is, and which controller wrote it. A branch without our
//! trailer is somebody else's: it is written only if we wrote there before.

use std::{collections::BTreeMap, path::Path};

use git2::{ErrorCode, ObjectType, Oid, Repository, Signature, Time};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::push::{Move, NEXT, Side, Swapped};
use crate::{Credentials, SourceError, StatusFile};

/// How status goes to a branch.
#[derive(Debug, Clone)]
pub struct StatusBranch {
    /// Name of the branch.
    pub name: String,
    /// Shortest time between two commits.
    pub every: std::time::Duration,
    /// Commits of a generation.
    pub commits_at_most: u32,
    /// Who writes; stands in every commit.
    pub writer: String,
    /// What is shown to the remote when it is written; without it what is shown to read it.
    pub credentials: Option<Credentials>,
}

impl StatusBranch {
    /// A commit at most every 30 s, generations of 10 000.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            every: std::time::Duration::from_secs(30),
            commits_at_most: 10_000,
            writer: "hem".to_owned(),
            credentials: None,
        }
    }
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// The new commit; `None` when the branch said all of it already.
    pub(super) commit: Option<Oid>,
    /// Something that a person should know.
    pub(super) notice: Option<Notice>,
}

/// What somebody else did to the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// Deleted or rewrote it: each time is news.
    Changed(String),
    /// Writes there too: news once, not one per commit.
    Shared(String),
}

/// Which commit of its generation.
const COUNT: &str = "Hemline-Status: ";
const WRITER: &str = "Hemline-Writer: ";
/// Other writers may be faster so often.
const ATTEMPTS: u32 = 8;
/// Longest first line of a commit.
const SUBJECT: usize = 120;
/// A folder of objects with more loose ones is packed. Estimated from one of the 256 folders, as Git does.
const LOOSE_AT_MOST: usize = 16;
/// Stands in a folder that was.
const PACKED: &str = "hemline-packed";

/// One write, with everything it needs to know.
pub(super) struct Writing<'a> {
    pub(super) side: Side<'a>,
    pub(super) branch: &'a StatusBranch,
    /// The branch that documents are read from, as configured; `None` is the default branch.
    pub(super) read_from: Option<&'a str>,
    pub(super) files: &'a [StatusFile],
    pub(super) at: Timestamp,
    /// The file that remembers what was written last: outlives the folder of objects, and is in nobody's repository.
    pub(super) noted: &'a Path,
}

impl Writing<'_> {
    /// Makes the branch say exactly these files.
    pub(super) fn write(&self) -> Result<Written, SourceError> {
        let mut notice = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(crate::pace::jittered(std::time::Duration::from_millis(80) * attempt));
            }
            let previous = format!("{}.previous", self.branch.name);
            let (tips, default) = self.side.tips(&[&self.branch.name, &previous])?;
            let (tip, old) = (tips.first().copied().flatten(), tips.get(1).copied().flatten());
            self.refuse_documents(default.as_deref())?;
            if let Some(tip) = tip
                && !self.side.bring_whole(&self.branch.name, tip)?
            {
                continue;
            }
            let base = self.base(tip, &mut notice)?;
            let objects = self.side.objects();
            let before = base.as_ref().map(|base| base.tree);
            let tree = tree(objects, before, self.files).map_err(|error| self.side.failed(error))?;
            if Some(tree) == before {
                return Ok(Written { commit: None, notice });
            }
            let going_on = base.as_ref().filter(|base| base.count < self.branch.commits_at_most);
            let count = going_on.map_or(1, |base| base.count + 1);
            let commit = self.commit(tree, going_on.map(|base| base.commit), count)?;
            let mut moves = vec![Move { branch: self.branch.name.clone(), from: tip, to: commit }];
            if let (None, Some(tip)) = (going_on, tip) {
                moves.push(Move { branch: previous, from: old, to: tip });
            }
            self.note(Noted { last: noted(self.noted).last, next: Some(commit) })?;
            if self.side.swap(&moves)? == Swapped::Done {
                // Where this fails, the note from before the push says enough.
                drop(self.note(Noted { last: Some(commit), next: None }));
                return Ok(Written { commit: Some(commit), notice });
            }
        }
        Err(SourceError::NotPushed {
            url: self.side.describe(),
            source: format!("{ATTEMPTS} times somebody else moved the branch {} first", self.branch.name)
                .into(),
        })
    }

    /// Status never goes where documents come from.
    fn refuse_documents(&self, default: Option<&str>) -> Result<(), SourceError> {
        let read = self.read_from.map(|name| name.strip_prefix("refs/heads/").unwrap_or(name)).or(default);
        if read == Some(self.branch.name.as_str()) {
            return Err(SourceError::Denied {
                url: self.side.describe(),
                why: format!("documents are read from the branch {}", self.branch.name),
                fix: "choose another name with --status-branch, or read documents from another branch"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// What the next commit stands on.
    fn base(&self, tip: Option<Oid>, notice: &mut Option<Notice>) -> Result<Option<Base>, SourceError> {
        let objects = self.side.objects();
        let noted = noted(self.noted);
        let pushed = noted.last;
        let name = &self.branch.name;
        let Some(tip) = tip else {
            if pushed.is_some() {
                let what = format!("somebody deleted the branch {name}; it is made anew");
                *notice = Some(Notice::Changed(what));
            }
            return Ok(None);
        };
        let commit = objects.find_commit(tip).map_err(|error| self.side.failed(error))?;
        let trailer = |key: &str| {
            let message = commit.message().unwrap_or_default();
            message.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned))
        };
        let Some(count) = trailer(COUNT).and_then(|count| count.parse().ok()) else {
            if pushed.is_none() {
                return Err(SourceError::Denied {
                    url: self.side.describe(),
                    why: format!("the branch {name} holds commits that hem did not write"),
                    fix: "choose another name with --status-branch, or delete that branch".to_owned(),
                });
            }
            *notice = Some(Notice::Changed(format!(
                "somebody rewrote the branch {name}; it is taken over, and what was there is kept in {name}.previous"
            )));
            return Ok(None);
        };
        if pushed.is_some_and(|pushed| pushed != tip) && noted.next != Some(tip) && notice.is_none() {
            let writer = trailer(WRITER).unwrap_or_default();
            *notice = Some(Notice::Shared(format!(
                "{writer} wrote to the branch {name} too; give each controller a branch of its own"
            )));
        }
        Ok(Some(Base { commit: tip, tree: commit.tree_id(), count }))
    }

    fn commit(&self, tree: Oid, parent: Option<Oid>, count: u32) -> Result<Oid, SourceError> {
        let objects = self.side.objects();
        let make = || {
            let who = Signature::new("Hemline", "hemline@localhost", &Time::new(self.at.as_second(), 0))?;
            let parent = parent.map(|parent| objects.find_commit(parent)).transpose()?;
            let parents: Vec<_> = parent.iter().collect();
            let message = format!(
                "{} [skip ci]\n\n{COUNT}{count}\n{WRITER}{}\n",
                subject(self.files),
                self.branch.writer
            );
            objects.commit(None, &who, &who, &message, &objects.find_tree(tree)?, &parents)
        };
        make().map_err(|error| self.side.failed(error))
    }

    fn note(&self, noted: Noted) -> Result<(), SourceError> {
        let line =
            |commit: Option<Oid>| commit.map_or_else(|| "-\n".to_owned(), |commit| format!("{commit}\n"));
        let new = self.noted.with_extension("noting");
        let written = std::fs::write(&new, line(noted.last) + &line(noted.next))
            .and_then(|()| std::fs::rename(&new, self.noted));
        written.map_err(|error| of(self.noted, error))
    }
}

/// What is remembered beside the folder of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Noted {
    /// What the branch became with the last write; `None` before there was one.
    last: Option<Oid>,
    /// What is being pushed: after a kill the branch may have become that, and it is nobody else's then.
    next: Option<Oid>,
}

fn noted(path: &Path) -> Noted {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut commits = text.lines().map(|line| Oid::from_str(line.trim()).ok());
    Noted { last: commits.next().flatten(), next: commits.next().flatten() }
}

struct Base {
    commit: Oid,
    tree: Oid,
    count: u32,
}

/// Where a status file stands on the branch: devices are fanned out, so that no folder has ten thousand entries.
pub(crate) fn place(path: &str) -> String {
    match path.strip_prefix("devices/") {
        Some(name) => {
            let stem = name.strip_suffix(".yaml").unwrap_or(name);
            let digest = Sha256::digest(stem);
            format!("devices/{:02x}/{name}", digest[0])
        }
        None => path.to_owned(),
    }
}

/// The tree of exactly these files. What stands in `before` already is not written again.
pub(super) fn tree(
    objects: &Repository,
    before: Option<Oid>,
    files: &[StatusFile],
) -> Result<Oid, git2::Error> {
    let mut root = Folder::default();
    for file in files {
        root.put(&place(&file.path), &file.text);
    }
    root.write(objects, before)
}

#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<String, Self>,
    files: BTreeMap<String, &'a str>,
}

impl<'a> Folder<'a> {
    fn put(&mut self, path: &str, text: &'a str) {
        match path.split_once('/') {
            Some((folder, rest)) => self.folders.entry(folder.to_owned()).or_default().put(rest, text),
            None => drop(self.files.insert(path.to_owned(), text)),
        }
    }

    fn write(&self, objects: &Repository, before: Option<Oid>) -> Result<Oid, git2::Error> {
        let before = match before.map(|before| objects.find_tree(before)).transpose() {
            Ok(before) => before,
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error),
        };
        let there = |name: &str| before.as_ref().and_then(|tree| tree.get_name(name));
        let mut builder = objects.treebuilder(None)?;
        for (name, text) in &self.files {
            let id = Oid::hash_object(ObjectType::Blob, text.as_bytes())?;
            if there(name).is_none_or(|entry| entry.id() != id) {
                objects.blob(text.as_bytes())?;
            }
            builder.insert(name, id, 0o100_644)?;
        }
        for (name, folder) in &self.folders {
            let inside = there(name).filter(|entry| entry.kind() == Some(ObjectType::Tree));
            let id = folder.write(objects, inside.map(|entry| entry.id()))?;
            builder.insert(name, id, 0o040_000)?;
        }
        builder.write()
    }
}

/// The first line of the README says it all.
fn subject(files: &[StatusFile]) -> String {
    let readme = files.iter().find(|file| file.path == "README.md");
    let line = readme.and_then(|file| file.text.lines().next()).unwrap_or_default();
    let line: String = line.trim_start_matches('#').trim().chars().take(SUBJECT).collect();
    if line.is_empty() { "status".to_owned() } else { line }
}

/// Makes a folder of objects small when it holds too many: what the next write stands on stays, which are the commits of the
/// generation and the files of the last. Fetching all of it again would have the remote pack the whole history each time.
pub(super) fn tidy(folder: &Path, noted: &Path) {
    let loose = std::fs::read_dir(folder.join("objects/17")).map_or(0, Iterator::count);
    if loose <= LOOSE_AT_MOST {
        return;
    }
    if let Err(error) = pack(folder, noted) {
        tracing::debug!(folder = %folder.display(), %error, "cannot be packed; what is needed of it is fetched again");
        forget(folder);
    }
}

/// A kill in between leaves no folder, and everything in it can be fetched.
fn pack(folder: &Path, note: &Path) -> Result<(), SourceError> {
    let new = folder.with_extension("packed");
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(|error| of(folder, error))?;
    }
    let make = |tip: Oid| {
        let objects = Repository::open_bare(folder)?;
        let mut packing = objects.packbuilder()?;
        packing.insert_tree(objects.find_commit(tip)?.tree_id())?;
        let mut commits = objects.revwalk()?;
        commits.push(tip)?;
        commits.try_for_each(|commit| packing.insert_object(commit?, None))?;
        let next = Repository::init_bare(&new)?;
        packing.write(&new.join("objects/pack"), 0)?;
        // What a fetch says is here already.
        next.reference(&format!("{NEXT}/0"), tip, true, "").map(drop)
    };
    let tip = noted(note).last.ok_or_else(|| git2::Error::from_str("nothing was written yet"));
    tip.and_then(make).map_err(|error| of(folder, error))?;
    let replaced = std::fs::write(new.join(PACKED), "")
        .and_then(|()| std::fs::remove_dir_all(folder))
        .and_then(|()| std::fs::rename(&new, folder));
    replaced.map_err(|error| of(folder, error))
}

fn of(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::Repository { path: path.to_path_buf(), source: Box::new(error) }
}

/// A folder that was packed lacks the files of older commits. Where somebody else wrote one of them again, the remote does not send
/// it; then all of it is fetched anew.
pub(super) fn mend(folder: &Path, error: &SourceError) {
    let SourceError::NotPushed { source, .. } = error else { return };
    let of_objects = source.downcast_ref::<git2::Error>().is_some_and(|error| {
        use git2::ErrorClass::{Indexer, Object, Odb, Tree};
        error.code() == ErrorCode::NotFound || matches!(error.class(), Indexer | Object | Odb | Tree)
    });
    if of_objects && folder.join(PACKED).exists() {
        forget(folder);
    }
}

fn forget(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::debug!(folder = %folder.display(), %error, "cannot make room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> StatusFile {
        StatusFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn devices_are_fanned_out_and_nothing_else_is() {
        assert_eq!(place("README.md"), "README.md");
        assert_eq!(place("deployments/vision.yaml"), "deployments/vision.yaml");
        let placed = place("devices/press-01.yaml");
        assert_eq!(placed.len(), "devices/ab/press-01.yaml".len());
        assert!(placed.starts_with("devices/") && placed.ends_with("/press-01.yaml"), "{placed}");
    }

    #[test]
    fn what_did_not_change_makes_no_object() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Repository::init_bare(folder.path()).unwrap();
        let mut files: Vec<_> =
            (0..50).map(|n| file(&format!("devices/d{n}.yaml"), &format!("a: {n}\n"))).collect();
        files.push(file("README.md", "# fine\n"));
        let first = tree(&objects, None, &files).unwrap();
        let count = || {
            let mut count = 0;
            objects
                .odb()
                .unwrap()
                .foreach(|_| {
                    count += 1;
                    true
                })
                .unwrap();
            count
        };
        let before = count();
        assert_eq!(tree(&objects, Some(first), &files).unwrap(), first);
        assert_eq!(count(), before);
        files[7].text = "a: other\n".into();
        assert_ne!(tree(&objects, Some(first), &files).unwrap(), first);
        // The blob, its folder, `devices` and the root.
        assert_eq!(count(), before + 4);
    }

    #[test]
    fn the_subject_is_the_line_for_tired_people() {
        assert_eq!(subject(&[file("README.md", "# revision 1 in force\n\nmore")]), "revision 1 in force");
        assert_eq!(subject(&[]), "status");
    }
}
