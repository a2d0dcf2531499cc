//! Talks to a running hub over HTTPS, with a policy key, as any service tool does.

use std::{path::Path, time::Duration};

use hemline_protocol::{
    connection_string::ServiceConnectionString,
    sas::{SasToken, SymmetricKey},
};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::Value;

use crate::{args::Args, data_dir, error::CommandError};

/// Version of the IoT Hub REST API that requests name.
const API_VERSION: &str = "2021-04-12";
/// Life of a token: long enough for one command.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// A hub that can be asked.
#[derive(Debug)]
pub(crate) struct HubClient {
    http: reqwest::Client,
    base: Url,
    host: String,
    policy: String,
    key: SymmetricKey,
    ca_pem: String,
}

impl HubClient {
    /// Finds the hub by `HEM_SERVER` or by the data directory.
    pub(crate) fn find(args: &Args) -> Result<Self, CommandError> {
        let (connection_string, address) = match &args.server {
            Some(server) => (server.clone(), None),
            None => {
                let (endpoint, owner) = data_dir::discover(&args.data_dir)?;
                (owner, Some(endpoint))
            }
        };
        let service = ServiceConnectionString::parse(connection_string.trim()).map_err(|error| {
            CommandError::Usage(format!("HEM_SERVER is not a service connection string: {error}"))
        })?;
        let host = service.host_name.clone();
        let authority =
            address.map_or_else(|| host.clone(), |endpoint| with_port(&endpoint.host_name, endpoint.https));
        let base = Url::parse(&format!("https://{authority}/"))
            .map_err(|error| CommandError::Usage(format!("{authority:?} is not a host: {error}")))?;
        let ca_path = args.ca.clone().unwrap_or_else(|| args.data_dir.join("ca.pem"));
        let ca_pem = std::fs::read_to_string(&ca_path).map_err(|source| CommandError::File {
            action: "read",
            path: ca_path.clone(),
            source,
        })?;
        let http = http_client(&ca_pem, &ca_path)?;
        Ok(Self { http, base, host, policy: service.policy, key: service.key, ca_pem })
    }

    /// The authority that this hub's certificate comes from.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Host name as it stands in connection strings.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Host and port that requests go to.
    pub(crate) fn authority(&self) -> (&str, u16) {
        (self.base.host_str().unwrap_or_default(), self.base.port_or_known_default().unwrap_or(443))
    }

    /// One request, one JSON answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, CommandError> {
        let response = self.send(method, path, &[], |request| match body {
            Some(body) => request.timeout(ANSWER).json(body),
            None => request.timeout(ANSWER),
        });
        self.json(response.await?).await
    }

    /// One question with parameters, one JSON answer.
    pub(crate) async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CommandError> {
        let response = self.send(Method::GET, path, query, |request| request.timeout(ANSWER));
        self.json(response.await?).await
    }

    /// A query, all pages.
    pub(crate) async fn query(&self, text: &str) -> Result<Vec<Value>, CommandError> {
        let body = serde_json::json!({ "query": text });
        let mut rows = Vec::new();
        let mut continuation: Option<String> = None;
        loop {
            let response = self.send(Method::POST, &["devices", "query"], &[], |request| {
                let request = request.header("x-ms-max-item-count", "100").timeout(ANSWER).json(&body);
                match continuation.take() {
                    Some(token) => request.header("x-ms-continuation", token),
                    None => request,
                }
            });
            let response = response.await?;
            continuation = response
                .headers()
                .get("x-ms-continuation")
                .and_then(|v| v.to_str().ok())
                .map(ToOwned::to_owned);
            match self.json(response).await? {
                Value::Array(page) => rows.extend(page),
                other => return Err(self.unexpected(format!("{other} is not a list of rows"))),
            }
            if continuation.is_none() {
                return Ok(rows);
            }
        }
    }

    /// One request, the raw answer (for streams). Errors of the hub are errors here.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        finish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, CommandError> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.clear().extend(path);
            }
            Err(()) => return Err(self.unexpected("an address that takes no path".to_owned())),
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION).extend_pairs(query);
        let request = self.http.request(method, url).header("Authorization", self.token());
        let response = finish(request)
            .send()
            .await
            .map_err(|source| CommandError::Unreachable { url: self.base.to_string(), source })?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    fn token(&self) -> String {
        let expiry = jiff::Timestamp::now() + TOKEN_LIFE;
        SasToken::sign(&self.key, &self.host, expiry, Some(&self.policy))
    }

    async fn json(&self, response: Response) -> Result<Value, CommandError> {
        if response.status() == reqwest::StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body = response
            .bytes()
            .await
            .map_err(|source| CommandError::Unreachable { url: self.base.to_string(), source })?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(error.to_string()))
    }

    fn unexpected(&self, what: String) -> CommandError {
        CommandError::BadAnswer { url: self.base.to_string(), what }
    }
}

/// Longest wait for an answer: a direct method may take 300 s to connect and 300 s to answer. Streams have no end.
const ANSWER: Duration = Duration::from_secs(630);

/// An HTTPS client that trusts one authority and nobody else.
fn http_client(ca_pem: &str, path: &Path) -> Result<reqwest::Client, CommandError> {
    let trust = |error: Box<dyn std::error::Error + Send + Sync>| CommandError::Trust {
        path: path.to_owned(),
        source: error,
    };
    let mut roots = rustls::RootCertStore::empty();
    for der in pem_certificates(ca_pem).map_err(trust)? {
        roots.add(der).map_err(|error| trust(Box::new(error)))?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| trust(Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| trust(Box::new(error)))
}

/// The certificates of a PEM text.
pub(crate) fn pem_certificates(
    pem: &str,
) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Box<dyn std::error::Error + Send + Sync>> {
    use rustls::pki_types::pem::PemObject as _;
    let found = rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("not a PEM certificate: {error}"))?;
    if found.is_empty() { Err("no certificate in it".into()) } else { Ok(found) }
}

/// Turns the hub's error answer into ours.
async fn refusal(response: Response) -> CommandError {
    let status = response.status().as_u16();
    let named = |name: &str| response.headers().get(name);
    let code = named("iothub-errorcode")
        // Of the blob endpoint, whose answers are XML.
        .or(named("x-ms-error-code"))
        .and_then(|value| value.to_str().ok())
        .unwrap_or("unknown")
        .to_owned();
    let body = response.text().await.unwrap_or_default();
    let parsed: Option<Value> = serde_json::from_str(&body).ok();
    let text =
        parsed.as_ref().and_then(|value| value.get("Message")).and_then(Value::as_str).unwrap_or(&body);
    // Two forms: `ErrorCode:Name;text`, and a JSON object as text (reference service-api §3.2, §4.5).
    let message = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|inner| inner.get("message").and_then(Value::as_str).map(ToOwned::to_owned))
        .or_else(|| Some(text.split_once("<Message>")?.1.split_once("</Message>")?.0.to_owned()))
        .or_else(|| text.split_once(';').map(|(_, rest)| rest.to_owned()))
        .unwrap_or_else(|| text.to_owned());
    CommandError::Refused { status, code, message }
}

/// `host` on 443, `host:port` elsewhere.
pub(crate) fn with_port(host: &str, port: u16) -> String {
    if port == 443 { host.to_owned() } else { format!("{host}:{port}") }
}
