//! Connection strings (reference device-protocol §2.1): `key=value;key=value`, split on the first `=`.
//!
//! Printed without a trailing `;` and with known keys only, because the Python SDK refuses anything else.

use hemline_model::{
    id::{ClientId, DeviceId, IdError, ModuleId},
    secret::Secret,
};

use crate::sas::{SasError, SymmetricKey};

/// A connection string of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionString {
    /// Of a device or module.
    Client(ClientConnectionString),
    /// Of a policy.
    Service(ServiceConnectionString),
}

/// A connection string of a device or module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConnectionString {
    /// `HostName`: the hub.
    pub host_name: String,
    /// `DeviceId` and `ModuleId`.
    pub client: ClientId,
    /// How it proves who it is.
    pub credential: Credential,
    /// `GatewayHostName`: where to connect to instead of the hub.
    pub gateway: Option<String>,
}

/// How a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `SharedAccessKey`, and the policy it belongs to if it is not the client's own.
    Key {
        /// The key.
        key: SymmetricKey,
        /// `SharedAccessKeyName`
        policy: Option<String>,
    },
    /// `SharedAccessSignature`: a ready-made token.
    Token(Secret),
    /// `x509=true`: a certificate that comes from elsewhere.
    Certificate,
}

/// A connection string of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConnectionString {
    /// `HostName`: the hub, with a port if it is not 443.
    pub host_name: String,
    /// `SharedAccessKeyName`
    pub policy: String,
    /// `SharedAccessKey`
    pub key: SymmetricKey,
}

/// Why a text is no connection string. Never quotes values: they hold keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A part without `=`.
    #[error("connection string: part {0} is not of the form key=value")]
    NotAPair(usize),
    /// A key that no SDK knows.
    #[error(
        "connection string: unknown key {0:?}; known are HostName, DeviceId, ModuleId, SharedAccessKeyName, SharedAccessKey, SharedAccessSignature, GatewayHostName, x509"
    )]
    UnknownKey(String),
    /// The same key twice.
    #[error("connection string: {0} is given twice")]
    Twice(&'static str),
    /// A required key is missing.
    #[error("connection string: {0} is missing")]
    Missing(&'static str),
    /// An id that cannot be one.
    #[error("connection string: bad id")]
    Id(#[from] IdError),
    /// A key that cannot be one.
    #[error("connection string: bad SharedAccessKey")]
    Key(#[from] SasError),
}

#[derive(Default)]
struct Parts<'a> {
    host: Option<&'a str>,
    device: Option<&'a str>,
    module: Option<&'a str>,
    policy: Option<&'a str>,
    key: Option<&'a str>,
    token: Option<&'a str>,
    gateway: Option<&'a str>,
    x509: Option<&'a str>,
}

impl ConnectionString {
    /// Reads a connection string of any kind.
    ///
    /// # Errors
    /// When a part is unknown, missing or broken.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let parts = Parts::split(text)?;
        match parts.device {
            Some(_) => parts.client().map(Self::Client),
            None => parts.service().map(Self::Service),
        }
    }
}

impl ClientConnectionString {
    /// Reads the connection string of a device or module.
    ///
    /// # Errors
    /// When a part is unknown, missing or broken.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        Parts::split(text)?.client()
    }

    /// The text with the key in it. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut out = format!("HostName={};DeviceId={}", self.host_name, self.client.device);
        if let Some(module) = &self.client.module {
            out.push_str(&format!(";ModuleId={module}"));
        }
        match &self.credential {
            Credential::Key { key, policy } => {
                if let Some(policy) = policy {
                    out.push_str(&format!(";SharedAccessKeyName={policy}"));
                }
                out.push_str(&format!(";SharedAccessKey={}", key.expose_base64()));
            }
            Credential::Token(token) => out.push_str(&format!(";SharedAccessSignature={}", token.expose())),
            Credential::Certificate => out.push_str(";x509=true"),
        }
        if let Some(gateway) = &self.gateway {
            out.push_str(&format!(";GatewayHostName={gateway}"));
        }
        out
    }
}

