//! Twin configurations: desired properties that a condition gives to devices and modules, merged by path into what the other
//! documents say.
//!
//! A device's own document wins over every configuration, because nothing is more particular; a configuration wins over the
//! `desired` that a deployment gives to its modules, because it would have no effect otherwise. Among configurations the
//! priority decides; two of the same priority that disagree are reported, never decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::{
    DeviceDoc, Finding, Fleet, Severity, TwinConfigurationDoc,
    id::{DeviceId, DocumentName, ModuleId},
    twin::{self, Which},
};
use hemline_query::select::Source;
use serde_json::{Map, Value};

use super::{
    Effective, Facts, Findings, LayerKind, Opinion, Problem, Provenance,
    layer::{Merged, Path, Said, flatten, pointer},
    target,
};
use crate::desired::{ModuleTwins, object, without_null};

/// One twin that a configuration selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The device.
    pub device: DeviceId,
    /// Its module; the device's own twin when absent.
    pub module: Option<ModuleId>,
}

/// Which configurations each module of a device gets, lowest first.
pub type ModuleConfigurations = BTreeMap<ModuleId, Vec<DocumentName>>;

/// One configuration, flattened once for all its twins.
struct Layer<'a> {
    doc: &'a TwinConfigurationDoc,
    leaves: BTreeMap<Path, Value>,
}

/// Merges the configurations into the twins of all devices; returns the twins that each one selects.
pub(super) fn apply(
    fleet: &Fleet,
    facts: &Facts,
    devices: &mut BTreeMap<DeviceId, Effective>,
    findings: &mut Findings,
) -> BTreeMap<DocumentName, Vec<Target>> {
    let mut selected: BTreeMap<DocumentName, Vec<Target>> =
        fleet.configurations.keys().map(|name| (name.clone(), Vec::new())).collect();
    if selected.is_empty() {
        return selected;
    }
    let mut layers: Vec<Layer<'_>> = fleet.configurations.values().map(Layer::new).collect();
    // Names make the order of equals the same on every run.
    layers.sort_by(|one, other| one.order().cmp(&other.order()));
    let (of_modules, of_devices): (Vec<Layer<'_>>, Vec<Layer<'_>>) =
        layers.into_iter().partition(|layer| layer.doc.spec.condition.source() == Source::Modules);
    let mut shared = Shared::default();
    for device in fleet.devices.values() {
        let Some(effective) = devices.get_mut(&device.id) else { continue };
        let matching = target::selecting(device, facts, &of_devices, |layer| &layer.doc.spec.condition);
        for layer in &matching {
            layer.select(&mut selected, device, None);
        }
        if !matching.is_empty() {
            device_twin(device, effective, &matching, findings);
        }
        if of_modules.is_empty() {
            continue;
        }
        let mut chosen: BTreeMap<ModuleId, Vec<&Layer<'_>>> = BTreeMap::new();
        for (module, desired) in effective.twins.modules.iter().filter(|(module, _)| !module.is_system()) {
            let twin = target::module_twin_of(device, module, desired, facts);
            let matching = of_modules.iter().filter(|layer| layer.doc.spec.condition.matches(&twin));
            for layer in matching {
                layer.select(&mut selected, device, Some(module));
                chosen.entry(module.clone()).or_default().push(layer);
            }
        }
        if !chosen.is_empty() {
            shared.give(device, effective, &chosen, findings);
        }
    }
    without_target(fleet, facts, &selected, findings);
    selected
}

impl<'a> Layer<'a> {
    fn new(doc: &'a TwinConfigurationDoc) -> Self {
        Self { doc, leaves: leaves_of(&doc.spec.desired) }
    }

    fn order(&self) -> (u32, &DocumentName) {
        (self.doc.spec.priority, &self.doc.name)
    }

    fn said(&self) -> Said<'_> {
        Said { priority: Some(self.doc.spec.priority), leaves: &self.leaves }
    }

    fn select(
        &self,
        selected: &mut BTreeMap<DocumentName, Vec<Target>>,
        device: &DeviceDoc,
        module: Option<&ModuleId>,
    ) {
        if let Some(list) = selected.get_mut(&self.doc.name) {
            list.push(Target { device: device.id.clone(), module: module.cloned() });
        }
    }
}

/// The paths below `desired`, as a document has them below `spec`.
fn leaves_of(desired: &Map<String, Value>) -> BTreeMap<Path, Value> {
    let mut leaves = BTreeMap::new();
    flatten(vec!["desired".to_owned()], Value::Object(desired.clone()), &mut leaves);
    leaves
}

