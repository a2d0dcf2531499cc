//! The workload API of an edge device as values (reference edge-runtime §4.3): what a module asks its agent.
//!
//! Paths and versions stand in `workload/call.rs`, bodies here. Keys and plain texts print as `***`.

mod call;

use hemline_model::secret::{Secret, exposed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use call::{CallError, ModuleCall, OLDEST_VERSION, WorkloadCall};

/// Body of `POST /modules/{m}/genid/{g}/sign`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignRequest {
    /// `primary`; ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// `HMACSHA256`; ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algo: Option<String>,
    /// Base64 of what is to be signed.
    pub data: String,
}

/// Answer to `SignRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignResponse {
    /// Base64 of the HMAC-SHA256.
    pub digest: String,
}

/// Body of `POST /modules/{m}/genid/{g}/encrypt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptRequest {
    /// Base64 of what is to be kept secret.
    #[serde(with = "exposed")]
    pub plaintext: Secret,
    /// Base64 of what has to be shown again to open it; at least one byte.
    pub initialization_vector: String,
}

/// Answer to `EncryptRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptResponse {
    /// Base64.
    pub ciphertext: String,
}

/// Body of `POST /modules/{m}/genid/{g}/decrypt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecryptRequest {
    /// As `EncryptResponse` had it.
    pub ciphertext: String,
    /// As `EncryptRequest` had it.
    pub initialization_vector: String,
}

/// Answer to `DecryptRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecryptResponse {
    /// Base64.
    #[serde(with = "exposed")]
    pub plaintext: Secret,
}

/// Body of `POST /modules/{m}/genid/{g}/certificate/server`. Callers also name an `expiration`, which nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCertificateRequest {
    /// Host name or address that the module is dialled by.
    pub common_name: String,
}

/// A certificate with its key, made for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateResponse {
    /// Its key.
    pub private_key: PrivateKey,
    /// PEM: the certificate, then who signed it.
    pub certificate: String,
    /// Until when the certificate counts.
    pub expiration: Timestamp,
}

/// The key of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PrivateKey {
    /// The key itself.
    Key {
        /// PEM (PKCS #8).
        #[serde(with = "exposed")]
        bytes: Secret,
    },
    /// A key that stays where it is. Never given out here.
    Ref {
        /// Where.
        #[serde(rename = "ref")]
        place: String,
    },
}

/// Answer to `GET /trust-bundle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustBundle {
    /// PEM, as it is: never base64-wrapped.
    pub certificate: String,
}

/// Every error of the workload and management APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadError {
    /// For people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_as_sdks_write_and_read_them() {
        let wish: EncryptRequest =
            serde_json::from_value(json!({"plaintext": "cA==", "initializationVector": "aQ==", "more": 1}))
                .unwrap();
        assert_eq!(wish.plaintext.expose(), "cA==");
        let wish: ServerCertificateRequest =
            serde_json::from_value(json!({"commonName": "gw", "expiration": "never mind"})).unwrap();
        assert_eq!(wish.common_name, "gw");
        let made = CertificateResponse {
            private_key: PrivateKey::Key { bytes: Secret::new("PEM of a key") },
            certificate: "PEM".to_owned(),
            expiration: Timestamp::from_second(1_700_000_000).unwrap(),
        };
        assert_eq!(
            serde_json::to_value(&made).unwrap(),
            json!({
                "privateKey": {"type": "key", "bytes": "PEM of a key"}, "certificate": "PEM",
                "expiration": "2023-11-14T22:13:20Z",
            })
        );
        let kept: PrivateKey = serde_json::from_value(json!({"type": "ref", "ref": "slot 7"})).unwrap();
        assert_eq!(kept, PrivateKey::Ref { place: "slot 7".to_owned() });
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = PrivateKey::Key { bytes: Secret::new("hush") };
        let response = CertificateResponse {
            private_key: key,
            certificate: String::new(),
            expiration: Timestamp::UNIX_EPOCH,
        };
        let wish = EncryptRequest { plaintext: Secret::new("hush"), initialization_vector: String::new() };
        let opened = DecryptResponse { plaintext: Secret::new("hush") };
        let printed = format!("{response:?} {wish:?} {opened:?}");
        assert!(!printed.contains("hush") && printed.matches("***").count() == 3, "{printed}");
    }
}
