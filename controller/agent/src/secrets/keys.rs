//! The age keys of this device: where they are looked for, and how their files read.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use age::x25519::Identity;

/// For all agents of a machine.
const SHARED: &str = "/etc/hemline/age.key";
/// Below the folder for configuration, where `sops` itself looks.
const OF_SOPS: &str = "sops/age/keys.txt";
/// More than that is no file of keys.
const LARGEST: u64 = 64 * 1024;

/// Where this agent looks: the file that was named; else, all together, `SOPS_AGE_KEY`, the file in `SOPS_AGE_KEY_FILE`,
/// `/etc/hemline/age.key`, and the file of `sops` in the user's folder for configuration.
#[derive(Debug, Clone)]
pub struct AgeKeys {
    named: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody has put one there.
    #[error(
        "this device has no age key: name its file with --age-key-file or HEM_AGE_KEY_FILE, or put it at {SHARED}"
    )]
    None,
    /// A file is there, or should be.
    #[error("the age keys in {} cannot be read; the file has to be there, and the agent's user must be allowed to read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A text that holds no key.
    #[error("{place} holds no age key (AGE-SECRET-KEY-1…); make one with `age-keygen -o FILE`")]
    Empty {
        /// File or variable.
        place: String,
    },
}

impl AgeKeys {
    /// `named`: the only file, where one was given.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        Self { named }
    }

    /// The keys now.
    ///
    /// # Errors
    /// When there is none, or a place that was named has none.
    pub(super) fn read(&self) -> Result<Vec<Identity>, KeyError> {
        if let Some(path) = &self.named {
            return of_file(path);
        }
        let mut found = Vec::new();
        if let Ok(text) = std::env::var("SOPS_AGE_KEY") {
            found.extend(parse(&text, || "SOPS_AGE_KEY".to_owned())?);
        }
        if let Some(path) = std::env::var_os("SOPS_AGE_KEY_FILE") {
            found.extend(of_file(Path::new(&path))?);
        }
        let configuration = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let configuration = configuration.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        let usual = [Some(PathBuf::from(SHARED)), configuration.map(|folder| folder.join(OF_SOPS))];
        for path in usual.into_iter().flatten() {
            match of_file(&path) {
                Ok(keys) => found.extend(keys),
                Err(KeyError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if found.is_empty() { Err(KeyError::None) } else { Ok(found) }
    }
}

fn of_file(path: &Path) -> Result<Vec<Identity>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_path_buf(), source };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    if read.map_err(unreadable)? as u64 > LARGEST {
        let why = format!("it is larger than {LARGEST} bytes");
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    parse(&text, || path.display().to_string())
}

/// One key a line, as `age-keygen` writes them. Lines that are none (comments, keys of plugins) are passed over.
fn parse(text: &str, place: impl Fn() -> String) -> Result<Vec<Identity>, KeyError> {
    let keys: Vec<Identity> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    if keys.is_empty() { Err(KeyError::Empty { place: place() }) } else { Ok(keys) }
}
