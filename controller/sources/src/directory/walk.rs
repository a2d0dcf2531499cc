//! Reading a folder: every document in it, without following symlinks, within limits.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileType},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    Limits, SourceError,
    select::{Entry, Gathering, READ_AT_MOST, selected},
};

/// How a folder looks without reading the documents: path → size and time of last change.
pub(super) type Stamp = BTreeMap<String, (u64, Option<SystemTime>)>;

/// All documents of a folder, or the one document that the path itself names (its relative path is then empty).
pub(super) fn read(root: &Path, limits: Limits) -> Result<Gathering, SourceError> {
    let mut gathering = Gathering::new(limits);
    let kind = fs::metadata(root).map_err(|source| unreadable(root, source))?;
    if kind.is_file() {
        take(root, "", &mut gathering)?;
        return Ok(gathering);
    }
    let mut folders = vec![Folder { path: root.to_path_buf(), relative: String::new(), depth: 0 }];
    while let Some(folder) = folders.pop() {
        gathering.enter(&folder.relative, folder.depth)?;
        for found in list(&folder)? {
            gathering.look(&folder.relative)?;
            let Some(relative) = found.relative else {
                gathering.note(
                    "source-name-skipped",
                    &folder.relative,
                    "a file whose name is not UTF-8 is not read",
                );
                continue;
            };
            if found.kind.is_symlink() {
                if selected(&relative, Entry::File) {
                    gathering.note("source-symlink-skipped", &relative, "symbolic links are not followed");
                }
            } else if found.kind.is_dir() && selected(&relative, Entry::Folder) {
                folders.push(Folder { path: found.path, relative, depth: folder.depth + 1 });
            } else if found.kind.is_file() && selected(&relative, Entry::File) {
                take(&found.path, &relative, &mut gathering)?;
            }
        }
    }
    Ok(gathering)
}

/// The same walk without reading contents.
pub(super) fn stamp(root: &Path, limits: Limits) -> Result<Stamp, SourceError> {
    let mut gathering = Gathering::new(limits);
    let mut stamp = Stamp::new();
    let mut folders = vec![Folder { path: root.to_path_buf(), relative: String::new(), depth: 0 }];
    while let Some(folder) = folders.pop() {
        gathering.enter(&folder.relative, folder.depth)?;
        for found in list(&folder)? {
            gathering.look(&folder.relative)?;
            let Some(relative) = found.relative else { continue };
            if found.kind.is_dir() && selected(&relative, Entry::Folder) {
                folders.push(Folder { path: found.path, relative, depth: folder.depth + 1 });
            } else if found.kind.is_file()
                && selected(&relative, Entry::File)
                && let Ok(metadata) = fs::symlink_metadata(&found.path)
            {
                stamp.insert(relative, (metadata.len(), metadata.modified().ok()));
                if stamp.len() as u64 > limits.files {
                    return Err(SourceError::Limit {
                        what: "documents",
                        limit: limits.files,
                        path: folder.relative,
                    });
                }
            }
        }
    }
    Ok(stamp)
}

struct Folder {
    path: PathBuf,
    relative: String,
    depth: u64,
}

struct Found {
    path: PathBuf,
    /// `None` when the name is not UTF-8.
    relative: Option<String>,
    kind: FileType,
}

fn list(folder: &Folder) -> Result<Vec<Found>, SourceError> {
    let entries = match fs::read_dir(&folder.path) {
        Ok(entries) => entries,
        // Gone between listing its parent and now: as if it had never been there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.depth > 0 => return Ok(Vec::new()),
        Err(source) => return Err(unreadable(&folder.path, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| unreadable(&folder.path, source))?;
        let Ok(kind) = entry.file_type() else { continue };
        let relative = entry.file_name().to_str().map(|name| {
            if folder.relative.is_empty() { name.to_owned() } else { format!("{}/{name}", folder.relative) }
        });
        found.push(Found { path: entry.path(), relative, kind });
    }
    Ok(found)
}

fn take(path: &Path, relative: &str, gathering: &mut Gathering) -> Result<(), SourceError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(READ_AT_MOST).read_to_end(&mut bytes)) {
        Ok(_) => {}
        // Removed between listing and reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(unreadable(path, source)),
    }
    gathering.take(relative, bytes.len() as u64, || Ok(bytes))
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable { path: path.to_path_buf(), source }
}
