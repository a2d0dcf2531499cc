//! The module's side of the workload API: trust bundle and signatures (reference device-protocol §11.3).
//!
//! One connection per call: a module calls twice an hour. Not here: what is signed (`token.rs`).

use std::{error::Error, io, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::join;
use hemline_protocol::{
    bag,
    workload::{SignRequest, SignResponse, TrustBundle, WorkloadError},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::environment::{Environment, WorkloadAddress};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest answer that is read: a trust bundle of some dozens of certificates.
const LONGEST_ANSWER: usize = 256 * 1024;

/// Why the agent's workload API did not do what it was asked. All but `Refused` pass when the agent is back.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadCallError {
    /// Nobody listens there.
    #[error("cannot reach the agent's workload API at {address}; is the agent running?")]
    Unreachable {
        /// Where.
        address: WorkloadAddress,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("the agent's workload API at {address} did not answer {call} within {} s", DEADLINE.as_secs())]
    Deadline {
        /// Where.
        address: WorkloadAddress,
        /// What was asked.
        call: &'static str,
    },
    /// The connection broke, or what came is no HTTP, or too long.
    #[error("{call} failed at the agent's workload API at {address}")]
    Broken {
        /// Where.
        address: WorkloadAddress,
        /// What was asked.
        call: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The agent said no: another module's name or an old generation id.
    #[error("the agent's workload API refuses {call} with {status}: {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
}

/// A client of the workload API.
#[derive(Debug)]
pub(super) struct Workload {
    address: WorkloadAddress,
    api_version: String,
    identity: String,
}

/// What is asked: for messages, and on the wire.
struct Call {
    name: &'static str,
    method: Method,
    path: String,
    body: Bytes,
}

impl Workload {
    pub(super) fn new(environment: &Environment) -> Self {
        let module = bag::encode(environment.module.as_str());
        let generation = bag::encode(&environment.generation_id);
        Self {
            address: environment.workload.clone(),
            api_version: environment.api_version.clone(),
            identity: format!("/modules/{module}/genid/{generation}"),
        }
    }

    /// The certificates to trust, as PEM.
    pub(super) async fn trust_bundle(&self) -> Result<String, WorkloadCallError> {
        let path = "/trust-bundle".to_owned();
        let call = Call { name: "trust-bundle", method: Method::GET, path, body: Bytes::new() };
        let bundle: TrustBundle = self.call(call).await?;
        Ok(bundle.certificate)
    }

    /// Signs with the module's key; gives the digest as base64.
    pub(super) async fn sign(&self, data: &[u8]) -> Result<String, WorkloadCallError> {
        let request = SignRequest {
            key_id: Some("primary".to_owned()),
            algo: Some("HMACSHA256".to_owned()),
            data: STANDARD.encode(data),
        };
        let body = serde_json::to_vec(&request).unwrap_or_default().into();
        let path = format!("{}/sign", self.identity);
        let call = Call { name: "sign", method: Method::POST, path, body };
        let response: SignResponse = self.call(call).await?;
        Ok(response.digest)
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, WorkloadCallError> {
        let name = call.name;
        let Ok(answer) = timeout(DEADLINE, self.dial(call)).await else {
            return Err(WorkloadCallError::Deadline { address: self.address.clone(), call: name });
        };
        let (status, body) = answer?;
        if !status.is_success() {
            let message = match serde_json::from_slice::<WorkloadError>(&body) {
                Ok(error) => error.message,
                Err(_) => String::from_utf8_lossy(&body).chars().take(200).collect(),
            };
            return Err(WorkloadCallError::Refused { call: name, status: status.as_u16(), message });
        }
        serde_json::from_slice(&body).map_err(|error| self.broken(name, error))
    }

    async fn dial(&self, call: Call) -> Result<(StatusCode, Bytes), WorkloadCallError> {
        let unreachable = |source| WorkloadCallError::Unreachable { address: self.address.clone(), source };
        match &self.address {
            WorkloadAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                self.exchange(stream, call, "localhost").await
            }
            WorkloadAddress::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
                self.exchange(stream, call, authority).await
            }
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        call: Call,
        host: &str,
    ) -> Result<(StatusCode, Bytes), WorkloadCallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Call { name, method, path, body } = call;
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?api-version={}", bag::encode(&self.api_version)))
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(|error| self.broken(name, error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(name, error))?;
        let answer = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
            Ok((status, body))
        };
        // The connection ends with its sender. How it ended does not matter once the answer is here.
        let (answer, _) = join(answer, connection).await;
        answer.map_err(|error: Box<dyn Error + Send + Sync>| self.broken(name, error))
    }

    fn broken(
        &self,
        call: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> WorkloadCallError {
        WorkloadCallError::Broken { address: self.address.clone(), call, source: source.into() }
    }
}
