//! Attempts at a credential over HTTPS: at whose, and what somebody hears who fails too often.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use hemline_hub_core::throttle::Wait;
use hemline_protocol::error::ErrorCode;

use super::error::RestError;

/// The device or module that a path speaks of, as it is spelled there; who spells it in another way has more attempts, as
/// many as the address has in all.
pub(crate) fn named(path: &str) -> Option<String> {
    let mut words = path.split('/').skip(1);
    let root = words.next()?;
    let device = words.next().filter(|device| !device.is_empty())?;
    if !["devices", "twins"].iter().any(|known| root.eq_ignore_ascii_case(known)) {
        return None;
    }
    // Ids have at most 128 characters, each of them three when escaped.
    let module = match (words.next(), words.next()) {
        (Some(modules), Some(module)) if modules.eq_ignore_ascii_case("modules") => module,
        _ => return Some(device.chars().take(400).collect()),
    };
    Some(device.chars().take(400).chain(['/']).chain(module.chars().take(400)).collect())
}

/// 429, with the time after which another attempt is heard.
pub(crate) fn later(wait: Wait) -> Response {
    let text = format!("too many attempts from this address have failed; try again in {} s", wait.seconds());
    let mut response = RestError::new(ErrorCode::ThrottlingException, text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.seconds()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_path_speaks_of() {
        for (path, expected) in [
            ("/devices/d/messages/events", Some("d")),
            ("/Devices/d", Some("d")),
            ("/twins/d/modules/m/methods", Some("d/m")),
            ("/twins/d/modules", Some("d")),
            ("/devices", None),
            ("/devices/", None),
            ("/", None),
            ("/api/v1/devices/d", None),
            ("/messages/servicebound/feedback", None),
        ] {
            assert_eq!(named(path).as_deref(), expected, "{path}");
        }
        assert_eq!(named(&format!("/devices/{}", "x".repeat(10_000))).unwrap().len(), 400);
    }
}
