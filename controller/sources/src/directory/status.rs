//! `status/` beside the documents: whole files, replaced atomically, only when they differ.
//!
//! `.hemline` in it lists what we wrote, so that a file of somebody else is never removed and ours are, after a restart too.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::{SourceError, StatusFile};

const INDEX: &str = ".hemline";
/// Larger files in the status folder were not written by us.
const READ_AT_MOST: u64 = 16 << 20;

pub(super) fn write(folder: &Path, files: &[StatusFile]) -> Result<(), SourceError> {
    let fail = |path: PathBuf| move |source| SourceError::Status { path, source };
    refuse_symlink(folder).map_err(fail(folder.to_path_buf()))?;
    let index = folder.join(INDEX);
    let before: BTreeSet<String> = read(&index).unwrap_or_default().lines().map(str::to_owned).collect();
    let wanted: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    if before.is_empty() && wanted.is_empty() {
        return Ok(());
    }
    // First the index of old and new: a crash in between leaves a file listed that is missing, never one that is forgotten.
    let list = |paths: &BTreeSet<String>| -> String {
        paths.iter().flat_map(|path| [path.as_str(), "\n"]).collect()
    };
    replace(&index, &list(&before.union(&wanted).cloned().collect())).map_err(fail(index.clone()))?;
    for file in files {
        let path = place(folder, &file.path).map_err(fail(folder.join(&file.path)))?;
        replace(&path, &file.text).map_err(fail(path.clone()))?;
    }
    for stale in before.difference(&wanted) {
        // The index may have been edited by hand: only a path that we could have written is removed.
        if let Ok(path) = place(folder, stale) {
            remove(&path).map_err(fail(path.clone()))?;
        }
    }
    replace(&index, &list(&wanted)).map_err(fail(index.clone()))
}

/// The full path of a status file; refuses to leave the folder or to pass through a symlink.
fn place(folder: &Path, relative: &str) -> io::Result<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in relative.split('/') {
        if part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0', ':', '\n']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path inside the status folder"));
        }
        path.push(part);
        refuse_symlink(&path)?;
    }
    Ok(path)
}

fn refuse_symlink(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link is not written through"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file path"));
    };
    fs::create_dir_all(parent)?;
    let temporary = parent.join(format!(".{}.tmp", name.to_string_lossy()));
    // A leftover, or a link that somebody planted, must not be written through.
    if fs::symlink_metadata(&temporary).is_ok() {
        fs::remove_file(&temporary)?;
    }
    let mut file = File::create_new(&temporary)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&temporary, path)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(READ_AT_MOST).read_to_string(&mut text)?;
    Ok(text)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // The folder goes with its last file; a folder that still holds something stays, and that is no failure.
    if let Some(parent) = path.parent() {
        drop(fs::remove_dir(parent));
    }
    Ok(())
}
