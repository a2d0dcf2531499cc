//! `kind: EdgeDeployment`: modules and routes for the devices that a condition selects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiVersion, Broker, Health, Metadata, Object, is_default};

/// Modules and routes for the devices that a condition selects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "vision"},
    "spec": {
        "targetCondition": "tags.site = 'lyon'", "priority": 10,
        "modules": {"camera": {"image": "registry.example/camera:1.3", "env": {"LOG_LEVEL": "debug"}, "desired": {"fps": 10}}},
        "routes": {"cloud": "FROM /messages/modules/camera/outputs/* INTO $upstream"}
    }
}]))]
pub struct EdgeDeployment {
    /// API group and version.
    pub api_version: ApiVersion,
    /// The kind of this document.
    pub kind: EdgeDeploymentKind,
    /// Name and labels.
    pub metadata: Metadata,
    /// What runs where.
    pub spec: EdgeDeploymentSpec,
    /// Written by Hemline only; ignored when a document is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Object>,
}

/// The one kind of an `EdgeDeployment` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum EdgeDeploymentKind {
    /// A deployment.
    #[default]
    EdgeDeployment,
}

/// What runs where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeDeploymentSpec {
    /// Which edge devices get it: a condition over `deviceId`, `tags.*` and `properties.reported.*`, or `*` for all.
    /// May be left out when `manifest` names a configuration of Azure that says it; what the document says wins.
    #[schemars(extend("examples" = ["tags.site = 'lyon'", "deviceId IN ['press-01', 'press-02']", "*"]))]
    pub target_condition: String,
    /// Of several base deployments the highest priority wins; layered ones apply in order of priority. Left out, it is that
    /// of the `manifest`, else 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u32,
    /// `false` (default): a base, of which a device gets exactly one. `true`: a layer over the base, merged by path. Left
    /// out, the form of the `manifest` decides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layered: bool,
    /// An Azure deployment manifest beside this document, in place of `modules`, `routes`, `storeAndForward` and `broker`:
    /// a path relative to the document's file, inside the same source. Manifests, layers, configurations of the hub and
    /// templates are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["./deployment.amd64.json"]))]
    pub manifest: Option<String>,
    /// Values for the `${NAME}` of the manifest: texts, numbers, truth values, or whole objects and lists. With any, the
    /// manifest is a template, and each `${NAME}` of it must have a value.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[schemars(extend("examples" = [{"REGISTRY": "registry.example", "TAG": "1.3"}]))]
    pub variables: Object,
    /// Modules by name; at most 50 on a device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, Module>,
    /// Routes by name: which messages go where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, Route>,
    /// How long messages wait for a receiver that is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_and_forward: Option<StoreAndForward>,
    /// Policy for user-defined MQTT topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<Broker>,
    /// How a change reaches the devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What happens when a device differs from its documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// One module: a container or a host process, with its twin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Module {
    /// The runtime: `docker` (default) or `process`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ModuleType>,
    /// Container image, for `docker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["registry.example/camera:1.3"]))]
    pub image: Option<String>,
    /// Body of the engine's container-create call, for `docker`: an object, or the JSON text that Azure tools write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"HostConfig": {"Memory": 67108864}}]))]
    pub create_options: Option<CreateOptions>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"LOG_LEVEL": "debug"}]))]
    pub env: BTreeMap<String, EnvValue>,
    /// When the agent starts the module again; `always` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Should it run? `running` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ModuleStatus>,
    /// Lower numbers start first; modules without a number start last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_order: Option<u32>,
    /// When the image is fetched, for `docker`; `on-create` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// How the agent finds out whether the module does its work: exactly one of `command`, `http` and `tcp`. Without it, the
    /// health check of the image or of the createOptions counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"http": {"port": 8080, "path": "/healthz"}, "interval": "10s", "retries": 3}]))]
    pub health: Option<Health>,
    /// Desired properties of the module twin; at most 32 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"fps": 10}]))]
    pub desired: Option<Object>,
    /// Program and arguments, for `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["/usr/bin/filter", "--fast"]]))]
    pub command: Option<Command>,
    /// Folder that the program starts in, for `process`; a folder of its own unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// What the program may use at most, for `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProcessLimits>,
}

/// Program and arguments of a process module.
pub type Command = Vec<String>;

/// Which runtime runs a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModuleType {
    /// A container, by the Docker or Podman API.
    #[default]
    Docker,
    /// A host process that the agent supervises.
    Process,
}

/// Body of the engine's container-create call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CreateOptions {
    /// As an object.
    Object(Object),
    /// As the JSON text of an object.
    Text(String),
}

/// Value of an environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// A text.
    Text(String),
    /// A truth value, written as `true` or `false`.
    Bool(bool),
    /// A number, written as it stands.
    Number(serde_json::Number),
    /// The form of IoT Edge manifests, `{value: …}`, or a reference to a secret.
    Object(EnvObject),
}

/// The object forms of an environment variable: exactly one of the two fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvObject {
    /// A text, number or truth value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<EnvScalar>,
    /// A value that stays out of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A text, number or truth value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvScalar {
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
}

