//! `/twins/…`: twins as the service sees them (reference service-api §4.3).

use std::time::Duration;

use axum::{extract::State, response::Response};
use hemline_hub_core::{event::Caller, service::ServiceRequest};
use hemline_protocol::error::ErrorCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Rest,
    call::{Call, Document, Target},
    error::RestError,
    reply,
};

/// Java sends PATCH as POST with this header (reference service-api §3).
const OVERRIDE: &str = "x-http-method-override";

/// The members that count. The CLI sends the whole twin it has just read; the rest is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TwinDocument {
    tags: Option<Map<String, Value>>,
    properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Properties {
    desired: Option<Map<String, Value>>,
}

/// What a caller wants to write. Absent members were not named.
struct Written {
    tags: Option<Map<String, Value>>,
    desired: Option<Map<String, Value>>,
}

impl TwinDocument {
    fn read(body: Document) -> Result<Written, RestError> {
        if !body.0.is_object() {
            let text = "the body is not a twin: send a JSON object with tags or properties.desired";
            return Err(RestError::new(ErrorCode::ArgumentInvalid, text));
        }
        let document: Self = body.read()?;
        let mut desired = document.properties.unwrap_or_default().desired;
        if let Some(desired) = &mut desired {
            // Part of every twin that was read, never part of what is written.
            desired.remove("$metadata");
            desired.remove("$version");
        }
        Ok(Written { tags: document.tags, desired })
    }
}

async fn ask(rest: &Rest, caller: Caller, operation: ServiceRequest) -> Result<Response, RestError> {
    reply::plain(rest.ask(caller, operation, Duration::ZERO).await?)
}

pub(super) async fn get(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    ask(&rest, call.caller, ServiceRequest::GetTwin(client)).await
}

pub(super) async fn patch(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let Written { tags, desired } = TwinDocument::read(body)?;
    let operation = ServiceRequest::PatchTwin { client, tags, desired, if_match: call.if_match };
    ask(&rest, call.caller, operation).await
}

pub(super) async fn put(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let written = TwinDocument::read(body)?;
    let (tags, desired) = (written.tags.unwrap_or_default(), written.desired.unwrap_or_default());
    let operation = ServiceRequest::ReplaceTwin { client, tags, desired, if_match: call.if_match };
    ask(&rest, call.caller, operation).await
}

pub(super) async fn overridden(
    state: State<Rest>,
    call: Call,
    target: Target,
    body: Document,
) -> Result<Response, RestError> {
    let verb = call.headers.get(OVERRIDE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if verb.eq_ignore_ascii_case("PATCH") {
        patch(state, call, target, body).await
    } else if verb.eq_ignore_ascii_case("PUT") {
        put(state, call, target, body).await
    } else {
        Err(RestError::no_such_verb())
    }
}
