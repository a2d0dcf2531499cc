//! Sources from outside: a forge, or somebody with a policy token, says "look now".
//!
//! A nudge carries no data: nothing of a webhook's body is used but its proof, so sending it again does no harm.

use std::collections::BTreeMap;

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
    /// The sources that there are, and what their forges sign with. A source without a secret of its own takes those of the
    /// others; where there is none, webhooks are refused.
    pub secrets: BTreeMap<String, Option<SecretText>>,
}

impl SourceHooks {
    /// What a webhook to this source may be signed with. Of a source that is not there, all: strangers cannot tell.
    fn signed_with(&self, name: &str) -> Vec<&SecretText> {
        match self.secrets.get(name) {
            Some(Some(own)) => vec![own],
            Some(None) | None => self.secrets.values().flatten().collect(),
        }
    }
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
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut refused = ApiError::NoWebhooks;
        let mut proved = false;
        for secret in state.hooks.signed_with(&name) {
            let secret = match secret.read() {
                Ok(secret) => secret,
                Err(error) => {
                    tracing::warn!(%error, "the secret of webhooks cannot be read");
                    continue;
                }
            };
            match verify_webhook(header, &body, &secret, jiff::Timestamp::now()) {
                Ok(()) => proved = true,
                Err(error) => refused = error.into(),
            }
        }
        if !proved {
            return Err(refused);
        }
    }
    // Told after the proof, so that strangers cannot ask which sources there are.
    if !state.hooks.secrets.contains_key(&name) {
        return Err(ApiError::NotFound { what: "source", name });
    }
    state.controller.get().ok_or(ApiError::Starting)?.nudge();
    Ok(Json(json!({ "accepted": true })))
}
