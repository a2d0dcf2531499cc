//! Sources from outside: a forge, or somebody with a policy token, says "look now".
//!
//! A nudge carries no data: nothing of a webhook's body is used but its proof, so sending it again does no harm.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::{Body, Bytes, to_bytes},
    extract::{Path, State},
    http::{HeaderMap, header::AUTHORIZATION},
};
use hemline_hub_core::write::Permission;
use hemline_sources::{SecretText, WEBHOOK_AT_MOST, verify_webhook};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{access, error::ApiError, router::ApiState};

/// A webhook comes whole within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for webhooks: each is held until it is whole, because its signature is over all of it, and until then it may be from
/// anybody.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    /// 32 MiB of them.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(32)))
    }
}

impl Room {
    /// The body, when there is room for it and it comes in time.
    async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        let until = Instant::now() + PATIENCE;
        let place = timeout_at(until, self.0.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(ApiError::Busy) };
        match timeout_at(until, to_bytes(body, WEBHOOK_AT_MOST)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(ApiError::TooLarge(WEBHOOK_AT_MOST)),
            Err(_) => Err(ApiError::Late(PATIENCE)),
        }
    }
}

/// Who may wake sources.
#[derive(Debug, Clone, Default)]
pub struct SourceHooks {
    /// The sources that there are, and what their forges sign with. A source without a secret takes no webhooks: who may
    /// write to one repository does not speak for another.
    pub secrets: BTreeMap<String, Option<SecretText>>,
}

impl SourceHooks {
    /// Does any source take webhooks?
    fn are_taken(&self) -> bool {
        self.secrets.values().any(Option::is_some)
    }

    /// Is this webhook of the source that it names? What is not signed with any secret of ours gets the same answer
    /// whichever source it names, so that strangers cannot ask which there are.
    fn judge<'a>(
        &self,
        name: &str,
        header: impl Fn(&str) -> Option<&'a str> + Copy,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let proves = |secret: &SecretText| match secret.read() {
            Ok(secret) => verify_webhook(header, body, &secret, now).map_err(ApiError::from),
            Err(error) => {
                tracing::warn!(%error, "the secret of webhooks cannot be read");
                Err(ApiError::NoWebhooks)
            }
        };
        let own = self.secrets.get(name);
        if let Some(Some(own)) = own {
            return proves(own);
        }
        let mut refused = ApiError::NoWebhooks;
        for secret in self.secrets.values().flatten() {
            match proves(secret) {
                // Of somebody that we know, but not of this source.
                Ok(()) if own.is_some() => return Err(ApiError::NoWebhooks),
                Ok(()) => return Err(unknown(name)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

fn unknown(name: &str) -> ApiError {
    ApiError::NotFound { what: "source", name: name.to_owned() }
}

/// `POST /api/v1/sources/NAME/sync`: a webhook of GitHub, GitLab, Gitea or Forgejo, or RegistryWrite. The body is bounded
/// and unread. The name says who asks; every source is read, as with any other nudge.
pub(crate) async fn sync(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Extension(room): Extension<Room>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    if headers.contains_key(AUTHORIZATION) {
        access::allow(&state.hub, &headers, Permission::RegistryWrite).await?;
        if !state.hooks.secrets.contains_key(&name) {
            return Err(unknown(&name));
        }
    } else {
        if !state.hooks.are_taken() {
            return Err(ApiError::NoWebhooks);
        }
        let body = room.read(body).await?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        state.hooks.judge(&name, header, &body, Timestamp::now())?;
    }
    state.controller.get().ok_or(ApiError::Starting)?.nudge();
    Ok(Json(json!({ "accepted": true })))
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse as _};
    use hemline_model::secret::Secret;

    use super::*;

    fn hooks(secrets: &[(&str, Option<&str>)]) -> SourceHooks {
        let secret = |text: &str| SecretText::Value(Secret::new(text));
        let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), text.map(secret)));
        SourceHooks { secrets: secrets.collect() }
    }

    /// What a webhook with this token is answered.
    fn answer(hooks: &SourceHooks, name: &str, token: Option<&str>) -> StatusCode {
        let header = |name: &str| token.filter(|_| name.eq_ignore_ascii_case("x-gitlab-token"));
        match hooks.judge(name, header, b"{}", Timestamp::UNIX_EPOCH) {
            Ok(()) => StatusCode::OK,
            Err(error) => error.into_response().status(),
        }
    }

    #[test]
    fn a_webhook_speaks_for_the_source_whose_secret_it_knows_and_for_no_other() {
        let both = [("ours", Some("a")), ("guests", Some("b")), ("folder", None)];
        let none = [("ours", None)];
        for (secrets, name, token, status) in [
            (&both[..], "ours", Some("a"), 200),
            (&both, "guests", Some("b"), 200),
            (&both, "ours", Some("b"), 401),
            // One without a secret is not to be woken by who knows another's.
            (&both, "folder", Some("a"), 403),
            (&both, "nobody", Some("a"), 404),
            // Strangers cannot tell which sources there are.
            (&both, "ours", Some("x"), 401),
            (&both, "folder", Some("x"), 401),
            (&both, "nobody", Some("x"), 401),
            (&both, "ours", None, 401),
            (&both, "folder", None, 401),
            (&both, "nobody", None, 401),
            (&none, "ours", Some("a"), 403),
            (&none, "nobody", Some("a"), 403),
        ] {
            assert_eq!(answer(&hooks(secrets), name, token).as_u16(), status, "{name} {token:?}");
        }
    }
}
