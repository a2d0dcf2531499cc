//! Answers of the workload API. Always a Content-Length, always JSON: some SDKs parse HTTP by hand.
//!
//! Statuses are those of IoT Edge: 400 for what cannot be read, 403 for somebody else's module, 404 for what is not there,
//! and 500 for everything that went wrong while it was done, a text that cannot be decrypted among them (reference
//! edge-runtime §4.3, device-protocol §11.3).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hemline_model::secret::Secret;
use hemline_protocol::{
    sas::SymmetricKey,
    workload::{
        CallError, CertificateResponse, DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse,
        ModuleCall, PrivateKey, ServerCertificateRequest, SignRequest, SignResponse, TrustBundle,
        WorkloadCall, WorkloadError,
    },
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, ext::ReasonPhrase, header};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    Connection, REQUEST_DEADLINE,
    authority::{AuthorityError, Issued},
    caller::Stranger,
    cipher::{CipherError, Owner},
};
use crate::{causes, module::Identity};

/// What a module has signed is a resource and a time; a name is shorter still.
const LARGEST_BODY: usize = 64 * 1024;

/// What is encrypted are configurations and messages; base64 makes four bytes of three.
const LARGEST_TEXT: usize = 256 * 1024;

type Answer = Response<Full<Bytes>>;

/// A call that is not answered with what it asked for.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// It is the agent's fault, so its log tells it too.
    fn failure(error: &dyn std::error::Error) -> Self {
        let message = causes(error);
        tracing::error!(%message, "a call of the workload API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.to_string())
    }
}

impl From<Stranger> for Refusal {
    fn from(stranger: Stranger) -> Self {
        Self::new(StatusCode::FORBIDDEN, stranger.to_string())
    }
}

impl From<CipherError> for Refusal {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::NoVector => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            // The caller's fault, and still what IoT Edge answers.
            CipherError::Closed => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            CipherError::TooLong
            | CipherError::Damaged { .. }
            | CipherError::Random(_)
            | CipherError::Keep(_) => Self::failure(&error),
        }
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Name { .. } => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            AuthorityError::Key { .. }
            | AuthorityError::Make(_)
            | AuthorityError::Date(_)
            | AuthorityError::Random(_)
            | AuthorityError::Keep(_) => Self::failure(&error),
        }
    }
}

pub(super) async fn answer(request: Request<Incoming>, connection: Arc<Connection>) -> Answer {
    answered(request, connection)
        .await
        .unwrap_or_else(|Refusal { status, message }| json(status, &WorkloadError { message }))
}

async fn answered(request: Request<Incoming>, connection: Arc<Connection>) -> Result<Answer, Refusal> {
    let uri = request.uri();
    let call = WorkloadCall::parse(request.method().as_str(), uri.path(), uri.query())?;
    match call {
        WorkloadCall::Modules => {
            let modules = connection.shared.modules.read().map(|modules| modules.clone()).unwrap_or_default();
            Ok(json(StatusCode::OK, &json!({ "modules": modules })))
        }
        WorkloadCall::ManifestTrustBundle => {
            // Manifests come signed by the hub's connection, not by a certificate of their own.
            Ok(json(StatusCode::OK, &TrustBundle { certificate: String::new() }))
        }
        WorkloadCall::TrustBundle => aside(move || Ok(trust_bundle(&connection))).await,
        WorkloadCall::Module { module, call } => {
            let largest = match call {
                ModuleCall::Encrypt(_) | ModuleCall::Decrypt(_) => LARGEST_TEXT,
                ModuleCall::Sign(_) | ModuleCall::ServerCertificate(_) | ModuleCall::IdentityCertificate => {
                    LARGEST_BODY
                }
            };
            let body = read(request, largest).await?;
            aside(move || serve(&connection, &module, &call, &body)).await
        }
    }
}

/// Files are read and written there, and keys are made.
async fn aside(work: impl FnOnce() -> Result<Answer, Refusal> + Send + 'static) -> Result<Answer, Refusal> {
    let interrupted =
        |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the agent is ending; ask the next one");
    tokio::task::spawn_blocking(work).await.map_err(interrupted)?
}

async fn read(request: Request<Incoming>, largest: usize) -> Result<Bytes, Refusal> {
    let body = Limited::new(request.into_body(), largest).collect();
    match tokio::time::timeout(REQUEST_DEADLINE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body is larger than {largest} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(error)) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, format!("cannot read the request: {error}")))
        }
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time")),
    }
}

