//! `POST /devices/query` (reference service-api §4.4).

use std::time::Duration;

use axum::response::Response;
use hemline_hub_core::service::ServiceRequest;
use hemline_protocol::error::ErrorCode;
use serde::Deserialize;

use super::{
    Rest,
    call::{Call, Document},
    error::RestError,
    reply,
};

/// Rows of a page when the caller has no wish, and at most.
const PAGE: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct QueryDocument {
    query: Option<String>,
}

pub(super) async fn run(rest: &Rest, call: Call, body: Document) -> Result<Response, RestError> {
    let text = body.read::<QueryDocument>()?.query.unwrap_or_default();
    if text.trim().is_empty() {
        return Err(RestError::new(ErrorCode::ArgumentNull, "query is missing"));
    }
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let page_size =
        header("x-ms-max-item-count").and_then(|wish| wish.trim().parse::<i64>().ok()).map_or(PAGE, |wish| {
            // A wish out of range is clamped, never refused; -1 stands for "as many as possible".
            usize::try_from(wish).map_or(PAGE, |wish| wish.clamp(1, PAGE))
        });
    let continuation = header("x-ms-continuation").filter(|token| !token.is_empty()).map(str::to_owned);
    let operation = ServiceRequest::Query { text, page_size, continuation };
    reply::plain(rest.ask(call.caller, operation, Duration::ZERO).await?)
}
