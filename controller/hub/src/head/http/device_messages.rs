//! What devices and modules send and receive over HTTPS (reference device-protocol §8.1–§8.3).

use std::time::Duration;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hemline_hub_core::{
    cloud_to_device::{LockToken, Received, Settlement},
    service::{ServiceError, ServiceReply, ServiceRequest},
};
use hemline_protocol::{error::ErrorCode, etag, properties::Properties, time};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Rest,
    call::{Call, Lock, RawBody, Target},
    error::RestError,
    message_headers, reply,
};

/// Content type of a body that holds several messages.
const BATCH: &str = "application/vnd.microsoft.iothub.json";

/// Most messages of one batch; their size is bounded by the core.
const BATCH_MESSAGES: usize = 1_000;

/// `POST …/messages/events`: one message, or a batch.
pub(super) async fn send(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    RawBody(body): RawBody,
) -> Result<Response, RestError> {
    let messages = if is_batch(&call.headers) {
        batch(&body, rest.message_bytes)?
    } else {
        vec![(message_headers::read(&call.headers), body)]
    };
    let operation = ServiceRequest::SendTelemetry { client, messages };
    reply::plain(rest.ask(call.caller, operation, Duration::ZERO).await?)
}

/// `GET …/messages/devicebound`: the next message under a lock, or 204.
pub(super) async fn receive(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    let operation = ServiceRequest::ReceiveCloudToDevice(client);
    match rest.ask(call.caller, operation, Duration::ZERO).await? {
        ServiceReply::CloudToDevice(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        ServiceReply::CloudToDevice(Some(received)) => Ok(delivery(&received)),
        _ => Err(reply::unexpected()),
    }
}

/// `DELETE …/messages/devicebound/{lock}`: complete, or with `reject` refuse.
pub(super) async fn complete(
    state: State<Rest>,
    call: Call,
    target: Target,
    lock: Lock,
    RawQuery(query): RawQuery,
) -> Result<Response, RestError> {
    let settlement = if asks_reject(query.as_deref()) { Settlement::Reject } else { Settlement::Complete };
    settle(state, call, target, lock, settlement).await
}

/// `POST …/messages/devicebound/{lock}/abandon`
pub(super) async fn abandon(
    state: State<Rest>,
    call: Call,
    target: Target,
    lock: Lock,
) -> Result<Response, RestError> {
    settle(state, call, target, lock, Settlement::Abandon).await
}

async fn settle(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    Lock(lock): Lock,
    settlement: Settlement,
) -> Result<Response, RestError> {
    // A text that this hub never gave out is a lock that is lost.
    let lock: LockToken = lock.parse().map_err(|_| ServiceError::LockLost)?;
    let operation = ServiceRequest::SettleCloudToDevice { client, lock, settlement };
    reply::plain(rest.ask(call.caller, operation, Duration::ZERO).await?)
}

/// Node and C write a bare `reject`, Java `reject=true`.
fn asks_reject(query: Option<&str>) -> bool {
    let mut pairs =
        query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.any(|(name, value)| name.eq_ignore_ascii_case("reject") && !value.eq_ignore_ascii_case("false"))
}

fn delivery(received: &Received) -> Response {
    let Received { message, deliveries, lock } = received;
    let mut response = Response::new(Body::from(message.body.clone()));
    let headers = response.headers_mut();
    message_headers::write(headers, &message.properties);
    for (name, value) in [
        ("etag", etag::quoted(&lock.to_string())),
        ("iothub-to", format!("/devices/{}/messages/devicebound", message.device)),
        ("iothub-enqueuedtime", time::iso(message.enqueued)),
        ("iothub-deliverycount", deliveries.to_string()),
        ("iothub-sequencenumber", message.sequence.0.to_string()),
    ] {
        message_headers::put(headers, name, &value);
    }
    response
}

fn is_batch(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(BATCH)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchedMessage {
    #[serde(default)]
    body: String,
    /// `false` means that `body` is text.
    #[serde(default = "yes", rename = "base64Encoded")]
    is_base64: bool,
    #[serde(default)]
    properties: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// The messages of a batch.
pub(crate) fn batch(body: &[u8], limit: usize) -> Result<Vec<(Properties, Bytes)>, RestError> {
    let invalid = |text: String| RestError::new(ErrorCode::ArgumentInvalid, text);
    let batched: Vec<BatchedMessage> = serde_json::from_slice(body).map_err(|error| {
        RestError::new(ErrorCode::IotHubFormatError, format!("the body is no batch of messages: {error}"))
    })?;
    if batched.is_empty() || batched.len() > BATCH_MESSAGES {
        return Err(invalid(format!("a batch has 1 to {BATCH_MESSAGES} messages, not {}", batched.len())));
    }
    let mut messages = Vec::with_capacity(batched.len());
    let mut bytes = 0;
    for BatchedMessage { body, is_base64, properties } in batched {
        let body = if is_base64 {
            STANDARD.decode(&body).map_err(|error| invalid(format!("a body is not base64: {error}")))?
        } else {
            body.into_bytes()
        };
        bytes += body.len();
        if bytes > limit {
            return Err(ServiceError::MessageTooLarge(limit).into());
        }
        let text = |value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let properties = properties.into_iter().map(|(name, value)| (name, text(value)));
        messages.push((message_headers::read_all(properties), body.into()));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches() {
        let told: Vec<String> = [
            r#"[{"body":"aGk=","properties":{"iothub-app-k":"v","iothub-messageid":"1","other":"x","iothub-app-n":7}}]"#,
            r#"[{"body":"aGk=","base64Encoded":true},{"body":"hi","base64Encoded":false},{}]"#,
            r#"[{"body":"???"}]"#,
            "[]",
            r#"{"body":"aGk="}"#,
            r#"[{"body":"aGVsbG8gd29ybGQ="}]"#,
        ]
        .into_iter()
        .map(|text| match batch(text.as_bytes(), 10) {
            Ok(messages) => messages
                .iter()
                .map(|(properties, body)| {
                    let system = serde_json::to_string(&properties.system).unwrap();
                    format!("{system} {:?} {body:?}", properties.application)
                })
                .collect::<Vec<_>>()
                .join(" | "),
            Err(error) => format!("{error:?}"),
        })
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn rejecting() {
        for (query, expected) in [
            (None, false),
            (Some("api-version=2020-09-30"), false),
            (Some("api-version=2020-09-30&reject"), true),
            (Some("reject=true&api-version=2020-09-30"), true),
            (Some("reject=false"), false),
            (Some("rejected"), false),
        ] {
            assert_eq!(asks_reject(query), expected, "{query:?}");
        }
    }
}
