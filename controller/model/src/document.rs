//! The documents as they are written: one Rust type per kind, from which serde, the shape check, the JSON Schemas and
//! the Kubernetes definitions all follow. Doc comments here are what editors and `kubectl explain` show.
//!
//! Not here: meaning (`valid`), defaults across layers (`plan`).

mod broker;
mod configuration;
mod deployment;
mod device;
mod health;
mod secret;

pub use broker::{
    Authorization, AuthorizationRule, Bridge, BridgeDirection, BridgeSetting, Broker, BrokerFault,
    BrokerOperation, BrokerPart, Piece, Template, TemplateError, UPSTREAM, Variable,
};
pub use configuration::{TwinConfiguration, TwinConfigurationKind, TwinConfigurationSpec};
pub use deployment::{
    Approve, Command, CreateOptions, Drift, DriftMode, EdgeDeployment, EdgeDeploymentKind,
    EdgeDeploymentSpec, EnvObject, EnvScalar, EnvValue, ImagePullPolicy, Module, ModuleStatus, ModuleType,
    Offline, OnFailure, ProcessLimits, RestartPolicy, Rollout, Route, RouteObject, SecretKeyRef,
    StoreAndForward, Wave,
};
pub use device::{Auth, AuthType, Device, DeviceKind, DeviceSpec};
pub use health::{Health, HealthCheck, HealthFault, HttpCheck, Probe, TcpCheck};
pub use secret::{SecretDocument, SecretKind};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The API group and version of every document.
pub const API_VERSION: &str = "hemline.dev/v1alpha1";

/// API group and version of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The version this program reads and writes.
    #[default]
    #[serde(rename = "hemline.dev/v1alpha1")]
    V1alpha1,
}

/// Name and labels of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name of the document: lower-case letters, digits, `-` and `.`, unique within its kind.
    #[schemars(extend("maxLength" = 253, "pattern" = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Kubernetes namespace; only a cluster uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, for people and tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A free-form JSON object, such as the desired properties of a twin.
pub type Object = Map<String, Value>;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}
