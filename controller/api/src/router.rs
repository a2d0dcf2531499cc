//! The table of contents of the API: every path, and who may call it.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    routing::{get, post},
};
use hemline_hub::HubHandle;
use hemline_reconcile::ControllerView;

use crate::{devices, fleet, health, messages, metrics, policies, rollouts, status};

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The hub.
    pub hub: HubHandle,
    /// The controller. The hub starts first, so this is empty for a moment; `/readyz` says so.
    pub controller: Arc<OnceLock<ControllerView>>,
}

/// All routes. `/healthz`, `/readyz` are open; everything else wants a policy token (see each handler).
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::text))
        .route("/api/v1/status", get(status::show))
        .route("/api/v1/devices", get(devices::devices))
        .route("/api/v1/modules", get(devices::modules))
        .route("/api/v1/deployments", get(status::deployments))
        .route("/api/v1/configurations", get(status::configurations))
        .route("/api/v1/messages", get(messages::watch))
        .route("/api/v1/policies/{name}", get(policies::show))
        .route("/api/v1/state", get(fleet::state))
        .route("/api/v1/apply", post(fleet::apply))
        .route("/api/v1/rollouts", get(rollouts::list).post(rollouts::order))
        .route("/api/v1/rollouts/{name}", get(rollouts::show))
        .route("/api/v1/sync", post(status::sync))
        .with_state(state)
}
