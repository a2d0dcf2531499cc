//! The folder of authorities that sign devices: every `*.pem` and `*.crt` in it counts, and what is added or taken away
//! counts within seconds, without a restart.
//!
//! A file that cannot be used keeps the authorities that it held before, so that an editor in the middle of writing does
//! not cut off a fleet; the log says so.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::x509::{DeviceAuthorities, DeviceAuthority};

/// Name of the folder in the data directory.
pub const FOLDER: &str = "device-ca";

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Largest file that is read.
const FILE_BYTES: u64 = 1 << 20;

/// Files that are read; more are left out.
const FILES: usize = 1_000;

/// A folder, and what it held when it was last looked at.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, Held>,
}

#[derive(Debug)]
struct Held {
    stamp: Stamp,
    authorities: Vec<DeviceAuthority>,
}

/// Which file, its size, and when anything about it changed: a file that could not be read may only have got other rights, one that
/// was copied may have an older time of its own, and one that takes another's place may do so within a tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, files: BTreeMap::new() }
    }

    /// Looks again; the authorities when something has changed.
    pub(crate) fn look(&mut self) -> Option<DeviceAuthorities> {
        let found = match listing(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(folder = %self.path.display(), %error, "the authorities of devices cannot be read");
                return None;
            }
        };
        let before = self.files.len();
        self.files.retain(|path, _| found.contains_key(path));
        let mut changed = self.files.len() != before;
        for (path, stamp) in found {
            if self.files.get(&path).is_some_and(|held| held.stamp == stamp) {
                continue;
            }
            changed = true;
            let last = self.files.remove(&path).map(|held| held.authorities).unwrap_or_default();
            let authorities = read(&path, stamp.bytes).unwrap_or_else(|reason| {
                let kept = last.len();
                tracing::warn!(file = %path.display(), reason, kept, "a file of device authorities is not usable");
                last
            });
            self.files.insert(path, Held { stamp, authorities });
        }
        changed.then(|| self.files.values().flat_map(|held| held.authorities.iter().cloned()).collect())
    }
}

fn listing(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)?.take(FILES) {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if !["pem", "crt"].contains(&kind) {
            continue;
        }
        // Through links: a mounted secret is one. What vanished meanwhile is not there.
        if let Ok(about) = fs::metadata(&path)
            && about.is_file()
        {
            let changed = (about.ctime(), about.ctime_nsec());
            found.insert(path, Stamp { inode: about.ino(), bytes: about.len(), changed });
        }
    }
    Ok(found)
}

fn read(path: &Path, bytes: u64) -> Result<Vec<DeviceAuthority>, String> {
    if bytes > FILE_BYTES {
        return Err(format!("it has {bytes} bytes, at most {FILE_BYTES} are read"));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    DeviceAuthority::from_pem(&text).map_err(|error| error.to_string())
}

/// Looks for as long as the hub runs.
pub(crate) async fn watch(
    mut folder: Folder,
    known: watch::Sender<Arc<DeviceAuthorities>>,
    stop: CancellationToken,
) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both are cancel-safe: an interval keeps its schedule, a token has no state.
        tokio::select! {
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        let looked = spawn_blocking(move || {
            let found = folder.look();
            (folder, found)
        });
        let Ok((back, found)) = looked.await else { return };
        folder = back;
        if let Some(found) = found {
            tracing::info!(authorities = found.len(), "the authorities of devices have changed");
            known.send_replace(Arc::new(found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn subjects(found: Option<DeviceAuthorities>) -> Option<usize> {
        found.map(|found| found.len())
    }

    #[test]
    fn what_is_added_changed_broken_and_taken_away() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(FOLDER);
        let mut folder = Folder::new(path.clone());
        assert_eq!(subjects(folder.look()), None, "no folder, no authority, nothing new");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("notes.txt"), "not for here").unwrap();
        assert_eq!(subjects(folder.look()), None);
        fs::write(path.join("a.pem"), authority("a")).unwrap();
        fs::write(path.join("b.crt"), authority("b") + &authority("c")).unwrap();
        assert_eq!(subjects(folder.look()), Some(3));
        assert_eq!(subjects(folder.look()), None, "nothing moved");
        fs::write(path.join("a.pem"), "in the middle of writing").unwrap();
        assert_eq!(subjects(folder.look()), Some(3), "what it held stays");
        fs::write(path.join("a.pem"), authority("a") + &authority("d")).unwrap();
        assert_eq!(subjects(folder.look()), Some(4));
        // Another file of the same size and with the same time in its place, as copying tools make it.
        let (before, same) = (fs::metadata(path.join("a.pem")).unwrap(), path.join("a.new"));
        fs::write(&same, " ".repeat(usize::try_from(before.len()).unwrap() - 1) + "\n").unwrap();
        fs::File::options()
            .write(true)
            .open(&same)
            .unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        fs::rename(&same, path.join("a.pem")).unwrap();
        assert!(folder.look().is_some(), "it was looked at");
        fs::remove_file(path.join("b.crt")).unwrap();
        assert_eq!(subjects(folder.look()), Some(2));
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(subjects(folder.look()), Some(0));
    }
}
