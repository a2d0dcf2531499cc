//! Documents that mean something: parsed once into types that later stages can trust.
//!
//! [`load`] reads files, checks shape ([`draft`]) and meaning, and reports everything that is wrong at once. Later
//! stages never see the raw form. Not here: which deployment reaches which device (`plan`).

mod across;
mod beside;
mod broker;
mod configuration;
mod consequences;
mod context;
mod create_options;
mod deployment;
mod device;
mod draft;
mod health;
mod idle;
mod ignoring;
mod image;
mod known;
mod manifest;
mod module;
mod reading;
pub mod rollout;
mod secret;
mod shape;
pub mod window;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_query::{route::Route, target::TargetCondition};

use crate::pointer::escape;
use crate::{
    Packed,
    document::{Auth, Broker, Drift, Health, Object, SecretKeyRef},
    finding::{Finding, Position, RuleId, Severity},
    id::{DeviceId, DocumentName, ModuleId},
    text::RawDocument,
};
pub use crate::{
    document::{AuthType, ImagePullPolicy, ModuleStatus, ModuleType, ProcessLimits, RestartPolicy},
    duration,
    text::{InText, Located, SourceFile},
};
use context::{Context, name_of, unescape, words};
pub use ignoring::IdleIgnore;
pub use known::Known;
pub use manifest::unread_manifests;
pub use rollout::RolloutSpec;

/// What came out of a set of files.
#[derive(Debug)]
pub struct Loaded {
    /// The fleet; `None` when any finding is an error.
    pub fleet: Option<Fleet>,
    /// What could be read of a fleet with errors: enough to look for further mistakes, never to be applied. `None` when the
    /// fleet is whole.
    pub remnant: Option<Fleet>,
    /// Everything there is to say, in order of file and line.
    pub findings: Vec<Finding>,
}

/// All documents of one revision.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Devices by hub id.
    pub devices: BTreeMap<DeviceId, DeviceDoc>,
    /// Edge deployments by name.
    pub deployments: BTreeMap<DocumentName, Arc<DeploymentDoc>>,
    /// Twin configurations by name.
    pub configurations: BTreeMap<DocumentName, TwinConfigurationDoc>,
    /// Encrypted secrets by name.
    pub secrets: BTreeMap<DocumentName, SecretDoc>,
    /// Annotations that had nothing to silence in the documents alone; layering has the last word.
    pub idle_ignores: Vec<IdleIgnore>,
}

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The first line of the document.
    pub position: Position,
    /// Its name.
    pub document: DocumentName,
}

/// One valid `Device`.
#[derive(Debug, Clone)]
pub struct DeviceDoc {
    /// The hub's id: `spec.deviceId`, or the name.
    pub id: DeviceId,
    /// `metadata.name`.
    pub name: DocumentName,
    /// What the device should be.
    pub spec: DeviceSpec,
    /// Where it stands.
    pub origin: Origin,
    /// Positions inside the document.
    pub located: Located,
}

/// What a device should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSpec {
    /// Does it run modules?
    pub edge: bool,
    /// May it connect?
    pub enabled: bool,
    /// The edge device it connects through, by hub id.
    pub parent: Option<DeviceId>,
    /// Tags of the twin. Shared: a fleet has many devices, and each is held more than once.
    pub tags: Arc<Object>,
    /// How it proves who it is.
    pub auth: Auth,
    /// Desired properties of the device twin.
    pub desired: Arc<Object>,
}

/// One valid `EdgeDeployment`.
#[derive(Debug, Clone)]
pub struct DeploymentDoc {
    /// `metadata.name`.
    pub name: DocumentName,
    /// What runs where. Shared with the same document of other revisions.
    pub spec: Arc<EdgeDeploymentSpec>,
    /// Where it stands.
    pub origin: Origin,
    /// Positions inside the document.
    pub located: Located,
}

/// One valid `TwinConfiguration`.
#[derive(Debug, Clone)]
pub struct TwinConfigurationDoc {
    /// `metadata.name`.
    pub name: DocumentName,
    /// Which properties, and where.
    pub spec: TwinConfigurationSpec,
    /// Where it stands.
    pub origin: Origin,
    /// Positions inside the document.
    pub located: Located,
}

