//! What only several documents together can show: names used twice, parents, modules of other layers.

use std::{
    collections::{BTreeSet, HashMap, btree_map, hash_map::Entry},
    sync::Arc,
};

use hemline_query::near;

use super::{
    Context, DeploymentDoc, DeviceDoc, Fleet, Origin, TwinConfigurationDoc, configuration, deployment,
    device,
    draft::{Draft, ModuleNames, Part},
};
use crate::{
    document::{Device, EdgeDeployment, TwinConfiguration},
    finding::{Finding, Severity},
    id::{DeviceId, DocumentName},
    text::Located,
};

/// All documents of a revision, by kind, in the order in which they were read.
#[derive(Default)]
pub(super) struct Drafts {
    devices: Vec<Part<Device>>,
    deployments: Vec<Part<EdgeDeployment>>,
    configurations: Vec<Part<TwinConfiguration>>,
}

impl Drafts {
    pub(super) fn add(&mut self, draft: Option<Draft>) {
        match draft {
            Some(Draft::Device(part)) => self.devices.push(*part),
            Some(Draft::Deployment(part)) => self.deployments.push(*part),
            Some(Draft::Configuration(part)) => self.configurations.push(*part),
            None => {}
        }
    }
}

/// The names and ids that devices refer to each other by, and which of them are edge devices.
pub(super) struct Devices {
    by_name: HashMap<String, (DeviceId, bool)>,
    by_id: HashMap<DeviceId, bool>,
}

impl Devices {
    fn of(parts: &[Part<Device>]) -> Self {
        let known = parts.iter().filter_map(|part| {
            let document = part.document.as_ref()?;
            let id = document.spec.device_id.as_deref().unwrap_or(&document.metadata.name);
            Some((document.metadata.name.clone(), (DeviceId::new(id).ok()?, document.spec.edge)))
        });
        let mut known: Vec<(String, (DeviceId, bool))> = known.collect();
        // Where a name or an id stands twice, it is always the same one that counts.
        known.sort_by(|one, other| one.0.cmp(&other.0));
        let by_id = known.iter().map(|(_, device)| device.clone()).collect();
        Self { by_name: known.into_iter().collect(), by_id }
    }

    /// The device a `parent` means, and whether it is an edge device: by name, else by hub id.
    pub(super) fn find(&self, parent: &str) -> Option<(&DeviceId, bool)> {
        let by_name = self.by_name.get(parent).map(|(id, edge)| (id, *edge));
        by_name.or_else(|| self.by_id.get_key_value(parent).map(|(id, edge)| (id, *edge)))
    }

    /// The name that was probably meant.
    pub(super) fn near(&self, parent: &str) -> Option<&str> {
        // In order, so that of two names that are equally near it is always the same one.
        let names: BTreeSet<&str> = self.by_name.keys().map(String::as_str).collect();
        near(parent, names.into_iter())
    }
}

/// Names of modules, for routes: those of all layers, and those of all deployments.
struct AllModules {
    in_layers: BTreeSet<String>,
    anywhere: BTreeSet<String>,
}

impl AllModules {
    fn of(deployments: &[Part<EdgeDeployment>]) -> Self {
        let mut names = Self { in_layers: BTreeSet::new(), anywhere: BTreeSet::new() };
        for ModuleNames { layered, names: own } in deployments.iter().map(|part| &part.modules) {
            names.anywhere.extend(own.iter().cloned());
            if *layered {
                names.in_layers.extend(own.iter().cloned());
            }
        }
        names
    }

    /// The modules that may be on a device together with those of a deployment, its own included.
    fn beside<'a>(&'a self, own: &'a ModuleNames) -> BTreeSet<&'a str> {
        if own.layered {
            self.anywhere.iter().map(String::as_str).collect()
        } else {
            self.in_layers.iter().chain(&own.names).map(String::as_str).collect()
        }
    }
}

