//! A revert as a branch: the documents as they were when all was well, on top of what the branch is now.
//!
//! A person merges it; nothing here touches the branch that documents are read from. Proposing the same again changes
//! nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use git2::{ObjectType, Oid, Repository, Signature, Time, Tree};
use hemline_model::id::Revision;
use jiff::Timestamp;

use super::{
    Bounds,
    fetch::{Origin, PACK_AT_MOST, mirror_name},
    look::through,
    push::{Move, Side, Swapped},
    restore::Restoring,
    tree,
};
use crate::{ForgeError, Limits, SourceError, bridge::Carries, forge::Puller, select::READ_AT_MOST};

/// Other writers may be faster so often.
const ATTEMPTS: u32 = 5;

/// What is proposed to be taken back, and why.
#[derive(Debug, Clone)]
pub struct Revert {
    /// The commit to go back to.
    pub good: Revision,
    /// The commit that is bad.
    pub bad: Revision,
    /// What was seen: becomes the message of the commit and the text of the pull request.
    pub evidence: String,
}

/// A proposal that is there.
#[derive(Debug)]
pub struct Proposed {
    /// `hemline/revert-1234567`.
    pub branch: String,
    /// The commit on it.
    pub commit: Revision,
    /// The pull request, where a forge takes one: its address, or why there is none.
    pub pull: Option<Result<String, ForgeError>>,
}

/// Proposes to go back while the source itself is read. Writes as the status branch is written.
#[derive(Debug, Clone)]
pub struct Proposer {
    pub(super) origin: Origin,
    pub(super) folder: String,
    pub(super) mirrors: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) puller: Option<Puller>,
}

impl Proposer {
    /// Pushes a branch with a commit that brings the documents back and leaves everything else, and opens a pull request where a forge is
    /// configured. `None` when the documents are as they were already. Done twice it is done once.
    ///
    /// # Errors
    /// When documents are not read from a branch, or the remote cannot be read or does not take the branch.
    pub async fn propose(&self, revert: &Revert) -> Result<Option<Proposed>, SourceError> {
        let origin = self.origin.clone();
        let blob_bytes = Some(READ_AT_MOST);
        let carries = Carries { bytes: PACK_AT_MOST as u64, blob_bytes };
        let folder = self.mirrors.join(mirror_name(&origin.describe(), "revert"));
        let (inside, wanted, at) = (self.folder.clone(), revert.clone(), self.origin.clone());
        let limits = self.bounds.limits;
        let work = move |address: &str, deadline| {
            let side = Side::of(&origin.place, &folder, address, deadline)?;
            Proposal { side, read_from: origin.reference(), folder: &inside, limits, revert: &wanted }.push()
        };
        let Some(pushed) = through(&at, carries, self.bounds.timeout, "git-revert", work).await? else {
            return Ok(None);
        };
        let title = format!("Go back to {}", revert.good.short());
        let pull = match &self.puller {
            Some(puller) => Some(puller.pull(&pushed.branch, &pushed.base, (&title, &revert.evidence)).await),
            None => None,
        };
        Ok(Some(Proposed { branch: pushed.branch, commit: tree::revision(pushed.commit)?, pull }))
    }
}

struct Proposal<'a> {
    side: Side<'a>,
    read_from: Option<&'a str>,
    folder: &'a str,
    limits: Limits,
    revert: &'a Revert,
}

struct Pushed {
    branch: String,
    base: String,
    commit: Oid,
}

