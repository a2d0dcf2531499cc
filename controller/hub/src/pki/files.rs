//! Small files that must be whole: written beside, synced, renamed. Private ones are never readable by others, not even
//! for a moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::PkiError;

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// 0644
    Public,
    /// 0600
    Private,
}

/// The text of a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { what: "read", path: path.into(), source }),
    }
}

/// Replaces a file as a whole.
pub(super) fn write(path: &Path, text: &str, mode: Mode) -> Result<(), PkiError> {
    replace(path, text, mode).map_err(|source| PkiError::File { what: "write", path: path.into(), source })
}

fn replace(path: &Path, text: &str, mode: Mode) -> io::Result<()> {
    let bits = match mode {
        Mode::Public => 0o644,
        Mode::Private => 0o600,
    };
    let beside = path.with_extension("new");
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
