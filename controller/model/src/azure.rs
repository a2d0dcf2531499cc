//! Azure IoT Edge deployment manifests → one `EdgeDeployment` document, or the content of one that names the manifest, and
//! what could not be kept (reference edge-runtime §1.1–1.7, service-api §4.6). Configurations of devices and of modules
//! become a `TwinConfiguration`.
//!
//! All forms that Azure's tools write are read: the bare manifest, `{"content": …}`, the hub's configuration envelope, the
//! old `moduleContent`, layers with dotted keys, chunked createOptions, and templates with `${VAR}`. What comes out passes
//! the same validation as a document that a person wrote; its findings are told at their places in the manifest.
//!
//! Not here: reading files and the environment (the CLI's), and the way back (`plan`, which knows effective configs).

mod adopt;
mod agent;
mod configuration;
mod envelope;
mod hub;
mod judge;
mod notes;
mod section;
mod template;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    document::{
        ApiVersion, EdgeDeployment, EdgeDeploymentKind, EdgeDeploymentSpec, Metadata, Module, Object,
        TwinConfiguration,
    },
    finding::{Finding, Position},
    text::SourceFile,
};
pub(crate) use adopt::{Adopted, adopt};
use envelope::{About, Envelope};
use notes::Notes;
use section::Section;
use template::Giver;

const AGENT: &str = "$edgeAgent";
const HUB: &str = "$edgeHub";

/// What the manifest itself does not say, or says differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Name of the document; else the configuration's `id`, else the name of the file.
    pub name: Option<String>,
    /// Target condition; else the configuration's, else a tag that no device has yet.
    pub target_condition: Option<String>,
    /// Priority; else the configuration's.
    pub priority: Option<u32>,
    /// Values for `${NAME}`. When there are any, when the file is called `….template.json`, or when a `${…}` stands
    /// outside of quotes, the file is a template; the `${…}` of other files are left alone, because they belong to the
    /// modules.
    pub variables: BTreeMap<String, String>,
}

/// What came out of a manifest.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The document; `None` when any finding is an error.
    pub document: Option<ImportedDocument>,
    /// What is wrong and what was left out, in order of line.
    pub findings: Vec<Finding>,
}

/// The document that a manifest became.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ImportedDocument {
    /// Of `modulesContent`.
    Deployment(Box<EdgeDeployment>),
    /// Of `deviceContent` or `moduleContent`.
    Configuration(Box<TwinConfiguration>),
}

impl ImportedDocument {
    /// Name and labels.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Deployment(document) => &document.metadata,
            Self::Configuration(document) => &document.metadata,
        }
    }

    /// Which devices or modules.
    #[must_use]
    pub fn target_condition(&self) -> &str {
        match self {
            Self::Deployment(document) => &document.spec.target_condition,
            Self::Configuration(document) => &document.spec.target_condition,
        }
    }

    /// Its priority.
    #[must_use]
    pub fn priority(&self) -> u32 {
        match self {
            Self::Deployment(document) => document.spec.priority,
            Self::Configuration(document) => document.spec.priority,
        }
    }
}

/// Reads one manifest.
#[must_use]
pub fn import(file: &SourceFile, options: &ImportOptions) -> Imported {
    let variables: Object =
        options.variables.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
    let (mut documents, mut findings, unset) = template::read(file, &variables);
    if documents.len() > 1 {
        findings.push(several(file, documents.len()));
    }
    let document = match documents.pop() {
        Some(document) if findings.iter().all(|finding| !finding.is_error()) => document,
        Some(_) => return Imported { document: None, findings },
        None => {
            if findings.is_empty() {
                findings.push(empty(file));
            }
            return Imported { document: None, findings };
        }
    };
    let mut notes = Notes::new(&document.located);
    template::missing(&unset, &document.value, &variables, Giver::CommandLine, &mut notes);
    let read = Envelope::read(&document.value, &mut notes).map(|envelope| match envelope.about {
        About::Deployment => {
            ImportedDocument::Deployment(Box::new(deployment(&envelope, file, options, &mut notes)))
        }
        About::Devices | About::Modules => ImportedDocument::Configuration(Box::new(configuration::read(
            &envelope, file, options, &mut notes,
        ))),
    });
    let read = read.filter(|document| judge::judge(document, &mut notes));
    findings.extend(notes.finish(&document.value));
    Imported { document: read, findings }
}

