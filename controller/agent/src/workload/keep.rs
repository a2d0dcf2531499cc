//! Keys and certificates on disk: whole files, written beside, synced, renamed. What is private is never readable by others,
//! not even for a moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// 0644
    Public,
    /// 0600
    Private,
}

/// A file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}; check that the agent's folder is there, belongs to its user, and that the disk is not full", path.display())]
pub(super) struct KeepError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The text of a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<String>, KeepError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeepError { what: "read", path: path.into(), source }),
    }
}

/// Replaces a file as a whole. When this returns, it is on the disk.
pub(super) fn write(path: &Path, text: &str, mode: Mode) -> Result<(), KeepError> {
    replace(path, text, mode).map_err(|source| KeepError { what: "write", path: path.into(), source })
}

fn replace(path: &Path, text: &str, mode: Mode) -> io::Result<()> {
    let bits = match mode {
        Mode::Public => 0o644,
        Mode::Private => 0o600,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    // What an interrupted attempt left may have another mode.
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&beside)?;
    // The umask may have taken bits away from a public file.
    file.set_permissions(fs::Permissions::from_mode(bits))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