/// Judges all documents together. The fleet is complete only when no finding is an error.
pub(super) fn fleet(drafts: Drafts, findings: &mut Vec<Finding>) -> Fleet {
    let mut fleet = Fleet::default();
    let devices = Devices::of(&drafts.devices);
    let mut names = HashMap::new();
    for part in drafts.devices {
        let Part { document: Some(document), located, dropped, .. } = part else { continue };
        let Some(name) = name(&located, &document.metadata.name, &mut names, findings) else { continue };
        let mut context = Context { located: &located, dropped: &dropped, findings };
        let Some((id, spec)) = device::check(document, &devices, &mut context) else { continue };
        let origin = Origin { position: located.start(), document: name.clone() };
        let doc = DeviceDoc { id: id.clone(), name, spec, origin, located };
        match fleet.devices.entry(id) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(doc);
            }
            btree_map::Entry::Occupied(entry) => findings.push(same_device(&doc, entry.get())),
        }
    }
    parent_cycles(&fleet, findings);
    let modules = AllModules::of(&drafts.deployments);
    let mut names = HashMap::new();
    for part in drafts.deployments {
        let Part { document: Some(document), located, dropped, modules: own } = part else { continue };
        let Some(name) = name(&located, &document.metadata.name, &mut names, findings) else { continue };
        let mut context = Context { located: &located, dropped: &dropped, findings };
        let Some(spec) = deployment::check(document.spec, &modules.beside(&own), &mut context) else {
            continue;
        };
        let origin = Origin { position: located.start(), document: name.clone() };
        let document = Arc::new(DeploymentDoc { name: name.clone(), spec, origin, located });
        fleet.deployments.entry(name).or_insert(document);
    }
    let mut names = HashMap::new();
    for part in drafts.configurations {
        let Part { document: Some(document), located, dropped, .. } = part else { continue };
        let Some(name) = name(&located, &document.metadata.name, &mut names, findings) else { continue };
        let mut context = Context { located: &located, dropped: &dropped, findings };
        let Some(spec) = configuration::check(document.spec, &mut context) else { continue };
        let origin = Origin { position: located.start(), document: name.clone() };
        let doc = TwinConfigurationDoc { name: name.clone(), spec, origin, located };
        fleet.configurations.entry(name).or_insert(doc);
    }
    fleet
}

/// Checks `metadata.name`, and that no document of the same kind has it.
fn name(
    located: &Located,
    text: &str,
    taken: &mut HashMap<DocumentName, Located>,
    findings: &mut Vec<Finding>,
) -> Option<DocumentName> {
    const POINTER: &str = "/metadata/name";
    let name = match DocumentName::new(text) {
        Ok(name) => name,
        Err(why) => {
            findings.push(located.finding(Severity::Error, "name", POINTER, why.to_string()));
            return None;
        }
    };
    if !text.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')) {
        let message =
            format!("the name {text:?} does not start and end with a letter or digit, also around dots");
        findings.push(located.finding(Severity::Error, "name", POINTER, message));
        return None;
    }
    match taken.entry(name.clone()) {
        Entry::Vacant(entry) => {
            entry.insert(located.clone());
            Some(name)
        }
        Entry::Occupied(entry) => {
            let message = format!("another document of this kind is called {text:?} already");
            let finding = located.finding(Severity::Error, "duplicate-name", POINTER, message);
            let first = entry.get().position(POINTER);
            findings.push(
                finding.with_hint("choose another name").with_note(format!("the first one is at {first}")),
            );
            None
        }
    }
}

fn same_device(doc: &DeviceDoc, first: &DeviceDoc) -> Finding {
    let message = format!(
        "the device id {:?} belongs to the document {:?} already",
        doc.id.as_str(),
        first.name.as_str()
    );
    let said = |doc: &DeviceDoc| {
        if doc.id.as_str() == doc.name.as_str() { "/metadata/name" } else { "/spec/deviceId" }
    };
    let finding = doc.finding(Severity::Error, "duplicate-device-id", said(doc), message);
    finding.with_note(format!("the first one is at {}", first.position(said(first))))
}

/// Reports each circle of parents once, at its first device.
fn parent_cycles(fleet: &Fleet, findings: &mut Vec<Finding>) {
    let mut done: BTreeSet<&DeviceId> = BTreeSet::new();
    for id in fleet.devices.keys() {
        let mut path: Vec<&DeviceId> = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            if let Some(from) = path.iter().position(|seen| *seen == id) {
                let circle = path.get(from..).unwrap_or_default();
                if let Some(doc) = fleet.devices.get(id) {
                    let names: Vec<&str> = circle.iter().chain([&id]).map(|id| id.as_str()).collect();
                    let message = format!("the parents of {id} lead back to itself");
                    let finding = doc.finding(Severity::Error, "parent-cycle", "/spec/parent", message);
                    findings.push(finding.with_note(names.join(" → ")));
                }
                break;
            }
            if !done.insert(id) {
                break;
            }
            path.push(id);
            next = fleet.devices.get(id).and_then(|doc| doc.spec.parent.as_ref());
        }
    }
}