/// Whom modules may trust: the hub, and what the device signs for its modules. Without the latter they still find the hub.
fn trust_bundle(connection: &Connection) -> Answer {
    let shared = &connection.shared;
    let mut certificate = shared.ca_pem.clone();
    if !certificate.ends_with('\n') {
        certificate.push('\n');
    }
    match shared.authority.certificate(Timestamp::now()) {
        Ok(own) => certificate.push_str(&own),
        Err(error) => tracing::error!(
            error = causes(&error),
            "the trust bundle goes out without the authority of this device; modules cannot verify each other"
        ),
    }
    json(StatusCode::OK, &TrustBundle { certificate })
}

fn serve(connection: &Connection, module: &str, call: &ModuleCall, body: &[u8]) -> Result<Answer, Refusal> {
    if module != connection.module {
        let text = format!("this socket belongs to another module than {module:?}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    connection.checked()?;
    let shared = &connection.shared;
    match call {
        ModuleCall::Sign(generation) => sign(&of_generation(connection, generation)?, body),
        ModuleCall::Encrypt(generation) => {
            of_generation(connection, generation)?;
            let EncryptRequest { plaintext, initialization_vector } = parsed(body, "an encrypt request")?;
            let plain = bytes("plaintext", plaintext.expose())?;
            let vector = bytes("initializationVector", &initialization_vector)?;
            let text = shared.cipher.encrypt(Owner { module, generation }, &vector, &plain)?;
            Ok(json(StatusCode::OK, &EncryptResponse { ciphertext: STANDARD.encode(text) }))
        }
        ModuleCall::Decrypt(generation) => {
            of_generation(connection, generation)?;
            let DecryptRequest { ciphertext, initialization_vector } = parsed(body, "a decrypt request")?;
            let text = bytes("ciphertext", &ciphertext)?;
            let vector = bytes("initializationVector", &initialization_vector)?;
            let plain = shared.cipher.decrypt(Owner { module, generation }, &vector, &text)?;
            Ok(json(StatusCode::OK, &DecryptResponse { plaintext: Secret::new(STANDARD.encode(plain)) }))
        }
        ModuleCall::ServerCertificate(generation) => {
            of_generation(connection, generation)?;
            let ServerCertificateRequest { common_name } =
                parsed(body, "a request for a server certificate")?;
            Ok(certificate(shared.authority.server(module, &common_name, Timestamp::now())?))
        }
        ModuleCall::IdentityCertificate => {
            if connection.identity().is_none() {
                let text = format!("module {module:?} has no identity");
                return Err(Refusal::new(StatusCode::NOT_FOUND, text));
            }
            Ok(certificate(shared.authority.identity(module, Timestamp::now())?))
        }
    }
}

fn of_generation(connection: &Connection, generation: &str) -> Result<Identity, Refusal> {
    let identity = connection.identity().filter(|identity| identity.generation_id == generation);
    identity.ok_or_else(|| {
        let text = format!("module {:?} has no generation {generation:?}", connection.module);
        Refusal::new(StatusCode::NOT_FOUND, text)
    })
}

fn sign(identity: &Identity, body: &[u8]) -> Result<Answer, Refusal> {
    let wish: SignRequest = parsed(body, "a sign request")?;
    let data = bytes("data", &wish.data)?;
    let key = SymmetricKey::from_base64(identity.key.expose()).map_err(|error| {
        let text = format!("the module's key is unusable: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    Ok(json(StatusCode::OK, &SignResponse { digest: STANDARD.encode(key.sign(&data)) }))
}

fn certificate(issued: Issued) -> Answer {
    let Issued { chain, key, until } = issued;
    let made = CertificateResponse {
        private_key: PrivateKey::Key { bytes: key },
        certificate: chain,
        expiration: until,
    };
    json(StatusCode::CREATED, &made)
}

fn parsed<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("not {what}: {error}")))
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    let wrong = |_| Refusal::new(StatusCode::BAD_REQUEST, format!("{member} is not base64"));
    STANDARD.decode(text).map_err(wrong)
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(bytes)));
    *answer.status_mut() = status;
    // The SDK for Java takes a status line of exactly three words.
    let words = status.canonical_reason().filter(|reason| reason.contains(' '));
    if let Some(reason) = words.and_then(|reason| ReasonPhrase::try_from(reason.replace(' ', "")).ok()) {
        answer.extensions_mut().insert(reason);
    }
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}
