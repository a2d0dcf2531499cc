//! Documents and reported facts → what each device should be: one base, the layers above it, and the origin of every value.
//!
//! Not here: what is there already (`observe.rs`) and what to do about it (`plan.rs`).

mod check;
mod clash;
mod config;
pub(crate) mod configurations;
mod fault;
mod layer;
mod limits;
mod origins;
mod routing;
pub(crate) mod target;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::{
    DeploymentDoc, DeviceDoc, Finding, Fleet, Position, Severity,
    document::Auth,
    id::{DeviceId, DocumentName, ModuleId},
};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::DesiredTwins;

pub use self::configurations::{ModuleConfigurations, Target};
use self::{
    config::{Chosen, Config, Configs, MergedConfig},
    layer::Layer,
    target::Targets,
};

pub use self::origins::Origins;

/// What is known about devices beyond the documents.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Reported properties of device twins, for target conditions. Empty when no hub was asked.
    pub reported: BTreeMap<DeviceId, Value>,
    /// Reported properties of module twins, for the conditions of twin configurations.
    pub modules: BTreeMap<DeviceId, BTreeMap<ModuleId, Value>>,
}

/// What every device should be.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// By hub id.
    pub devices: BTreeMap<DeviceId, Effective>,
    /// Which devices each deployment's condition selects, whether or not it was applied there.
    pub targeted: BTreeMap<DocumentName, Vec<DeviceId>>,
    /// Which twins each twin configuration selects.
    pub configured: BTreeMap<DocumentName, Vec<Target>>,
    /// What is wrong across documents. An error means that the resolution must not be applied.
    pub findings: Vec<Finding>,
    /// The configs that devices have, in order of the names of their deployments.
    merged: Vec<Arc<MergedConfig>>,
}

impl Resolution {
    /// What some devices should be, without what was found and counted across all of them.
    #[must_use]
    pub fn only(&self, devices: &BTreeSet<DeviceId>) -> Self {
        let of = |id: &DeviceId| Some((id.clone(), self.devices.get(id)?.clone()));
        Self { devices: devices.iter().filter_map(of).collect(), ..Self::default() }
    }
}

/// What one device should be.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Name of its document.
    pub name: DocumentName,
    /// Its identity in the registry.
    pub identity: DesiredIdentity,
    /// The base deployment, when there is one.
    pub base: Option<DocumentName>,
    /// Layers in force, lowest first.
    pub layers: Arc<[DocumentName]>,
    /// Twin configurations of the device twin, lowest first.
    pub configurations: Vec<DocumentName>,
    /// Twin configurations of its modules. Shared by all devices with the same ones.
    pub module_configurations: Arc<ModuleConfigurations>,
    /// What its twins should hold.
    pub twins: DesiredTwins,
    /// Where each value of the modules and routes comes from, by path: `modules.camera.image`. Shared by all devices with
    /// the same deployments, and so without twin configurations, which `why` adds.
    pub provenance: Arc<Origins>,
}

/// What the registry should say about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredIdentity {
    /// Does it run modules?
    pub edge: bool,
    /// May it connect?
    pub enabled: bool,
    /// The edge device it connects through.
    pub parent: Option<DeviceId>,
    /// How it proves who it is.
    pub auth: Auth,
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// Who won.
    pub said: Opinion,
    /// Who else says something there, the nearest one first.
    pub overrides: Vec<Opinion>,
}

/// What one document says about a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Which value: `modules.camera.image`. Of an opinion that lost it may be a part of the value, or what is around it.
    pub path: String,
    /// The document.
    pub document: DocumentName,
    /// What that document is to the device.
    pub layer: LayerKind,
    /// The value, in clear.
    pub value: Value,
    /// Where it says so.
    pub position: Position,
}

/// What a document is to a device that gets a value from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerKind {
    /// The document of the device itself.
    Device,
    /// Its base deployment.
    Base,
    /// A layered deployment above the base.
    Layer,
    /// A twin configuration.
    Configuration,
}

