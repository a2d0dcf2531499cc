//! Attempts at a credential over HTTPS: at whose, and what somebody hears who fails too often.

use axum::{
    http::{HeaderValue, Request, header},
    response::{IntoResponse as _, Response},
};
use hemline_hub_core::throttle::Wait;
use hemline_protocol::error::ErrorCode;

use super::{call::EDGE_MODULE, error::RestError};

/// Ids have at most 128 characters, each of them three when escaped.
const LONGEST: usize = 400;

/// In whose name a request is made: the module that says so, else whom the path speaks of. A module that calls another one
/// must not use up the attempts of that one.
pub(crate) fn whose<B>(request: &Request<B>) -> Option<String> {
    match module_of(request) {
        Some(module) => Some(module.chars().take(LONGEST).collect()),
        None => named(request.uri().path()),
    }
}

/// The module that calls a method in its own name, as it spells itself.
pub(crate) fn module_of<B>(request: &Request<B>) -> Option<&str> {
    let path = request.uri().path();
    let calls = path.starts_with("/twins/") && path.ends_with("/methods");
    request.headers().get(EDGE_MODULE).filter(|_| calls).and_then(|name| name.to_str().ok())
}

/// The device or module that a path speaks of, as it is spelled there; who spells it in another way has more attempts, as
/// many as the address has in all.
fn named(path: &str) -> Option<String> {
    let mut words = path.split('/').skip(1);
    let root = words.next()?;
    let device = words.next().filter(|device| !device.is_empty())?;
    if !["devices", "twins"].iter().any(|known| root.eq_ignore_ascii_case(known)) {
        return None;
    }
    let module = match (words.next(), words.next()) {
        (Some(modules), Some(module)) if modules.eq_ignore_ascii_case("modules") => module,
        _ => return Some(device.chars().take(LONGEST).collect()),
    };
    Some(device.chars().take(LONGEST).chain(['/']).chain(module.chars().take(LONGEST)).collect())
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
    fn who_calls_a_method_has_the_attempts() {
        for (path, header, expected) in [
            ("/twins/d/modules/m/methods", Some("d/caller"), "d/caller"),
            ("/twins/d/methods", Some("d/caller"), "d/caller"),
            ("/twins/d/methods", None, "d"),
            ("/twins/d", Some("d/caller"), "d"),
            ("/devices/d/messages/events", Some("d/caller"), "d"),
        ] {
            let mut request = Request::builder().uri(path);
            if let Some(module) = header {
                request = request.header("x-ms-edge-moduleId", module);
            }
            assert_eq!(whose(&request.body(()).unwrap()).as_deref(), Some(expected), "{path} {header:?}");
        }
    }

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