/// One valid `Secret`. Nobody here can read what it holds.
#[derive(Debug, Clone)]
pub struct SecretDoc {
    /// `metadata.name`.
    pub name: DocumentName,
    /// As it goes to the devices, and the keys it has.
    pub spec: SecretSpec,
    /// Where it stands.
    pub origin: Origin,
    /// Positions inside the document.
    pub located: Located,
}

/// A secret as it goes to the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// The text of a [`crate::edge::Sealed`].
    pub sealed: Arc<str>,
    /// Its keys.
    pub keys: BTreeSet<String>,
}

/// Which properties, and where.
#[derive(Debug, Clone)]
pub struct TwinConfigurationSpec {
    /// Which devices, or which modules: `condition.source()` says.
    pub condition: TargetCondition,
    /// Higher wins.
    pub priority: u32,
    /// Desired properties.
    pub desired: Object,
}

/// What runs where. `None` means "not said", so that layers can be merged by path; defaults are applied after the merge
/// ([`ModuleSpec`] names them).
#[derive(Debug, Clone)]
pub struct EdgeDeploymentSpec {
    /// Which devices.
    pub condition: TargetCondition,
    /// Higher wins.
    pub priority: u32,
    /// Layer (`true`) or base.
    pub layered: bool,
    /// Modules by name.
    pub modules: BTreeMap<ModuleId, Box<ModuleSpec>>,
    /// Routes by name.
    pub routes: BTreeMap<String, Box<(Route, RouteSettings)>>,
    /// Seconds that a message waits for a receiver that is away.
    pub store_and_forward_secs: Option<u64>,
    /// Who may use which user-defined MQTT topics.
    pub broker: Broker,
    /// How a change reaches the devices.
    pub rollout: Option<RolloutSpec>,
    /// What happens with differences; checked for shape only.
    pub drift: Option<Drift>,
}

/// One module of a deployment. A base always has what its runtime needs (`image` or `command`); a layer may say as
/// little as one variable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModuleSpec {
    /// Default [`ModuleType::Docker`].
    pub kind: Option<ModuleType>,
    /// Image, for docker.
    pub image: Option<String>,
    /// Body of the container-create call, for docker; the text form is parsed already.
    pub create_options: Option<Packed>,
    /// Environment; numbers and truth values are texts already.
    pub env: BTreeMap<String, EnvSetting>,
    /// Default [`RestartPolicy::Always`].
    pub restart_policy: Option<RestartPolicy>,
    /// Default [`ModuleStatus::Running`].
    pub status: Option<ModuleStatus>,
    /// Default: last.
    pub startup_order: Option<u32>,
    /// Default [`ImagePullPolicy::OnCreate`].
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// How the agent asks whether it does its work; of a layer, perhaps a piece.
    pub health: Option<Health>,
    /// Desired properties of the module twin.
    pub desired: Option<Packed>,
    /// Program and arguments, for process.
    pub command: Option<Vec<String>>,
    /// Folder the program starts in, for process.
    pub working_directory: Option<String>,
    /// What the program may use at most, for process.
    pub limits: Option<ProcessLimits>,
}

/// What a variable is set to, in the form in which it is merged and sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum EnvSetting {
    /// A text.
    Text(String),
    /// A value that only the device knows.
    #[serde(rename_all = "camelCase")]
    Secret {
        /// Which.
        secret_ref: SecretKeyRef,
        /// The text of the encrypted document of that name ([`crate::edge::Sealed`]). `None`, which takes away what a layer below
        /// says: the value is on the device.
        secret_sealed: Option<Arc<str>>,
    },
}

/// The text of a route as it goes on the wire, and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// `FROM … INTO …`, exactly as written.
    pub text: String,
    /// 0 (first) to 9; none comes last.
    pub priority: Option<u32>,
    /// Seconds that a message waits for its receiver.
    pub time_to_live_secs: Option<u64>,
}

/// Findings after which no further document is read: somebody points at the wrong folder, or has work for a day.
const FINDINGS_AT_MOST: usize = 5_000;
/// Memory of all documents, in units of about 50 bytes: a fleet of 100 000 devices takes a little over half of it.
const WEIGHT_AT_MOST: usize = 16_000_000;

