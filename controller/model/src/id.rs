//! Identifiers as types: what a name may contain is decided here, once.
//!
//! Not here: where a name stands in a document (`position.rs`) or what it refers to (`validate/`).

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// What the text was meant to be, for example "device id".
        what: &'static str,
    },
    /// The text has more characters than allowed.
    #[error("{what} has {length} characters, at most {limit} are allowed")]
    TooLong {
        /// What the text was meant to be.
        what: &'static str,
        /// Characters found.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// A character that must not occur.
    #[error("{what} contains {found:?}; allowed are {allowed}")]
    Character {
        /// What the text was meant to be.
        what: &'static str,
        /// The first offending character.
        found: char,
        /// The allowed set, in words.
        allowed: &'static str,
    },
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $allowed:literal, $accept:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps a text.
            ///
            /// # Errors
            /// When the text is empty, too long or holds a character outside the allowed set.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                if text.is_empty() {
                    return Err(IdError::Empty { what: $what });
                }
                let length = text.chars().count();
                if length > $limit {
                    return Err(IdError::TooLong { what: $what, length, limit: $limit });
                }
                let accept: fn(char) -> bool = $accept;
                if let Some(found) = text.chars().find(|c| !accept(*c)) {
                    return Err(IdError::Character { what: $what, found, allowed: $allowed });
                }
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Characters of IoT Hub identity ids (reference service-api §4.1, device-protocol §2.1).
fn hub_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(c)
}

identifier!(
    /// An IoT Hub device id: case-sensitive, at most 128 characters, never contains `/`.
    DeviceId,
    "device id",
    128,
    "ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '",
    hub_id
);

identifier!(
    /// An IoT Hub module id, `$edgeAgent` and `$edgeHub` included.
    ModuleId,
    "module id",
    128,
    "ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '",
    hub_id
);

identifier!(
    /// `metadata.name` of a document: a DNS-1123 subdomain, as Kubernetes wants it.
    DocumentName,
    "name",
    253,
    "lower-case letters, digits, '-' and '.'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.'
);

identifier!(
    /// Identity of one consistent set of documents: a commit id or a content digest.
    Revision,
    "revision",
    128,
    "letters, digits, ':' and '-'",
    |c| c.is_ascii_alphanumeric() || c == ':' || c == '-'
);

impl Revision {
    /// The first characters, enough for a person: seven of a commit id, seven after `sha256:` of a digest.
    #[must_use]
    pub fn short(&self) -> &str {
        let text = self.as_str();
        let body = text.split_once(':').map_or(text, |(_, digest)| digest);
        body.get(..7).unwrap_or(body)
    }
}

impl ModuleId {
    /// `$edgeAgent`: the identity of the agent of an edge device.
    #[must_use]
    pub fn edge_agent() -> Self {
        Self(Arc::from("$edgeAgent"))
    }

    /// `$edgeHub`: the identity that carries routes and the broker policy of an edge device.
    #[must_use]
    pub fn edge_hub() -> Self {
        Self(Arc::from("$edgeHub"))
    }

    /// Is this one of the two module ids that the runtime itself owns?
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(self.as_str(), "$edgeAgent" | "$edgeHub")
    }
}

/// Who talks to the hub: a device, or a module of a device. Printed as `device` or `device/module`,
/// which is also the MQTT client id (reference device-protocol §3.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId {
    /// The device.
    pub device: DeviceId,
    /// The module, when the client is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
}

impl ClientId {
    /// The identity of a device itself.
    #[must_use]
    pub fn device(device: DeviceId) -> Self {
        Self { device, module: None }
    }

    /// The identity of a module.
    #[must_use]
    pub fn module(device: DeviceId, module: ModuleId) -> Self {
        Self { device, module: Some(module) }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(f, "{}/{module}", self.device),
            None => write!(f, "{}", self.device),
        }
    }
}

impl std::str::FromStr for ClientId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            Some((device, module)) => Ok(Self::module(DeviceId::new(device)?, ModuleId::new(module)?)),
            None => Ok(Self::device(DeviceId::new(text)?)),
        }
    }
}
