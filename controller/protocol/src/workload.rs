//! The workload API of an edge device as values (reference edge-runtime §4.3): what a module asks its agent.

use serde::{Deserialize, Serialize};

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
