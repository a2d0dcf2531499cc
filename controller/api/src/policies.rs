//! The keys of a policy, for `hem connection-string`. Only for callers who could do everything with them anyway.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use hemline_hub_core::{
    service::{ServiceReply, ServiceRequest},
    write::Permission,
};
use serde_json::{Value, json};

use crate::{access, error::ApiError, router::ApiState};

/// `GET /api/v1/policies/{name}`: RegistryWrite, ServiceConnect and DeviceConnect together.
pub(crate) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    for permission in [Permission::RegistryWrite, Permission::ServiceConnect, Permission::DeviceConnect] {
        access::allow(&state.hub, &headers, permission).await?;
    }
    match state.hub.call(ServiceRequest::GetPolicy(name.clone())).await {
        Ok(ServiceReply::Policy(policy)) => Ok(Json(json!({
            "keyName": policy.name,
            "primaryKey": policy.primary_key,
            "secondaryKey": policy.secondary_key,
            "permissions": policy.permissions,
        }))),
        Ok(_) | Err(_) => Err(ApiError::NotFound { what: "policy", name }),
    }
}
