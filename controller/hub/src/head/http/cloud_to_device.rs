//! The service side of cloud-to-device messages over HTTPS: send, purge, feedback (reference service-api §4.9).

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hemline_hub_core::{
    cloud_to_device::Settlement,
    service::{ServiceReply, ServiceRequest},
};
use hemline_model::id::DeviceId;
use hemline_protocol::{bag, error::ErrorCode};
use serde_json::{Value, json};

use super::{
    Rest,
    call::{Call, Lock, RawBody, Target},
    error::RestError,
    locks, message_headers, reply,
};

/// `POST /devices/{device}/messages/deviceBound`
pub(super) async fn send(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    RawBody(body): RawBody,
) -> Result<Response, RestError> {
    let mut properties = Box::new(message_headers::read(&call.headers));
    let encoding = call.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if let (None, Some(encoding)) = (&properties.system.content_encoding, encoding) {
        properties.system.content_encoding = Some(encoding.to_owned());
    }
    let send = |device, properties, body| {
        let operation = ServiceRequest::SendCloudToDevice { device, properties, body };
        rest.ask(call.caller.clone(), operation, Duration::ZERO)
    };
    // Some tools encode the id twice (reference service-api §3), and `%` may also be part of an id: as it stands first.
    let decoded = bag::decode(client.device.as_str()).ok().and_then(|id| DeviceId::new(&id).ok());
    let reply = match decoded.filter(|decoded| *decoded != client.device) {
        None => send(client.device, properties, body).await?,
        Some(decoded) => match send(client.device, properties.clone(), body.clone()).await {
            Err(error) if error.is(ErrorCode::DeviceNotFound) => send(decoded, properties, body).await?,
            answer => answer?,
        },
    };
    match reply {
        ServiceReply::Sent { .. } => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(reply::unexpected()),
    }
}

/// `DELETE /devices/{device}/commands`
pub(super) async fn purge(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    let operation = ServiceRequest::PurgeCloudToDevice(client.device);
    match rest.ask(call.caller, operation, Duration::ZERO).await? {
        ServiceReply::Purged { device, count } => Ok(reply::json_body(&json!({
            "totalMessagesPurged": count, "deviceId": device, "moduleId": null,
        }))),
        _ => Err(reply::unexpected()),
    }
}

/// `GET /messages/serviceBound/feedback`: records under a lock, or 204.
pub(super) async fn feedback(State(rest): State<Rest>, call: Call) -> Result<Response, RestError> {
    match rest.ask(call.caller, ServiceRequest::ReceiveFeedback, Duration::ZERO).await? {
        ServiceReply::Feedback(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        ServiceReply::Feedback(Some(batch)) => {
            let records = batch.records.iter().map(|record| record.document());
            Ok(locks::lent(&Value::Array(records.collect()), batch.lock))
        }
        _ => Err(reply::unexpected()),
    }
}

/// `DELETE /messages/serviceBound/feedback/{lock}`
pub(super) async fn complete_feedback(
    state: State<Rest>,
    call: Call,
    lock: Lock,
) -> Result<Response, RestError> {
    locks::settle(state, call, lock, |lock| ServiceRequest::SettleFeedback {
        lock,
        settlement: Settlement::Complete,
    })
    .await
}

/// `POST /messages/serviceBound/feedback/{lock}/abandon`
pub(super) async fn abandon_feedback(
    state: State<Rest>,
    call: Call,
    lock: Lock,
) -> Result<Response, RestError> {
    locks::settle(state, call, lock, |lock| ServiceRequest::SettleFeedback {
        lock,
        settlement: Settlement::Abandon,
    })
    .await
}
