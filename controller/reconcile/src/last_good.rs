//! What survives a restart: the revision in force, the one applied last, and since when conditions hold.
//!
//! Three small JSON files, replaced atomically. A damaged or missing file counts as none: the source is asked anyway.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use hemline_model::{SourceFile, id::Revision};
use hemline_sources::Snapshot;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{report::Statuses, validate::Good};

/// The folder that keeps it.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    folder: PathBuf,
}

/// Which of the two revisions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The one that the controller works towards.
    InForce,
    /// The one that the hub was brought to completely.
    Applied,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    revision: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    files: Vec<KeptFile>,
}

#[derive(Serialize, Deserialize)]
struct KeptFile {
    path: String,
    text: String,
}

/// The documents that a controller with this folder works towards; `None` when there are none. For planning against
/// them without a hub.
#[must_use]
pub fn documents_in_force(folder: &Path) -> Option<Snapshot> {
    let Good { revision, message, files, fleet: _ } =
        LastGood::new(folder.to_owned()).read(Which::InForce)?;
    Some(Snapshot { revision, files, message, notes: Vec::new() })
}

impl LastGood {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Reads and judges a kept revision again: the rules may have changed with the program.
    pub(crate) fn read(&self, which: Which) -> Option<Good> {
        let kept: Kept = self.read_json(which.file())?;
        let files: Vec<SourceFile> = kept
            .files
            .into_iter()
            .map(|file| SourceFile { path: file.path.into(), bytes: file.text.into_bytes() })
            .collect();
        let fleet = hemline_model::load(&files).fleet?;
        Some(Good { revision: kept.revision, message: kept.message, fleet, files })
    }

    pub(crate) fn write(&self, which: Which, good: &Good) {
        let files = good.files.iter().map(|file| KeptFile {
            path: file.path.to_string(),
            // Documents that were read are UTF-8.
            text: String::from_utf8_lossy(&file.bytes).into_owned(),
        });
        let kept =
            Kept { revision: good.revision.clone(), message: good.message.clone(), files: files.collect() };
        self.write_json(which.file(), &kept);
    }

    pub(crate) fn read_statuses(&self) -> Statuses {
        self.read_json("statuses.json").unwrap_or_default()
    }

    pub(crate) fn write_statuses(&self, statuses: &Statuses) {
        self.write_json("statuses.json", statuses);
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read what was kept from before");
                return None;
            }
        };
        serde_json::from_slice(&bytes)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "what was kept from before is damaged and not used");
            })
            .ok()
    }

    /// Without it the controller works on; only a restart with broken documents would find nothing.
    fn write_json<T: Serialize>(&self, name: &str, value: &T) {
        let path = self.folder.join(name);
        let written =
            serde_json::to_vec(value).map_err(io::Error::from).and_then(|bytes| replace(&path, &bytes));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot keep this for the next start");
        }
    }
}

impl Which {
    fn file(self) -> &'static str {
        match self {
            Self::InForce => "in-force.json",
            Self::Applied => "applied.json",
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    // Documents may hold values that only their readers should see.
    restrict(&file)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_: &File) -> io::Result<()> {
    Ok(())
}
