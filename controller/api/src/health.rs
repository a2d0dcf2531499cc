//! Is the process alive, and is it ready to serve? For probes, without a token.

use axum::{extract::State, http::StatusCode};
use hemline_hub_core::service::ServiceRequest;

use crate::router::ApiState;

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// The hub answers and the controller has finished a pass.
pub(crate) async fn ready(State(state): State<ApiState>) -> (StatusCode, &'static str) {
    if state.hub.call(ServiceRequest::Statistics).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the hub is not ready\n");
    }
    match state.controller.get() {
        Some(controller) if controller.latest().is_some() => (StatusCode::OK, "ok\n"),
        Some(_) | None => (StatusCode::SERVICE_UNAVAILABLE, "the controller has not finished a pass\n"),
    }
}
