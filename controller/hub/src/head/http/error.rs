//! Refusals as every client reads them: status, header `iothub-errorcode`, `Message` and `ExceptionMessage`
//! (reference service-api §3.2).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hemline_hub_core::service::ServiceError;
use hemline_protocol::{
    error::{ErrorCode, ErrorDocument, connect_timeout_info},
    time,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// JSON, spelled so that Node parses it (reference service-api §3).
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Name of the header that C# compares with the body.
const ERROR_CODE: &str = "iothub-errorcode";

/// A refused call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestError {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The plain form.
    Rest(ErrorCode),
    /// Of a direct method: JSON inside `Message`.
    Method { code: ErrorCode, info: Value },
    /// The path or verb leads nowhere.
    Route { status: StatusCode, name: &'static str },
}

impl RestError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { kind: Kind::Rest(code), message: message.into() }
    }

    /// Is it this refusal?
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        self.kind == Kind::Rest(code)
    }

    pub(super) fn timeout() -> Self {
        Self::new(ErrorCode::GatewayTimeout, "the request took too long")
    }

    pub(super) fn no_such_path() -> Self {
        let kind = Kind::Route { status: StatusCode::NOT_FOUND, name: "GenericNotFound" };
        Self { kind, message: "there is nothing at this path".into() }
    }

    pub(super) fn no_such_verb() -> Self {
        let kind = Kind::Route { status: StatusCode::METHOD_NOT_ALLOWED, name: "GenericMethodNotAllowed" };
        Self { kind, message: "this path does not take this verb".into() }
    }

    /// The same refusal as modules read it from edgeHub: one member, in small letters (reference device-protocol §4.7).
    pub(super) fn to_module(&self) -> Response {
        let status = match &self.kind {
            Kind::Rest(code) | Kind::Method { code, .. } => status(*code),
            Kind::Route { status, .. } => *status,
        };
        tracing::debug!(%status, message = self.message, "a call of a module was refused");
        let body = json!({"message": self.message}).to_string();
        (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
    }

    fn method(code: ErrorCode, info: Value, message: String) -> Self {
        Self { kind: Kind::Method { code, info }, message }
    }
}

impl From<ServiceError> for RestError {
    fn from(error: ServiceError) -> Self {
        let text = error.to_string();
        let code = match error {
            ServiceError::Unauthorised(_) => {
                // What exactly was wrong is for the log, not for whoever tries.
                return Self::new(ErrorCode::IotHubUnauthorizedAccess, "Unauthorized");
            }
            ServiceError::DeviceNotFound(_) => ErrorCode::DeviceNotFound,
            ServiceError::ModuleNotFound(_) => ErrorCode::ModuleNotFound,
            ServiceError::DeviceAlreadyExists(_) => ErrorCode::DeviceAlreadyExists,
            ServiceError::ModuleAlreadyExists(_) => ErrorCode::ModuleAlreadyExistsOnDevice,
            ServiceError::PreconditionFailed => ErrorCode::PreconditionFailed,
            ServiceError::ArgumentInvalid(_) => ErrorCode::ArgumentInvalid,
            ServiceError::ArgumentNull(_) => ErrorCode::ArgumentNull,
            ServiceError::MessageTooLarge(_) => ErrorCode::MessageTooLarge,
            ServiceError::QueueFull(_) => ErrorCode::DeviceMaximumQueueDepthExceeded,
            ServiceError::AllQueuesFull => ErrorCode::DeviceMaximumQueueSizeExceeded,
            ServiceError::InvalidExpiry { .. } => ErrorCode::InvalidMessageExpiryTime,
            ServiceError::LockLost => ErrorCode::DeviceMessageLockLost,
            ServiceError::Throttled => ErrorCode::ThrottlingException,
            ServiceError::TooManyModules(_) => ErrorCode::TooManyModulesOnDevice,
            ServiceError::SystemModule(_) => ErrorCode::SystemModuleModifyUnauthorizedAccess,
            ServiceError::NotOnline { timeout_seconds, .. } => {
                return Self::method(ErrorCode::DeviceNotOnline, connect_timeout_info(timeout_seconds), text);
            }
            ServiceError::ConnectionClosed(_) => {
                return Self::method(ErrorCode::DeviceConnectionClosedRemotely, Value::Null, text);
            }
            ServiceError::NoAnswer { .. } => {
                return Self::method(ErrorCode::GatewayTimeout, Value::Null, text);
            }
            ServiceError::BadAnswer(_) => {
                return Self::method(ErrorCode::InvalidResponseWhileProxying, Value::Null, text);
            }
            ServiceError::Unavailable => ErrorCode::ServiceUnavailable,
        };
        Self::new(code, text)
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let tracking = tracking_id();
        let at = Timestamp::now();
        let message = self.message.as_str();
        let (status, name, body) = match &self.kind {
            Kind::Rest(code) => {
                let document = ErrorDocument { code: *code, message, tracking: &tracking, at };
                (status(*code), code.name(), document.rest())
            }
            Kind::Method { code, info } => {
                let document = ErrorDocument { code: *code, message, tracking: &tracking, at };
                (status(*code), code.name(), document.method(info))
            }
            Kind::Route { status, name } => {
                let exception = format!("Tracking ID:{tracking}-TimeStamp:{}", time::tracking(at));
                let body =
                    json!({"Message": format!("ErrorCode:{name};{message}"), "ExceptionMessage": exception});
                (*status, *name, body)
            }
        };
        tracing::debug!(%status, code = name, tracking, message, "an HTTP request was refused");
        let headers = [
            (header::CONTENT_TYPE, JSON),
            (header::HeaderName::from_static(ERROR_CODE), HeaderValue::from_static(name)),
        ];
        (status, headers, body.to_string()).into_response()
    }
}

fn status(code: ErrorCode) -> StatusCode {
    // All numbers of the table are valid statuses.
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// 32 hex digits and a partition, as support tools expect them.
fn tracking_id() -> String {
    format!("{}-G:0", request_id())
}

/// Something to search logs for.
pub(super) fn request_id() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Still a valid answer; only the search in the log is harder.
        bytes = [0; 16];
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
