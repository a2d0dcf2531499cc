//! `$edgeAgent` desired properties (reference edge-runtime §1.3–1.5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    DriftRules, EdgeError, Health, ImagePullPolicy, ModuleStatus, ModuleType, ProcessLimits, RestartPolicy,
    SealedSecret, chunk,
};
use crate::{
    document::SecretKeyRef,
    secret::{self, Secret},
};

/// What a device should run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentDesired {
    /// `1.0` or `1.1`.
    pub schema_version: String,
    /// Settings of the runtime as a whole.
    #[serde(default)]
    pub runtime: Runtime,
    /// `edgeAgent` and `edgeHub`. Hemline's own programs take their place, so they are read and passed over.
    #[serde(default)]
    pub system_modules: BTreeMap<String, Value>,
    /// User modules by name.
    #[serde(default)]
    pub modules: BTreeMap<String, AgentModule>,
    /// What only Hemline's agent acts on. An agent of IoT Edge passes over members that it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hemline: Option<HemlineDesired>,
}

/// What only Hemline's agent acts on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HemlineDesired {
    /// The modules have to be up and healthy that long after the configuration came, for example `30m`; else the device goes
    /// back to its last good configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What happens to what somebody changes on the device by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftRules>,
}

/// Settings of the runtime as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// `docker`, whatever the modules are.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its settings.
    #[serde(default)]
    pub settings: RuntimeSettings,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { kind: "docker".to_owned(), settings: RuntimeSettings::default() }
    }
}

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSettings {
    /// Stored and reported, not enforced.
    #[serde(default)]
    pub min_docker_version: Option<String>,
    /// Stored and reported.
    #[serde(default)]
    pub logging_options: Option<String>,
    /// Registries that want a login, by any name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registry_credentials: BTreeMap<String, RegistryCredential>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            min_docker_version: Some("v1.25".to_owned()),
            logging_options: Some(String::new()),
            registry_credentials: BTreeMap::new(),
        }
    }
}

/// Login of a registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// User.
    pub username: String,
    /// Password.
    #[serde(with = "secret::exposed")]
    pub password: Secret,
    /// Host, and port where there is one.
    pub address: String,
}

/// One module that the agent should have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentModule {
    /// Any text; a change alone recreates the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Should it run?
    pub status: ModuleStatus,
    /// When it is started again. IoT Edge's default is `on-unhealthy`.
    #[serde(default = "on_unhealthy")]
    pub restart_policy: RestartPolicy,
    /// Lower starts first; none starts last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_order: Option<u32>,
    /// When the image is fetched.
    #[serde(default, skip_serializing_if = "is_on_create")]
    pub image_pull_policy: ImagePullPolicy,
    /// Environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvEntry>,
    /// The encrypted documents that its variables name. An agent of IoT Edge passes over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SealedSecret>,
    /// How to ask whether it does its work. An agent of IoT Edge passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The runtime (`type`) and what it needs (`settings`).
    #[serde(flatten)]
    pub settings: ModuleSettings,
}

impl AgentModule {
    /// The piece of the twin that it is: what serde makes, without copies on the way.
    #[must_use]
    pub fn into_map(mut self) -> Map<String, Value> {
        let kind = self.settings.kind();
        let bare = ModuleSettings::Process(ProcessSettings::default());
        let settings = match std::mem::replace(&mut self.settings, bare) {
            ModuleSettings::Docker(docker) => docker.into(),
            ModuleSettings::Process(process) => super::object(&process),
        };
        let entry = |EnvEntry { value, secret_ref }: EnvEntry| {
            let secret = secret_ref.and_then(|secret| serde_json::to_value(secret).ok());
            let said = (!value.is_null()).then(|| ("value".to_owned(), value)).into_iter();
            Value::Object(said.chain(secret.map(|secret| ("secretRef".to_owned(), secret))).collect())
        };
        let env: Map<String, Value> =
            std::mem::take(&mut self.env).into_iter().map(|(name, value)| (name, entry(value))).collect();
        let mut map = super::object(&self);
        map.insert("type".to_owned(), serde_json::to_value(kind).unwrap_or_default());
        map.insert("settings".to_owned(), Value::Object(settings));
        if !env.is_empty() {
            map.insert("env".to_owned(), Value::Object(env));
        }
        map
    }
}

fn on_unhealthy() -> RestartPolicy {
    RestartPolicy::OnUnhealthy
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_on_create(policy: &ImagePullPolicy) -> bool {
    *policy == ImagePullPolicy::OnCreate
}

/// One environment variable: `{"value": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvEntry {
    /// A text, number, truth value or `null`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// The device knows the value, or opens the document of that name among the module's secrets. An agent of IoT Edge passes
    /// over this and sets an empty one.
    #[serde(default, rename = "secretRef", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

impl EnvEntry {
    /// An entry with a text.
    #[must_use]
    pub fn text(value: impl Into<String>) -> Self {
        Self { value: Value::String(value.into()), secret_ref: None }
    }

    /// From a text, or an object with `secretRef`, as documents are merged.
    #[must_use]
    pub fn merged(value: &Value) -> Self {
        let secret_ref =
            value.get("secretRef").and_then(|secret| serde_json::from_value(secret.clone()).ok());
        let value = if secret_ref.is_some() { Value::Null } else { value.clone() };
        Self { value, secret_ref }
    }

    /// The value as the module sees it; `null` is empty. Of a secret, its name.
    #[must_use]
    pub fn as_text(&self) -> String {
        if let Some(SecretKeyRef { name, key }) = &self.secret_ref {
            return format!("secret {name}/{key}");
        }
        match &self.value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        }
    }
}