fn too_many(located: &Located) -> Finding {
    let message = format!("there are {FINDINGS_AT_MOST} findings up to here; the rest is not read");
    let finding = located.finding(Severity::Error, "too-many-findings", "", message);
    finding.with_hint("mend some of them, or point to a smaller folder")
}

fn too_much(located: &Located) -> Finding {
    let message = "from here on, the documents together hold more values than are read".to_owned();
    let finding = located.finding(Severity::Error, "file-too-large", "", message);
    finding.with_hint("point to a smaller folder")
}

/// Reads and checks a set of files: one revision of a source, or one folder. Works on all cores; the answer does not depend
/// on how many there are.
#[must_use]
pub fn load(files: &[SourceFile]) -> Loaded {
    load_knowing(files, &Known::default())
}

/// The same, for a revision that has most of its documents in common with one that is known: what both say in the same words
/// is neither read nor held twice.
#[must_use]
pub fn load_knowing(files: &[SourceFile], known: &Known<'_>) -> Loaded {
    let mut findings = Vec::new();
    let (mut drafts, mut annotated) = (across::Drafts::default(), Vec::new());
    let mut manifests = manifest::Manifests::among(files);
    let mut left = WEIGHT_AT_MOST;
    'files: for batch in reading::batches(files) {
        for reading::Read { documents, problems } in reading::read(batch, &manifests, known) {
            findings.extend(problems);
            for reading::Document { located, weight, manifest, draft, told } in documents {
                manifests.note(manifest);
                let Some(rest) = left.checked_sub(weight) else {
                    findings.push(too_much(&located));
                    break 'files;
                };
                left = rest;
                findings.extend(told);
                if draft.is_some() && located.ignored().next().is_some() {
                    annotated.push(located.clone());
                }
                drafts.add(draft);
                if findings.len() >= FINDINGS_AT_MOST {
                    findings.push(too_many(&located));
                    break 'files;
                }
            }
        }
    }
    manifests.unused(&mut findings);
    let mut fleet = across::fleet(drafts, known, &mut findings);
    // What all documents together are told is bounded too; errors come first, so that none hides behind warnings.
    if findings.len() > 2 * FINDINGS_AT_MOST {
        findings.sort_by_key(|finding| finding.severity);
        findings.truncate(2 * FINDINGS_AT_MOST);
    }
    findings.sort_by(|a, b| a.position.cmp(&b.position).then(a.severity.cmp(&b.severity)));
    manifest::once(&mut findings);
    consequences::quieten(&mut findings, files);
    fleet.idle_ignores = ignoring::idle(&annotated, &findings);
    let broken = findings.iter().any(Finding::is_error);
    let (fleet, remnant) = if broken { (None, Some(fleet)) } else { (Some(fleet), None) };
    Loaded { fleet, remnant, findings }
}

/// What is wrong with one document alone.
pub(crate) fn judge(document: RawDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut drafts = across::Drafts::default();
    drafts.add(draft::draft(document, &mut findings));
    across::fleet(drafts, &Known::default(), &mut findings);
    findings
}

impl DeviceDoc {
    /// Where a value stands; the nearest parent when the document does not say it.
    #[must_use]
    pub fn position(&self, pointer: &str) -> Position {
        self.located.position(pointer)
    }

    /// A finding about this document, with its place filled in.
    #[must_use]
    pub fn finding(&self, severity: Severity, rule: RuleId, pointer: &str, message: String) -> Finding {
        self.located.finding(severity, rule, pointer, message)
    }
}

impl DeploymentDoc {
    /// Where a value stands; the nearest parent when the document does not say it.
    #[must_use]
    pub fn position(&self, pointer: &str) -> Position {
        self.located.position(pointer)
    }

    /// A finding about this document, with its place filled in.
    #[must_use]
    pub fn finding(&self, severity: Severity, rule: RuleId, pointer: &str, message: String) -> Finding {
        self.located.finding(severity, rule, pointer, message)
    }

    /// A finding about a part of a text value, for example the module name inside a route.
    #[must_use]
    pub fn finding_in(
        &self,
        severity: Severity,
        rule: RuleId,
        place: InText<'_>,
        message: String,
    ) -> Finding {
        self.located.finding_in(severity, rule, place, message)
    }
}
