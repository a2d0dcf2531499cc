//! Which path leads where, and what happens to a path before it is looked up.

use axum::{
    Router,
    body::HttpBody,
    http::{Request, StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};

use super::{
    Rest, blobs, cloud_to_device, device_messages, devices, error::RestError, files, methods, statistics,
    twins,
};

/// The REST API of IoT Hub; `extra` answers every path that it does not know.
pub(crate) fn router(rest: Rest, extra: Router) -> Router {
    let device = get(devices::get_device)
        .put(devices::put_device)
        .delete(devices::delete)
        // `/devices/query` is a call, and a device may be named "query": the verb tells them apart.
        .post(devices::post);
    let module = get(devices::get_module).put(devices::put_module).delete(devices::delete);
    // The device asks with GET, the service sends with POST. HEAD would lock a message that nobody has seen.
    let devicebound = get(device_messages::receive).head(no_such_verb);
    let held = delete(device_messages::complete);
    let abandoned = post(device_messages::abandon);
    // POST with an override header is how Java sends PATCH.
    let twin = get(twins::get).patch(twins::patch).put(twins::put).post(twins::overridden);
    Router::new()
        .route("/devices", get(devices::list))
        .route("/devices/{device}", device)
        .route("/devices/{device}/modules", get(devices::list_modules))
        .route("/devices/{device}/modules/{module}", module)
        .route("/devices/{device}/messages/events", post(device_messages::send))
        .route("/devices/{device}/modules/{module}/messages/events", post(device_messages::send))
        .route("/devices/{device}/messages/devicebound", devicebound.post(cloud_to_device::send))
        .route(
            "/devices/{device}/modules/{module}/messages/devicebound",
            get(device_messages::receive).head(no_such_verb),
        )
        .route("/devices/{device}/messages/devicebound/{lock}", held.clone())
        .route("/devices/{device}/modules/{module}/messages/devicebound/{lock}", held)
        .route("/devices/{device}/messages/devicebound/{lock}/abandon", abandoned.clone())
        .route("/devices/{device}/modules/{module}/messages/devicebound/{lock}/abandon", abandoned)
        .route("/devices/{device}/files", post(files::begin))
        .route("/devices/{device}/files/notifications", post(files::end))
        .route("/devices/{device}/files/notifications/{upload}", post(files::end))
        .route("/files/{*path}", any(blobs::serve))
        .route("/messages/servicebound/filenotifications", get(files::notice).head(no_such_verb))
        .route("/messages/servicebound/filenotifications/{lock}", delete(files::complete_notice))
        .route("/messages/servicebound/filenotifications/{lock}/abandon", post(files::abandon_notice))
        .route("/devices/{device}/commands", delete(cloud_to_device::purge))
        .route("/messages/servicebound/feedback", get(cloud_to_device::feedback).head(no_such_verb))
        .route("/messages/servicebound/feedback/{lock}", delete(cloud_to_device::complete_feedback))
        .route("/messages/servicebound/feedback/{lock}/abandon", post(cloud_to_device::abandon_feedback))
        .route("/twins/{device}", twin.clone())
        .route("/twins/{device}/modules/{module}", twin)
        .route("/twins/{device}/methods", post(methods::invoke))
        .route("/twins/{device}/modules/{module}/methods", post(methods::invoke))
        .route("/statistics/devices", get(statistics::devices))
        .route("/statistics/service", get(statistics::service))
        .with_state(rest)
        .fallback_service(extra)
}

async fn no_such_verb() -> RestError {
    RestError::no_such_verb()
}

/// Paths of messages, whose words clients write in any case (reference device-protocol §8). `*` is an id or a lock.
const ANY_CASE: [&str; 18] = [
    "/devices/*/messages/events",
    "/devices/*/messages/devicebound",
    "/devices/*/messages/devicebound/*",
    "/devices/*/messages/devicebound/*/abandon",
    "/devices/*/modules/*/messages/events",
    "/devices/*/modules/*/messages/devicebound",
    "/devices/*/modules/*/messages/devicebound/*",
    "/devices/*/modules/*/messages/devicebound/*/abandon",
    "/devices/*/commands",
    "/devices/*/files",
    "/devices/*/files/notifications",
    "/devices/*/files/notifications/*",
    "/messages/servicebound/filenotifications",
    "/messages/servicebound/filenotifications/*",
    "/messages/servicebound/filenotifications/*/abandon",
    "/messages/servicebound/feedback",
    "/messages/servicebound/feedback/*",
    "/messages/servicebound/feedback/*/abandon",
];

/// Paths of this API are forgiving: a client may escape the slashes (`/twins%2Fdev1`), end with one, or write the words
/// of message paths in another case (reference service-api §3). Ids never contain a slash, so all of it is unambiguous.
/// `/api/…` is left alone.
pub(crate) fn normalise<B>(request: &mut Request<B>) {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        return;
    }
    let decoded = path.replace("%2F", "/").replace("%2f", "/");
    let trimmed = match decoded.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let spelled = ANY_CASE.iter().find_map(|words| spelled_as(trimmed, words));
    let wanted = spelled.as_deref().unwrap_or(trimmed);
    if wanted == path {
        return;
    }
    let text = match request.uri().query() {
        Some(query) => format!("{wanted}?{query}"),
        None => wanted.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    // What cannot be parsed again stays as it was and ends as "not found".
    if let Ok(path) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// The path with its words as they stand in the router, if it has these words.
fn spelled_as(path: &str, words: &str) -> Option<String> {
    if path.split('/').count() != words.split('/').count() {
        return None;
    }
    let pairs = path.split('/').zip(words.split('/'));
    let same = pairs.clone().all(|(given, word)| word == "*" || given.eq_ignore_ascii_case(word));
    let spelled = pairs.map(|(given, word)| if word == "*" { given } else { word });
    same.then(|| spelled.collect::<Vec<_>>().join("/"))
}

/// Every answer is JSON, also the ones that the router gives by itself (reference service-api §3).
pub(crate) fn complete(response: Response) -> Response {
    let bare = response.body().is_end_stream() && !response.headers().contains_key(header::CONTENT_TYPE);
    match response.status() {
        StatusCode::NOT_FOUND if bare => RestError::no_such_path().into_response(),
        StatusCode::METHOD_NOT_ALLOWED if bare => {
            let mut told = RestError::no_such_verb().into_response();
            if let Some(allow) = response.headers().get(header::ALLOW) {
                told.headers_mut().insert(header::ALLOW, allow.clone());
            }
            told
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (given, looked_up) in [
            ("/devices/?api-version=1", "/devices?api-version=1"),
            ("/devices%2Fquery?api-version=1", "/devices/query?api-version=1"),
            ("/twins%2fdev1%2Fmodules%2Fm", "/twins/dev1/modules/m"),
            ("/twins/a%252Fb", "/twins/a%252Fb"),
            ("/devices/%24edgeAgent", "/devices/%24edgeAgent"),
            ("/", "/"),
            ("//", "/"),
            ("/api/v1/devices/", "/api/v1/devices/"),
            (
                "/devices/Dev/messages/deviceBound?api-version=1",
                "/devices/Dev/messages/devicebound?api-version=1",
            ),
            (
                "/Devices/Dev/Messages/DeviceBound/AbC/Abandon",
                "/devices/Dev/messages/devicebound/AbC/abandon",
            ),
            ("/devices/D/modules/Messages/messages/Events/", "/devices/D/modules/Messages/messages/events"),
            ("/messages/serviceBound/feedback/X", "/messages/servicebound/feedback/X"),
            ("/Twins/d", "/Twins/d"),
        ] {
            let mut request = Request::builder().uri(given).body(()).unwrap();
            normalise(&mut request);
            assert_eq!(request.uri().to_string(), looked_up, "{given}");
        }
    }
}
