//! Smart HTTP through rustls: the requests of libgit2 go on to the remote, with credentials.
//!
//! Only what Git asks for passes: `info/refs` and the two services, each with bounds on both bodies. Redirects are followed
//! for the first question only, as Git does, and credentials stay with the host they were given for.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use reqwest::{Client, Url, redirect};
use tokio::net::TcpStream;

use super::{
    Carries, Failure,
    pkt::{Offers, Wants},
};
use crate::{SourceError, remote::Remote};

/// What libgit2 sends at once: wants and haves, or a pack of status files.
const REQUEST_AT_MOST: usize = 256 << 20;
const CONNECT: Duration = Duration::from_secs(20);
/// A server that says nothing for so long says nothing any more.
const SILENCE: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 3;
/// Characters of a server's own words that are passed on.
const WORDS: usize = 300;

type Body = BoxBody<Bytes, std::io::Error>;

/// Where requests go, and with what.
pub(super) struct Forward {
    client: Client,
    remote: Remote,
    word: String,
    carries: Carries,
    failure: Failure,
    seen: Mutex<Seen>,
}

/// What the first answer said.
#[derive(Debug, Default)]
struct Seen {
    /// Where a redirect led.
    base: Option<Url>,
    offers: Offers,
}

// === impl Forward ===

impl Forward {
    pub(super) fn new(
        remote: &Remote,
        carries: Carries,
        word: String,
        failure: Failure,
    ) -> Result<Self, SourceError> {
        // Read once here too, so that a missing file is told before anything is asked.
        remote.access.credentials.authorization()?;
        Ok(Self {
            client: client(remote.access.ca_file.as_deref())?,
            remote: remote.clone(),
            word,
            carries,
            failure,
            seen: Mutex::default(),
        })
    }

    fn seen<T>(&self, read: impl FnOnce(&mut Seen) -> T) -> T {
        read(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, SourceError> {
        let path = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(&self.word));
        let get = request.method() == Method::GET;
        let service = match (get, path) {
            (true, Some("/info/refs")) => "info/refs",
            (false, Some("/git-upload-pack")) => "git-upload-pack",
            (false, Some("/git-receive-pack")) => "git-receive-pack",
            _ => return Ok(status(StatusCode::NOT_FOUND)),
        };
        let first = Url::parse(&self.remote.url).map_err(|error| self.unreachable(error))?;
        let base = self.seen(|seen| seen.base.clone()).unwrap_or_else(|| first.clone());
        let mut url = joined(&base, service);
        url.set_query(request.uri().query());
        let mut asked = if get { self.client.get(url) } else { self.client.post(url) };
        for name in [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT] {
            if let Some(value) = request.headers().get(&name) {
                asked = asked.header(name, value);
            }
        }
        if base.origin() == first.origin()
            && let Some(shown) = self.remote.access.credentials.authorization()?
        {
            let mut value =
                header::HeaderValue::from_str(shown.expose()).map_err(|error| self.unreachable(error))?;
            value.set_sensitive(true);
            asked = asked.header(header::AUTHORIZATION, value);
        }
        if !get {
            let body = Limited::new(request.into_body(), REQUEST_AT_MOST).collect().await;
            let body = body.map_err(|_| self.limit("bytes to send", REQUEST_AT_MOST as u64))?.to_bytes();
            let filtered = service == "git-upload-pack" && self.seen(|seen| seen.offers.filter());
            asked = asked.body(match self.carries.blob_bytes.filter(|_| filtered) {
                Some(bytes) => Wants::without_blobs_above(bytes).take(&body),
                None => body,
            });
        }
        let answer = asked.send().await.map_err(|error| self.unreachable(error))?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer).await);
        }
        if get {
            let reached = answer.url().clone();
            self.seen(|seen| seen.base = Some(without(reached, service)));
        }
        Ok(self.passed(answer, get))
    }

    /// The remote's answer, counted.
    fn passed(self: &Arc<Self>, answer: reqwest::Response, first: bool) -> Response<Body> {
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let (this, mut left) = (Arc::clone(self), self.carries.bytes);
        let stream = answer.bytes_stream().map(move |part| {
            let part = part.map_err(|error| {
                this.failure.tell(this.unreachable(error));
                std::io::Error::other("the remote stopped")
            })?;
            if first {
                this.seen(|seen| seen.offers.look(&part));
            }
            match left.checked_sub(part.len() as u64) {
                Some(rest) => left = rest,
                None => {
                    this.failure.tell(this.limit("bytes in one fetch", this.carries.bytes));
                    return Err(std::io::Error::other("more than allowed"));
                }
            }
            Ok(Frame::data(part))
        });
        let mut passed = Response::new(BodyExt::boxed(StreamBody::new(stream)));
        if let Some(kind) = kind {
            passed.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        passed
    }

    async fn refused(&self, answer: reqwest::Response) -> SourceError {
        let (url, code) = (self.remote.url.clone(), answer.status());
        let shown = self.remote.access.credentials.authorization().is_ok_and(|shown| shown.is_some());
        let text = answer.text().await.unwrap_or_default();
        // A page for a browser says nothing that fits on a line.
        let words = if text.trim_start().starts_with('<') { "" } else { text.trim() };
        let words: String = words.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        let fix = match (code, shown) {
            (StatusCode::UNAUTHORIZED, true) => {
                "the credentials were not accepted: make a new token that may read the repository and give it with \
                 HEM_GIT_TOKEN, --git-token-file, or the token-file of its source"
            }
            (StatusCode::UNAUTHORIZED, false) => {
                "it wants credentials: give a token with HEM_GIT_TOKEN, --git-token-file, or the token-file of its source"
            }
            (StatusCode::FORBIDDEN, _) => {
                "the credentials do not allow this: give the token the missing permission"
            }
            (StatusCode::NOT_FOUND, _) => {
                "there is no such repository, or the credentials may not see it: check both"
            }
            _ => {
                let source = format!("HTTP {code}{words}").into();
                return SourceError::Unreachable { url, source };
            }
        };
        SourceError::Denied { url, why: format!("HTTP {code}{words}"), fix: fix.to_owned() }
    }

    fn unreachable(&self, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
        let url = self.remote.url.clone();
        if let Some(why) = untrusted(&error) {
            return SourceError::Untrusted {
                url,
                why,
                fix: "name the authority that signed its certificate with --git-ca (a PEM file)".to_owned(),
            };
        }
        SourceError::Unreachable { url, source: Box::new(error) }
    }

    fn limit(&self, what: &'static str, limit: u64) -> SourceError {
        SourceError::Limit { what, limit, path: self.remote.url.clone() }
    }
}