/// Does this value look like a manifest of Azure and not like a document?
pub(crate) fn is_manifest(value: &Value) -> bool {
    let holds = |holder: &Value| {
        ["modulesContent", "moduleContent", "deviceContent"].into_iter().any(|key| holder.get(key).is_some())
    };
    value.get("apiVersion").is_none() && (holds(value) || value.get("content").is_some_and(holds))
}

fn several(file: &SourceFile, count: usize) -> Finding {
    let message = format!("the file holds {count} manifests; only one can be read");
    let start = Position { file: file.path.clone(), line: 1, column: 1 };
    Finding::error("azure-manifest", message).with_position(start).with_hint("write one manifest per file")
}

fn empty(file: &SourceFile) -> Finding {
    let start = Position { file: file.path.clone(), line: 1, column: 1 };
    Finding::error("azure-manifest", format!("{} is empty", file.path)).with_position(start)
}

/// What a manifest says that runs somewhere.
struct Parts {
    layered: bool,
    modules: BTreeMap<String, Module>,
    hub: hub::Hub,
}

/// `layered` is what somebody wants; else the form of the manifest decides.
fn parts(envelope: &Envelope<'_>, layered: Option<bool>, notes: &mut Notes<'_>) -> Parts {
    let sections: BTreeMap<&str, Section> = envelope
        .modules()
        .map(|(name, entry)| {
            let pointer = format!("{}/{}", envelope.pointer, notes::escape(name));
            (name.as_str(), Section::read(entry, &pointer, notes))
        })
        .collect();
    let form = !sections.contains_key(AGENT) || sections.values().any(|section| section.dotted);
    let layered = layered.unwrap_or(form);
    notes.came("/spec/modules", envelope.pointer.clone());
    notes.came("/spec/routes", envelope.pointer.clone());
    let mut modules = sections.get(AGENT).map(|agent| agent::read(agent, layered, notes)).unwrap_or_default();
    twins(&sections, layered, &mut modules, notes);
    let hub = sections.get(HUB).map(|hub| hub::read(hub, layered, notes)).unwrap_or_default();
    Parts { layered, modules, hub }
}

fn deployment(
    envelope: &Envelope<'_>,
    file: &SourceFile,
    options: &ImportOptions,
    notes: &mut Notes<'_>,
) -> EdgeDeployment {
    let name = envelope.name(file, options, notes);
    let target_condition = envelope.target(&name, options, notes);
    let Parts { layered, modules, hub } = parts(envelope, None, notes);
    EdgeDeployment {
        api_version: ApiVersion::default(),
        kind: EdgeDeploymentKind::default(),
        metadata: Metadata { name, labels: envelope.labels(notes), ..Metadata::default() },
        spec: EdgeDeploymentSpec {
            target_condition,
            priority: envelope.priority(layered, options, notes),
            layered,
            manifest: None,
            variables: Object::new(),
            modules,
            routes: hub.routes,
            store_and_forward: hub.store_and_forward,
            broker: hub.broker,
            rollout: None,
            drift: None,
        },
        status: None,
    }
}

/// Desired properties of the user modules.
fn twins(
    sections: &BTreeMap<&str, Section>,
    layered: bool,
    modules: &mut BTreeMap<String, Module>,
    notes: &mut Notes<'_>,
) {
    for (name, section) in sections.iter().filter(|(name, _)| !matches!(**name, AGENT | HUB)) {
        if !layered && !modules.contains_key(*name) {
            let message =
                format!("desired properties of {name:?}, which the manifest does not deploy, are left out");
            let finding = notes.dropped(section.at(), message);
            finding.hint = Some("put them into the deployment that has the module".to_owned());
            continue;
        }
        if layered && section.whole {
            let message = format!(
                "this replaces all desired properties of {name:?} in IoT Hub; here a layer is merged by path"
            );
            notes.note("azure-layer", section.at(), message);
        }
        let at = format!("/spec/modules/{}/desired", notes::escape(name));
        section.trail(&at, notes);
        let desired: Map<String, Value> = section.value.clone();
        modules.entry((*name).to_owned()).or_default().desired = Some(desired);
    }
}
