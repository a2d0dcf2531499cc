//! The table of contents of the API: every path, and who may call it.

use std::sync::{Arc, OnceLock};

use axum::{
    Extension, Router,
    routing::{delete, get, post},
};
use hemline_hub::HubHandle;
use hemline_reconcile::ControllerView;

use crate::{
    cloud_to_device, devices, drift, files, fleet, health, messages, metrics, policies, rollouts,
    sources::{self, SourceHooks},
    status,
};

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The hub.
    pub hub: HubHandle,
    /// The controller. The hub starts first, so this is empty for a moment; `/readyz` says so.
    pub controller: Arc<OnceLock<ControllerView>>,
    /// Who may wake sources from outside.
    pub hooks: Arc<SourceHooks>,
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
        .route(
            "/api/v1/devices/{device}/messages",
            post(cloud_to_device::send).delete(cloud_to_device::purge),
        )
        .route("/api/v1/files", get(files::list))
        .route("/api/v1/feedback", get(cloud_to_device::feedback))
        .route("/api/v1/feedback/{lock}", delete(cloud_to_device::complete))
        .route("/api/v1/feedback/{lock}/abandon", post(cloud_to_device::abandon))
        .route("/api/v1/policies/{name}", get(policies::show))
        .route("/api/v1/state", get(fleet::state))
        .route("/api/v1/apply", post(fleet::apply))
        .route("/api/v1/drift", get(drift::list))
        .route("/api/v1/diff/{device}", get(drift::diff))
        .route("/api/v1/rollouts", get(rollouts::list).post(rollouts::order))
        .route("/api/v1/rollouts/{name}", get(rollouts::show))
        .route("/api/v1/sync", post(status::sync))
        .route("/api/v1/sources/{name}/sync", post(sources::sync).layer(Extension(sources::Room::default())))
        .with_state(state)
}
