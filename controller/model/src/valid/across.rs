//! What only several documents together can show: names used twice, parents, modules of other layers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use hemline_query::near;
use rayon::prelude::*;

use super::{
    Context, DeploymentDoc, DeviceDoc, EnvSetting, Fleet, Origin, SecretDoc, TwinConfigurationDoc,
    beside::AllModules,
    configuration, deployment, device,
    draft::{Draft, Entry, ModuleNames, Part, draft},
    known::Known,
    secret::{self, Secrets},
};
use crate::{
    document::{SecretDocument, TwinConfiguration},
    finding::{Finding, Severity},
    id::{DeviceId, DocumentName},
    text::{self, Located},
};

/// All documents of a revision, by kind, in the order in which they were read.
#[derive(Default)]
pub(super) struct Drafts<'a> {
    devices: Vec<Entry<'a, device::Alone, DeviceDoc>>,
    deployments: Vec<Entry<'a, deployment::Alone, Arc<DeploymentDoc>>>,
    configurations: Vec<Entry<'a, TwinConfiguration, TwinConfigurationDoc>>,
    secrets: Vec<Entry<'a, SecretDocument, SecretDoc>>,
    desired: device::Desired,
}

impl<'a> Drafts<'a> {
    pub(super) fn add(&mut self, draft: Option<Draft<'a>>) {
        match draft {
            Some(Draft::Device(mut entry)) => {
                // Here, so that what all devices are told never stands in memory device by device.
                match &mut entry {
                    Entry::New(part) => {
                        part.document.iter_mut().for_each(|alone| self.desired.share(&mut alone.spec));
                    }
                    Entry::Same(doc, _) => self.desired.note(&doc.spec),
                }
                self.devices.push(entry);
            }
            Some(Draft::Deployment(entry)) => self.deployments.push(entry),
            Some(Draft::Configuration(entry)) => self.configurations.push(entry),
            Some(Draft::Secret(entry)) => self.secrets.push(entry),
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
    fn of(entries: &[Entry<'_, device::Alone, DeviceDoc>]) -> Self {
        let known = entries.iter().filter_map(|entry| match entry {
            Entry::New(part) => {
                let alone = part.document.as_ref()?;
                Some((alone.name.clone(), (alone.id.clone().ok()?, alone.spec.edge)))
            }
            Entry::Same(doc, _) => Some((doc.name.to_string(), (doc.id.clone(), doc.spec.edge))),
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

/// Judges all documents together. The fleet is complete only when no finding is an error.
pub(super) fn fleet(drafts: Drafts<'_>, known: &Known<'_>, findings: &mut Vec<Finding>) -> Fleet {
    let Drafts { devices, mut deployments, configurations, secrets, desired: _ } = drafts;
    let ids = Devices::of(&devices);
    let names = |alone: &device::Alone| alone.name.clone();
    let devices = named(devices, names, |doc| &doc.name, findings);
    let devices = judged(devices, findings, |new, name, origin, context| {
        let (id, spec) = device::together(new.document, &ids, context)?;
        Some(DeviceDoc { id, name, spec, origin, located: context.located.clone() })
    });
    let mut fleet = Fleet { devices: by_id(devices, findings), ..Fleet::default() };
    parent_cycles(&fleet, findings);

    let names = |document: &SecretDocument| document.metadata.name.clone();
    let written: Vec<String> = secrets.iter().filter_map(Entry::document).map(names).collect();
    let secrets = named(secrets, names, |doc| &doc.name, findings);
    let secrets = judged(secrets, findings, |new, name, origin, context| {
        let spec = secret::check(&new.document, context)?;
        Some(SecretDoc { name, spec, origin, located: context.located.clone() })
    });
    let sound = secrets.iter().map(|doc| (doc.name.to_string(), doc.spec.clone()));
    let named_secrets = Secrets::new(written.into_iter(), sound);
    fleet.secrets = secrets.into_iter().map(|doc| (doc.name.clone(), doc)).collect();
    if !known.secrets.is_some_and(|before| named_secrets.are(before)) {
        // What was fine may now name a secret that is gone, or another one.
        let wanting = |entry: &Entry<'_, _, Arc<DeploymentDoc>>| match entry {
            Entry::Same(doc, _) => wants_secrets(doc),
            Entry::New(_) => false,
        };
        deployments = deployments
            .into_iter()
            .map(|entry| if wanting(&entry) { read_again(entry, findings) } else { entry })
            .collect();
    }

    let modules = AllModules::of(deployments.iter().map(Entry::modules).collect::<Vec<_>>().iter());
    if !modules.cover(&known.modules) {
        // What was fine may now name a module that is gone.
        deployments = deployments.into_iter().map(|entry| read_again(entry, findings)).collect();
    }
    let names = |alone: &deployment::Alone| alone.name.clone();
    let deployments = named(deployments, names, |doc| &doc.name, findings);
    let deployments = judged(deployments, findings, |new, name, origin, context| {
        let spec =
            deployment::together(new.document, &modules.beside(&new.modules), &named_secrets, context)?;
        let spec = Arc::new(spec);
        Some(Arc::new(DeploymentDoc { name, spec, origin, located: context.located.clone() }))
    });
    fleet.deployments = deployments.into_iter().map(|doc| (doc.name.clone(), doc)).collect();

    let names = |document: &TwinConfiguration| document.metadata.name.clone();
    let configurations = named(configurations, names, |doc| &doc.name, findings);
    let configurations = judged(configurations, findings, |new, name, origin, context| {
        let spec = configuration::check(new.document.spec, context)?;
        Some(TwinConfigurationDoc { name, spec, origin, located: context.located.clone() })
    });
    fleet.configurations = configurations.into_iter().map(|doc| (doc.name.clone(), doc)).collect();
    fleet
}

/// A document that could be read, with a name that no other one of its kind has.
struct Named<'a, T, D> {
    name: DocumentName,
    located: Located,
    dropped: BTreeSet<String>,
    said: Said<'a, T, D>,
}

enum Said<'a, T, D> {
    New(New<T>),
    Same(&'a D),
}

struct New<T> {
    document: T,
    modules: ModuleNames,
}

/// Those documents that have a name of their own, in the order in which they were read.
fn named<'a, T, D>(
    entries: Vec<Entry<'a, T, D>>,
    written: fn(&T) -> String,
    known: fn(&D) -> &DocumentName,
    findings: &mut Vec<Finding>,
) -> Vec<Named<'a, T, D>> {
    let mut taken = HashMap::new();
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let (text, located, dropped, said) = match entry {
            Entry::New(part) => {
                let Part { document, modules, located, dropped } = *part;
                let Some(document) = document else { continue };
                (written(&document), located, dropped, Said::New(New { document, modules }))
            }
            Entry::Same(doc, located) => (known(doc).to_string(), located, BTreeSet::new(), Said::Same(doc)),
        };
        let Some(name) = name(&located, &text, &mut taken, findings) else { continue };
        all.push(Named { name, located, dropped, said });
    }
    all
}

/// Judges what each document says, of others too where that was not done when it was read, on all cores. The order stays.
fn judged<T: Send, D: Moved + Send + Sync>(
    named: Vec<Named<'_, T, D>>,
    findings: &mut Vec<Finding>,
    judge: impl Fn(New<T>, DocumentName, Origin, &mut Context<'_>) -> Option<D> + Sync,
) -> Vec<D> {
    let one = |Named { name, located, dropped, said }: Named<'_, T, D>| {
        let origin = Origin { position: located.start(), document: name.clone() };
        let mut told = Vec::new();
        let judged = match said {
            Said::Same(doc) => Some(doc.moved(origin, located)),
            Said::New(new) => {
                let mut context = Context { located: &located, dropped: &dropped, findings: &mut told };
                let judged = judge(new, name, origin, &mut context);
                located.rest();
                judged
            }
        };
        (judged, told)
    };
    let judged: Vec<(Option<D>, Vec<Finding>)> = named.into_par_iter().map(one).collect();
    let mut all = Vec::with_capacity(judged.len());
    for (judged, told) in judged {
        findings.extend(told);
        all.extend(judged);
    }
    all
}

/// A document of an earlier revision in its place of this one.
trait Moved {
    fn moved(&self, origin: Origin, located: Located) -> Self;
}

impl Moved for DeviceDoc {
    fn moved(&self, origin: Origin, located: Located) -> Self {
        Self { id: self.id.clone(), name: self.name.clone(), spec: self.spec.clone(), origin, located }
    }
}

impl Moved for Arc<DeploymentDoc> {
    fn moved(&self, origin: Origin, located: Located) -> Self {
        Self::new(DeploymentDoc { name: self.name.clone(), spec: Arc::clone(&self.spec), origin, located })
    }
}

impl Moved for TwinConfigurationDoc {
    fn moved(&self, origin: Origin, located: Located) -> Self {
        Self { name: self.name.clone(), spec: self.spec.clone(), origin, located }
    }
}

impl Moved for SecretDoc {
    fn moved(&self, origin: Origin, located: Located) -> Self {
        Self { name: self.name.clone(), spec: self.spec.clone(), origin, located }
    }
}

impl<T, D> Entry<'_, T, D> {
    /// What was written, where it was read just now.
    fn document(&self) -> Option<&T> {
        match self {
            Self::New(part) => part.document.as_ref(),
            Self::Same(..) => None,
        }
    }
}

fn wants_secrets(doc: &DeploymentDoc) -> bool {
    let mut settings = doc.spec.modules.values().flat_map(|module| module.env.values());
    settings.any(|setting| matches!(setting, EnvSetting::Secret { .. }))
}

impl Entry<'_, deployment::Alone, Arc<DeploymentDoc>> {
    fn modules(&self) -> ModuleNames {
        match self {
            Self::New(part) => part.modules.clone(),
            Self::Same(doc, _) => ModuleNames::of(doc),
        }
    }
}