/// What runs a module, and what it needs for that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "settings", rename_all = "lowercase")]
pub enum ModuleSettings {
    /// A container.
    Docker(DockerSettings),
    /// A host process.
    Process(ProcessSettings),
}

impl ModuleSettings {
    /// The runtime.
    #[must_use]
    pub fn kind(&self) -> ModuleType {
        match self {
            Self::Docker(_) => ModuleType::Docker,
            Self::Process(_) => ModuleType::Process,
        }
    }
}

/// What a container needs. On the wire the options are text in pieces of 512 characters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct DockerSettings {
    /// Image.
    pub image: String,
    /// Body of the container-create call.
    pub create_options: Map<String, Value>,
    /// Content-trust digest.
    pub digest: Option<String>,
}

impl TryFrom<Map<String, Value>> for DockerSettings {
    type Error = EdgeError;

    fn try_from(settings: Map<String, Value>) -> Result<Self, EdgeError> {
        let text = |key: &str| settings.get(key).and_then(Value::as_str).map(|text| text.trim().to_owned());
        let Some(image) = text("image").filter(|image| !image.is_empty()) else {
            return Err(EdgeError::Format("settings.image is missing".to_owned()));
        };
        Ok(Self { image, create_options: chunk::read(&settings)?, digest: text("digest") })
    }
}

impl From<DockerSettings> for Map<String, Value> {
    fn from(docker: DockerSettings) -> Self {
        let mut settings = Self::new();
        settings.insert("image".to_owned(), Value::String(docker.image));
        // Documents with longer options are refused by validation; what still comes here is written whole, and the
        // reader on the other side takes an unchunked text as well.
        if chunk::write(&mut settings, &docker.create_options).is_err() {
            let whole = crate::twin::canonical(&Value::Object(docker.create_options));
            settings.insert("createOptions".to_owned(), Value::String(whole));
        }
        if let Some(digest) = docker.digest {
            settings.insert("digest".to_owned(), Value::String(digest));
        }
        settings
    }
}

/// What a host process needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSettings {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Folder it starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProcessLimits>,
}

impl AgentDesired {
    /// Reads the desired section of the twin; `$version` and `$metadata` are passed over.
    ///
    /// # Errors
    /// With the code that `lastDesiredStatus` should carry.
    pub fn parse(desired: &Map<String, Value>) -> Result<Self, EdgeError> {
        let section: Map<String, Value> = desired
            .iter()
            .filter(|(key, _)| !key.starts_with('$'))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if section.is_empty() {
            return Err(EdgeError::Empty);
        }
        check_version(&section)?;
        let parsed: Self = serde_json::from_value(Value::Object(section))
            .map_err(|why| EdgeError::Format(format!("Agent configuration format is invalid: {why}")))?;
        for (name, module) in &parsed.modules {
            if let ModuleSettings::Process(process) = &module.settings
                && process.command.is_empty()
            {
                return Err(EdgeError::Format(format!("module {name}: settings.command is empty")));
            }
            for secret in module.env.values().filter_map(|entry| entry.secret_ref.as_ref()) {
                secret.check().map_err(|why| EdgeError::Format(format!("module {name}: {why}")))?;
            }
            if let Some(Err(faults)) = module.health.as_ref().map(Health::check) {
                let faults: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
                return Err(EdgeError::Format(format!("module {name}: health: {}", faults.join("; "))));
            }
        }
        if let Some(deadline) = parsed.hemline.as_ref().and_then(|hemline| hemline.deadline.as_ref())
            && let Err(why) = crate::duration::seconds(deadline)
        {
            return Err(EdgeError::Format(format!("hemline.deadline: {why}")));
        }
        Ok(parsed)
    }

    /// The desired section of the twin.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        super::object(self)
    }
}

/// Accepts 1, 1.0 … 1.1.0, as the agent does; the parts are numbers.
fn check_version(section: &Map<String, Value>) -> Result<(), EdgeError> {
    let found = section.get("schemaVersion").and_then(Value::as_str).unwrap_or_default().trim();
    let parts: Option<Vec<u32>> = found.split('.').map(|part| part.parse().ok()).collect();
    let good = match parts.as_deref() {
        Some([1, 0] | [1, 0, _] | [1, 0, _, _] | [1, 1] | [1, 1, 0]) => true,
        Some(_) | None => false,
    };
    if good {
        Ok(())
    } else {
        Err(EdgeError::SchemaVersion { found: found.to_owned(), supported: "1.0 or 1.1" })
    }
}
