//! Shared access signatures (reference device-protocol §3.1, service-api §2.2).
//!
//! The signature covers the literal `sr` text of the token, because encoders differ; only then is `sr` decoded to see
//! what the token is for. Not here: who owns which key (`hub-core/authenticate.rs`).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::bag;

/// The word a token starts with.
pub const SCHEME: &str = "SharedAccessSignature";

/// Longest token that is looked at.
const MAX_TOKEN: usize = 4096;

/// A symmetric key. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SymmetricKey(Vec<u8>);

/// Why a text is no token or no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SasError {
    /// The text does not have the form of a token.
    #[error("token is not of the form SharedAccessSignature sr=…&sig=…&se=…[&skn=…]")]
    Shape,
    /// A required field is missing.
    #[error("token has no {0} field")]
    Missing(&'static str),
    /// The expiry is no number of seconds.
    #[error("token field se is not a number of seconds since 1970")]
    Expiry,
    /// The signature is no base64.
    #[error("token field sig is not base64")]
    Signature,
    /// The key is no base64.
    #[error("key is not base64")]
    Key,
    /// The key is too short or too long.
    #[error("key has {0} bytes, 16 to 64 are allowed")]
    KeyLength(usize),
}

/// A token in parts. Holds no key; the signature prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    literal_resource: String,
    literal_expiry: String,
    signature: Vec<u8>,
    resource: Resource,
    expiry: Timestamp,
    policy: Option<String>,
}

/// What a token is for: a host, and a path that is a prefix of what it gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    host: String,
    path: Vec<String>,
}

// === impl SymmetricKey

impl SymmetricKey {
    /// Reads a key as connection strings carry it.
    ///
    /// # Errors
    /// When it is no base64 or not 16 to 64 bytes long.
    pub fn from_base64(text: &str) -> Result<Self, SasError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SasError::Key)?;
        Self::from_bytes(bytes)
    }

    /// Takes the bytes of a key.
    ///
    /// # Errors
    /// When there are fewer than 16 or more than 64.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SasError> {
        match bytes.len() {
            16..=64 => Ok(Self(bytes)),
            length => Err(SasError::KeyLength(length)),
        }
    }

    /// The key as text. Every call is a place to review.
    #[must_use]
    pub fn expose_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// HMAC-SHA256 over some bytes.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        hmac(&self.0, data)
    }
}

impl std::fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The keyed hash behind tokens and the workload API's `sign`.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

// === impl SasToken

impl SasToken {
    /// Reads a token. Fields may come in any order and any case; of equal fields the first counts.
    ///
    /// # Errors
    /// When a field is missing or broken.
    pub fn parse(text: &str) -> Result<Self, SasError> {
        if text.len() > MAX_TOKEN {
            return Err(SasError::Shape);
        }
        let mut words = text.split_whitespace();
        let (Some(SCHEME), Some(fields), None) = (words.next(), words.next(), words.next()) else {
            return Err(SasError::Shape);
        };
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for (name, value) in fields.split('&').filter_map(|pair| pair.split_once('=')) {
            let slot = match name.to_ascii_lowercase().as_str() {
                "sr" => &mut sr,
                "sig" => &mut sig,
                "se" => &mut se,
                "skn" => &mut skn,
                _ => continue,
            };
            *slot = slot.or(Some(value));
        }
        let literal_resource = sr.ok_or(SasError::Missing("sr"))?;
        let literal_expiry = se.ok_or(SasError::Missing("se"))?;
        let signature = bag::decode(sig.ok_or(SasError::Missing("sig"))?).map_err(|_| SasError::Signature)?;
        let policy = match skn.filter(|skn| !skn.is_empty()) {
            None => None,
            Some(skn) => Some(bag::decode(skn).map_err(|_| SasError::Shape)?),
        };
        let seconds: i64 = literal_expiry.parse().map_err(|_| SasError::Expiry)?;
        // Somebody's "never" is further away than a timestamp reaches.
        let expiry = Timestamp::from_second(seconds).unwrap_or(if seconds > 0 {
            Timestamp::MAX
        } else {
            Timestamp::MIN
        });
        Ok(Self {
            literal_resource: literal_resource.to_owned(),
            literal_expiry: literal_expiry.to_owned(),
            signature: STANDARD.decode(signature).map_err(|_| SasError::Signature)?,
            resource: Resource::parse(literal_resource).ok_or(SasError::Missing("sr"))?,
            expiry,
            policy,
        })
    }

    /// Did this key make the signature? Takes the same time whatever the answer.
    #[must_use]
    pub fn verify(&self, key: &SymmetricKey) -> bool {
        let expected = key.sign(string_to_sign(&self.literal_resource, &self.literal_expiry).as_bytes());
        expected.ct_eq(&self.signature).into()
    }

    /// What it is for.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// When it ends.
    #[must_use]
    pub fn expiry(&self) -> Timestamp {
        self.expiry
    }

    /// The policy whose key signed it; absent when an identity's own key did.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Makes a token. `resource` is plain text such as `hub.local/devices/d`.
    #[must_use]
    pub fn sign(key: &SymmetricKey, resource: &str, expiry: Timestamp, policy: Option<&str>) -> String {
        let (sr, se) = (bag::encode(resource), expiry.as_second().to_string());
        let digest = STANDARD.encode(key.sign(string_to_sign(&sr, &se).as_bytes()));
        Self::assemble(&sr, &digest, &se, policy)
    }

    /// Puts a token together from an encoded resource and a digest that somebody else made (the workload API).
    #[must_use]
    pub fn assemble(
        encoded_resource: &str,
        digest_base64: &str,
        expiry: &str,
        policy: Option<&str>,
    ) -> String {
        let sig = bag::encode(digest_base64);
        let skn = policy.map(|policy| format!("&skn={}", bag::encode(policy))).unwrap_or_default();
        format!("{SCHEME} sr={encoded_resource}&sig={sig}&se={expiry}{skn}")
    }
}

impl std::fmt::Debug for SasToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SasToken")
            .field("resource", &self.resource)
            .field("expiry", &self.expiry)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The text that is signed: the resource as it stands in the token, a line break, the expiry.
#[must_use]
pub fn string_to_sign(encoded_resource: &str, expiry: &str) -> String {
    format!("{encoded_resource}\n{expiry}")
}

// === impl Resource

impl Resource {
    /// Reads `sr` as it stands in a token: decoded once, scheme and port removed, a trailing `api-version=` ignored.
    fn parse(literal: &str) -> Option<Self> {
        let decoded = bag::decode(literal).ok()?;
        let bare = decoded.split_once("://").map_or(decoded.as_str(), |(_, rest)| rest);
        let mut segments = bare.split('/').filter(|segment| !segment.is_empty());
        let authority = segments.next()?;
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        let mut path: Vec<String> = segments.map(str::to_owned).collect();
        if path.last().is_some_and(|last| last.starts_with("api-version=")) {
            path.pop();
        }
        (!host.is_empty()).then(|| Self { host: host.to_ascii_lowercase(), path })
    }

    /// The host in lower case, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in segments. Empty: the whole hub.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Is `path` at or below this resource? Whole segments, ids with case.
    #[must_use]
    pub fn covers(&self, path: &[&str]) -> bool {
        self.path.len() <= path.len() && self.path.iter().zip(path).all(|(ours, theirs)| ours == theirs)
    }

    /// Is the host one of these names?
    #[must_use]
    pub fn host_is_one_of(&self, names: &[String]) -> bool {
        names.iter().any(|name| name.eq_ignore_ascii_case(&self.host))
    }
}