impl Resolution {
    /// May it be applied?
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.findings.iter().any(Finding::is_error)
    }
}

/// Resolves a whole fleet. What is wrong is a finding; the result is complete for every device that is not concerned. Works
/// on all cores; the answer does not depend on how many there are.
#[must_use]
pub fn resolve(fleet: &Fleet, facts: &Facts) -> Resolution {
    resolve_knowing(fleet, facts, &Resolution::default())
}

/// The same, for a revision that has most of its documents in common with one that is resolved: what both merge from the
/// same documents is neither merged nor held twice.
#[must_use]
pub fn resolve_knowing(fleet: &Fleet, facts: &Facts, known: &Resolution) -> Resolution {
    let layers = Layer::all(fleet);
    let targets = Targets::new(&layers);
    let devices: Vec<&DeviceDoc> = fleet.devices.values().collect();
    let matching = |device: &&DeviceDoc| match device.spec.edge {
        true => targets.matching(device, facts),
        false => Vec::new(),
    };
    let matching: Vec<Vec<usize>> = devices.par_iter().map(matching).collect();
    let mut targeted: Vec<Vec<DeviceId>> = vec![Vec::new(); layers.len()];
    let mut findings = Findings::default();
    let mut chosen = Chosen::default();
    let reads_reported = |layer: &Layer<'_>| layer.deployment.spec.condition.reads_reported();
    let undecided = facts.reported.is_empty() && layers.iter().any(reads_reported);
    for (device, matching) in devices.iter().zip(&matching).filter(|(device, _)| device.spec.edge) {
        for place in matching {
            targeted[*place].push(device.id.clone());
        }
        // Without a hub, a condition on reported properties may yet select it.
        if matching.is_empty() && !undecided {
            findings.on(device, Problem::device_without_base(device));
        }
        chosen.add(device, choose(device, &layers, matching, &mut findings));
    }
    let targeted =
        layers.iter().zip(targeted).map(|(layer, to)| (layer.deployment.name.clone(), to)).collect();
    let configs = Configs::merge(chosen, &layers, &known.merged);
    let effective = |device: &&DeviceDoc| (device.id.clone(), effective(device, configs.of(device)));
    let mut devices: BTreeMap<DeviceId, Effective> =
        devices.par_iter().map(effective).collect::<Vec<_>>().into_iter().collect();
    check::configs(fleet, &configs, &mut findings);
    check::deployments(fleet, facts, &targeted, &mut findings);
    check::routes(fleet, &configs, &mut findings);
    let configured = configurations::apply(fleet, facts, &mut devices, &mut findings);
    let mut findings = findings.finish();
    let unused: Vec<Finding> = fleet.idle_ignores.iter().filter_map(|idle| idle.finding(&findings)).collect();
    findings.extend(unused);
    Resolution { devices, targeted, configured, findings, merged: configs.into_known() }
}

fn effective(device: &DeviceDoc, config: Option<&Config>) -> Effective {
    let names = config.map(|config| config.merged.deployments.as_slice()).unwrap_or_default();
    Effective {
        name: device.name.clone(),
        identity: DesiredIdentity {
            edge: device.spec.edge,
            enabled: device.spec.enabled,
            parent: device.spec.parent.clone(),
            auth: device.spec.auth.clone(),
        },
        base: names.first().cloned(),
        layers: config.map(|config| Arc::clone(&config.merged.layers)).unwrap_or_default(),
        configurations: Vec::new(),
        module_configurations: Arc::default(),
        twins: DesiredTwins {
            tags: Arc::clone(&device.spec.tags),
            device: Arc::clone(&device.spec.desired),
            modules: config.map(|config| Arc::clone(&config.merged.modules)).unwrap_or_default(),
        },
        provenance: config.map(|config| Arc::clone(&config.origins)).unwrap_or_default(),
    }
}