fn device_twin(
    device: &DeviceDoc,
    effective: &mut Effective,
    matching: &[&Layer<'_>],
    findings: &mut Findings,
) {
    let own = leaves_of(&device.spec.desired);
    let mut all: Vec<Said<'_>> = matching.iter().map(|layer| layer.said()).collect();
    all.push(Said { priority: None, leaves: &own });
    let merged = Merged::of_all(&all);
    for problem in conflicts(&merged, matching, 0) {
        findings.on(device, problem);
    }
    let desired = without_null(object(&merged.tree(), "desired"));
    if let Some(highest) = matching.last() {
        limit(&desired, highest.doc, "the device")
            .into_iter()
            .for_each(|problem| findings.on(device, problem));
    }
    effective.twins.device = Arc::new(desired);
    effective.configurations = matching.iter().map(|layer| layer.doc.name.clone()).collect();
}

/// Module twins with their configurations, shared by all devices with the same deployments and configurations.
#[derive(Default)]
struct Shared {
    made: BTreeMap<(Vec<DocumentName>, ModuleConfigurations), Made>,
}

#[derive(Clone)]
struct Made {
    modules: Arc<ModuleTwins>,
    configurations: Arc<ModuleConfigurations>,
    problems: Vec<Finding>,
}

impl Shared {
    fn give(
        &mut self,
        device: &DeviceDoc,
        effective: &mut Effective,
        chosen: &BTreeMap<ModuleId, Vec<&Layer<'_>>>,
        findings: &mut Findings,
    ) {
        let names: ModuleConfigurations = chosen
            .iter()
            .map(|(module, layers)| {
                (module.clone(), layers.iter().map(|layer| layer.doc.name.clone()).collect())
            })
            .collect();
        let deployments = effective.base.iter().chain(effective.layers.iter()).cloned().collect();
        let made = self
            .made
            .entry((deployments, names))
            .or_insert_with_key(|(_, names)| make(&effective.twins.modules, names, chosen));
        effective.twins.modules = Arc::clone(&made.modules);
        effective.module_configurations = Arc::clone(&made.configurations);
        for problem in &made.problems {
            findings.on(device, Problem(problem.clone()));
        }
    }
}

fn make(
    modules: &ModuleTwins,
    names: &ModuleConfigurations,
    chosen: &BTreeMap<ModuleId, Vec<&Layer<'_>>>,
) -> Made {
    let (mut modules, mut problems) = (BTreeMap::clone(modules), Vec::new());
    for (module, layers) in chosen {
        let base = modules.get(module).map(leaves_of).unwrap_or_default();
        let first = Said { priority: None, leaves: &base };
        let all: Vec<Said<'_>> =
            std::iter::once(first).chain(layers.iter().map(|layer| layer.said())).collect();
        let merged = Merged::of_all(&all);
        problems.extend(conflicts(&merged, layers, 1).map(|problem| problem.0));
        let desired = without_null(object(&merged.tree(), "desired"));
        if let Some(highest) = layers.last() {
            problems.extend(limit(&desired, highest.doc, module.as_str()).map(|problem| problem.0));
        }
        modules.insert(module.clone(), desired);
    }
    Made { modules: Arc::new(modules.into()), configurations: Arc::new(names.clone()), problems }
}

/// Disagreements that nobody with a higher word has settled. `first` is the place of the lowest configuration.
fn conflicts<'a>(
    merged: &'a Merged,
    layers: &'a [&Layer<'_>],
    first: usize,
) -> impl Iterator<Item = Problem> + use<'a> {
    let layer = move |place: usize| place.checked_sub(first).and_then(|place| layers.get(place));
    merged.conflicts.iter().filter_map(move |conflict| {
        let stands = merged.leaves.get(&conflict.path).is_some_and(|(_, place)| *place == conflict.other);
        let (one, other) = (layer(conflict.one)?.doc, layer(conflict.other)?.doc);
        stands.then(|| disagreement(one, other, &conflict.path))
    })
}

fn disagreement(one: &TwinConfigurationDoc, other: &TwinConfigurationDoc, path: &[String]) -> Problem {
    let at = pointer(path);
    let message = format!(
        "twin configurations {} and {} of the same priority {} disagree on {}",
        one.name,
        other.name,
        one.spec.priority,
        path.join(".")
    );
    let finding = other.located.finding(Severity::Error, "configuration-conflict", &at, message);
    let first = one.located.position(&at);
    Problem(
        finding
            .with_note(format!("{} says it at {first}", one.name))
            .with_note("give the one that should win the higher priority"),
    )
}

fn limit(desired: &Map<String, Value>, highest: &TwinConfigurationDoc, whose: &str) -> Option<Problem> {
    let broken = twin::limits::check(desired, Which::Desired).err()?;
    let message = format!("desired properties of {whose} with its configurations: {broken}");
    Some(Problem(highest.located.finding(Severity::Error, "twin-limit", "/spec/desired", message)))
}

