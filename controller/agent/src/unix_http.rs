//! One JSON request over a unix socket: to a container engine (what must go through as written, or be read with
//! tolerance), and to the workload socket of a module.
//!
//! Not here: streams.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::UnixStream;

/// An answer larger than that is not one that we asked for.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

const DEADLINE: Duration = Duration::from_secs(60);

/// A JSON server behind a socket. A connection per request: they are rare.
pub(crate) struct UnixHttp {
    socket: PathBuf,
}

/// The server's own words about what went wrong: the `message` of Docker and of the workload API.
pub(crate) fn message(answer: &Value) -> String {
    match answer.get("message").and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => answer.to_string(),
    }
}

/// Encodes a text for a path segment or a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl UnixHttp {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// GET that has to succeed.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        let (status, answer) = self.request("GET", path, None).await?;
        if status == 200 {
            Ok(answer)
        } else {
            Err(format!("GET {path} gave {status}: {}", message(&answer)))
        }
    }

    /// Status and JSON answer; an answer that is no JSON becomes a text.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let exchange = tokio::time::timeout(DEADLINE, self.exchange(method, path, body));
        match exchange.await {
            Ok(outcome) => outcome.map_err(|error| {
                format!("{method} {path} on {}: {}", self.socket.display(), crate::causes(error.as_ref()))
            }),
            Err(_) => Err(format!("{method} {path}: no answer within {} s", DEADLINE.as_secs())),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(bytes)))?;
        let talk = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let bytes = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await?.to_bytes();
            // Dropping the sender ends the connection.
            drop(sender);
            let value = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            Ok((status, value))
        };
        let (outcome, _) = tokio::join!(talk, connection);
        outcome
    }
}
