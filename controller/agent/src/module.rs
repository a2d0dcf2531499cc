//! The vocabulary of the agent: what a module should be (`ModuleSpec`) and what an engine says it is (`Seen`).
//!
//! Plain values without I/O. Not here: what to do about a difference (`decide.rs`), how an engine is driven (`runtime.rs`).

use std::{collections::BTreeMap, fmt, path::PathBuf};

pub use hemline_model::edge::{HealthCheck, Probe, ProcessLimits as Limits, RuntimeStatus};
use hemline_model::secret::Secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which runtime a module runs in. The word in a manifest's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleKind {
    /// A container of a Docker-compatible engine.
    Docker,
    /// A supervised process of the host.
    Process,
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Process => "process",
        })
    }
}

/// Identifies a module on this device: the same name may be left over in one runtime while it moves to the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleKey {
    /// The runtime.
    pub kind: ModuleKind,
    /// The module's name, which is also its module id in the hub.
    pub name: String,
}

impl fmt::Display for ModuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Everything a runtime needs to make one module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleSpec {
    /// Name and runtime.
    pub key: ModuleKey,
    /// Hash over the normalised spec; equal hashes mean that nothing has to be recreated.
    pub hash: String,
    /// What it was right after it had been made, of that which the engine lets anybody change in place. Empty before.
    pub traits: BTreeMap<String, Value>,
    /// Environment, injected variables last.
    pub env: Vec<(String, String)>,
    /// Variables whose values only this device knows.
    pub secret_env: Vec<(String, Secret)>,
    /// The health check that its documents ask for; the engine's own one counts without it.
    pub health: Option<HealthCheck>,
    /// The part that differs per runtime.
    pub body: SpecBody,
}

impl ModuleSpec {
    /// The whole environment, secrets included. For the runtime that makes the module, and nobody else.
    #[must_use]
    pub fn whole_env(&self) -> Vec<(String, String)> {
        let secret = self.secret_env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        self.env.iter().cloned().chain(secret).collect()
    }
}

/// What differs per runtime.
#[derive(Debug, Clone, PartialEq)]
pub enum SpecBody {
    /// For [`ModuleKind::Docker`].
    Container(ContainerSpec),
    /// For [`ModuleKind::Process`].
    Process(ProcessSpec),
}

/// A container module.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Image reference as written.
    pub image: String,
    /// The ContainerCreate body that the author wrote; unknown members are passed on.
    pub create_options: Map<String, Value>,
    /// May the image be pulled before the container is made?
    pub pull: PullPolicy,
    /// For the image's registry, when the deployment has one.
    pub credential: Option<RegistryCredential>,
    /// Folder of this module's workload socket on the host.
    pub socket_dir: PathBuf,
    /// Host name of the hub as modules dial it.
    pub gateway: String,
    /// The hub as this host dials it. Another name than `gateway` when the hub is on this host.
    pub host_gateway: String,
}

/// `HostConfig.NetworkMode`, however it is spelled: engines pass over the case of member names.
pub(crate) fn network_mode(options: &Map<String, Value>) -> Option<&str> {
    member(member(options, "HostConfig")?.as_object()?, "NetworkMode")?.as_str()
}

/// A member of createOptions, whatever its case.
pub(crate) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| {
        let found = map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    })
}

/// Login for a registry. `Debug` hides the password.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryCredential {
    /// Registry address.
    pub address: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// A process module.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSpec {
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Where it starts; the module's own folder when absent.
    pub working_directory: Option<PathBuf>,
    /// Resource limits.
    pub limits: Limits,
}

/// `imagePullPolicy` (reference edge-runtime §3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Pull before the container is made.
    OnCreate,
    /// Use what is there.
    Never,
}

/// The trait that says which image on the device has the name that the module asks for. The module itself may be made of
/// another one by now.
pub const IMAGE: &str = "image";

/// A module as a runtime found it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Name and runtime.
    pub key: ModuleKey,
    /// What the engine calls it; none where a module is its name.
    pub id: Option<String>,
    /// What anybody may change while the module stays, by its path in the module's document: what the engine lets change in
    /// place, and which image its name stands for ([`IMAGE`]).
    pub traits: BTreeMap<String, Value>,
    /// Somebody else than this agent ended it through the engine.
    pub by_hand: bool,
    /// Somebody froze it.
    pub paused: bool,
    /// The spec hash it was made with; none when it carries none.
    pub hash: Option<String>,
    /// State according to the engine.
    pub status: EngineStatus,
    /// State of its health check.
    pub health: Health,
    /// Exit code of the last run.
    pub exit_code: Option<i64>,
    /// When it was last started; none when never.
    pub started: Option<Timestamp>,
    /// When it last exited; none when never.
    pub exited: Option<Timestamp>,
    /// The engine's own words about its state.
    pub description: String,
    /// Digest of the image, for containers.
    pub image_hash: Option<String>,
}

/// Engine states, mapped as reference edge-runtime §3.8 (last line).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineStatus {
    /// Running.
    Running,
    /// Created, paused, restarting, or exited with code 0.
    Stopped,
    /// Exited with another code, or lost without a record.
    Failed,
    /// Running, but its health check says no.
    Unhealthy,
    /// The engine could neither run nor remove it.
    Dead,
    /// A state that this program does not know.
    Unknown,
}

impl EngineStatus {
    /// Is there a process behind it?
    #[must_use]
    pub fn is_up(self) -> bool {
        match self {
            Self::Running | Self::Unhealthy => true,
            Self::Stopped | Self::Failed | Self::Dead | Self::Unknown => false,
        }
    }
}

/// State of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The module has none.
    None,
    /// Not decided yet.
    Starting,
    /// It passed.
    Healthy,
    /// It failed.
    Unhealthy,
}

/// Module identities by name: what the hub gave this device for its modules.
pub type Identities = BTreeMap<String, Identity>;

/// Identity of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Changes when the identity is made anew.
    pub generation_id: String,
    /// Symmetric key, base64.
    pub key: Secret,
}
