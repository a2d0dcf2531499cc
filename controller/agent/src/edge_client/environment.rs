//! What the agent tells a module through its environment (reference device-protocol §2.2).
//!
//! Read once, checked at once. Not here: what is done with it.

use std::{fmt, path::PathBuf};

use hemline_model::id::{ClientId, DeviceId, ModuleId};

/// The hub's MQTT port.
const MQTT_PORT: u16 = 8883;

/// Names of the variables.
mod name {
    pub(super) const WORKLOAD: &str = "IOTEDGE_WORKLOADURI";
    pub(super) const DEVICE: &str = "IOTEDGE_DEVICEID";
    pub(super) const MODULE: &str = "IOTEDGE_MODULEID";
    pub(super) const GENERATION: &str = "IOTEDGE_MODULEGENERATIONID";
    pub(super) const HUB: &str = "IOTEDGE_IOTHUBHOSTNAME";
    pub(super) const GATEWAY: &str = "IOTEDGE_GATEWAYHOSTNAME";
    pub(super) const API_VERSION: &str = "IOTEDGE_APIVERSION";
    pub(super) const AUTH_SCHEME: &str = "IOTEDGE_AUTHSCHEME";
    /// Not one of IoT Edge: our own, for hubs on another port.
    pub(super) const MQTT_PORT: &str = "HEM_GATEWAY_MQTT_PORT";
}

/// Where the workload API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl fmt::Display for WorkloadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// Who the module is, who signs for it, and where its hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The workload API.
    pub workload: WorkloadAddress,
    /// Version of the workload API to name in requests.
    pub api_version: String,
    /// The module and its device.
    pub client: ClientId,
    /// The module's id.
    pub module: ModuleId,
    /// Which making of the identity this is.
    pub generation_id: String,
    /// The hub's name: stands in the user name and in tokens.
    pub hub: String,
    /// The host that is dialled.
    pub gateway: String,
    /// The port that is dialled.
    pub mqtt_port: u16,
}

/// Why the environment is not that of a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable is absent or empty.
    #[error(
        "environment variable {name} is not set; the agent injects it, so run this as a module of an edge device"
    )]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A variable has a value that cannot be used.
    #[error("environment variable {name} is {value:?}, expected {expected}; the agent injects it")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: String,
    },
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// When a variable is absent or cannot be used.
    pub fn from_process() -> Result<Self, EnvironmentError> {
        Self::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads an environment: `lookup` gives the value of a variable.
    ///
    /// # Errors
    /// When a variable is absent or cannot be used.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let optional = |name| lookup(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(EnvironmentError::Missing { name });
        let workload = required(name::WORKLOAD)?;
        let workload = workload_address(&workload).ok_or_else(|| {
            invalid(name::WORKLOAD, &workload, "unix:///path/to/a.sock or http://host:port")
        })?;
        let device = required(name::DEVICE)?;
        let device = DeviceId::new(&device)
            .map_err(|error| invalid(name::DEVICE, &device, format!("a device id ({error})")))?;
        let module = required(name::MODULE)?;
        let module = ModuleId::new(&module)
            .map_err(|error| invalid(name::MODULE, &module, format!("a module id ({error})")))?;
        let generation_id = required(name::GENERATION)?;
        let hub = required(name::HUB)?;
        let gateway = required(name::GATEWAY)?;
        let api_version = required(name::API_VERSION)?;
        let scheme = required(name::AUTH_SCHEME)?;
        if !scheme.eq_ignore_ascii_case("sasToken") {
            return Err(invalid(name::AUTH_SCHEME, &scheme, "sasToken"));
        }
        let mqtt_port = match optional(name::MQTT_PORT) {
            None => MQTT_PORT,
            Some(text) => match text.parse() {
                Ok(port) if port > 0 => port,
                Ok(_) | Err(_) => return Err(invalid(name::MQTT_PORT, &text, "a port from 1 to 65535")),
            },
        };
        let client = ClientId::module(device, module.clone());
        Ok(Self { workload, api_version, client, module, generation_id, hub, gateway, mqtt_port })
    }
}

