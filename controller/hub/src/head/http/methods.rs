//! `POST /twins/…/methods`: direct methods, of back ends and of modules alike (reference service-api §4.5,
//! device-protocol §4.7).

use std::time::Duration;

use axum::{extract::State, response::Response};
use hemline_hub_core::service::ServiceRequest;
use hemline_protocol::method::{DEFAULT_RESPONSE_TIMEOUT, MethodRequest};

use super::{
    Rest,
    call::{Call, Document, Target},
    error::RestError,
    reply,
};

/// No timeout that the core accepts is longer; a larger number must not make this task wait longer.
const LONGEST: u32 = 300;

pub(super) async fn invoke(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let request: MethodRequest = body.read()?;
    let response_timeout = request.response_timeout_in_seconds.unwrap_or(DEFAULT_RESPONSE_TIMEOUT);
    let connect_timeout = request.connect_timeout_in_seconds.unwrap_or(0);
    let operation = ServiceRequest::InvokeMethod {
        client,
        name: request.method_name,
        payload: request.payload,
        response_timeout,
        connect_timeout,
    };
    let waits = u64::from(response_timeout.min(LONGEST)) + u64::from(connect_timeout.min(LONGEST));
    reply::plain(rest.ask(call.caller, operation, Duration::from_secs(waits)).await?)
}
