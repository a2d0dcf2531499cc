//! What the service side is lent and settles: feedback and notices of files, each under a lock that stands in the ETag.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use hemline_hub_core::{
    cloud_to_device::LockToken,
    service::{ServiceError, ServiceRequest},
};
use hemline_protocol::etag;
use serde_json::Value;

use super::{
    Rest,
    call::{Call, Lock},
    error::RestError,
    reply,
};

/// What is lent, and the lock that settles it.
pub(super) fn lent(document: &Value, lock: LockToken) -> Response {
    let mut response = reply::json_body(document);
    if let Ok(value) = HeaderValue::from_str(&etag::quoted(&lock.to_string())) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// Settles what is under a lock.
pub(super) async fn settle(
    State(rest): State<Rest>,
    call: Call,
    Lock(lock): Lock,
    operation: impl FnOnce(LockToken) -> ServiceRequest,
) -> Result<Response, RestError> {
    let lock = lock.parse().map_err(|_| ServiceError::LockLost)?;
    reply::plain(rest.ask(call.caller, operation(lock), Duration::ZERO).await?)
}
