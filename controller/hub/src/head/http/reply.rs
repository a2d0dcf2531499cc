//! Answers that are not refusals.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hemline_hub_core::service::ServiceReply;
use hemline_protocol::{error::ErrorCode, etag};
use serde_json::{Value, json};

use super::error::{JSON, RestError};

/// A JSON body with status 200.
pub(super) fn json_body(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}

/// The usual answer to a call. What a call needs beyond it, its own file adds.
pub(super) fn plain(reply: ServiceReply) -> Result<Response, RestError> {
    Ok(match reply {
        ServiceReply::Identity { document, etag } | ServiceReply::Twin { document, etag } => {
            let mut response = json_body(&document);
            if let Ok(value) = HeaderValue::from_str(&etag::quoted(&etag)) {
                response.headers_mut().insert(header::ETAG, value);
            }
            response
        }
        ServiceReply::Identities(list) => json_body(&Value::Array(list)),
        ServiceReply::Rows { item_type, rows, continuation } => rows_page(item_type, rows, continuation)?,
        ServiceReply::Method { status, payload } => json_body(&json!({"status": status, "payload": payload})),
        ServiceReply::Done => StatusCode::NO_CONTENT.into_response(),
        // Statistics have two shapes, see `statistics.rs`; messages have their own files; policies never leave over this API.
        ServiceReply::Sent { .. }
        | ServiceReply::CloudToDevice(_)
        | ServiceReply::Purged { .. }
        | ServiceReply::Feedback(_)
        | ServiceReply::FileNotice(_)
        | ServiceReply::Statistics { .. }
        | ServiceReply::Changes(_)
        | ServiceReply::Policy(_) => {
            return Err(unexpected());
        }
    })
}

/// The core answered something else than it was asked.
pub(super) fn unexpected() -> RestError {
    RestError::new(ErrorCode::ServerError, "the hub gave an answer that does not fit the question")
}

/// A page of a query. The continuation header is absent on the last page: Node loops otherwise
/// (reference service-api §4.4).
fn rows_page(
    item_type: &'static str,
    rows: Vec<Value>,
    continuation: Option<String>,
) -> Result<Response, RestError> {
    let mut response = json_body(&Value::Array(rows));
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-ms-item-type"), HeaderValue::from_static(item_type));
    if let Some(token) = continuation {
        let value = HeaderValue::from_str(&token).map_err(|_| unexpected())?;
        headers.insert(HeaderName::from_static("x-ms-continuation"), value);
    }
    Ok(response)
}
