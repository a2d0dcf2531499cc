//! Direct methods as the service side sends and gets them (reference service-api §4.5, device-protocol §6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds that a device has to answer when the caller names none.
pub const DEFAULT_RESPONSE_TIMEOUT: u32 = 30;
/// Longest method name, in characters.
pub const MAX_NAME: usize = 100;

/// Body of `POST /twins/…/methods`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodRequest {
    /// Which method.
    pub method_name: String,
    /// Any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// 5–300 seconds; older clients call it `timeoutInSeconds`.
    #[serde(default, alias = "timeoutInSeconds", skip_serializing_if = "Option::is_none")]
    pub response_timeout_in_seconds: Option<u32>,
    /// 0–300 seconds to wait for the client to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_in_seconds: Option<u32>,
}

/// Body of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodAnswer {
    /// What the client said.
    pub status: i32,
    /// What the client sent, `null` when nothing.
    #[serde(default)]
    pub payload: Value,
}
