//! One conversion from outcomes to HTTP answers.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hemline_hub_core::service::ServiceError;
use hemline_reconcile::ApplyError;
use hemline_sources::WebhookError;
use serde_json::json;

/// Why a call of this API was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The hub said no.
    #[error(transparent)]
    Hub(#[from] ServiceError),
    /// The controller has not started yet.
    #[error("the controller is starting; ask again in a moment")]
    Starting,
    /// A plan cannot be carried out as it was made.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A webhook does not prove where it comes from.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// No secret, no webhooks.
    #[error(
        "webhooks are off for this source: give it a secret with HEM_WEBHOOK_SECRET or --webhook-secret-file, in a file of \
         sources with webhook-secret-file"
    )]
    NoWebhooks,
    /// Too many webhooks at a time.
    #[error("too many webhooks are coming in; send it again later")]
    Busy,
    /// A webhook that is none.
    #[error("the body is larger than {0} bytes, or ended early")]
    TooLarge(usize),
    /// Somebody sends slowly.
    #[error("the body did not come within {} s", .0.as_secs())]
    Late(Duration),
    /// There is nothing of that name.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// For example "policy".
        what: &'static str,
        /// What was asked for.
        name: String,
    },
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Hub(error) => hub_status(error),
            Self::Apply(ApplyError::Moved(_)) => (StatusCode::PRECONDITION_FAILED, "PlanMoved"),
            Self::Apply(ApplyError::Refused(_)) => (StatusCode::CONFLICT, "RolloutRefused"),
            Self::Apply(ApplyError::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, "Starting"),
            Self::Webhook(_) => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::NoWebhooks => (StatusCode::FORBIDDEN, "WebhooksOff"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge"),
            Self::Late(_) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "NotFound"),
        };
        let body = Json(json!({ "Message": format!("ErrorCode:{code};{self}"), "ExceptionMessage": "" }));
        (status, [("iothub-errorcode", code)], body).into_response()
    }
}

fn hub_status(error: &ServiceError) -> (StatusCode, &'static str) {
    match error {
        ServiceError::Unauthorised(_) => (StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess"),
        ServiceError::DeviceNotFound(_) => (StatusCode::NOT_FOUND, "DeviceNotFound"),
        ServiceError::ModuleNotFound(_) => (StatusCode::NOT_FOUND, "ModuleNotFound"),
        ServiceError::ArgumentInvalid(_) | ServiceError::ArgumentNull(_) => {
            (StatusCode::BAD_REQUEST, "ArgumentInvalid")
        }
        ServiceError::InvalidExpiry { .. } => (StatusCode::FORBIDDEN, "InvalidMessageExpiryTime"),
        ServiceError::QueueFull(_) => (StatusCode::FORBIDDEN, "DeviceMaximumQueueDepthExceeded"),
        ServiceError::AllQueuesFull => (StatusCode::FORBIDDEN, "DeviceMaximumQueueSizeExceeded"),
        ServiceError::MessageTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge"),
        ServiceError::LockLost => (StatusCode::PRECONDITION_FAILED, "DeviceMessageLockLost"),
        ServiceError::Throttled => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
        ServiceError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        ServiceError::DeviceAlreadyExists(_)
        | ServiceError::ModuleAlreadyExists(_)
        | ServiceError::PreconditionFailed
        | ServiceError::TooManyModules(_)
        | ServiceError::SystemModule(_)
        | ServiceError::NotOnline { .. }
        | ServiceError::ConnectionClosed(_)
        | ServiceError::NoAnswer { .. }
        | ServiceError::BadAnswer(_) => (StatusCode::CONFLICT, "Conflict"),
    }
}
