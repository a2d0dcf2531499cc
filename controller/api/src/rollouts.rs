//! Rollouts: how far they are, and what people may say to them.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use hemline_hub_core::write::Permission;
use hemline_plan::rollout::{RolloutRecord, RolloutStatus};
use hemline_reconcile::RolloutOrder;

use crate::{access, error::ApiError, router::ApiState};

/// `GET /api/v1/rollouts`: RegistryRead. The rollouts of the revision in force, counted.
pub(crate) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<Vec<RolloutStatus>>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let report = controller.latest().ok_or(ApiError::Starting)?;
    Ok(Json(report.rollouts.clone()))
}

/// `GET /api/v1/rollouts/NAME`: RegistryRead. The rollout of one deployment with all its devices.
pub(crate) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<RolloutRecord>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let record = controller.record(&name).await?;
    record.map(Json).ok_or(ApiError::NotFound { what: "rollout", name })
}

/// `POST /api/v1/rollouts`: RegistryWrite. Pauses, resumes, approves, aborts or reverts; 409 and why when that makes no sense
/// now. Answers when the order is kept and the devices have heard of it.
pub(crate) async fn order(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Json(order): Json<RolloutOrder>,
) -> Result<Json<Vec<RolloutStatus>>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryWrite).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    controller.rollout(order).await?;
    let report = controller.latest().ok_or(ApiError::Starting)?;
    Ok(Json(report.rollouts.clone()))
}
