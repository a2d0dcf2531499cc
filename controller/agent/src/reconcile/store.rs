//! What the agent keeps in its data folder: the newest and the last good configuration, module identities, restart counts.
//!
//! Files are replaced as a whole and readable by the agent's user only: configuration and identities hold secrets. A file
//! that cannot be read is as good as none, and a file that cannot be written is logged: the fleet goes on without.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use hemline_model::secret::{Secret, exposed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    decide::{Memory, Remembered, shelf::Shelf, trial::Course},
    module::{Identities, Identity, ModuleKey, ModuleKind},
    secrets::Secrets,
    shim::records::write,
    uplink::DesiredDocument,
};

const CONFIG: &str = "config.json";
const DRIFT: &str = "drift.json";
const COURSE: &str = "course.json";
const SHELF: &str = "images.json";
const IDENTITIES: &str = "identities.json";
const MEMORY: &str = "memory.json";

/// The data folder of one agent.
pub struct Store {
    folder: PathBuf,
    age_key_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct SavedConfig {
    version: u64,
    properties: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct SavedCourse {
    course: Course,
    good: Option<SavedConfig>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedIdentity {
    generation_id: String,
    #[serde(with = "exposed")]
    key: Secret,
}

#[derive(Serialize, Deserialize)]
struct SavedMemory {
    kind: ModuleKind,
    name: String,
    #[serde(flatten)]
    remembered: Remembered,
}

impl Store {
    /// Names the folder, which exists.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, age_key_file: None }
    }

    /// Names the file with the age keys of this device.
    #[must_use]
    pub fn with_age_keys(self, file: Option<PathBuf>) -> Self {
        Self { age_key_file: file, ..self }
    }

    /// Where secrets of this device are looked for.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        Secrets::beside(&self.folder, self.age_key_file.clone())
    }

    /// The newest configuration that could be read.
    #[must_use]
    pub fn load_config(&self) -> Option<DesiredDocument> {
        let SavedConfig { version, properties } = self.read(CONFIG)?;
        Some(DesiredDocument { version, properties })
    }

    /// Keeps a configuration that could be read.
    pub fn save_config(&self, document: &DesiredDocument) {
        if self.load_config().as_ref() != Some(document) {
            let saved = SavedConfig { version: document.version, properties: document.properties.clone() };
            self.write(CONFIG, &saved);
        }
    }

    /// What became of the newest configuration, and the last good one.
    #[must_use]
    pub fn load_course(&self) -> (Option<Course>, Option<DesiredDocument>) {
        let Some(SavedCourse { course, good }) = self.read(COURSE) else { return (None, None) };
        let good = good.map(|SavedConfig { version, properties }| DesiredDocument { version, properties });
        (Some(course), good)
    }

    /// Keeps both.
    pub fn save_course(&self, course: &Course, good: Option<&DesiredDocument>) {
        let good = good.map(|DesiredDocument { version, properties }| SavedConfig {
            version: *version,
            properties: properties.clone(),
        });
        self.write(COURSE, &SavedCourse { course: course.clone(), good });
    }

    /// The images that this agent fetched.
    #[must_use]
    pub fn load_shelf(&self) -> Shelf {
        self.read(SHELF).unwrap_or_default()
    }

    /// Keeps them.
    pub fn save_shelf(&self, shelf: &Shelf) {
        self.write(SHELF, shelf);
    }

    /// The last known identities.
    #[must_use]
    pub fn load_identities(&self) -> Identities {
        let saved: BTreeMap<String, SavedIdentity> = self.read(IDENTITIES).unwrap_or_default();
        let identity = |saved: SavedIdentity| Identity { generation_id: saved.generation_id, key: saved.key };
        saved.into_iter().map(|(name, saved)| (name, identity(saved))).collect()
    }

    /// Keeps the identities.
    pub fn save_identities(&self, identities: &Identities) {
        if self.load_identities() != *identities {
            let saved: BTreeMap<&String, SavedIdentity> = identities
                .iter()
                .map(|(name, identity)| {
                    let Identity { generation_id, key } = identity.clone();
                    (name, SavedIdentity { generation_id, key })
                })
                .collect();
            self.write(IDENTITIES, &saved);
        }
    }

    /// Restart counts, held modules, what was made, and the ledger of drift.
    #[must_use]
    pub fn load_memory(&self) -> Memory {
        let saved: Vec<SavedMemory> = self.read(MEMORY).unwrap_or_default();
        let mut memory = Memory::default();
        for SavedMemory { kind, name, remembered } in saved {
            memory.restore(ModuleKey { kind, name }, remembered);
        }
        memory.drift = self.read(DRIFT).unwrap_or_default();
        memory
    }

    /// Keeps them.
    pub fn save_memory(&self, memory: &Memory) {
        let saved: Vec<SavedMemory> = memory
            .iter()
            .map(|(key, remembered)| SavedMemory {
                kind: key.kind,
                name: key.name.clone(),
                remembered: remembered.clone(),
            })
            .collect();
        self.write(MEMORY, &saved);
        self.write(DRIFT, &memory.drift);
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "kept state cannot be read and is passed over");
                return None;
            }
        };
        match serde_json::from_slice(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "kept state is damaged and is passed over");
                None
            }
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) {
        let path = self.folder.join(name);
        if let Err(error) = write(&path, value) {
            tracing::error!(file = %path.display(), %error, "state cannot be kept; a restart offline would not know it");
        }
    }
}

/// When the machine booted, if the system says so.
#[must_use]
pub fn boot_time() -> Option<Timestamp> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(line.trim().parse().ok()?).ok()
}
