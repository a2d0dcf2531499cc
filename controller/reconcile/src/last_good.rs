//! What survives a restart: the revision in force, the one applied last, how far rollouts are, the revisions that devices
//! have in the middle of them, what was found not to be as the documents say, the ways back that were proposed, and since
//! when conditions hold.
//!
//! JSON files, replaced atomically and synced. A damaged or missing file counts as none: the source is asked anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hemline_model::{SourceFile, id::Revision};
use hemline_plan::{drift::DriftLedger, rollout::Ledger};
use hemline_sources::Snapshot;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{brake, report::Statuses, revert::Made, validate::Good};

/// The folder that keeps it.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    folder: PathBuf,
    /// Files that could not be written when it was tried last, and why. One for all clones, because one folder keeps it all.
    lacking: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

pub(crate) const ROLLOUTS: &str = "rollouts.json";
const STATUSES: &str = "statuses.json";
pub(crate) const DRIFT: &str = "drift.json";
const REVERTS: &str = "reverts.json";
/// All files of revisions in between.
pub(crate) const BETWEEN: &str = "between";

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
    let Good { revision, message, files, .. } = LastGood::new(folder.to_owned()).read(Which::InForce)?;
    Some(Snapshot { revision, files, message, notes: Vec::new() })
}

impl LastGood {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, lacking: Arc::default() }
    }

    /// What the next start would not know, and why; `None` when everything could be kept.
    pub(crate) fn what_lacks(&self) -> Option<String> {
        let lacking = self.lacking();
        let files: Vec<String> = lacking.iter().map(|(file, why)| format!("{file}: {why}")).collect();
        (!files.is_empty()).then(|| files.join(", "))
    }

    /// Could this not be kept when it was tried last?
    pub(crate) fn lacks(&self, file: &str) -> bool {
        self.lacking().contains_key(file)
    }

    fn lacking(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether a file could be kept. Trouble of the controller tells of those that could not.
    fn noted(&self, file: &'static str, written: &io::Result<()>) {
        let mut lacking = self.lacking();
        match written {
            Ok(()) => lacking.remove(file),
            Err(error) => lacking.insert(file, error.to_string()),
        };
    }

    /// Reads and judges a kept revision again: the rules may have changed with the program.
    pub(crate) fn read(&self, which: Which) -> Option<Good> {
        self.read_good(which.file())
    }

    fn read_good(&self, name: &str) -> Option<Good> {
        let kept: Kept = self.read_json(name)?;
        let files: Vec<SourceFile> = kept
            .files
            .into_iter()
            .map(|file| SourceFile { path: file.path.into(), bytes: file.text.into_bytes() })
            .collect();
        let fleet = hemline_model::load(&files).fleet?;
        Some(Good::new(kept.revision, kept.message, fleet, files))
    }

    pub(crate) fn write(&self, which: Which, good: &Good) -> io::Result<()> {
        self.write_good(which.file(), good)
    }

    /// The same where the controller works on without it: a restart takes up what is known otherwise.
    pub(crate) fn try_to_write(&self, which: Which, good: &Good) {
        self.noted(which.file(), &self.write(which, good));
    }

    /// A revision between the last complete one and the one in force.
    pub(crate) fn read_between(&self, revision: &Revision) -> Option<Good> {
        self.read_good(&between(revision))
    }

    /// Keeps revisions in between: a new one while none lacks, else all that there are.
    pub(crate) fn write_between<'a>(&self, goods: impl IntoIterator<Item = &'a Good>) -> io::Result<()> {
        let written = goods.into_iter().try_for_each(|good| self.write_good(&between(&good.revision), good));
        self.noted(BETWEEN, &written);
        written
    }

    pub(crate) fn forget_between(&self, revision: &Revision) {
        // What is left is a file that nobody reads.
        drop(fs::remove_file(self.folder.join(between(revision))));
    }

    /// What a kill left behind.
    pub(crate) fn forget_all_between_but(&self, needed: &BTreeSet<Revision>) {
        let needed: BTreeSet<String> = needed.iter().map(between).collect();
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("between-") && !needed.contains(&name) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    pub(crate) fn read_ledger(&self) -> Option<Ledger> {
        self.read_json(ROLLOUTS)
    }

    /// Keeps how far rollouts are. Nothing may be done that this does not say.
    pub(crate) fn write_ledger(&self, ledger: &Ledger) -> io::Result<()> {
        let written = self.try_write_json(ROLLOUTS, ledger);
        self.noted(ROLLOUTS, &written);
        written
    }

    /// The ways back that were proposed.
    pub(crate) fn read_made(&self) -> Option<Vec<Made>> {
        self.read_json(REVERTS)
    }

    pub(crate) fn write_made(&self, made: &[Made]) {
        self.write_json(REVERTS, &made);
    }

    fn write_good(&self, name: &str, good: &Good) -> io::Result<()> {
        let files = good.files.iter().map(|file| KeptFile {
            path: file.path.to_string(),
            // Documents that were read are UTF-8.
            text: String::from_utf8_lossy(&file.bytes).into_owned(),
        });
        let kept =
            Kept { revision: good.revision.clone(), message: good.message.clone(), files: files.collect() };
        self.try_write_json(name, &kept)
    }

    pub(crate) fn read_statuses(&self) -> Statuses {
        self.read_json(STATUSES).unwrap_or_default()
    }

    /// Says whether they are kept.
    pub(crate) fn write_statuses(&self, statuses: &Statuses) -> bool {
        self.write_json(STATUSES, statuses);
        !self.lacks(STATUSES)
    }

    pub(crate) fn read_drift(&self) -> DriftLedger {
        self.read_json(DRIFT).unwrap_or_default()
    }

    pub(crate) fn write_drift(&self, ledger: &DriftLedger) {
        self.write_json(DRIFT, ledger);
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

    fn write_json<T: Serialize>(&self, name: &'static str, value: &T) {
        self.noted(name, &self.try_write_json(name, value));
    }

    fn try_write_json<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::from)?;
        replace(&self.folder.join(name), &bytes)
    }
}