impl Proposal<'_> {
    fn push(&self) -> Result<Option<Pushed>, SourceError> {
        let branch = format!("hemline/revert-{}", self.revert.bad.short());
        for attempt in 0..ATTEMPTS {
            std::thread::sleep(crate::pace::jittered(Duration::from_millis(80) * attempt));
            let (_, default) = self.side.tips(&[])?;
            let named =
                self.read_from.map(|name| name.strip_prefix("refs/heads/").unwrap_or(name).to_owned());
            let base = named.or(default).unwrap_or_default();
            let (tips, _) = self.side.tips(&[&base, &branch])?;
            let (Some(head), there) = (tips.first().copied().flatten(), tips.get(1).copied().flatten())
            else {
                return Err(SourceError::NoReference {
                    url: self.side.describe(),
                    reference: base,
                    names: Vec::new(),
                    hint: "a revert needs a branch; documents of a tag or a commit are changed by naming another".to_owned(),
                });
            };
            if !self.side.bring(&base, head)? {
                continue;
            }
            let good = Oid::from_str(self.revert.good.as_str()).map_err(|error| self.side.failed(error))?;
            if !self.side.bring_commit(good, &base)? {
                return Err(SourceError::NoReference {
                    url: self.side.describe(),
                    reference: good.to_string(),
                    names: Vec::new(),
                    hint: "the last good commit is not there any more; revert by hand".to_owned(),
                });
            }
            let Some((tree, summary)) = self.tree(head, good).map_err(|error| self.side.failed(error))?
            else {
                return Ok(None);
            };
            if let Some(there) = there {
                if !self.side.bring(&branch, there)? {
                    continue;
                }
                let old = self.side.objects().find_commit(there).map_err(|error| self.side.failed(error))?;
                if old.tree_id() == tree && old.parent_ids().eq([head]) {
                    return Ok(Some(Pushed { branch, base, commit: there }));
                }
            }
            let commit = self.commit(tree, head, &summary).map_err(|error| self.side.failed(error))?;
            if self.side.swap(&[Move { branch: branch.clone(), from: there, to: commit }])? == Swapped::Done {
                return Ok(Some(Pushed { branch, base, commit }));
            }
        }
        Err(SourceError::NotPushed {
            url: self.side.describe(),
            source: format!("{ATTEMPTS} times somebody else moved the branch {branch} first").into(),
        })
    }

    /// The tree of the revert and the first line of the bad commit; `None` when there is nothing to take back.
    fn tree(&self, head: Oid, good: Oid) -> Result<Option<(Oid, String)>, git2::Error> {
        let objects = self.side.objects();
        let (head, good) = (objects.find_commit(head)?, objects.find_commit(good)?);
        let parts: Vec<&str> =
            self.folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let (before, wanted) = (head.tree()?, good.tree()?);
        let mut restoring = Restoring::new(objects, self.limits);
        let tree = if parts.is_empty() {
            match restoring.folder(Some(before.id()), Some(wanted.id()))? {
                Some(tree) => tree,
                None => objects.treebuilder(None)?.write()?,
            }
        } else {
            let path = parts.join("/");
            let at = |tree: &Tree<'_>| {
                let entry = tree.get_path(Path::new(&path)).ok();
                entry.map(|entry| (entry.id(), entry.filemode(), entry.kind() == Some(ObjectType::Tree)))
            };
            let (now, then) = (at(&before), at(&wanted));
            let folder = |at: Option<(Oid, i32, bool)>| at.filter(|(.., folder)| *folder).map(|(id, ..)| id);
            let entry = match then {
                // A source may be one file.
                Some((id, mode, false)) => Some((id, mode)),
                Some((.., true)) | None => {
                    restoring.folder(folder(now), folder(then))?.map(|id| (id, 0o040_000))
                }
            };
            if entry == now.map(|(id, mode, _)| (id, mode)) {
                before.id()
            } else {
                replaced(objects, Some(&before), &parts, entry)?
            }
        };
        let bad = Oid::from_str(self.revert.bad.as_str()).and_then(|bad| objects.find_commit(bad)).ok();
        let summary = bad.and_then(|bad| bad.summary().ok().flatten().map(str::to_owned)).unwrap_or_default();
        Ok((tree != before.id()).then_some((tree, summary)))
    }

    fn commit(&self, tree: Oid, parent: Oid, summary: &str) -> Result<Oid, git2::Error> {
        let objects = self.side.objects();
        let Revert { good, bad, evidence } = self.revert;
        let what = if summary.is_empty() { bad.short().to_owned() } else { format!("\"{summary}\"") };
        let place = if self.folder.is_empty() { "All documents" } else { self.folder };
        let message = format!(
            "Revert {what}\n\n{place} as of {}, the last commit that was healthy.\n\n{}\n\nHemline-Reverts: {bad}\n",
            good.short(),
            evidence.trim()
        );
        let who =
            Signature::new("Hemline", "hemline@localhost", &Time::new(Timestamp::now().as_second(), 0))?;
        let parent = objects.find_commit(parent)?;
        objects.commit(None, &who, &who, &message, &objects.find_tree(tree)?, &[&parent])
    }
}

/// A tree with another entry at a path; without an entry the path is taken out.
fn replaced(
    objects: &Repository,
    tree: Option<&Tree<'_>>,
    parts: &[&str],
    entry: Option<(Oid, i32)>,
) -> Result<Oid, git2::Error> {
    let mut builder = objects.treebuilder(tree)?;
    let Some((name, rest)) = parts.split_first() else { return builder.write() };
    let (id, mode) = match (rest.is_empty(), entry) {
        (true, Some(entry)) => entry,
        (true, None) => {
            if builder.get(*name)?.is_some() {
                builder.remove(*name)?;
            }
            return builder.write();
        }
        (false, _) => {
            let inside = tree
                .and_then(|tree| tree.get_name(name))
                .and_then(|entry| objects.find_tree(entry.id()).ok());
            (replaced(objects, inside.as_ref(), rest, entry)?, 0o040_000)
        }
    };
    builder.insert(*name, id, mode)?;
    builder.write()
}
