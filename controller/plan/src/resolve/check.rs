//! What can only be judged after layering, as findings: each once, at the line that causes it, with the devices that have it.
//!
//! Not here: what a merged config breaks (`clash.rs`, `limits.rs`), routes into nothing (`routing.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::{
    DeploymentDoc, Fleet, Severity,
    id::{DeviceId, DocumentName, ModuleId},
};
use hemline_query::near;

use super::{
    Facts, Findings, Problem,
    config::{Config, Configs},
    fault::{Fault, Place},
    layer::pointer,
    routing,
};

/// Checks every merged config once, whatever the number of its devices.
pub(super) fn configs(fleet: &Fleet, configs: &Configs<'_>, findings: &mut Findings) {
    let parents: BTreeSet<&DeviceId> =
        fleet.devices.values().filter_map(|device| device.spec.parent.as_ref()).collect();
    for config in configs.all() {
        let users = &config.users;
        let named = |name: &DocumentName| fleet.deployments.get(name).map(Arc::as_ref);
        let document = |place: usize| config.merged.deployments.get(place).and_then(named);
        for conflict in &config.merged.conflicts {
            if let (Some(one), Some(other)) = (document(conflict.one), document(conflict.other)) {
                findings.on_all(users, disagreement(one, other, &conflict.path));
            }
        }
        for incomplete in &config.merged.incomplete {
            let path = ["modules".to_owned(), incomplete.module.to_string()];
            let says = |deployment: &&DeploymentDoc| deployment.spec.modules.contains_key(&incomplete.module);
            let Some(layer) = config.merged.deployments.iter().filter_map(named).find(says) else {
                continue;
            };
            let missing = incomplete.missing;
            let message = format!("no deployment gives module {} its {missing}", incomplete.module);
            let finding = layer.finding(Severity::Error, "module-incomplete", &pointer(&path), message);
            let whole =
                |module: &&ModuleId| config.merged.incomplete.iter().all(|other| other.module != **module);
            let others = config.merged.modules.names().filter(whole);
            let hint = match near(incomplete.module.as_str(), others.map(ModuleId::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("add {missing}, or the module to the base"),
            };
            findings.on_all(users, Problem(finding.with_hint(hint)));
        }
        for fault in &config.merged.faults {
            let concerned: Vec<DeviceId> =
                users.iter().filter(|user| !fault.on_parents || parents.contains(user)).cloned().collect();
            if let Some(problem) = told(fault, config, fleet).filter(|_| !concerned.is_empty()) {
                findings.on_all(&concerned, problem);
            }
        }
    }
}

fn disagreement(one: &DeploymentDoc, other: &DeploymentDoc, path: &[String]) -> Problem {
    let at = pointer(path);
    let message = format!(
        "layered deployments {} and {} of the same priority {} disagree on {}",
        one.name,
        other.name,
        one.spec.priority,
        path.join(".")
    );
    let finding = other.finding(Severity::Error, "layer-conflict", &at, message);
    Problem(
        finding
            .with_note(format!("{} says it at {}", one.name, one.position(&at)))
            .with_note("give the one that should win the higher priority"),
    )
}

/// A fault at its place in its document.
fn told(fault: &Fault, config: &Config, fleet: &Fleet) -> Option<Problem> {
    let document = |place: &Place| fleet.deployments.get(config.merged.deployments.get(place.layer)?);
    let finding =
        document(&fault.at)?.finding(fault.severity, fault.rule, &fault.at.pointer, fault.message.clone());
    let finding = finding.with_hint_if(fault.hint.clone());
    let other = fault.other.as_ref().and_then(|(name, place)| {
        Some(format!("{name} says it at {}", document(place)?.position(&place.pointer)))
    });
    Some(Problem(match other {
        Some(other) => finding.with_note(other),
        None => finding,
    }))
}

/// Conditions that select nothing, or that cannot be judged without a hub.
pub(super) fn deployments(
    fleet: &Fleet,
    facts: &Facts,
    targeted: &BTreeMap<DocumentName, Vec<DeviceId>>,
    findings: &mut Findings,
) {
    for (name, deployment) in &fleet.deployments {
        let at = "/spec/targetCondition";
        let condition = &deployment.spec.condition;
        if condition.reads_reported() && facts.reported.is_empty() {
            let message =
                format!("the condition of {name} reads reported properties, which only a running hub knows");
            findings.add(deployment.finding(Severity::Note, "condition-reads-reported", at, message));
        } else if targeted.get(name).is_none_or(Vec::is_empty) {
            let message = format!("the condition of {name} selects no edge device");
            findings.add(deployment.finding(Severity::Warning, "deployment-without-device", at, message));
        }
    }
}

/// Routes that name a module which no device of the deployment has.
pub(super) fn routes(fleet: &Fleet, configs: &Configs<'_>, findings: &mut Findings) {
    let mut with: BTreeMap<&DocumentName, Vec<&Config>> = BTreeMap::new();
    for config in configs.all() {
        for name in &config.merged.deployments {
            with.entry(name).or_default().push(config);
        }
    }
    for (name, deployment) in &fleet.deployments {
        let configs = with.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut modules: BTreeSet<&ModuleId> = BTreeSet::new();
        let mut devices = 0;
        for config in configs {
            modules.extend(config.merged.modules.names());
            devices += config.users.len();
        }
        if devices == 0 {
            continue;
        }
        for problem in routing::unknown(deployment, &modules, devices) {
            findings.add(problem.0);
        }
        for config in configs {
            let users = &config.users;
            if users.len() == devices {
                continue;
            }
            let has = |module: &str| config.merged.modules.names().any(|name| name.as_str() == module);
            // A layer above may have another route of this name.
            let in_force = |route: &str| {
                config.merged.routes.get(route).and_then(|place| config.merged.deployments.get(*place))
                    == Some(name)
            };
            for problem in routing::partly(deployment, &modules, has, in_force) {
                findings.on_all(users, problem);
            }
        }
    }
}
