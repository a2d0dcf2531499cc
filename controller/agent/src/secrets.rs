//! Secrets that only this device knows: opened from encrypted documents with its age keys, or read from the agent's environment
//! or from files, when a module is made.
//!
//! They go into the environment of the module and nowhere else: not into reports, logs, or the hub. What the repository says
//! counts: a value on the device is looked for only where no document has the secret. Not here: which module wants which
//! (`spec.rs`), and the format of the documents (`sops.rs`).

mod keys;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use age::x25519::Identity;
use hemline_model::{
    edge::{AgentModule, SealedSecret, SecretKeyRef},
    secret::{Secret, in_variable},
};

use crate::sops::{self, SopsError};
pub use keys::{AgeKeys, KeyError};

/// For all agents of a machine; a mounted folder does as well.
const SHARED: &str = "/etc/hemline/secrets";

/// More than that is no secret for a variable.
const LARGEST: u64 = 64 * 1024;

/// The values that one module wants.
pub type Values = BTreeMap<SecretKeyRef, Secret>;

/// Where this agent looks.
#[derive(Debug, Clone)]
pub struct Secrets {
    folders: Vec<PathBuf>,
    keys: AgeKeys,
}

/// A secret that cannot be had. The next pass looks again.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nobody has put it there.
    #[error("secret {name}/{key} is not on this device: put it into the file {}, or into {variable} of the agent", path.display())]
    Absent {
        /// Name of the secret.
        name: String,
        /// Key of the entry.
        key: String,
        /// The first place that was looked at.
        path: PathBuf,
        /// The variable that was looked at.
        variable: String,
    },
    /// No age key can be read.
    #[error("secret {name}/{key} is encrypted")]
    Keys {
        /// Name of the secret.
        name: String,
        /// Key of the entry.
        key: String,
        /// The cause.
        source: KeyError,
    },
    /// The document stays closed.
    #[error("secret {name}/{key} cannot be opened")]
    Sealed {
        /// Name of the secret.
        name: String,
        /// Key of the entry.
        key: String,
        /// The cause.
        source: SopsError,
    },
    /// What arrived is no document.
    #[error("secret {name}/{key} arrived damaged ({why}); apply the documents again")]
    Damaged {
        /// Name of the secret.
        name: String,
        /// Key of the entry.
        key: String,
        /// What is wrong with its form.
        why: String,
    },
    /// It is there, and cannot be used.
    #[error("secret {name}/{key} cannot be read from {}; it has to be a text that the agent may read", path.display())]
    Unreadable {
        /// Name of the secret.
        name: String,
        /// Key of the entry.
        key: String,
        /// Where it is.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Secrets {
    /// Looks in this agent's data folder, then in the machine's; `age_key_file` opens encrypted documents.
    #[must_use]
    pub fn beside(data_dir: &Path, age_key_file: Option<PathBuf>) -> Self {
        Self {
            folders: vec![data_dir.join("secrets"), PathBuf::from(SHARED)],
            keys: AgeKeys::new(age_key_file),
        }
    }

    /// Every secret that a module wants.
    ///
    /// # Errors
    /// The first one that cannot be had.
    pub fn of(&self, module: &AgentModule) -> Result<Values, SecretError> {
        let wanted = module.env.values().filter_map(|entry| entry.secret_ref.as_ref());
        let mut identities = None;
        wanted
            .map(|secret| {
                let sealed = module.secrets.iter().find(|sealed| sealed.name == secret.name);
                let value = match sealed {
                    Some(sealed) => self.open(secret, sealed, &mut identities)?,
                    None => self.find(secret)?,
                };
                Ok((secret.clone(), value))
            })
            .collect()
    }

    fn open(
        &self,
        secret: &SecretKeyRef,
        sealed: &SealedSecret,
        identities: &mut Option<Vec<Identity>>,
    ) -> Result<Secret, SecretError> {
        let (name, key) = (secret.name.clone(), secret.key.clone());
        let document = match sealed.open() {
            Ok(document) => document,
            Err(why) => return Err(SecretError::Damaged { name, key, why }),
        };
        // Read anew for each look, so that a new key needs no restart.
        let identities = match identities {
            Some(identities) => identities,
            None => match self.keys.read() {
                Ok(read) => identities.insert(read),
                Err(source) => return Err(SecretError::Keys { name, key, source }),
            },
        };
        sops::open(&document, &secret.key, identities).map_err(|source| SecretError::Sealed {
            name,
            key,
            source,
        })
    }

    fn find(&self, secret: &SecretKeyRef) -> Result<Secret, SecretError> {
        let (name, key) = (&secret.name, &secret.key);
        let variable = variable(secret);
        if let Ok(value) = std::env::var(&variable) {
            return Ok(Secret::new(value));
        }
        for folder in &self.folders {
            let path = folder.join(name).join(key);
            match read(&path) {
                Ok(text) => return Ok(Secret::new(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(SecretError::Unreadable {
                        name: name.clone(),
                        key: key.clone(),
                        path,
                        source,
                    });
                }
            }
        }
        let path = self.folders.first().map(|folder| folder.join(name).join(key)).unwrap_or_default();
        Err(SecretError::Absent { name: name.clone(), key: key.clone(), path, variable })
    }
}

fn variable(secret: &SecretKeyRef) -> String {
    format!("HEM_SECRET_{}_{}", in_variable(&secret.name), in_variable(&secret.key))
}

/// The text of a file without the line end that editors put there.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {LARGEST} bytes")));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables() {
        let secret = |name: &str, key: &str| SecretKeyRef { name: name.to_owned(), key: key.to_owned() };
        assert_eq!(variable(&secret("cam", "token")), "HEM_SECRET_CAM_TOKEN");
        assert_eq!(variable(&secret("my-db.eu", "User_1")), "HEM_SECRET_MY_DB_EU_USER_1");
    }

    #[test]
    fn files_are_read_without_their_line_end_and_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::beside(folder.path(), None);
        let wanted = SecretKeyRef { name: "cam".to_owned(), key: "token".to_owned() };
        let place = folder.path().join("secrets/cam");
        let absent = secrets.find(&wanted).unwrap_err().to_string();
        assert!(absent.contains("secrets/cam/token") && absent.contains("HEM_SECRET_CAM_TOKEN"), "{absent}");
        std::fs::create_dir_all(&place).unwrap();
        for (text, expected) in
            [("a\n", Some("a")), ("a\r\n", Some("a")), ("a\n\n", Some("a\n")), ("", Some(""))]
        {
            std::fs::write(place.join("token"), text).unwrap();
            assert_eq!(secrets.find(&wanted).ok().as_ref().map(Secret::expose), expected, "{text:?}");
        }
        std::fs::write(place.join("token"), vec![b'a'; 65 * 1024]).unwrap();
        assert!(matches!(secrets.find(&wanted), Err(SecretError::Unreadable { .. })));
        std::fs::write(place.join("token"), [0xff, 0xfe]).unwrap();
        assert!(matches!(secrets.find(&wanted), Err(SecretError::Unreadable { .. })));
    }
}