fn read_again<'a>(
    entry: Entry<'a, deployment::Alone, Arc<DeploymentDoc>>,
    findings: &mut Vec<Finding>,
) -> Entry<'a, deployment::Alone, Arc<DeploymentDoc>> {
    let Entry::Same(_, located) = &entry else { return entry };
    match text::read_again(located).and_then(|raw| draft(raw, findings)) {
        Some(Draft::Deployment(new)) => new,
        Some(Draft::Device(_) | Draft::Configuration(_) | Draft::Secret(_)) | None => entry,
    }
}

/// The devices by their ids; of those with the same id, the one that was read first.
fn by_id(mut devices: Vec<DeviceDoc>, findings: &mut Vec<Finding>) -> BTreeMap<DeviceId, DeviceDoc> {
    devices.sort_by(|one, other| one.id.cmp(&other.id));
    let mut first: Option<DeviceDoc> = None;
    let mut kept = Vec::with_capacity(devices.len());
    for doc in devices {
        if let Some(first) = first.as_ref().filter(|first| first.id == doc.id) {
            findings.push(same_device(&doc, first));
            continue;
        }
        kept.extend(first.replace(doc));
    }
    kept.extend(first);
    // From a sorted list, a map has no gaps.
    kept.into_iter().map(|doc| (doc.id.clone(), doc)).collect()
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
        hash_map::Entry::Vacant(entry) => {
            entry.insert(located.clone());
            Some(name)
        }
        hash_map::Entry::Occupied(entry) => {
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
