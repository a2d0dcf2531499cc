//! `GET /statistics/…` (reference service-api §4.1).

use std::time::Duration;

use axum::{extract::State, response::Response};
use hemline_hub_core::service::{ServiceReply, ServiceRequest};
use serde_json::json;

use super::{Rest, call::Call, error::RestError, reply};

pub(super) async fn devices(State(rest): State<Rest>, call: Call) -> Result<Response, RestError> {
    match rest.ask(call.caller, ServiceRequest::Statistics, Duration::ZERO).await? {
        ServiceReply::Statistics { total, enabled, connected: _ } => {
            let disabled = total.saturating_sub(enabled);
            Ok(reply::json_body(&json!({
                "totalDeviceCount": total, "enabledDeviceCount": enabled, "disabledDeviceCount": disabled,
            })))
        }
        _ => Err(reply::unexpected()),
    }
}

pub(super) async fn service(State(rest): State<Rest>, call: Call) -> Result<Response, RestError> {
    match rest.ask(call.caller, ServiceRequest::Statistics, Duration::ZERO).await? {
        ServiceReply::Statistics { connected, .. } => {
            Ok(reply::json_body(&json!({"connectedDeviceCount": connected})))
        }
        _ => Err(reply::unexpected()),
    }
}
