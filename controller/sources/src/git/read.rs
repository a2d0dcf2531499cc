//! Single looks into a local repository, for the command line: a revision, a file of one, where two histories part, which
//! commits lead from one to another.

use std::path::Path;

use hemline_model::id::Revision;
use jiff::Timestamp;

use super::{open, tree};
use crate::{Limits, Snapshot, SourceError};

/// Reads one revision of a local repository, for `hem plan --base --head`. `revision` is anything that `git rev-parse`
/// takes; `folder` may also name one file.
///
/// # Errors
/// When the path is in no repository, the revision or folder does not exist, or the limits are exceeded.
pub fn read_revision(repository: &Path, revision: &str, folder: &str) -> Result<Snapshot, SourceError> {
    let objects = open::discover(repository)?;
    let commit = open::resolve(&objects, repository, revision)?;
    tree::snapshot(&objects, commit, folder, Limits::default())
}

/// Reads one file of a revision of a local repository, such as the state on a status branch.
///
/// # Errors
/// When the path is in no repository, or the revision has no such file, or it has more than `bytes_at_most`.
pub fn read_file(
    repository: &Path,
    revision: &str,
    file: &str,
    bytes_at_most: u64,
) -> Result<Vec<u8>, SourceError> {
    let objects = open::discover(repository)?;
    let commit = open::resolve(&objects, repository, revision)?;
    let missing = || SourceError::NoFile { revision: revision.to_owned(), file: file.to_owned() };
    tree::file(&objects, commit, file, bytes_at_most)?.ok_or_else(missing)
}

/// The best common ancestor of two revisions of a local repository, so that commits which landed on the base later do not
/// count as changes.
///
/// # Errors
/// When a revision does not exist or there is no common ancestor.
pub fn merge_base(repository: &Path, a: &str, b: &str) -> Result<Revision, SourceError> {
    let objects = open::discover(repository)?;
    let (one, other) = (open::resolve(&objects, repository, a)?, open::resolve(&objects, repository, b)?);
    match objects.merge_base(one, other) {
        Ok(base) => tree::revision(base),
        Err(_) => {
            let shallow = objects.is_shallow();
            Err(SourceError::NoMergeBase { a: a.to_owned(), b: b.to_owned(), shallow })
        }
    }
}

/// The commits that lead from one revision to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// Each commit with the time at which it was committed; oldest first.
    pub commits: Vec<(Revision, Timestamp)>,
    /// There are more, older than these.
    pub older: bool,
}

/// The commits of `from..to` along first parents: what a branch was at, one after the other, without the inside of what was
/// merged. Of more than `at_most` the newest. None when `to` is `from` or older.
///
/// # Errors
/// When the path is in no repository, or a revision does not exist.
pub fn way(repository: &Path, from: &str, to: &str, at_most: usize) -> Result<Way, SourceError> {
    let objects = open::discover(repository)?;
    let (from, to) = (open::resolve(&objects, repository, from)?, open::resolve(&objects, repository, to)?);
    let failed = |error: git2::Error| SourceError::Repository {
        path: repository.to_path_buf(),
        source: Box::new(error),
    };
    let mut way = Way::default();
    let mut next = Some(to);
    while let Some(at) = next {
        if at == from || objects.graph_descendant_of(from, at).map_err(failed)? {
            break;
        }
        if way.commits.len() == at_most {
            way.older = true;
            break;
        }
        let commit = objects.find_commit(at).map_err(failed)?;
        let time = Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH);
        way.commits.push((tree::revision(at)?, time));
        next = commit.parent_id(0).ok();
    }
    way.commits.reverse();
    Ok(way)
}
