//! `$edgeAgent` reported properties (reference edge-runtime §2.1, §2.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EnvEntry, ImagePullPolicy, ModuleStatus, ModuleType, RestartPolicy};

/// What an agent reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReported {
    /// `1.0`.
    pub schema_version: String,
    /// Program version.
    #[serde(default)]
    pub version: Version,
    /// `$version` of the desired properties that were tried last, also when they failed.
    #[serde(default)]
    pub last_desired_version: u64,
    /// What came of them.
    #[serde(default)]
    pub last_desired_status: DesiredStatus,
    /// The runtime and the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeReported>,
    /// `edgeAgent` and `edgeHub`.
    #[serde(default)]
    pub system_modules: BTreeMap<String, AgentModuleReported>,
    /// User modules.
    #[serde(default)]
    pub modules: BTreeMap<String, AgentModuleReported>,
    /// What only Hemline's agent says. Those who know the reports of IoT Edge pass over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hemline: Option<HemlineReported>,
}

/// What only Hemline's agent says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HemlineReported {
    /// What became of the newest configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigReported>,
    /// What somebody changed on the device by hand: what is open, and what was healed in the last day. At most 16 rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftReported>,
}

/// Something that somebody changed on the device by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftReported {
    /// The module.
    pub module: String,
    /// Where, in the words of the documents: `modules.camera.status`.
    pub path: String,
    /// What it should be.
    pub expected: String,
    /// What it was.
    pub found: String,
    /// When the agent saw it first, in RFC 3339 with milliseconds: with the path it is the identity of the row.
    pub first_seen: String,
    /// When it was as it should be again; none while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed: Option<String>,
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigReported {
    /// Its `$version`.
    pub version: u64,
    /// `trying` until every module has come up, then `good`; `rolledBack` when that took too long and the last good one is
    /// in force again.
    pub state: String,
    /// Since when, in RFC 3339, whole seconds.
    pub since: String,
    /// `$version` of the last good configuration; none before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_version: Option<u64>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Version of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Version.
    pub version: String,
    /// Build number.
    pub build: String,
    /// Commit.
    pub commit: String,
}

/// Outcome of a desired configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DesiredStatus {
    /// 200, 400, 406, 412, 417 or 500.
    pub code: u16,
    /// Empty when all is well.
    pub description: String,
}

impl Default for DesiredStatus {
    fn default() -> Self {
        Self { code: 406, description: String::new() }
    }
}

impl DesiredStatus {
    /// All is well.
    #[must_use]
    pub fn ok() -> Self {
        Self { code: 200, description: String::new() }
    }
}

/// The runtime and the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeReported {
    /// `docker` or `process`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As desired, without passwords.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// The machine.
    #[serde(default)]
    pub platform: Platform,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `x86_64`, `aarch64` and so on.
    pub architecture: String,
    /// Version of the agent.
    pub version: String,
}

/// What a module is doing (reference edge-runtime §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeStatus {
    /// Not known.
    #[default]
    Unknown,
    /// Waits before it is started again.
    Backoff,
    /// Runs.
    Running,
    /// Runs, but its health check fails.
    Unhealthy,
    /// Ended, or stopped as desired.
    Stopped,
    /// Ended with an error.
    Failed,
    /// Cannot be brought back.
    Dead,
}

impl RuntimeStatus {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Backoff => "backoff",
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// One module as an agent reports it. The desired values are those of the last configuration that was applied.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentModuleReported {
    /// As desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The runtime.
    #[serde(default, rename = "type")]
    pub kind: ModuleType,
    /// As desired; not for `edgeAgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ModuleStatus>,
    /// As desired; not for `edgeAgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// As desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// As desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_order: Option<u32>,
    /// As desired.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvEntry>,
    /// As desired, with `imageHash` for containers.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Exit code of the last run, 0 while there was none.
    #[serde(default)]
    pub exit_code: i64,
    /// The engine's words.
    #[serde(default)]
    pub status_description: String,
    /// `0001-01-01T00:00:00` when never.
    #[serde(default = "never")]
    pub last_start_time_utc: String,
    /// `0001-01-01T00:00:00` when never.
    #[serde(default = "never")]
    pub last_exit_time_utc: String,
    /// Restarts by the agent; not for `edgeAgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<u64>,
    /// `0001-01-01T00:00:00` when never; not for `edgeAgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart_time_utc: Option<String>,
    /// What it is doing.
    #[serde(default)]
    pub runtime_status: RuntimeStatus,
}

/// The time that stands for "never" in reported properties.
#[must_use]
pub(super) fn never() -> String {
    "0001-01-01T00:00:00".to_owned()
}

impl AgentReported {
    /// Reads the reported section of the twin; what is missing gets its default.
    ///
    /// # Errors
    /// When a value has the wrong type.
    pub fn parse(reported: &Map<String, Value>) -> Result<Self, super::EdgeError> {
        let mut section = reported.clone();
        section.entry("schemaVersion").or_insert_with(|| Value::from("1.0"));
        serde_json::from_value(Value::Object(section))
            .map_err(|why| super::EdgeError::Format(format!("reported properties of $edgeAgent: {why}")))
    }

    /// The reported section of the twin.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        super::object(self)
    }
}
