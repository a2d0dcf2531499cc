//! Which path leads where, and what happens to a path before it is looked up.

use axum::{
    Router,
    body::HttpBody,
    http::{Request, StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{Rest, devices, error::RestError, methods, statistics, twins};

/// The REST API of IoT Hub; `extra` answers every path that it does not know.
pub(crate) fn router(rest: Rest, extra: Router) -> Router {
    let device = get(devices::get_device)
        .put(devices::put_device)
        .delete(devices::delete)
        // `/devices/query` is a call, and a device may be named "query": the verb tells them apart.
        .post(devices::post);
    let module = get(devices::get_module).put(devices::put_module).delete(devices::delete);
    // POST with an override header is how Java sends PATCH.
    let twin = get(twins::get).patch(twins::patch).put(twins::put).post(twins::overridden);
    Router::new()
        .route("/devices", get(devices::list))
        .route("/devices/{device}", device)
        .route("/devices/{device}/modules", get(devices::list_modules))
        .route("/devices/{device}/modules/{module}", module)
        .route("/twins/{device}", twin.clone())
        .route("/twins/{device}/modules/{module}", twin)
        .route("/twins/{device}/methods", post(methods::invoke))
        .route("/twins/{device}/modules/{module}/methods", post(methods::invoke))
        .route("/statistics/devices", get(statistics::devices))
        .route("/statistics/service", get(statistics::service))
        .with_state(rest)
        .fallback_service(extra)
}

/// Paths of this API are forgiving: a client may escape the slashes (`/twins%2Fdev1`) or end with one
/// (reference service-api §3). Ids never contain a slash, so both are unambiguous. `/api/…` is left alone.
pub(crate) fn normalise<B>(request: &mut Request<B>) {
    let path = request.uri().path();
    if path.starts_with("/api/") || !(path.contains("%2F") || path.contains("%2f") || path.ends_with('/')) {
        return;
    }
    let decoded = path.replace("%2F", "/").replace("%2f", "/");
    let trimmed = match decoded.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let text = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
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
        ] {
            let mut request = Request::builder().uri(given).body(()).unwrap();
            normalise(&mut request);
            assert_eq!(request.uri().to_string(), looked_up, "{given}");
        }
    }
}