impl SecretKeyRef {
    /// What is wrong with it: name and key become parts of a path and of a variable's name.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        for (what, text) in [("name", &self.name), ("key", &self.key)] {
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if text.is_empty() || text.len() > 253 || text.starts_with('.') || !text.chars().all(sound) {
                return Err(format!(
                    "the {what} {text:?} of a secret needs letters, digits, '-', '_' and '.', and no '.' at the beginning"
                ));
            }
        }
        Ok(())
    }
}

impl EnvScalar {
    /// The value as the process sees it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bool(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Names one entry of a secret. Where a `Secret` document of that name is in the repository, the device's agent opens it with
/// its age key when it makes the module. Else it looks for the value on the device: in its environment as
/// `HEM_SECRET_<NAME>_<KEY>` (capitals, `_` for other characters), then in the file `secrets/<name>/<key>` of its data
/// folder, then in `/etc/hemline/secrets/<name>/<key>`. Plan, hub and reports never hold the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the secret.
    pub name: String,
    /// Key of the entry.
    pub key: String,
}

/// When the agent starts a module again (reference edge-runtime §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    Never,
    /// When it ended with an error.
    OnFailure,
    /// When it ended with an error or its health check fails.
    OnUnhealthy,
    /// Whenever it ends.
    #[default]
    Always,
}

/// Should a module run?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModuleStatus {
    /// Yes.
    #[default]
    Running,
    /// No, but it is created.
    Stopped,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImagePullPolicy {
    /// When the container is created.
    #[default]
    OnCreate,
    /// Never: the image must be on the device already.
    Never,
}

/// What a host process may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessLimits {
    /// Address space in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Processor time in seconds, in total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Size of a file that it writes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

/// A route: its text, or an object with its text and settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Route {
    /// `FROM source [WHERE condition] INTO sink`.
    Text(String),
    /// The same with settings.
    Object(RouteObject),
}

/// A route with settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteObject {
    /// `FROM source [WHERE condition] INTO sink`.
    #[schemars(extend("examples" = ["FROM /messages/modules/filter/outputs/* INTO $upstream"]))]
    pub route: String,
    /// 0 (first) to 9; a route without a priority comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9))]
    pub priority: Option<u32>,
    /// How long a message of this route waits for its receiver, for example `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^([0-9]+(s|m|h|d))+$", "examples" = ["2h"]))]
    pub time_to_live: Option<String>,
}

/// How long messages wait for a receiver that is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreAndForward {
    /// For example `2h`.
    #[schemars(extend("pattern" = r"^([0-9]+(s|m|h|d))+$", "examples" = ["2h"]))]
    pub time_to_live: String,
}

/// How a change reaches the devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// Groups of devices, one after the other. Devices that no wave takes come last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// Devices of a wave that may have a change and not be healthy yet: a number or a percentage such as `10%`, rounded
    /// down but at least one; all of them unless said otherwise. Devices that failed do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NumberOrPercent>")]
    pub max_unavailable: Option<Value>,
    /// Failed devices of a wave at which the rollout stops: a number or a percentage, rounded down but at least one; the
    /// first one unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NumberOrPercent>")]
    pub max_failures: Option<Value>,
    /// Modules must run (and be healthy where they have a check) that long before the device counts as done, for example
    /// `2m`; 30 seconds unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_for: Option<String>,
    /// Per device, from the moment it may take the change; then it counts as failed. For example `30m`, which it is unless
    /// said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What happens with devices that are not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<Offline>,
    /// When devices may take a change: days (every day when left out), times, and a time zone of the IANA list (UTC when
    /// left out).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Mon-Fri 22:00-04:00 Europe/Paris"]))]
    pub window: Option<String>,
    /// Does a person have to agree?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    /// What happens after too many failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// A whole number, or a percentage such as `10%`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NumberOrPercent {
    /// A number of devices.
    Number(u32),
    /// A percentage.
    Percent(String),
}

/// One group of devices of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wave {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A target condition that selects the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Or so many of the devices that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub count: Option<u32>,
    /// Or the share of the fleet that has the change after this wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u32>,
}

/// What a rollout does with devices that are not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Offline {
    /// Nobody waits for them; they get the change when they come back.
    #[default]
    Skip,
    /// The wave waits for them, up to the deadline.
    Wait,
    /// The wave waits for them, and they count as unavailable.
    Count,
}

/// Does a person have to agree?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Approve {
    /// No.
    #[default]
    None,
    /// Before each wave.
    EachWave,
}

/// What happens after too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Stop where it is.
    #[default]
    Halt,
    /// Go back to the last complete revision.
    Revert,
}

/// What happens when a device differs from its documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// The rule for everything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: DriftMode,
    /// Rules for single paths, for example `modules.camera.env.*`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, DriftMode>,
}

/// What happens to a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftMode {
    /// Put right.
    #[default]
    Heal,
    /// Reported only.
    Report,
    /// Not looked at.
    Ignore,
}
