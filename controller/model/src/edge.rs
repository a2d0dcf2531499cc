//! What stands in the twins of `$edgeAgent` and `$edgeHub`, as IoT Edge writes and reads it (reference edge-runtime
//! §1.3, §1.6, §2.1). Readers are lenient about fields they do not know, as the originals are.
//!
//! Not here: how documents become these (`plan`), and what an agent does with them (`agent`).

pub mod chunk;

mod agent;
mod drift;
mod hub;
mod reported;
mod sealed;

pub use agent::{
    AgentDesired, AgentModule, DockerSettings, EnvEntry, HemlineDesired, ModuleSettings, ProcessSettings,
    RegistryCredential, Runtime, RuntimeSettings,
};
pub use drift::{DriftRules, PathRule};
pub use hub::{HubDesired, HubReported, HubRoute, StoreAndForward, StoreLimits};
pub use reported::{
    AgentModuleReported, AgentReported, ConfigReported, DesiredStatus, DriftReported, HemlineReported,
    Platform, RuntimeReported, RuntimeStatus, Version,
};

pub use sealed::{Encrypted, Form, Sealed, SealedSecret, SealedValue};

pub use crate::document::{
    Drift, DriftMode, Health, HealthCheck, ImagePullPolicy, ModuleStatus, ModuleType, Probe, ProcessLimits,
    RestartPolicy, SecretKeyRef,
};

/// Why a desired section cannot be used. The code goes into `lastDesiredStatus` (reference edge-runtime §1.5, §2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// The section cannot be understood: wrong shape, value or chunk (400).
    #[error("{0}")]
    Format(String),
    /// The schema version is missing or not supported (412).
    #[error("schemaVersion {found:?} is not supported; use {supported}")]
    SchemaVersion {
        /// What stands there, empty when nothing does.
        found: String,
        /// What may stand there.
        supported: &'static str,
    },
    /// There is nothing in the section (417).
    #[error("there are no desired properties yet")]
    Empty,
}

impl EdgeError {
    /// The code for `lastDesiredStatus`.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Format(_) => 400,
            Self::SchemaVersion { .. } => 412,
            Self::Empty => 417,
        }
    }
}

/// The JSON object of a struct of this module.
fn object<T: serde::Serialize>(value: &T) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(map)) => map,
        // Structs with text keys always become objects; there is nothing to report here.
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}
