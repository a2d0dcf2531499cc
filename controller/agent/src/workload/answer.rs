//! Answers of the workload API. Always a Content-Length, always JSON: some SDKs parse HTTP by hand.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hemline_protocol::{
    sas::SymmetricKey,
    workload::{SignRequest, SignResponse, TrustBundle, WorkloadError},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;

use super::{Caller, REQUEST_DEADLINE};

/// What a module has signed is a resource and a time.
const LARGEST_BODY: usize = 64 * 1024;

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(request: Request<Incoming>, caller: &Caller) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["trust-bundle"]) => {
            json(StatusCode::OK, &TrustBundle { certificate: caller.shared.ca_pem.clone() })
        }
        (&Method::GET, ["manifest-trust-bundle"]) => {
            json(StatusCode::OK, &TrustBundle { certificate: String::new() })
        }
        (&Method::GET, ["modules"]) => {
            let modules = caller.shared.modules.read().map(|modules| modules.clone()).unwrap_or_default();
            json(StatusCode::OK, &json!({ "modules": modules }))
        }
        (&Method::POST, ["modules", module, "genid", generation, "sign"]) => {
            let (module, generation) = (decoded(module), decoded(generation));
            sign(request, caller, &module, &generation).await
        }
        _ => refuse(StatusCode::NOT_FOUND, format!("there is no {} {path} here", request.method())),
    }
}

async fn sign(request: Request<Incoming>, caller: &Caller, module: &str, generation: &str) -> Answer {
    if module != caller.module {
        return refuse(
            StatusCode::FORBIDDEN,
            format!("this socket belongs to another module than {module:?}"),
        );
    }
    let Some(identity) = caller.identity().filter(|identity| identity.generation_id == generation) else {
        return refuse(StatusCode::NOT_FOUND, format!("module {module:?} has no generation {generation:?}"));
    };
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect();
    let body = match tokio::time::timeout(REQUEST_DEADLINE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            return refuse(StatusCode::BAD_REQUEST, format!("cannot read the request: {error}"));
        }
        Err(_) => {
            return refuse(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".to_owned());
        }
    };
    let wish: SignRequest = match serde_json::from_slice(&body) {
        Ok(wish) => wish,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, format!("not a sign request: {error}")),
    };
    let Ok(data) = STANDARD.decode(&wish.data) else {
        return refuse(StatusCode::BAD_REQUEST, "data is not base64".to_owned());
    };
    match SymmetricKey::from_base64(identity.key.expose()) {
        Ok(key) => json(StatusCode::OK, &SignResponse { digest: STANDARD.encode(key.sign(&data)) }),
        Err(error) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the module's key is unusable: {error}"))
        }
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn refuse(status: StatusCode, message: String) -> Answer {
    json(status, &WorkloadError { message })
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(bytes)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}