fn without_target(
    fleet: &Fleet,
    facts: &Facts,
    selected: &BTreeMap<DocumentName, Vec<Target>>,
    findings: &mut Findings,
) {
    for (name, doc) in &fleet.configurations {
        let at = "/spec/targetCondition";
        let condition = &doc.spec.condition;
        if condition.reads_reported() && facts.reported.is_empty() {
            let message =
                format!("the condition of {name} reads reported properties, which only a running hub knows");
            findings.add(doc.located.finding(Severity::Note, "condition-reads-reported", at, message));
        } else if selected.get(name).is_none_or(Vec::is_empty) {
            let what = if condition.source() == Source::Modules { "module" } else { "device" };
            let message = format!("the condition of {name} selects no {what}");
            findings.add(doc.located.finding(Severity::Warning, "configuration-without-target", at, message));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------

/// Where each desired property of a device comes from that has configurations, by path.
pub(crate) fn device_provenance(
    fleet: &Fleet,
    device: &DeviceDoc,
    effective: &Effective,
) -> BTreeMap<String, Provenance> {
    let mut voices = voices(fleet, &effective.configurations, "");
    let opinion = |path: &Path, value: &Value| Opinion {
        path: path.join("."),
        document: device.name.clone(),
        layer: LayerKind::Device,
        value: value.clone(),
        position: device.position(&pointer(path)),
    };
    voices.push(Voice::new(None, leaves_of(&device.spec.desired), opinion));
    explained(&voices)
}

/// Where each value of a device's modules and routes comes from, configurations included.
pub(crate) fn provenance(fleet: &Fleet, effective: &Effective) -> BTreeMap<String, Provenance> {
    let origins = effective.provenance.iter();
    let mut all: BTreeMap<String, Provenance> =
        origins.map(|(path, provenance)| (path.clone(), provenance.clone())).collect();
    for (module, names) in effective.module_configurations.iter() {
        let prefix = format!("modules.{module}.");
        let desired = format!("{prefix}desired");
        // No key of a twin has a dot, so a path can be cut at its dots.
        let is_desired = |path: &str| path == desired || path.starts_with(&format!("{desired}."));
        let base: BTreeMap<Path, Provenance> = all
            .iter()
            .filter(|(path, _)| is_desired(path))
            .map(|(path, provenance)| {
                let steps =
                    path.get(prefix.len()..).unwrap_or_default().split('.').map(str::to_owned).collect();
                (steps, provenance.clone())
            })
            .collect();
        all.retain(|path, _| !is_desired(path));
        let leaves = base.iter().map(|(path, provenance)| (path.clone(), provenance.said.value.clone()));
        let mut heard = vec![Voice { priority: None, leaves: leaves.collect(), provenance: base }];
        heard.extend(voices(fleet, names, &prefix));
        all.extend(explained(&heard));
    }
    all
}

/// What one document says, and where.
struct Voice {
    priority: Option<u32>,
    leaves: BTreeMap<Path, Value>,
    provenance: BTreeMap<Path, Provenance>,
}

impl Voice {
    fn new(
        priority: Option<u32>,
        leaves: BTreeMap<Path, Value>,
        opinion: impl Fn(&Path, &Value) -> Opinion,
    ) -> Self {
        let provenance = leaves
            .iter()
            .map(|(path, value)| {
                (path.clone(), Provenance { said: opinion(path, value), overrides: Vec::new() })
            })
            .collect();
        Self { priority, leaves, provenance }
    }
}

fn voices(fleet: &Fleet, names: &[DocumentName], prefix: &str) -> Vec<Voice> {
    let docs = names.iter().filter_map(|name| fleet.configurations.get(name));
    docs.map(|doc| {
        Voice::new(Some(doc.spec.priority), leaves_of(&doc.spec.desired), |path, value| Opinion {
            path: format!("{prefix}{}", path.join(".")),
            document: doc.name.clone(),
            layer: LayerKind::Configuration,
            value: value.clone(),
            position: doc.located.position(&pointer(path)),
        })
    })
    .collect()
}

fn explained(voices: &[Voice]) -> BTreeMap<String, Provenance> {
    let all: Vec<Said<'_>> =
        voices.iter().map(|voice| Said { priority: voice.priority, leaves: &voice.leaves }).collect();
    let merged = Merged::of_all(&all);
    let find = |place: usize, path: &Path| voices.get(place).and_then(|voice| voice.provenance.get(path));
    let mut explained = BTreeMap::new();
    for (path, (_, place)) in &merged.leaves {
        let Some(Provenance { said, overrides }) = find(*place, path) else { continue };
        let overruled = merged.overruled.get(path).into_iter().flatten();
        let lost: BTreeSet<(usize, &Path)> = overruled.clone().map(|lost| (lost.place, &lost.path)).collect();
        let mut below = Vec::new();
        for (place, path) in lost.into_iter().rev() {
            if let Some(Provenance { said, overrides }) = find(place, path) {
                below.push(said.clone());
                below.extend(overrides.iter().cloned());
            }
        }
        let overrides = below.into_iter().chain(overrides.iter().cloned()).collect();
        explained.insert(said.path.clone(), Provenance { said: said.clone(), overrides });
    }
    explained
}
