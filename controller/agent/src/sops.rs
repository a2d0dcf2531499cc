//! Opens what SOPS encrypted for age keys: the key of the document by X25519, each value by AES-256-GCM, and the proof over
//! all of them. Pure: what comes out is in memory only.
//!
//! The format is that of getsops/sops (`sops.go`, `aes/cipher.go`): every value is bound to its path by the additional data
//! `a:b:c:`, its nonce has 32 bytes, and the proof (MAC) is the SHA-512 of all values in the order of the text, in capital
//! hexadecimal digits, encrypted like a value and bound to `lastmodified`. Not here: where keys are found (`secrets`).

use std::io::Read as _;

use aes_gcm::{
    AesGcm, KeyInit as _,
    aead::{Aead as _, Payload, consts::U32},
    aes::Aes256,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_model::{
    Secret,
    edge::{Encrypted, Form, Sealed, SealedValue},
};
use sha2::{Digest as _, Sha512};

/// What a proof over encrypted values alone begins with: the SHA-256 of `sops`, so that it never equals one over all.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];
const KEY_BYTES: usize = 32;

type Cipher = AesGcm<Aes256, U32>;

/// Why a document stays closed. Nothing of its content is in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SopsError {
    /// No key of this device is among the recipients.
    #[error(
        "none of the {keys} age keys of this device opens it; it is encrypted for {recipients} recipients: add this device's with `sops rotate --add-age`, or give it another key"
    )]
    WrongKey {
        /// Keys that were tried.
        keys: usize,
        /// Recipients of the document.
        recipients: usize,
    },
    /// The key that was inside has another form.
    #[error("the key of the document is damaged; let SOPS write it again with `sops updatekeys`")]
    Key,
    /// A value is not what was encrypted at its place.
    #[error(
        "the value of {path} was changed after it was encrypted; restore it from Git, or encrypt it again"
    )]
    Value {
        /// Names that lead to the value, with dots.
        path: String,
    },
    /// Each value is genuine, but they were not encrypted together.
    #[error(
        "the values were put together after they were encrypted (the MAC does not match), as by a merge; encrypt the document again with `sops edit`"
    )]
    Mac,
    /// The entry is not there.
    #[error("it has no such key; add it with `sops edit`, or name another one")]
    NoEntry,
    /// The value is of no use for a variable.
    #[error("the value is no {what}; write another one with `sops edit`")]
    Form {
        /// What it should be.
        what: &'static str,
    },
}

/// One entry of a document.
///
/// # Errors
/// Why it stays closed.
pub(crate) fn open(
    sealed: &Sealed,
    key: &str,
    identities: &[age::x25519::Identity],
) -> Result<Secret, SopsError> {
    let (wanted, form) = sealed.entry(key).ok_or(SopsError::NoEntry)?;
    let cipher = cipher(sealed, identities)?;
    let mut found = None;
    let mut proof = Sha512::new();
    if sealed.mac_only_encrypted {
        proof.update(ONLY_ENCRYPTED);
    }
    for value in &sealed.values {
        let SealedValue(path, text) = value;
        let open = match Encrypted::parse(text) {
            Some(parts) => {
                let open = decrypt(&cipher, parts, &bound_to(path));
                Some(open.ok_or_else(|| SopsError::Value { path: path.join(".") })?)
            }
            None => None,
        };
        match &open {
            Some(open) => proof.update(open),
            None if sealed.mac_only_encrypted => {}
            None => proof.update(text),
        }
        if std::ptr::eq(value, wanted) {
            // An empty text is not encrypted.
            let open = open.unwrap_or_default();
            // The words of the documents, not those of SOPS.
            let is_truth = Encrypted::parse(text).is_some_and(|parts| parts.kind == "bool");
            found = Some(if is_truth { open.to_ascii_lowercase() } else { open });
        }
    }
    let mac =
        Encrypted::parse(&sealed.mac).and_then(|parts| decrypt(&cipher, parts, sealed.modified.as_bytes()));
    if mac != Some(format!("{:X}", proof.finalize()).into_bytes()) {
        return Err(SopsError::Mac);
    }
    let value = found.ok_or(SopsError::NoEntry)?;
    let value = match form {
        Form::Text => value,
        Form::Base64 => {
            let packed: Vec<u8> = value.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD
                .decode(packed)
                .map_err(|_| SopsError::Form { what: "Base64, as values below data are" })?
        }
    };
    String::from_utf8(value).map(Secret::new).map_err(|_| SopsError::Form { what: "UTF-8 text" })
}

/// The cipher of a document, with the key that one of the identities opens.
fn cipher(sealed: &Sealed, identities: &[age::x25519::Identity]) -> Result<Cipher, SopsError> {
    let known = || identities.iter().map(|identity| identity as &dyn age::Identity);
    for recipient in &sealed.age {
        let armored = age::armor::ArmoredReader::new(recipient.as_bytes());
        let Ok(decryptor) = age::Decryptor::new_buffered(armored) else { continue };
        let Ok(reader) = decryptor.decrypt(known()) else { continue };
        let mut key = Vec::with_capacity(KEY_BYTES + 1);
        reader.take(KEY_BYTES as u64 + 1).read_to_end(&mut key).map_err(|_| SopsError::Key)?;
        return Cipher::new_from_slice(&key).map_err(|_| SopsError::Key);
    }
    Err(SopsError::WrongKey { keys: identities.len(), recipients: sealed.age.len() })
}

/// `a:b:c:`
fn bound_to(path: &[String]) -> Vec<u8> {
    path.iter().flat_map(|step| step.bytes().chain([b':'])).collect()
}

fn decrypt(cipher: &Cipher, parts: Encrypted<'_>, bound_to: &[u8]) -> Option<Vec<u8>> {
    let bytes = |text: &str| STANDARD.decode(text).ok();
    let (mut message, nonce, tag) = (bytes(parts.data)?, bytes(parts.iv)?, bytes(parts.tag)?);
    message.extend(tag);
    let nonce = aes_gcm::Nonce::<U32>::try_from(nonce.as_slice()).ok()?;
    cipher.decrypt(&nonce, Payload { msg: &message, aad: bound_to }).ok()
}

#[cfg(test)]
mod tests;
