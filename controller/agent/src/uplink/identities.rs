//! Module keys and generation ids: `GET /devices/{device}/modules` with the device's own token.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hemline_model::{id::DeviceId, secret::Secret};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::DeviceTokens;
use crate::module::{Identities, Identity};

const DEADLINE: Duration = Duration::from_secs(10);

/// Fifty modules with their keys are some 40 KiB.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Why the identities could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The hub could not be asked; try again later.
    #[error("cannot ask the hub for module identities")]
    Unreachable(#[source] reqwest::Error),
    /// The hub said no.
    #[error("the hub answered {status} to the question for module identities: {body}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        body: String,
    },
    /// The answer cannot be read.
    #[error("the hub's answer is no list of module identities: {0}")]
    Unreadable(String),
}

/// Asks the hub.
pub struct IdentityClient {
    http: reqwest::Client,
    url: String,
    tokens: DeviceTokens,
}

impl IdentityClient {
    /// For one device.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        tls: &Arc<rustls::ClientConfig>,
        host: &str,
        port: u16,
        device: &DeviceId,
        tokens: DeviceTokens,
    ) -> Result<Self, IdentityError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((**tls).clone())
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .map_err(IdentityError::Unreachable)?;
        let device = utf8_percent_encode(device.as_str(), NON_ALPHANUMERIC);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("https://{host}:{port}/devices/{device}/modules?api-version=2021-04-12");
        Ok(Self { http, url, tokens })
    }

    /// All module identities of the device that have a symmetric key.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn fetch(&self) -> Result<Identities, IdentityError> {
        let now = Timestamp::now();
        let token = self.tokens.sign(now.saturating_add(SignedDuration::from_mins(10)).unwrap_or(now));
        let request = self.http.get(&self.url).header("Authorization", token);
        let mut answer = request.send().await.map_err(IdentityError::Unreachable)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(IdentityError::Unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_ANSWER {
                return Err(IdentityError::Unreadable(format!("it is longer than {LARGEST_ANSWER} bytes")));
            }
        }
        if status != 200 {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(IdentityError::Refused { status, body });
        }
        parse(&body)
    }
}

fn parse(body: &[u8]) -> Result<Identities, IdentityError> {
    let list: Vec<Value> =
        serde_json::from_slice(body).map_err(|error| IdentityError::Unreadable(error.to_string()))?;
    let mut identities = BTreeMap::new();
    for module in &list {
        let text = |pointer: &str| module.pointer(pointer).and_then(Value::as_str);
        let name = text("/moduleId");
        let generation = text("/generationId");
        let key = text("/authentication/symmetricKey/primaryKey");
        if let (Some(name), Some(generation), Some(key)) = (name, generation, key) {
            let identity = Identity { generation_id: generation.to_owned(), key: Secret::new(key) };
            identities.insert(name.to_owned(), identity);
        }
    }
    Ok(identities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_hub_answers() {
        let body = br#"[
            {"moduleId": "$edgeHub", "deviceId": "d", "generationId": "1", "authentication": {"type": "sas",
                "symmetricKey": {"primaryKey": "YQ==", "secondaryKey": "Yg=="}}},
            {"moduleId": "cert", "deviceId": "d", "generationId": "2", "authentication": {"type": "selfSigned"}}]"#;
        let identities = parse(body).unwrap();
        assert_eq!(identities.keys().collect::<Vec<_>>(), ["$edgeHub"]);
        assert_eq!(identities["$edgeHub"].key.expose(), "YQ==");
        assert!(parse(b"{}").is_err());
    }
}
