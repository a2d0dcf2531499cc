//! Sources from outside: a forge, or somebody with a policy token, says "look now".
//!
//! A nudge carries no data: nothing of a webhook's body is used but its proof, so sending it again does no harm.

use std::collections::BTreeSet;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header::AUTHORIZATION},
};
use hemline_hub_core::write::Permission;
use hemline_sources::{SecretText, verify_webhook};
use serde_json::{Value, json};

use crate::{access, error::ApiError, router::ApiState};

/// Who may wake sources.
#[derive(Debug, Clone, Default)]
pub struct SourceHooks {
    /// The sources that there are.
    pub names: BTreeSet<String>,
    /// What forges sign with; without it webhooks are refused.
    pub secret: Option<SecretText>,
}

/// `POST /api/v1/sources/NAME/sync`: a webhook of GitHub, GitLab, Gitea or Forgejo, or RegistryWrite. The body is bounded
/// and unread.
pub(crate) async fn sync(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    if headers.contains_key(AUTHORIZATION) {
        access::allow(&state.hub, &headers, Permission::RegistryWrite).await?;
    } else {
        let Some(secret) = &state.hooks.secret else { return Err(ApiError::NoWebhooks) };
        let secret = secret.read().map_err(|error| {
            tracing::warn!(%error, "the secret of webhooks cannot be read");
            ApiError::NoWebhooks
        })?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        verify_webhook(header, &body, &secret, jiff::Timestamp::now())?;
    }
    // Told after the proof, so that strangers cannot ask which sources there are.
    if !state.hooks.names.contains(&name) {
        return Err(ApiError::NotFound { what: "source", name });
    }
    state.controller.get().ok_or(ApiError::Starting)?.nudge();
    Ok(Json(json!({ "accepted": true })))
}