/// The base of a device and the layers above it, lowest first; `matching` are places in that order. Empty when there is no
/// base, or when two tie.
fn choose(
    device: &DeviceDoc,
    layers: &[Layer<'_>],
    matching: &[usize],
    findings: &mut Findings,
) -> Vec<usize> {
    let document = |place: usize| &**layers[place].deployment;
    let (above, mut bases): (Vec<usize>, Vec<usize>) =
        matching.iter().partition(|place| document(**place).spec.layered);
    let Some(place) = bases.pop() else {
        for layer in above {
            findings.on(device, Problem::layer_without_base(document(layer)));
        }
        return Vec::new();
    };
    let base = document(place);
    if let Some(rival) = bases.pop().map(document)
        && rival.spec.priority == base.spec.priority
    {
        findings.on(device, Problem::tie(rival, base));
        return Vec::new();
    }
    let mut chosen = vec![place];
    for place in above {
        if document(place).spec.priority > base.spec.priority {
            chosen.push(place);
        } else {
            findings.on(device, Problem::layer_below_base(document(place), base));
        }
    }
    chosen
}

/// Findings that may concern many devices: each is reported once, with the devices as a note.
#[derive(Debug, Default)]
struct Findings {
    found: BTreeMap<String, (Finding, Vec<DeviceId>)>,
}

/// A finding before it is known which devices it concerns.
struct Problem(Finding);

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.found.entry(Self::key(&finding)).or_insert((finding, Vec::new()));
    }

    fn on(&mut self, device: &DeviceDoc, problem: Problem) {
        self.on_all(std::slice::from_ref(&device.id), problem);
    }

    fn on_all(&mut self, devices: &[DeviceId], problem: Problem) {
        let entry = self.found.entry(Self::key(&problem.0)).or_insert((problem.0, Vec::new()));
        entry.1.extend(devices.iter().cloned());
    }

    fn key(finding: &Finding) -> String {
        let position = finding.position.as_ref();
        let place =
            position.map(|at| format!("{}\0{:08}\0{:08}", at.file, at.line, at.column)).unwrap_or_default();
        format!("{place}\0{}\0{}", finding.rule, finding.message)
    }

    /// In order of file and line.
    fn finish(self) -> Vec<Finding> {
        self.found
            .into_values()
            .map(|(finding, devices)| match devices.as_slice() {
                [] => finding,
                [one] => finding.with_note(format!("on device {one}")),
                many => finding.with_note(format!(
                    "on {} devices: {}",
                    many.len(),
                    crate::names::some_names(many)
                )),
            })
            .collect()
    }
}

impl Problem {
    fn tie(one: &DeploymentDoc, other: &DeploymentDoc) -> Self {
        let priority = one.spec.priority;
        let message = format!(
            "base deployments {} and {} both have priority {priority} on the same device",
            one.name, other.name
        );
        let finding = other.finding(Severity::Error, "priority-tie", "/spec/priority", message);
        Self(finding.with_note(format!("{} is at {}", one.name, one.position("/spec/priority"))).with_note(
            "a device has exactly one base; give one of them a higher priority, or make it layered",
        ))
    }

    fn layer_without_base(layer: &DeploymentDoc) -> Self {
        let message = format!("layered deployment {} has no base deployment to lie on", layer.name);
        Self(layer.finding(Severity::Warning, "layer-without-base", "/spec/layered", message))
    }

    fn device_without_base(device: &DeviceDoc) -> Self {
        let message = format!("no deployment selects edge device {}; it runs nothing", device.id);
        Self(device.finding(Severity::Warning, "device-without-base", "/spec/edge", message))
    }

    fn layer_below_base(layer: &DeploymentDoc, base: &DeploymentDoc) -> Self {
        let (own, its) = (layer.spec.priority, base.spec.priority);
        let message = format!(
            "layered deployment {} (priority {own}) is not above its base {} (priority {its}), so it has no effect",
            layer.name, base.name
        );
        let finding = layer.finding(Severity::Warning, "layer-below-base", "/spec/priority", message);
        Self(finding.with_hint(format!("a priority above {its}")))
    }
}
