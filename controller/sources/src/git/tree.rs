//! A commit's folder as a snapshot, read from the object database.

use std::path::Path;

use git2::{ErrorCode, ObjectType, Oid, Repository};
use hemline_model::id::Revision;

use crate::{
    Limits, Snapshot, SourceError,
    select::{Entry, Gathering, selected},
};

/// File mode of a symbolic link in a Git tree.
pub(super) const SYMLINK: i32 = 0o120_000;

pub(super) fn snapshot(
    repository: &Repository,
    commit: Oid,
    folder: &str,
    limits: Limits,
) -> Result<Snapshot, SourceError> {
    let reading = Reading { repository };
    let found = repository.find_commit(commit).map_err(|error| reading.failed(error))?;
    let mut gathering = Gathering::new(limits);
    match reading.start(&found, folder)? {
        Start::Tree(tree) => reading.walk(tree, &mut gathering)?,
        Start::Blob(blob, name) => reading.take(blob, &name, &mut gathering)?,
    }
    gathering.sort();
    Ok(Snapshot {
        revision: revision(commit)?,
        files: gathering.files,
        message: found.summary().ok().flatten().map(str::to_owned),
        notes: gathering.notes,
    })
}

/// One file of a commit, whatever its name is; `None` when there is none.
pub(super) fn file(
    repository: &Repository,
    commit: Oid,
    path: &str,
    bytes_at_most: u64,
) -> Result<Option<Vec<u8>>, SourceError> {
    let reading = Reading { repository };
    let found = repository.find_commit(commit).map_err(|error| reading.failed(error))?;
    let blob = match reading.start(&found, path) {
        Ok(Start::Blob(blob, _)) => blob,
        Ok(Start::Tree(_)) | Err(SourceError::NoFolder { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if reading.size(blob)? > bytes_at_most {
        return Err(SourceError::Limit {
            what: "bytes in one file",
            limit: bytes_at_most,
            path: path.to_owned(),
        });
    }
    reading.content(blob).map(Some)
}

/// A commit id as a revision.
pub(super) fn revision(commit: Oid) -> Result<Revision, SourceError> {
    Revision::new(commit.to_string()).map_err(|_| SourceError::Interrupted)
}

struct Reading<'a> {
    repository: &'a Repository,
}

enum Start {
    Tree(Oid),
    Blob(Oid, String),
}

impl Reading<'_> {
    fn start(&self, commit: &git2::Commit<'_>, folder: &str) -> Result<Start, SourceError> {
        let tree = commit.tree().map_err(|error| self.failed(error))?;
        let folder = folder.trim_start_matches("./").trim_matches('/');
        if folder.is_empty() || folder == "." {
            return Ok(Start::Tree(tree.id()));
        }
        let missing =
            || SourceError::NoFolder { revision: commit.id().to_string(), folder: folder.to_owned() };
        let entry = tree.get_path(Path::new(folder)).map_err(|_| missing())?;
        match entry.kind() {
            Some(ObjectType::Tree) => Ok(Start::Tree(entry.id())),
            Some(ObjectType::Blob) if entry.filemode() != SYMLINK => {
                Ok(Start::Blob(entry.id(), folder.rsplit('/').next().unwrap_or(folder).to_owned()))
            }
            Some(ObjectType::Blob | ObjectType::Commit | ObjectType::Tag | ObjectType::Any) | None => {
                Err(missing())
            }
        }
    }

    fn walk(&self, root: Oid, gathering: &mut Gathering) -> Result<(), SourceError> {
        let mut folders = vec![(root, String::new(), 0)];
        while let Some((id, folder, depth)) = folders.pop() {
            gathering.enter(&folder, depth)?;
            let tree = self.repository.find_tree(id).map_err(|error| self.failed(error))?;
            for entry in &tree {
                gathering.look(&folder)?;
                let Ok(name) = entry.name() else {
                    gathering.note(
                        "source-name-skipped",
                        &folder,
                        "a file whose name is not UTF-8 is not read",
                    );
                    continue;
                };
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                match entry.kind() {
                    Some(ObjectType::Tree) => {
                        if selected(&path, Entry::Folder) {
                            folders.push((entry.id(), path, depth + 1));
                        }
                    }
                    Some(ObjectType::Blob) => {
                        if !selected(&path, Entry::File) {
                        } else if entry.filemode() == SYMLINK {
                            gathering.note(
                                "source-symlink-skipped",
                                &path,
                                "symbolic links are not followed",
                            );
                        } else {
                            self.take(entry.id(), &path, gathering)?;
                        }
                    }
                    Some(ObjectType::Commit) => {
                        if selected(&path, Entry::Folder) {
                            gathering.note("source-submodule-skipped", &path, "submodules are not read");
                        }
                    }
                    Some(ObjectType::Tag | ObjectType::Any) | None => {}
                }
            }
        }
        Ok(())
    }

    /// Looks at the size before the content, so that a huge blob is never in memory.
    fn take(&self, id: Oid, path: &str, gathering: &mut Gathering) -> Result<(), SourceError> {
        gathering.take(path, self.size(id)?, || self.content(id))
    }

    fn size(&self, id: Oid) -> Result<u64, SourceError> {
        let odb = self.repository.odb().map_err(|error| self.failed(error))?;
        match odb.read_header(id) {
            Ok((size, _)) => Ok(size as u64),
            // Of a filtered fetch nothing is missing but what is too large.
            Err(error) if error.code() == ErrorCode::NotFound => Ok(u64::MAX),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn content(&self, id: Oid) -> Result<Vec<u8>, SourceError> {
        let blob = self.repository.find_blob(id).map_err(|error| self.failed(error))?;
        Ok(blob.content().to_vec())
    }

    fn failed(&self, error: git2::Error) -> SourceError {
        SourceError::Repository { path: self.repository.path().to_path_buf(), source: Box::new(error) }
    }
}
