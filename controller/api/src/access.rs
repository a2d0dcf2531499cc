//! Who calls: the `Authorization` header against the hub's policies.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use hemline_hub::HubHandle;
use hemline_hub_core::{effect::AuthFailure, service::ServiceError, write::Permission};

use crate::error::ApiError;

/// Lets the request pass, or says 401.
pub(crate) async fn allow(
    hub: &HubHandle,
    headers: &HeaderMap,
    permission: Permission,
) -> Result<(), ApiError> {
    let Some(token) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Err(ServiceError::Unauthorised(AuthFailure::Malformed).into());
    };
    Ok(hub.authorize(token, permission).await?)
}
