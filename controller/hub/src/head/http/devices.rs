//! `/devices/…`: identities of devices and modules (reference service-api §4.1).

use std::time::Duration;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use hemline_hub_core::{event::Caller, service::ServiceRequest};
use hemline_model::id::ClientId;

use super::{
    Rest,
    call::{Call, Document, Target, query_value},
    error::RestError,
    identity::IdentityDocument,
    query, reply,
};

/// Most identities of one list; also what a number out of range means.
const LIST: usize = 1_000;

async fn ask(rest: &Rest, caller: Caller, operation: ServiceRequest) -> Result<Response, RestError> {
    reply::plain(rest.ask(caller, operation, Duration::ZERO).await?)
}

pub(super) async fn list(
    State(rest): State<Rest>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, RestError> {
    let wish = query_value(query.as_deref(), "top").and_then(|top| top.parse().ok());
    let top = wish.filter(|top| (1..=LIST).contains(top)).unwrap_or(LIST);
    ask(&rest, call.caller, ServiceRequest::ListDevices { top }).await
}

pub(super) async fn get_device(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    ask(&rest, call.caller, ServiceRequest::GetDevice(client.device)).await
}

pub(super) async fn put_device(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let settings = body.read::<IdentityDocument>()?.device(&client.device)?;
    ask(
        &rest,
        call.caller,
        ServiceRequest::PutDevice { device: client.device, settings, if_match: call.if_match },
    )
    .await
}

pub(super) async fn delete(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    ask(&rest, call.caller, ServiceRequest::DeleteIdentity { client, if_match: call.if_match }).await
}

pub(super) async fn post(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    match client.device.as_str() {
        "query" => query::run(&rest, call, body).await,
        _ => Err(RestError::no_such_verb()),
    }
}

pub(super) async fn list_modules(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    ask(&rest, call.caller, ServiceRequest::ListModules(client.device)).await
}

pub(super) async fn get_module(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
) -> Result<Response, RestError> {
    ask(&rest, call.caller, ServiceRequest::GetModule(client)).await
}

pub(super) async fn put_module(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let ClientId { device, module } = &client;
    let name = module.as_ref().map_or("", |module| module.as_str());
    let settings = body.read::<IdentityDocument>()?.module(device, name)?;
    ask(&rest, call.caller, ServiceRequest::PutModule { client, settings, if_match: call.if_match }).await
}
