//! Azure IoT Edge deployment manifests → one `EdgeDeployment` document, and what could not be kept (reference edge-runtime
//! §1.1–1.7, service-api §4.6).
//!
//! All forms that Azure's tools write are read: the bare manifest, `{"content": …}`, the hub's configuration envelope, the
//! old `moduleContent`, layers with dotted keys, chunked createOptions, and templates with `${VAR}`. What comes out passes
//! the same validation as a document that a person wrote; its findings are told at their places in the manifest.
//!
//! Not here: reading files and the environment (the CLI's), and the way back (`plan`, which knows effective configs).

mod agent;
mod envelope;
mod hub;
mod judge;
mod notes;
mod section;
mod template;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    document::{ApiVersion, EdgeDeployment, EdgeDeploymentKind, EdgeDeploymentSpec, Metadata, Module},
    finding::Finding,
    text::{self, SourceFile},
};
use envelope::Envelope;
use notes::Notes;
use section::Section;

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
    /// Values for `${NAME}`. When there are any, or the file is called `….template.json`, the file is a template; the
    /// `${…}` of other files are left alone, because they belong to the modules.
    pub variables: BTreeMap<String, String>,
}

/// What came out of a manifest.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The document; `None` when any finding is an error.
    pub document: Option<EdgeDeployment>,
    /// What is wrong and what was left out, in order of line.
    pub findings: Vec<Finding>,
}

/// Reads one manifest.
#[must_use]
pub fn import(file: &SourceFile, options: &ImportOptions) -> Imported {
    let (mut documents, mut findings) = text::read(file);
    if documents.len() > 1 {
        let message =
            format!("the file holds {} manifests; only one can be imported at a time", documents.len());
        findings.push(Finding::error("azure-manifest", message).with_hint("write one manifest per file"));
    }
    let document = match documents.pop() {
        Some(document) if findings.iter().all(|finding| !finding.is_error()) => document,
        Some(_) => return Imported { document: None, findings },
        None => {
            if findings.is_empty() {
                findings.push(Finding::error("azure-manifest", format!("{} is empty", file.path)));
            }
            return Imported { document: None, findings };
        }
    };
    let mut value = document.value;
    let mut notes = Notes::new(&document.located);
    if template::is_template(&file.path, options) {
        template::fill(&mut value, &options.variables, &mut notes);
    }
    let read =
        Envelope::read(&value, &mut notes).map(|envelope| deployment(&envelope, file, options, &mut notes));
    let read = read.filter(|document| judge::judge(document, &mut notes));
    findings.extend(notes.finish(&value));
    Imported { document: read, findings }
}

fn deployment(
    envelope: &Envelope<'_>,
    file: &SourceFile,
    options: &ImportOptions,
    notes: &mut Notes<'_>,
) -> EdgeDeployment {
    let sections: BTreeMap<&str, Section> = envelope
        .modules
        .iter()
        .map(|(name, entry)| {
            let pointer = format!("{}/{}", envelope.pointer, notes::escape(name));
            (name.as_str(), Section::read(entry, &pointer, notes))
        })
        .collect();
    let layered = !sections.contains_key(AGENT) || sections.values().any(|section| section.dotted);
    let name = envelope.name(file, options, notes);
    let target_condition = envelope.target(&name, options, notes);
    let mut modules = sections.get(AGENT).map(|agent| agent::read(agent, layered, notes)).unwrap_or_default();
    twins(&sections, layered, &mut modules, notes);
    let hub = sections.get(HUB).map(|hub| hub::read(hub, layered, notes)).unwrap_or_default();
    EdgeDeployment {
        api_version: ApiVersion::default(),
        kind: EdgeDeploymentKind::default(),
        metadata: Metadata { name, labels: envelope.labels(notes), ..Metadata::default() },
        spec: EdgeDeploymentSpec {
            target_condition,
            priority: envelope.priority(layered, options, notes),
            layered,
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
