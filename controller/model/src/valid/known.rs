//! Documents that an earlier revision says in the same words. Two revisions of a fleet have nearly all of them in common: what
//! was read and judged for one need not be for the other, and both may share the values.
//!
//! Only a document that nobody had anything to say about is known: its findings would stand in other places here.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use super::{
    DeploymentDoc, DeviceDoc, Fleet, SecretDoc, TwinConfigurationDoc, beside::AllModules, draft::ModuleNames,
};
use crate::{finding::Finding, id::DocumentName, text::Located};

/// The documents of an earlier revision by their text.
#[derive(Default)]
pub struct Known<'a> {
    documents: HashMap<&'a str, Same<'a>>,
    /// What variables could name.
    pub(super) secrets: Option<&'a BTreeMap<DocumentName, SecretDoc>>,
    /// What routes could name.
    pub(super) modules: AllModules,
}

/// A document with the same text.
#[derive(Clone, Copy)]
pub(super) enum Same<'a> {
    Device(&'a DeviceDoc),
    Deployment(&'a Arc<DeploymentDoc>),
    Configuration(&'a TwinConfigurationDoc),
}

impl<'a> Known<'a> {
    /// What a fleet says, and what there was to say of it.
    #[must_use]
    pub fn of(fleet: &'a Fleet, findings: &[Finding]) -> Self {
        let told = Told::of(findings);
        // The parent of a device is found among the devices of its own revision.
        let devices = fleet.devices.values().filter(|doc| doc.spec.parent.is_none());
        let devices = devices.map(|doc| (&doc.located, Same::Device(doc)));
        let deployments = fleet.deployments.values().map(|doc| (&doc.located, Same::Deployment(doc)));
        let configurations = fleet.configurations.values();
        let configurations = configurations.map(|doc| (&doc.located, Same::Configuration(doc)));
        let clean =
            devices.chain(deployments).chain(configurations).filter(|(located, _)| !told.of_any(located));
        let documents = clean.filter_map(|(located, same)| Some((located.plain_text()?, same))).collect();
        let modules: Vec<ModuleNames> = fleet.deployments.values().map(|doc| ModuleNames::of(doc)).collect();
        Self { documents, secrets: Some(&fleet.secrets), modules: AllModules::of(modules.iter()) }
    }

    pub(super) fn find(&self, text: &str) -> Option<Same<'a>> {
        self.documents.get(text).copied()
    }
}

/// Lines that somebody had something to say about, by file.
struct Told<'f>(BTreeMap<&'f str, Vec<u32>>);

impl<'f> Told<'f> {
    fn of(findings: &'f [Finding]) -> Self {
        let mut lines: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for position in findings.iter().filter_map(|finding| finding.position.as_ref()) {
            lines.entry(&position.file).or_default().push(position.line);
        }
        lines.values_mut().for_each(|lines| lines.sort_unstable());
        Self(lines)
    }

    /// Is there anything about this document?
    fn of_any(&self, located: &Located) -> bool {
        let Range { start, end } = located.lines();
        self.0.get(&**located.file()).is_some_and(|lines| {
            let first = lines.partition_point(|line| *line < start);
            lines.get(first).is_some_and(|line| *line < end)
        })
    }
}
