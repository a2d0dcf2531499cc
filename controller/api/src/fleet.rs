//! The fleet as a whole: what is known of it, and the order to bring it to what its source holds.

use axum::{Json, extract::State, http::HeaderMap};
use hemline_hub_core::write::Permission;
use hemline_plan::FleetState;
use hemline_reconcile::{ApplyReply, ApplyRequest};

use crate::{access, error::ApiError, router::ApiState};

/// `GET /api/v1/state`: RegistryRead. What the hub holds and devices report, without secrets (`schemas/state.json`).
pub(crate) async fn state(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<FleetState>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    Ok(Json(controller.state().await?))
}

/// `POST /api/v1/apply`: RegistryWrite. Puts what the source holds in force, if it is what the caller planned for; 412 and
/// what moved otherwise. May be sent twice.
pub(crate) async fn apply(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyReply>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryWrite).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    Ok(Json(controller.apply(request).await?))
}
