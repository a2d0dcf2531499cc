//! The MQTT user name: host, identity and what the client says about itself (reference device-protocol §3.3).

use std::fmt;

use hemline_model::id::{ClientId, DeviceId, IdError, ModuleId};

use crate::bag;

/// API version that our own clients name.
pub const API_VERSION: &str = "2021-04-12";

/// A user name in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    /// Name of the hub, not necessarily the one dialled.
    pub host: String,
    /// Who connects.
    pub client: ClientId,
    /// Never checked; absent with hand-written clients.
    pub api_version: Option<String>,
    /// DTDL model.
    pub model_id: Option<String>,
    /// `DeviceClientType`, for the log.
    pub client_type: Option<String>,
}

/// Why a text is no user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Too few or too many parts.
    #[error("user name does not have the form <hub>/<device>[/<module>]/?api-version=2021-04-12")]
    Shape,
    /// An id that cannot be one.
    #[error("user name holds a bad id")]
    Id(#[from] IdError),
}

impl Username {
    /// Reads a user name: `HUB/d/?…`, `HUB/d/m/?…`, the same without `?`, the bare forms, and the fossil of six
    /// segments. Ids and host are taken as they are; a `?` may be part of an id.
    ///
    /// # Errors
    /// When the shape or an id is wrong.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        let segments: Vec<&str> = text.split('/').collect();
        let (ids, asked) = match segments.as_slice() {
            [ids @ .., last] if last.starts_with('?') && (2..=3).contains(&ids.len()) => (ids, &last[1..]),
            [ids @ .., last] if last.contains("api-version=") && (2..=3).contains(&ids.len()) => (ids, *last),
            [host, device, module, version, ..]
                if segments.len() == 6 && version.starts_with("api-version=") =>
            {
                return Self::build(&[host, device, module], version);
            }
            ids if (2..=3).contains(&ids.len()) => (ids, ""),
            _ => return Err(UsernameError::Shape),
        };
        Self::build(ids, asked)
    }

    fn build(ids: &[&str], asked: &str) -> Result<Self, UsernameError> {
        let (host, client) = match ids {
            [host, device] => (host, ClientId::device(DeviceId::new(device)?)),
            [host, device, module] => {
                (host, ClientId::module(DeviceId::new(device)?, ModuleId::new(module)?))
            }
            _ => return Err(UsernameError::Shape),
        };
        if host.is_empty() {
            return Err(UsernameError::Shape);
        }
        let mut found =
            Self { host: (*host).to_owned(), client, api_version: None, model_id: None, client_type: None };
        for (name, value) in asked.split('&').filter_map(|pair| pair.split_once('=')) {
            let slot = match name {
                "api-version" => &mut found.api_version,
                "model-id" => &mut found.model_id,
                "DeviceClientType" => &mut found.client_type,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(bag::decode(value).unwrap_or_else(|_| value.to_owned()));
            }
        }
        Ok(found)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = bag::encode(self.api_version.as_deref().unwrap_or(API_VERSION));
        write!(f, "{}/{}/?api-version={version}", self.host, self.client)?;
        if let Some(model) = &self.model_id {
            write!(f, "&model-id={}", bag::encode(model))?;
        }
        if let Some(client_type) = &self.client_type {
            write!(f, "&DeviceClientType={}", bag::encode(client_type))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_in_the_wild() {
        for (text, host, client, version) in [
            (
                "hub.local/d/?api-version=2019-10-01&DeviceClientType=py%2F3",
                "hub.local",
                "d",
                Some("2019-10-01"),
            ),
            (
                "hub.local/d/m/?api-version=2021-04-12&model-id=dtmi:a;1",
                "hub.local",
                "d/m",
                Some("2021-04-12"),
            ),
            ("hub.local/d/api-version=2018-06-30", "hub.local", "d", Some("2018-06-30")),
            ("hub.local/d/m/api-version=2018-06-30", "hub.local", "d/m", Some("2018-06-30")),
            ("hub.local/d", "hub.local", "d", None),
            ("hub.local/d/m", "hub.local", "d/m", None),
            ("hub.local/d/?x/?api-version=1", "hub.local", "d/?x", Some("1")),
            ("hub.local/a%2B?b/?api-version=1&api-version=2", "hub.local", "a%2B?b", Some("1")),
            (
                "hub.local/d/m/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003",
                "hub.local",
                "d/m",
                Some("2017-06-30"),
            ),
        ] {
            let name = Username::parse(text).unwrap();
            assert_eq!(
                (name.host.as_str(), name.client.to_string().as_str(), name.api_version.as_deref()),
                (host, client, version),
                "{text}"
            );
        }
        for text in [
            "",
            "hub.local",
            "hub.local/",
            "/d",
            "hub.local/d/m/x",
            "hub.local/d/m/x/?api-version=1",
            "hub.local/d d",
        ] {
            assert!(Username::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn printed_form_is_read_back() {
        let name = Username {
            host: "hub.local".into(),
            client: "d/$edgeAgent".parse().unwrap(),
            api_version: Some(API_VERSION.into()),
            model_id: Some("dtmi:a:b;1".into()),
            client_type: Some("hemline/0.1 (linux)".into()),
        };
        assert_eq!(Username::parse(&name.to_string()), Ok(name));
    }
}