impl ServiceConnectionString {
    /// Reads the connection string of a policy.
    ///
    /// # Errors
    /// When a part is unknown, missing or broken.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        Parts::split(text)?.service()
    }

    /// The text with the key in it. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> String {
        let key = self.key.expose_base64();
        format!("HostName={};SharedAccessKeyName={};SharedAccessKey={key}", self.host_name, self.policy)
    }
}

impl std::str::FromStr for ConnectionString {
    type Err = ConnectionStringError;
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        Self::parse(text)
    }
}

impl std::str::FromStr for ClientConnectionString {
    type Err = ConnectionStringError;
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        Self::parse(text)
    }
}

impl std::str::FromStr for ServiceConnectionString {
    type Err = ConnectionStringError;
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        Self::parse(text)
    }
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, ConnectionStringError> {
        let mut parts = Self::default();
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text);
        for (index, part) in text.split(';').enumerate() {
            let (name, value) = part.split_once('=').ok_or(ConnectionStringError::NotAPair(index + 1))?;
            let (name, slot) = match name.trim() {
                "HostName" => ("HostName", &mut parts.host),
                "DeviceId" => ("DeviceId", &mut parts.device),
                "ModuleId" => ("ModuleId", &mut parts.module),
                "SharedAccessKeyName" => ("SharedAccessKeyName", &mut parts.policy),
                "SharedAccessKey" => ("SharedAccessKey", &mut parts.key),
                "SharedAccessSignature" => ("SharedAccessSignature", &mut parts.token),
                "GatewayHostName" => ("GatewayHostName", &mut parts.gateway),
                "x509" => ("x509", &mut parts.x509),
                unknown => {
                    // Only what looks like a name is repeated: a misplaced key must not end up in a log.
                    let is_name = unknown.len() < 24 && unknown.chars().all(|c| c.is_ascii_alphabetic());
                    let shown = if is_name { unknown } else { "…" };
                    return Err(ConnectionStringError::UnknownKey(shown.to_owned()));
                }
            };
            if slot.replace(value).is_some() {
                return Err(ConnectionStringError::Twice(name));
            }
        }
        Ok(parts)
    }

    fn client(&self) -> Result<ClientConnectionString, ConnectionStringError> {
        let device = DeviceId::new(self.device.ok_or(ConnectionStringError::Missing("DeviceId"))?)?;
        let module = self.module.map(ModuleId::new).transpose()?;
        let credential = match (self.key, self.token, self.x509) {
            (Some(key), _, _) => Credential::Key {
                key: SymmetricKey::from_base64(key)?,
                policy: self.policy.map(str::to_owned),
            },
            (None, Some(token), _) => Credential::Token(Secret::new(token)),
            (None, None, Some("true")) => Credential::Certificate,
            (None, None, _) => return Err(ConnectionStringError::Missing("SharedAccessKey")),
        };
        Ok(ClientConnectionString {
            host_name: self.required_host()?,
            client: ClientId { device, module },
            credential,
            gateway: self.gateway.map(str::to_owned),
        })
    }

    fn service(&self) -> Result<ServiceConnectionString, ConnectionStringError> {
        let policy = self.policy.ok_or(ConnectionStringError::Missing("SharedAccessKeyName"))?;
        let key = self.key.ok_or(ConnectionStringError::Missing("SharedAccessKey"))?;
        Ok(ServiceConnectionString {
            host_name: self.required_host()?,
            policy: policy.to_owned(),
            key: SymmetricKey::from_base64(key)?,
        })
    }

    fn required_host(&self) -> Result<String, ConnectionStringError> {
        match self.host.filter(|host| !host.is_empty()) {
            Some(host) => Ok(host.to_owned()),
            None => Err(ConnectionStringError::Missing("HostName")),
        }
    }
}
