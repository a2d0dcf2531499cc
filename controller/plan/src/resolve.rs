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

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::{
    DeploymentDoc, DeviceDoc, Finding, Fleet, Position, Severity,
    document::Auth,
    id::{DeviceId, DocumentName, ModuleId},
};
use serde::Serialize;
use serde_json::Value;

use crate::DesiredTwins;

pub use self::configurations::{ModuleConfigurations, Target};
use self::{
    config::{Config, Configs},
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
    pub layers: Vec<DocumentName>,
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

/// Resolves a whole fleet. What is wrong is a finding; the result is complete for every device that is not concerned.
#[must_use]
pub fn resolve(fleet: &Fleet, facts: &Facts) -> Resolution {
    let layers: Vec<Layer<'_>> = fleet.deployments.values().map(Layer::new).collect();
    let targets = Targets::new(&layers);
    let mut targeted: BTreeMap<DocumentName, Vec<DeviceId>> =
        fleet.deployments.keys().map(|name| (name.clone(), Vec::new())).collect();
    let mut findings = Findings::default();
    let mut configs = Configs::default();
    let mut devices = BTreeMap::new();
    let reads_reported = |layer: &Layer<'_>| layer.deployment.spec.condition.reads_reported();
    let undecided = facts.reported.is_empty() && layers.iter().any(reads_reported);
    for device in fleet.devices.values() {
        if !device.spec.edge {
            devices.insert(device.id.clone(), effective(device, &[], None));
            continue;
        }
        let matching = targets.matching(device, facts);
        for layer in &matching {
            if let Some(list) = targeted.get_mut(&layer.deployment.name) {
                list.push(device.id.clone());
            }
        }
        // Without a hub, a condition on reported properties may yet select it.
        if matching.is_empty() && !undecided {
            findings.on(device, Problem::device_without_base(device));
        }
        let chosen = choose(device, &matching, &mut findings);
        let config = configs.get(&chosen);
        devices.insert(device.id.clone(), effective(device, &chosen, Some(&config)));
        config.users.borrow_mut().push(device.id.clone());
    }
    check::configs(fleet, &configs, &mut findings);
    check::deployments(fleet, facts, &targeted, &mut findings);
    check::routes(fleet, &configs, &mut findings);
    let configured = configurations::apply(fleet, facts, &mut devices, &mut findings);
    let mut findings = findings.finish();
    let unused: Vec<Finding> = fleet.idle_ignores.iter().filter_map(|idle| idle.finding(&findings)).collect();
    findings.extend(unused);
    Resolution { devices, targeted, configured, findings }
}

fn effective(device: &DeviceDoc, chosen: &[&Layer<'_>], config: Option<&Config>) -> Effective {
    let mut names = chosen.iter().map(|layer| layer.deployment.name.clone());
    Effective {
        name: device.name.clone(),
        identity: DesiredIdentity {
            edge: device.spec.edge,
            enabled: device.spec.enabled,
            parent: device.spec.parent.clone(),
            auth: device.spec.auth.clone(),
        },
        base: names.next(),
        layers: names.collect(),
        configurations: Vec::new(),
        module_configurations: Arc::default(),
        twins: DesiredTwins {
            tags: crate::desired::without_null(&device.spec.tags),
            device: crate::desired::without_null(&device.spec.desired),
            modules: config.map(|config| Arc::clone(&config.modules)).unwrap_or_default(),
        },
        provenance: config.map(|config| Arc::clone(&config.origins)).unwrap_or_default(),
    }
}

/// The base of a device and the layers above it, lowest first. Empty when there is no base, or when two tie.
fn choose<'a>(device: &DeviceDoc, matching: &[&'a Layer<'a>], findings: &mut Findings) -> Vec<&'a Layer<'a>> {
    let mut bases: Vec<_> = matching.iter().copied().filter(|layer| !layer.deployment.spec.layered).collect();
    // Names make the order of equals the same on every run.
    let order = |layer: &&Layer<'_>| (layer.deployment.spec.priority, layer.deployment.name.clone());
    bases.sort_by_key(order);
    let mut above: Vec<_> = matching.iter().copied().filter(|layer| layer.deployment.spec.layered).collect();
    above.sort_by_key(order);
    let Some(base) = bases.pop() else {
        for layer in above {
            findings.on(device, Problem::layer_without_base(layer.deployment));
        }
        return Vec::new();
    };
    if let Some(rival) = bases.pop()
        && rival.deployment.spec.priority == base.deployment.spec.priority
    {
        findings.on(device, Problem::tie(rival.deployment, base.deployment));
        return Vec::new();
    }
    let mut chosen = vec![base];
    for layer in above {
        if layer.deployment.spec.priority > base.deployment.spec.priority {
            chosen.push(layer);
        } else {
            findings.on(device, Problem::layer_below_base(layer.deployment, base.deployment));
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
