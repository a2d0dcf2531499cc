//! What is not as the documents say, though nobody changed them: the rows of the ledger, and one device in full.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
};
use hemline_hub_core::write::Permission;
use hemline_model::id::DeviceId;
use hemline_plan::{DeviceDiff, drift::DriftRow};
use serde::Deserialize;

use crate::{access, error::ApiError, router::ApiState};

/// Which rows.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Which {
    /// Only those of this device.
    device: Option<String>,
}

/// `GET /api/v1/drift?device=ID`: RegistryRead. What is there first, then what was healed, each with the newest first.
pub(crate) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Json<Vec<DriftRow>>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let report = controller.latest().ok_or(ApiError::Starting)?;
    let wanted = |row: &&DriftRow| which.device.as_ref().is_none_or(|device| row.device.as_str() == device);
    let mut rows: Vec<DriftRow> = report.drift_ledger.rows.iter().filter(wanted).cloned().collect();
    rows.sort_by_key(|row| (!row.standing.is_open(), std::cmp::Reverse(row.first_seen)));
    Ok(Json(rows))
}

/// `GET /api/v1/diff/ID`: RegistryRead. What one device should be against what it is.
pub(crate) async fn diff(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<DeviceDiff>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let unknown = || ApiError::NotFound { what: "document that describes a device", name: name.clone() };
    let device = DeviceId::new(&name).map_err(|_| unknown())?;
    controller.diff(device).await?.map(Json).ok_or_else(unknown)
}