/// Serves one connection of libgit2.
pub(super) async fn connection(stream: TcpStream, forward: Arc<Forward>) {
    let service = service_fn(move |request| {
        let forward = Arc::clone(&forward);
        async move {
            let answer = match Arc::clone(&forward).answer(request).await {
                Ok(answer) => answer,
                Err(error) => {
                    forward.failure.tell(error);
                    status(StatusCode::BAD_GATEWAY)
                }
            };
            Ok::<_, Infallible>(answer)
        }
    });
    // libgit2 writes the head and the body of a question apart and waits in between for an acknowledgement, which the kernel
    // puts off by 40 ms on a connection that has answered before. A new one for each question is told at once.
    let mut server = hyper::server::conn::http1::Builder::new();
    server.keep_alive(false);
    // An end in the middle is libgit2 giving up; it says why itself.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

fn status(code: StatusCode) -> Response<Body> {
    let empty = Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed();
    let mut answer = Response::new(empty);
    *answer.status_mut() = code;
    answer
}

fn joined(base: &Url, service: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{service}", base.path().trim_end_matches('/')));
    url
}

/// What is left when the end of a redirected address is taken off.
fn without(mut url: Url, service: &str) -> Url {
    let path = url.path().strip_suffix(service).unwrap_or(url.path()).trim_end_matches('/').to_owned();
    url.set_path(&path);
    url.set_query(None);
    url
}

/// Does the chain of causes end in a certificate?
fn untrusted(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("invalid peer certificate") {
            return Some(text);
        }
        // An I/O error hides the TLS error that it carries.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(carried) =
            carried.map(ToString::to_string).filter(|text| text.contains("peer certificate"))
        {
            return Some(carried);
        }
        cause = error.source();
    }
    None
}

/// A client that trusts one authority, or those of this machine.
pub(crate) fn client(ca_file: Option<&Path>) -> Result<Client, SourceError> {
    let policy = redirect::Policy::custom(|attempt| {
        let left_tls = attempt.previous().first().is_some_and(|first| first.scheme() == "https")
            && attempt.url().scheme() != "https";
        let asked = attempt.previous().first().is_some_and(|first| first.path().ends_with("/info/refs"));
        if attempt.previous().len() > REDIRECTS || left_tls || !asked {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    let trust = |path: &Path, why: &dyn std::error::Error| SourceError::Untrusted {
        url: path.display().to_string(),
        why: why.to_string(),
        fix: "the file must hold PEM certificates of authorities".to_owned(),
    };
    let store = crate::tls::roots(ca_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let here = ca_file.unwrap_or(Path::new("the authorities of this machine"));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| trust(here, &error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(policy)
        .build()
        .map_err(|error| trust(here, &error))
}
