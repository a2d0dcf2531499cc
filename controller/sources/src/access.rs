//! How a remote repository is entered: credentials, and what makes its server believable.
//!
//! Not here: who uses them (`bridge/`). Secrets print as `***` and are read at the moment of use, so that a rotated token
//! needs no restart.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_model::secret::Secret;

use crate::SourceError;

/// A secret file larger than this is not a token.
const SECRET_AT_MOST: u64 = 64 << 10;
/// GitHub wants this name for installation tokens; the other forges take any name beside a token.
const TOKEN_USER: &str = "x-access-token";

/// Credentials, and what makes the server believable.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// What is shown to the server.
    pub credentials: Credentials,
    /// PEM file of the only authorities that a server's certificate may come from; without it those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Keys of SSH servers, as OpenSSH writes them. A server that is not in it is refused.
    pub known_hosts: Option<PathBuf>,
}

/// What is shown to a server.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A token, sent as the password of HTTP Basic: every forge takes it so.
    Token(SecretText),
    /// User and password, as deploy tokens have them.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: SecretText,
    },
    /// A private key for SSH.
    SshKey {
        /// OpenSSH or PEM file.
        file: PathBuf,
        /// For an encrypted one.
        passphrase: Option<SecretText>,
    },
}

/// Where the text of a secret comes from.
#[derive(Debug, Clone)]
pub enum SecretText {
    /// Here it is.
    Value(Secret),
    /// The first line of a file, read at each use.
    File(PathBuf),
}

impl SecretText {
    /// The text now.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn read(&self) -> Result<Secret, SourceError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => first_line(path),
        }
    }
}

impl Credentials {
    /// The `Authorization` header for HTTP, if there is anything to show.
    pub(crate) fn authorization(&self) -> Result<Option<Secret>, SourceError> {
        let basic = |user: &str, password: &Secret| {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            Some(Secret::new(format!("Basic {pair}")))
        };
        Ok(match self {
            Self::Anonymous | Self::SshKey { .. } => None,
            Self::Token(token) => basic(TOKEN_USER, &token.read()?),
            Self::Basic { user, password } => basic(user, &password.read()?),
        })
    }
}

fn first_line(path: &Path) -> Result<Secret, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > SECRET_AT_MOST {
        return Err(SourceError::Limit {
            what: "bytes in one file",
            limit: SECRET_AT_MOST,
            path: path.display().to_string(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line)),
        None => {
            let empty = std::io::Error::new(std::io::ErrorKind::InvalidData, "the first line is empty");
            Err(unreadable(empty))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_out_as_basic_and_prints_as_stars() {
        let token = Credentials::Token(SecretText::Value(Secret::new("s3cret")));
        assert_eq!(format!("{token:?}"), "Token(Value(***))");
        let header = token.authorization().unwrap().unwrap();
        assert_eq!(header.expose(), format!("Basic {}", STANDARD.encode("x-access-token:s3cret")));
        assert_eq!(Credentials::Anonymous.authorization().unwrap(), None);
    }

    #[test]
    fn a_file_is_read_at_each_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = SecretText::File(file.clone());
        assert!(matches!(token.read(), Err(SourceError::Unreadable { .. })));
        for text in ["one", "two"] {
            std::fs::write(&file, format!("{text}\r\nrest")).unwrap();
            assert_eq!(token.read().unwrap().expose(), text);
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(token.read().is_err());
    }
}
