//! Is a commit signed by somebody who may? SSH signatures against `allowed_signers`, GPG signatures against public keys.
//!
//! Judged at the time that the commit names, as Git does: a key that expired later does not take back what it signed. Only
//! the commit that is read is judged; who brought its ancestors in is the forge's business.

mod gpg;
mod ssh;

use std::path::{Path, PathBuf};

use crate::SourceError;

/// A file of keys larger than this is a mistake.
const KEYS_AT_MOST: u64 = 16 << 20;
/// Signatures are a few hundred bytes.
const SIGNATURE_AT_MOST: usize = 64 << 10;

/// Who may sign. The files are read at each commit, so that a key is added or taken back without a restart.
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// OpenSSH's `allowed_signers`.
    pub ssh: Option<PathBuf>,
    /// Armored public keys; each file may hold several.
    pub gpg: Vec<PathBuf>,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is not signed")]
    Unsigned,
    #[error("its signature is of a kind that is not read here: neither SSH nor GPG")]
    Unknown,
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
    #[error("it is signed with {0}, which is not among the allowed signers")]
    Stranger(String),
    #[error("its signature by {0} does not fit its content")]
    Forged(String),
    #[error("it is signed with {0}, which was not valid at the time of the commit")]
    Expired(String),
    #[error("it is signed with {0}, which was revoked")]
    Revoked(String),
    #[error("it is signed with {0}, and no signers of that kind are configured")]
    NoSigners(&'static str),
}

impl Signers {
    /// Judges a signature over what a commit says.
    ///
    /// # Errors
    /// The outer one when a file of keys cannot be read, the inner one when the signature does not count.
    pub(crate) fn judge(
        &self,
        signature: Option<&[u8]>,
        signed: &[u8],
        at: jiff::Timestamp,
    ) -> Result<Result<String, Refusal>, SourceError> {
        let Some(signature) = signature else { return Ok(Err(Refusal::Unsigned)) };
        if signature.len() > SIGNATURE_AT_MOST {
            return Ok(Err(Refusal::Unreadable("it is too long".to_owned())));
        }
        let text = String::from_utf8_lossy(signature);
        if text.starts_with("-----BEGIN SSH SIGNATURE-----") {
            let Some(path) = &self.ssh else { return Ok(Err(Refusal::NoSigners("an SSH key"))) };
            return Ok(ssh::judge(&read(path)?, &text, signed, at));
        }
        if text.starts_with("-----BEGIN PGP SIGNATURE-----") {
            if self.gpg.is_empty() {
                return Ok(Err(Refusal::NoSigners("a GPG key")));
            }
            let keys = self.gpg.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
            return Ok(gpg::judge(&keys, &text, signed, at));
        }
        Ok(Err(Refusal::Unknown))
    }
}

fn read(path: &Path) -> Result<String, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_path_buf(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > KEYS_AT_MOST {
        let path = path.display().to_string();
        return Err(SourceError::Limit { what: "bytes in one file", limit: KEYS_AT_MOST, path });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
