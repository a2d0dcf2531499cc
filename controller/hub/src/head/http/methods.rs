//! `POST /twins/…/methods`: direct methods, of back ends and of modules alike (reference service-api §4.5,
//! device-protocol §4.7).
//!
//! A module names itself in a header. That header decides on whose authority it is called, and how a refusal reads: edgeHub
//! says `{"message": …}` where IoT Hub has documents of its own.

use std::time::Duration;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use hemline_hub_core::{event::Caller, service::ServiceRequest};
use hemline_model::id::ClientId;
use hemline_protocol::{
    error::ErrorCode,
    method::{DEFAULT_RESPONSE_TIMEOUT, MethodRequest},
};

use super::{
    Rest,
    call::{Call, Document, EDGE_MODULE, Target, as_module},
    error::RestError,
    reply,
};

/// No timeout that the core accepts is longer; a larger number must not make this task wait longer.
const LONGEST: u32 = 300;

/// What a request brought, as far as it could be read. Refusals wait until it is known how they have to read.
type Read<T> = Result<T, RestError>;

pub(super) async fn invoke(
    State(rest): State<Rest>,
    headers: HeaderMap,
    call: Read<Call>,
    target: Read<Target>,
    body: Read<Document>,
) -> Response {
    let from_module = headers.contains_key(EDGE_MODULE);
    match answer(&rest, call, target, body).await {
        Ok(response) => response,
        Err(error) if from_module => error.to_module(),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    rest: &Rest,
    call: Read<Call>,
    target: Read<Target>,
    body: Read<Document>,
) -> Result<Response, RestError> {
    let caller = caller(call?)?;
    let Target(client) = target?;
    let request: MethodRequest = body?.read()?;
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
    reply::plain(rest.ask(caller, operation, Duration::from_secs(waits)).await?)
}

/// Who calls: a back end, or the module that the header names, with the same credential.
fn caller(call: Call) -> Result<Caller, RestError> {
    let Some(named) = call.headers.get(EDGE_MODULE) else { return Ok(call.caller) };
    let module = named.to_str().ok().and_then(|text| text.parse::<ClientId>().ok());
    let Some(module) = module.filter(|client| client.module.is_some()) else {
        let text = "the header x-ms-edge-moduleId does not name a module; write DEVICE/MODULE";
        return Err(RestError::new(ErrorCode::ArgumentInvalid, text));
    };
    Ok(as_module(call.caller, module))
}
