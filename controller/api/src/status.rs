//! The one page that answers "is everything all right?": hub, controller, devices.

use axum::{Json, extract::State, http::HeaderMap};
use hemline_hub_core::write::Permission;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    access,
    devices::{DeviceRow, device_rows},
    error::ApiError,
    router::ApiState,
};

/// What `hem status` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    /// Version of the program.
    pub version: String,
    /// Name that stands in connection strings.
    pub host_name: String,
    /// The newest report of the controller (`hemline_reconcile::PassReport`), `null` before the first pass.
    pub controller: Value,
    /// Every device.
    pub devices: Vec<DeviceRow>,
}

/// `GET /api/v1/status`: RegistryRead.
pub(crate) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<StatusDocument>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let report = state.controller.get().and_then(|controller| controller.latest());
    Ok(Json(StatusDocument {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host_name: state.hub.names().first().cloned().unwrap_or_default(),
        controller: report.map_or(Value::Null, |report| serde_json::to_value(&*report).unwrap_or_default()),
        devices: device_rows(&state.hub).await?,
    }))
}

/// `GET /api/v1/deployments`: RegistryRead. Deployments by name, as the controller last saw them.
pub(crate) async fn deployments(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let report = controller.latest().ok_or(ApiError::Starting)?;
    Ok(Json(serde_json::to_value(&report.deployments).unwrap_or_default()))
}

/// `GET /api/v1/configurations`: RegistryRead. Twin configurations by name, as the controller last saw them.
pub(crate) async fn configurations(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let report = controller.latest().ok_or(ApiError::Starting)?;
    Ok(Json(serde_json::to_value(&report.configurations).unwrap_or_default()))
}

/// `POST /api/v1/sync`: RegistryWrite. Makes the controller look at its source now. Answers the time of the hub: whatever the source
/// held by then is known when `controller.looked` of the status is not before it.
pub(crate) async fn sync(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryWrite).await?;
    let controller = state.controller.get().ok_or(ApiError::Starting)?;
    let at = Timestamp::now();
    controller.nudge();
    Ok(Json(json!({ "accepted": true, "at": at })))
}