/// The file of a revision; revisions have no character that a file name could not have, but `:`.
fn between(revision: &Revision) -> String {
    format!("between-{}.json", revision.as_str().replace(':', "_"))
}

impl Which {
    pub(crate) fn file(self) -> &'static str {
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
    brake::point("before a file is renamed");
    fs::rename(&temporary, path)?;
    brake::point("after a file was renamed");
    sync_folder(path)
}

/// A new name is on disk when its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::State;

    #[test]
    fn what_cannot_be_kept_is_known_until_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::restore(LastGood::new(folder.path().to_path_buf()), false);
        // No file can take the place of a folder that holds something.
        for file in [DRIFT, ROLLOUTS, STATUSES] {
            fs::create_dir_all(folder.path().join(file).join("x")).unwrap();
        }
        state.kept.write_drift(&state.drift);
        assert!(state.kept.write_ledger(&state.rollouts.ledger).is_err());
        let mut statuses = state.kept.write_statuses(&state.statuses);
        let lacks = |state: &State| [DRIFT, ROLLOUTS, STATUSES].map(|file| state.kept.lacks(file));
        assert_eq!((statuses, lacks(&state)), (false, [true; 3]));
        let told = state.kept.what_lacks().unwrap();
        assert!(told.starts_with("drift.json: ") && told.contains(", rollouts.json: "), "{told}");
        state.keep_again();
        assert_eq!(lacks(&state), [true; 3]);

        for file in [DRIFT, ROLLOUTS, STATUSES] {
            fs::remove_dir_all(folder.path().join(file)).unwrap();
        }
        state.keep_again();
        statuses = state.kept.write_statuses(&state.statuses);
        assert_eq!((statuses, lacks(&state), state.kept.what_lacks()), (true, [false; 3], None));
        assert!([DRIFT, ROLLOUTS, STATUSES].iter().all(|file| folder.path().join(file).is_file()));
    }
}
