//! Cloud-to-device messages as an operator sends them, and what became of them: JSON in, JSON out.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use base64::Engine as _;
use hemline_hub_core::{
    cloud_to_device::{FeedbackRecord, LockToken, Settlement},
    service::{ServiceError, ServiceReply, ServiceRequest},
    write::Permission,
};
use hemline_model::id::DeviceId;
use hemline_protocol::properties::{Properties, SystemProperties};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{access, error::ApiError, router::ApiState};

/// A message to send. The hub keeps it for an hour unless it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommandDocument {
    /// A text is sent as it is, anything else as JSON; absent is an empty body.
    pub body: Value,
    /// `base64`: the body is a text that stands for bytes. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_form: Option<BodyForm>,
    /// Application properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Made by the hub when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// For the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// For the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// For the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// ISO 8601; at most two days away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    /// `none`, `positive`, `negative` or `full`: what feedback is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<String>,
}

/// How a body is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BodyForm {
    /// Bytes that are no text.
    Base64,
}

/// A message that the hub has stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentRow {
    /// Its place among everything that the hub accepted.
    pub sequence: u64,
    /// What feedback will call it.
    pub message_id: String,
    /// When it is dropped if nobody has taken it.
    pub expiry_time: Timestamp,
}

/// What was in a queue that was emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgedRow {
    /// Whose queue.
    pub device_id: String,
    /// Messages that were in it.
    pub purged: usize,
}

/// Feedback under a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackDocument {
    /// For `DELETE /api/v1/feedback/LOCK`, within a minute; absent when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Oldest first.
    pub records: Vec<FeedbackRow>,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackRow {
    /// When it was decided.
    pub time: Timestamp,
    /// For whom it was.
    pub device_id: String,
    /// Which.
    pub message_id: String,
    /// `Success`, `Expired`, `DeliveryCountExceeded`, `Rejected` or `Purged`.
    pub status: String,
}

/// `POST /api/v1/devices/ID/messages`: ServiceConnect.
pub(crate) async fn send(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(device): Path<String>,
    Json(document): Json<CommandDocument>,
) -> Result<Json<SentRow>, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    let device = device_id(&device)?;
    let (body, properties) = document.read()?;
    let operation =
        ServiceRequest::SendCloudToDevice { device, properties: Box::new(properties), body: body.into() };
    match state.hub.call(operation).await? {
        ServiceReply::Sent { sequence, message_id, expires } => {
            Ok(Json(SentRow { sequence: sequence.0, message_id, expiry_time: expires }))
        }
        _ => Err(ServiceError::Unavailable.into()),
    }
}

/// `DELETE /api/v1/devices/ID/messages`: ServiceConnect. Empties the queue.
pub(crate) async fn purge(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Result<Json<PurgedRow>, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    match state.hub.call(ServiceRequest::PurgeCloudToDevice(device_id(&device)?)).await? {
        ServiceReply::Purged { device, count } => {
            Ok(Json(PurgedRow { device_id: device.to_string(), purged: count }))
        }
        _ => Err(ServiceError::Unavailable.into()),
    }
}

/// `GET /api/v1/feedback`: ServiceConnect. At most 64 records; nobody else gets them for a minute.
pub(crate) async fn feedback(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<FeedbackDocument>, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    match state.hub.call(ServiceRequest::ReceiveFeedback).await? {
        ServiceReply::Feedback(None) => Ok(Json(FeedbackDocument::default())),
        ServiceReply::Feedback(Some(batch)) => Ok(Json(FeedbackDocument {
            lock: Some(batch.lock.to_string()),
            records: batch.records.iter().map(FeedbackRow::new).collect(),
        })),
        _ => Err(ServiceError::Unavailable.into()),
    }
}

/// `DELETE /api/v1/feedback/LOCK`: ServiceConnect. The records are dealt with.
pub(crate) async fn complete(
    state: State<ApiState>,
    headers: HeaderMap,
    lock: Path<String>,
) -> Result<StatusCode, ApiError> {
    settle(state, headers, lock, Settlement::Complete).await
}

/// `POST /api/v1/feedback/LOCK/abandon`: ServiceConnect. The records are there again.
pub(crate) async fn abandon(
    state: State<ApiState>,
    headers: HeaderMap,
    lock: Path<String>,
) -> Result<StatusCode, ApiError> {
    settle(state, headers, lock, Settlement::Abandon).await
}

async fn settle(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(lock): Path<String>,
    settlement: Settlement,
) -> Result<StatusCode, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    let lock: LockToken = lock.parse().map_err(|_| ServiceError::LockLost)?;
    state.hub.call(ServiceRequest::SettleFeedback { lock, settlement }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn device_id(text: &str) -> Result<DeviceId, ServiceError> {
    DeviceId::new(text).map_err(|error| ServiceError::ArgumentInvalid(error.to_string()))
}

impl CommandDocument {
    fn read(self) -> Result<(Vec<u8>, Properties), ServiceError> {
        let invalid = |text: &str| ServiceError::ArgumentInvalid(text.to_owned());
        let body = match (self.body_form, self.body) {
            (None, Value::Null) => Vec::new(),
            (None, Value::String(text)) => text.into_bytes(),
            (None, json) => json.to_string().into_bytes(),
            (Some(BodyForm::Base64), Value::String(text)) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| invalid("body is not base64; leave bodyForm out to send it as it is"))?,
            (Some(BodyForm::Base64), _) => return Err(invalid("a body in base64 is a text")),
        };
        let system = SystemProperties {
            message_id: self.message_id,
            correlation_id: self.correlation_id,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            expiry: self.expiry_time,
            ack: self.ack,
            ..SystemProperties::default()
        };
        let application = self.properties.into_iter().map(|(name, value)| (name, Some(value))).collect();
        Ok((body, Properties { system, application }))
    }
}

impl FeedbackRow {
    fn new(record: &FeedbackRecord) -> Self {
        Self {
            time: record.at,
            device_id: record.device.to_string(),
            message_id: record.message_id.clone(),
            status: record.outcome.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        for (text, expected) in [
            (r"{}", Some(&b""[..])),
            (r#"{"body": "hi"}"#, Some(b"hi")),
            (r#"{"body": {"a": [1]}}"#, Some(br#"{"a":[1]}"#)),
            (r#"{"body": 7}"#, Some(b"7")),
            (r#"{"body": "AP8=", "bodyForm": "base64"}"#, Some(b"\x00\xff")),
            (r#"{"body": "?", "bodyForm": "base64"}"#, None),
            (r#"{"body": {}, "bodyForm": "base64"}"#, None),
        ] {
            let document: CommandDocument = serde_json::from_str(text).unwrap();
            assert_eq!(document.read().ok().map(|(body, _)| body).as_deref(), expected, "{text}");
        }
        assert!(serde_json::from_str::<CommandDocument>(r#"{"boby": "hi"}"#).is_err());
    }
}