fn invalid(name: &'static str, value: &str, expected: impl Into<String>) -> EnvironmentError {
    EnvironmentError::Invalid { name, value: value.to_owned(), expected: expected.into() }
}

/// A unix path is taken as it is; an http address needs a port and has no path (reference device-protocol §11.3).
fn workload_address(text: &str) -> Option<WorkloadAddress> {
    if let Some(path) = text.strip_prefix("unix://") {
        return path.starts_with('/').then(|| WorkloadAddress::Unix(PathBuf::from(path)));
    }
    let authority = text.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':')?;
    let usable = !host.is_empty() && !authority.contains('/') && port.parse::<u16>().is_ok();
    usable.then(|| WorkloadAddress::Tcp(authority.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 8] = [
        ("IOTEDGE_WORKLOADURI", "unix:///run/hem/filter.sock"),
        ("IOTEDGE_DEVICEID", "press-01"),
        ("IOTEDGE_MODULEID", "filter"),
        ("IOTEDGE_MODULEGENERATIONID", "638"),
        ("IOTEDGE_IOTHUBHOSTNAME", "hub.local"),
        ("IOTEDGE_GATEWAYHOSTNAME", "127.0.0.1"),
        ("IOTEDGE_APIVERSION", "2018-06-28"),
        ("IOTEDGE_AUTHSCHEME", "sasToken"),
    ];

    fn read(changes: &[(&str, Option<&str>)]) -> Result<Environment, EnvironmentError> {
        Environment::read(|name| {
            let change = changes.iter().find(|(changed, _)| *changed == name);
            let value = match change {
                Some((_, value)) => *value,
                None => GOOD.iter().find(|(known, _)| *known == name).map(|(_, value)| *value),
            };
            value.map(str::to_owned)
        })
    }

    #[test]
    fn complete() {
        let environment = read(&[]).unwrap();
        assert_eq!(environment.workload, WorkloadAddress::Unix("/run/hem/filter.sock".into()));
        assert_eq!(environment.client.to_string(), "press-01/filter");
        assert_eq!((environment.hub.as_str(), environment.gateway.as_str()), ("hub.local", "127.0.0.1"));
        assert_eq!((environment.generation_id.as_str(), environment.mqtt_port), ("638", 8883));
    }

    #[test]
    fn every_variable_is_needed_and_named_when_absent() {
        for (name, _) in GOOD {
            for absent in [None, Some("")] {
                let error = read(&[(name, absent)]).unwrap_err();
                assert_eq!(error, EnvironmentError::Missing { name });
                let text = error.to_string();
                assert!(text.contains(name) && text.contains("the agent injects it"), "{text}");
            }
        }
    }

    #[test]
    fn values_that_cannot_be_used() {
        for (name, value) in [
            ("IOTEDGE_WORKLOADURI", "/run/a.sock"),
            ("IOTEDGE_WORKLOADURI", "unix://run/a.sock"),
            ("IOTEDGE_WORKLOADURI", "http://localhost"),
            ("IOTEDGE_WORKLOADURI", "http://localhost:80/x"),
            ("IOTEDGE_DEVICEID", "a/b"),
            ("IOTEDGE_MODULEID", "a b"),
            ("IOTEDGE_AUTHSCHEME", "x509"),
            ("HEM_GATEWAY_MQTT_PORT", "0"),
            ("HEM_GATEWAY_MQTT_PORT", "70000"),
            ("HEM_GATEWAY_MQTT_PORT", "mqtt"),
        ] {
            match read(&[(name, Some(value))]) {
                Err(EnvironmentError::Invalid { name: named, .. }) => assert_eq!(named, name),
                other => panic!("{name}={value}: {other:?}"),
            }
        }
    }

    #[test]
    fn values_that_can() {
        let environment = read(&[
            ("IOTEDGE_WORKLOADURI", Some("http://10.0.0.1:15580/")),
            ("IOTEDGE_AUTHSCHEME", Some("SASTOKEN")),
            ("HEM_GATEWAY_MQTT_PORT", Some("18883")),
        ])
        .unwrap();
        assert_eq!(environment.workload, WorkloadAddress::Tcp("10.0.0.1:15580".into()));
        assert_eq!(environment.mqtt_port, 18883);
    }
}
