//! The data directory: one running `hem` per directory, and what other commands find in it.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::error::CommandError;

/// A `hem` that was just killed may need a moment to be gone; a running one is still there after it.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often the lock is tried meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// How other processes find the running hub. Written when it is up, removed when it stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointFile {
    /// Name in connection strings, without a port.
    pub(crate) host_name: String,
    /// Port of MQTT over TLS.
    pub(crate) mqtt: u16,
    /// Port of HTTPS.
    pub(crate) https: u16,
    /// Process id of the hub.
    pub(crate) pid: u32,
}

/// A data directory that this process owns.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    // Held, never read: the lock goes with the process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if needed and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CommandError::File { action, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
        let path = path.canonicalize().map_err(failed("open", path))?;
        let lock_path = path.join("lock");
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_LOOK);
                }
                Err(fs::TryLockError::WouldBlock) => return Err(CommandError::Locked { data_dir: path }),
                Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
            }
        }
    }

    /// Where it is, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells other commands where the hub is and with which key they may talk to it.
    pub(crate) fn announce(&self, endpoint: &EndpointFile, owner: &str) -> Result<(), CommandError> {
        write_private(&self.path.join("owner"), owner)?;
        let text = serde_json::to_string_pretty(endpoint)
            .map_err(|error| CommandError::part("the endpoint file", error))?;
        write_private(&self.path.join("endpoint.json"), &text)
    }

    /// The hub is gone: other commands must not dial it. A missing file is what we want.
    pub(crate) fn withdraw(&self) {
        drop(fs::remove_file(self.path.join("endpoint.json")));
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |source| CommandError::File { action: "write", path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    drop(fs::remove_file(&temporary));
    let mut file =
        fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

/// What another command reads of a data directory: where the hub is, and the owner's connection string.
pub(crate) fn discover(data_dir: &Path) -> Result<(EndpointFile, String), CommandError> {
    let read = |name: &str| {
        let path = data_dir.join(name);
        fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => CommandError::NoHub { data_dir: data_dir.to_owned() },
            _ => CommandError::File { action: "read", path, source },
        })
    };
    let endpoint = serde_json::from_str(&read("endpoint.json")?)
        .map_err(|error| CommandError::part("the endpoint file", error))?;
    Ok((endpoint, read("owner")?))
}
