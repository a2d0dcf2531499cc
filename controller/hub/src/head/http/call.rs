//! What all calls have in common: api-version, credentials, condition, ids in the path, a JSON body.

use std::collections::HashMap;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use hemline_hub_core::{credential::Credential, event::Caller, service::IfMatch};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{error::ErrorCode, etag::Condition};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

use super::{Rest, error::RestError};
use crate::visitor::Visitor;

/// Modules call methods through the hub without naming an api-version, but with this header
/// (reference device-protocol §4.7).
pub(super) const EDGE_MODULE: &str = "x-ms-edge-moduleid";

/// Who asks, and under which condition.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) if_match: IfMatch,
    pub(super) headers: HeaderMap,
}

/// Whom the path names.
#[derive(Debug)]
pub(super) struct Target(pub(super) ClientId);

/// The lock that the path names.
#[derive(Debug)]
pub(super) struct Lock(pub(super) String);

/// A body as it came.
#[derive(Debug)]
pub(super) struct RawBody(pub(super) Bytes);

/// A JSON body. No body at all is `null`.
#[derive(Debug)]
pub(super) struct Document(pub(super) Value);

impl FromRequestParts<Rest> for Call {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &Rest) -> Result<Self, RestError> {
        let named = query_value(parts.uri.query(), "api-version").is_some_and(|version| !version.is_empty());
        if !named && !parts.headers.contains_key(EDGE_MODULE) {
            let text = "api-version is missing; append ?api-version=2021-04-12";
            return Err(RestError::new(ErrorCode::GenericBadRequest, text));
        }
        let caller = caller(&parts.headers, parts.extensions.get::<Visitor>());
        // Without either the core finds no token in the empty text, and counts it like any other refusal.
        let caller = caller.unwrap_or_else(|| Caller::Token(String::new()));
        let condition = parts.headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
        let if_match = match Condition::parse(condition) {
            Condition::Absent => IfMatch::Absent,
            Condition::Any => IfMatch::Any,
            Condition::Etag(etag) => IfMatch::Etag(etag),
        };
        Ok(Self { caller, if_match, headers: parts.headers.clone() })
    }
}

/// Who asks: by its token, else by its certificate. `None` when it shows neither.
pub(crate) fn caller(headers: &HeaderMap, visitor: Option<&Visitor>) -> Option<Caller> {
    match headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        Some(token) => Some(Caller::Token(token.to_owned())),
        None => visitor?.certificate(Timestamp::now()).map(Caller::Certificate),
    }
}

/// The same credential, shown by a module that says who it is.
pub(crate) fn as_module(caller: Caller, module: ClientId) -> Caller {
    match caller {
        Caller::Token(token) => Caller::Module { module, credential: Credential::Token(token) },
        Caller::Certificate(certificate) => {
            Caller::Module { module, credential: Credential::Certificate(certificate) }
        }
        other @ (Caller::Internal | Caller::Module { .. }) => other,
    }
}

/// A value of the query part. Numbers and dates need no decoding.
pub(super) fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

impl FromRequestParts<Rest> for Target {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, RestError> {
        // The extractor percent-decodes each segment, once.
        let Path(named) = Path::<HashMap<String, String>>::from_request_parts(parts, rest)
            .await
            .map_err(|error| RestError::new(ErrorCode::ArgumentInvalid, error.body_text()))?;
        let invalid =
            |error: hemline_model::id::IdError| RestError::new(ErrorCode::ArgumentInvalid, error.to_string());
        let device = named.get("device").map_or("", String::as_str);
        let device = DeviceId::new(device).map_err(invalid)?;
        let module = named.get("module").map(ModuleId::new).transpose().map_err(invalid)?;
        Ok(Self(ClientId { device, module }))
    }
}

impl FromRequestParts<Rest> for Lock {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, RestError> {
        let Path(mut named) = Path::<HashMap<String, String>>::from_request_parts(parts, rest)
            .await
            .map_err(|error| RestError::new(ErrorCode::ArgumentInvalid, error.body_text()))?;
        Ok(Self(named.remove("lock").unwrap_or_default()))
    }
}

impl FromRequest<Rest> for RawBody {
    type Rejection = RestError;

    /// Chunked bodies too: Node sends nothing else.
    async fn from_request(request: Request, rest: &Rest) -> Result<Self, RestError> {
        let limit = rest.limits.body_bytes;
        match timeout(rest.limits.request, to_bytes(request.into_body(), limit)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(_)) => {
                let text = format!("the body is larger than {limit} bytes, or ended early");
                Err(RestError::new(ErrorCode::MessageTooLarge, text))
            }
            Err(_) => Err(RestError::timeout()),
        }
    }
}

impl FromRequest<Rest> for Document {
    type Rejection = RestError;

    async fn from_request(request: Request, rest: &Rest) -> Result<Self, RestError> {
        let RawBody(bytes) = RawBody::from_request(request, rest).await?;
        if bytes.is_empty() {
            return Ok(Self(Value::Null));
        }
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| {
            RestError::new(ErrorCode::IotHubFormatError, format!("the body is not JSON: {error}"))
        })
    }
}

impl Document {
    /// Reads the members that count; others are ignored (reference service-api §3).
    pub(super) fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, RestError> {
        if self.0.is_null() {
            return Err(RestError::new(ErrorCode::ArgumentNull, "the body is missing"));
        }
        serde_json::from_value(self.0).map_err(|error| {
            RestError::new(ErrorCode::ArgumentInvalid, format!("the body is not usable: {error}"))
        })
    }
}
