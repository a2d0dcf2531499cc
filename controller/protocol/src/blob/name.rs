//! Names of files as devices choose them. They are never paths of this machine; the rules keep them from looking like
//! others after URLs were written, read and tidied up by clients and proxies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most characters (Azure's bound) and most bytes of a name.
const MOST_CHARACTERS: usize = 1024;
/// Most parts between slashes (Azure's bound).
const MOST_PARTS: usize = 254;

/// A checked name such as `logs/2026/boot.txt`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobName(String);

/// Why a text is no name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBlobName {
    /// Nothing at all.
    #[error("the name of a file is empty")]
    Empty,
    /// Longer than anybody allows.
    #[error("the name of a file has more than {MOST_CHARACTERS} bytes or {MOST_PARTS} parts")]
    TooLong,
    /// An empty part, `.` or `..`: URLs are tidied up on their way, and then name another file.
    #[error("the name of a file has an empty part, or one that is . or ..; write a/b.txt")]
    Part,
    /// A control character or a backslash.
    #[error("the name of a file holds {0:?}; control characters and backslashes are not allowed")]
    Character(char),
}

impl BlobName {
    /// Takes a name.
    ///
    /// # Errors
    /// When it breaks a rule.
    pub fn new(name: impl Into<String>) -> Result<Self, NoBlobName> {
        let name = name.into();
        if name.is_empty() {
            return Err(NoBlobName::Empty);
        }
        if name.len() > MOST_CHARACTERS || name.split('/').count() > MOST_PARTS {
            return Err(NoBlobName::TooLong);
        }
        if let Some(found) = name.chars().find(|c| c.is_control() || *c == '\\') {
            return Err(NoBlobName::Character(found));
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NoBlobName::Part);
        }
        Ok(Self(name))
    }

    /// As it was chosen.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the last slash.
    #[must_use]
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for BlobName {
    type Error = NoBlobName;

    fn try_from(name: String) -> Result<Self, NoBlobName> {
        Self::new(name)
    }
}

impl From<BlobName> for String {
    fn from(name: BlobName) -> Self {
        name.0
    }
}
