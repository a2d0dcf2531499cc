//! What Hemline writes back beside the documents: conditions and the status of a device or a deployment.
//!
//! Shapes only; `reconcile` fills them and `sources` stores them. No field changes without a change of state.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, DocumentName, ModuleId};

/// `status` of a condition, as Kubernetes spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be said.
    Unknown,
}

/// One standard condition: `Ready`, `Progressing`, `Degraded` or `Stalled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// Is it so?
    pub status: ConditionStatus,
    /// One word in CamelCase for programs.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// When `status` last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
}

impl Condition {
    /// Sets a condition in a list; the transition time moves only when `status` changes.
    pub fn set(list: &mut Vec<Self>, new: Self) {
        match list.iter_mut().find(|have| have.kind == new.kind) {
            Some(have) => {
                let since = if have.status == new.status {
                    have.last_transition_time
                } else {
                    new.last_transition_time
                };
                *have = Self { last_transition_time: since, ..new };
            }
            None => list.push(new),
        }
    }
}

/// What is known about one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleState {
    /// `running`, `stopped`, `backoff`, `failed`, `unhealthy`, `dead` or `unknown`.
    pub state: String,
    /// The engine's or the agent's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Restarts by the agent.
    #[serde(default)]
    pub restarts: u64,
    /// Last exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Image or command that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

/// The status document of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The hub's id of the device.
    #[schemars(with = "String")]
    pub device_id: DeviceId,
    /// The revision whose desired state the device has been given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Is the device connected?
    pub connected: bool,
    /// The base deployment that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub base: Option<DocumentName>,
    /// Layered deployments in force, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub layers: Vec<DocumentName>,
    /// Modules as the device reports them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ModuleState>")]
    pub modules: BTreeMap<ModuleId, ModuleState>,
    /// What somebody changed by hand, in the hub or on the device, and is still so. At most 20 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftState>,
    /// Standard conditions, and `Drifted` once something was changed by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Something that is not as the documents say, though nobody changed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftState {
    /// In the words of the documents: `modules.camera.status`.
    pub path: String,
    /// `desired` in the hub, `actual` on the device.
    pub kind: String,
    /// What it should be. Secrets are masked.
    pub expected: String,
    /// What it is. Secrets are masked.
    pub found: String,
    /// `present` while it is being put right, `reported` when the documents want no more.
    pub state: String,
    /// When it was first seen.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
}

/// The status document of one twin configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStatus {
    /// The revision it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Twins that the target condition selects.
    pub targeted: u64,
    /// Those of them that hold what the documents say.
    pub applied: u64,
    /// Standard conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The status document of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The revision it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `pending`, `rolling 3/12`, `healthy`, `degraded`, `halted` or `reverted`.
    #[serde(default)]
    pub phase: String,
    /// Devices that the target condition selects.
    pub targeted: u64,
    /// Devices on which it is part of the effective config.
    pub applied: u64,
    /// Devices that report it applied, with every module in its desired state.
    pub ready: u64,
    /// Devices that report a failure.
    pub failing: u64,
    /// At most ten of the failing devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing_devices: Vec<String>,
    /// Standard conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
