//! The credential of one upload: a shared access signature in the query of the blob's URL.
//!
//! The fields are those that storage SDKs keep when they take a URL apart and put it together again; others they drop. The
//! upload is named by `si`, and its own secret signs, so a signature dies with its upload.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{CONTAINER, request::BlobQuery};
use crate::bag;

/// Version of the credential's shape.
const VERSION: &str = "2018-03-28";
/// What devices may do: read and write.
const PERMISSIONS: &str = "rw";
/// The credential is for one blob.
const KIND: &str = "b";

/// What signs the credentials of one upload. Prints as `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobSecret([u8; 32]);

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobPermission {
    /// Look.
    Read,
    /// Put blocks and files.
    Write,
}

/// A credential as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobSas {
    version: String,
    kind: String,
    permissions: String,
    expiry_text: String,
    expiry: Timestamp,
    upload: String,
    signature: Vec<u8>,
}

/// Why there is no credential in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBlobSas {
    /// A field is missing.
    #[error("the credential has no field {0}")]
    Missing(&'static str),
    /// The expiry is no time.
    #[error("the field se of the credential is no time")]
    Expiry,
    /// The signature is no base64.
    #[error("the field sig of the credential is not base64")]
    Signature,
}

// === impl BlobSecret

impl BlobSecret {
    /// Takes random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    fn sign(&self, text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

impl std::fmt::Debug for BlobSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl TryFrom<String> for BlobSecret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD.decode(text).map_err(|_| "the secret is not base64")?;
        bytes.try_into().map(Self).map_err(|_| "the secret has not 32 bytes")
    }
}

impl From<BlobSecret> for String {
    fn from(secret: BlobSecret) -> Self {
        STANDARD.encode(secret.0)
    }
}

// === impl BlobSas

impl BlobSas {
    /// Makes the query, `?` included, that opens one blob until `expiry`. `upload` names the upload, `blob` is the path
    /// below the container.
    #[must_use]
    pub fn sign(secret: &BlobSecret, upload: &str, blob: &str, expiry: Timestamp) -> String {
        let se = expiry.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let signature = secret.sign(&string_to_sign(VERSION, KIND, PERMISSIONS, &se, upload, blob));
        let sig = bag::encode(&STANDARD.encode(signature));
        let se = bag::encode(&se);
        format!("?sv={VERSION}&sr={KIND}&si={}&sig={sig}&se={se}&sp={PERMISSIONS}", bag::encode(upload))
    }

    /// Finds the credential in a query.
    ///
    /// # Errors
    /// When a field is missing or broken.
    pub fn find(query: &BlobQuery) -> Result<Self, BadBlobSas> {
        let field = |name: &'static str| query.value(name).ok_or(BadBlobSas::Missing(name));
        let expiry_text = field("se")?.to_owned();
        Ok(Self {
            version: field("sv")?.to_owned(),
            kind: field("sr")?.to_owned(),
            permissions: field("sp")?.to_owned(),
            expiry: expiry_text.parse().map_err(|_| BadBlobSas::Expiry)?,
            expiry_text,
            upload: field("si")?.to_owned(),
            signature: STANDARD.decode(field("sig")?).map_err(|_| BadBlobSas::Signature)?,
        })
    }

    /// Which upload it says that it belongs to.
    #[must_use]
    pub fn upload(&self) -> &str {
        &self.upload
    }

    /// When it ends. Means something only after `verify`.
    #[must_use]
    pub fn expiry(&self) -> Timestamp {
        self.expiry
    }

    /// Does it allow this? Means something only after `verify`.
    #[must_use]
    pub fn allows(&self, wanted: BlobPermission) -> bool {
        self.permissions.contains(match wanted {
            BlobPermission::Read => 'r',
            BlobPermission::Write => 'w',
        })
    }

    /// Did this secret sign it, for this path below the container? Takes the same time whatever the answer.
    #[must_use]
    pub fn verify(&self, secret: &BlobSecret, blob: &str) -> bool {
        let text = string_to_sign(
            &self.version,
            &self.kind,
            &self.permissions,
            &self.expiry_text,
            &self.upload,
            blob,
        );
        secret.sign(&text).ct_eq(&self.signature).into()
    }
}

impl std::fmt::Debug for BlobSas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobSas")
            .field("upload", &self.upload)
            .field("expiry", &self.expiry)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// One field a line, the path last: no field but the path can hold a line break that was signed.
fn string_to_sign(
    version: &str,
    kind: &str,
    permissions: &str,
    expiry: &str,
    upload: &str,
    blob: &str,
) -> String {
    format!("{permissions}\n{expiry}\n{upload}\n{version}\n{kind}\n/{CONTAINER}/{blob}")
}
