//! What can only be judged after layering: conflicts, incomplete modules, limits of the twins, routes into nothing.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    DeploymentDoc, Fleet, Severity,
    id::{DeviceId, DocumentName, ModuleId},
    twin::{self, Which},
};

use super::{
    Facts, Findings, Problem,
    config::{Config, Configs},
    layer::pointer,
};

/// User modules that IoT Hub allows on one device, the two system modules not counted.
const MODULES_AT_MOST: usize = 50;

/// Checks every merged config once, whatever the number of its devices.
pub(super) fn configs(configs: &Configs, findings: &mut Findings) {
    for config in configs.all() {
        let users = config.users.borrow();
        let document = |place: usize| config.deployments.get(place).and_then(|name| configs.document(name));
        for conflict in &config.conflicts {
            if let (Some(one), Some(other)) = (document(conflict.one), document(conflict.other)) {
                findings.on_all(&users, disagreement(one, other, &conflict.path));
            }
        }
        for incomplete in &config.incomplete {
            let path = ["modules".to_owned(), incomplete.module.to_string()];
            let says = |deployment: &&DeploymentDoc| deployment.spec.modules.contains_key(&incomplete.module);
            let Some(layer) = config.deployments.iter().filter_map(|name| configs.document(name)).find(says)
            else {
                continue;
            };
            let missing = incomplete.missing;
            let message = format!("no deployment gives module {} its {missing}", incomplete.module);
            let finding = layer.finding(Severity::Error, "module-incomplete", &pointer(&path), message);
            findings.on_all(
                &users,
                Problem(finding.with_hint(format!("add {missing}, or the module to the base"))),
            );
        }
        if let Some(base) = document(0) {
            limits(config, base, &users, findings);
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

fn limits(config: &Config, base: &DeploymentDoc, users: &[DeviceId], findings: &mut Findings) {
    let count = config.modules.keys().filter(|module| !module.is_system()).count();
    if count > MODULES_AT_MOST {
        let message =
            format!("{count} modules on one device after layering, at most {MODULES_AT_MOST} are allowed");
        findings.on_all(
            users,
            Problem(base.finding(Severity::Error, "too-many-modules", "/spec/modules", message)),
        );
    }
    for (module, desired) in config.modules.iter() {
        if let Err(limit) = twin::limits::check(desired, Which::Desired) {
            let path = ["modules".to_owned(), module.to_string()];
            let at = if module.is_system() { "/spec/modules".to_owned() } else { pointer(&path) };
            let message = format!("desired properties of {module} after layering: {limit}");
            findings.on_all(users, Problem(base.finding(Severity::Error, "twin-limit", &at, message)));
        }
    }
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
pub(super) fn routes(fleet: &Fleet, configs: &Configs, findings: &mut Findings) {
    for (name, deployment) in &fleet.deployments {
        let mut modules: BTreeSet<&ModuleId> = BTreeSet::new();
        let mut devices = 0;
        for config in configs.all().filter(|config| config.deployments.contains(name)) {
            modules.extend(config.modules.keys().filter(|module| !module.is_system()));
            devices += config.users.borrow().len();
        }
        if devices == 0 {
            continue;
        }
        for problem in super::routing::unknown(deployment, &modules, devices) {
            findings.add(problem.0);
        }
    }
}
