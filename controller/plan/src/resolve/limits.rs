//! Limits that a device's twins keep only if the layers together keep them: number of modules, size and depth.

use hemline_model::{
    id::ModuleId,
    twin::{
        Which,
        limits::{TwinLimit, TwinLimitKind, violations},
    },
};
use serde_json::{Map, Value};

use super::{
    fault::{Fault, Place},
    layer::Path,
    tree::Tree,
};
use crate::ModuleTwins;

/// User modules that IoT Hub allows on one device, the two system modules not counted.
const MODULES_AT_MOST: usize = 50;
/// Broken limits of one twin that are told; the first ones say enough.
const TOLD: usize = 5;

/// All limits that a merged config breaks; `twins` are the module twins made of it. Where the modules are surely `within`
/// theirs, only that of `$edgeHub` is looked at, and the others are not made.
pub(super) fn find(
    tree: &Tree<'_>,
    twins: &ModuleTwins,
    hub: &Map<String, Value>,
    within: bool,
) -> Vec<Fault> {
    let mut found = Vec::new();
    let count = twins.names().count();
    if count > MODULES_AT_MOST {
        let message =
            format!("{count} modules on one device after layering, at most {MODULES_AT_MOST} are allowed");
        found.push(fault(tree, "too-many-modules", &vec!["modules".to_owned()], message));
    }
    let edge_hub = ModuleId::edge_hub();
    let looked_at: Vec<(&ModuleId, &Map<String, Value>)> =
        if within { vec![(&edge_hub, hub)] } else { twins.iter().collect() };
    for (module, desired) in looked_at {
        for limit in violations(desired, Which::Desired).into_iter().take(TOLD) {
            let message = format!("desired properties of {module} after layering: {limit}");
            found.push(fault(tree, "twin-limit", &path(module, &limit), message));
        }
    }
    found
}

/// Points at the last layer that made it so, and names the base when that is another one.
fn fault(tree: &Tree<'_>, rule: &'static str, path: &Path, message: String) -> Fault {
    let at = Place::last(tree, path);
    let base = Place { layer: 0, pointer: at.pointer.clone() };
    let other = (at.layer != 0).then(|| ("the base".to_owned(), base));
    Fault { other, ..Fault::error(rule, at, message) }
}

/// Where the documents say what stands there in a twin.
fn path(module: &ModuleId, limit: &TwinLimit) -> Path {
    let mut steps: Path =
        limit.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    if !module.is_system() {
        let head = ["modules", module.as_str(), "desired"].map(str::to_owned);
        return head.into_iter().chain(steps).collect();
    }
    // The whole section is too large: that is the modules of `$edgeAgent`, and the routes of `$edgeHub`.
    if matches!(limit.why, TwinLimitKind::Size { .. }) || steps.len() < 2 {
        let whole = if *module == ModuleId::edge_hub() { "routes" } else { "modules" };
        return vec![whole.to_owned()];
    }
    if steps.first().is_some_and(|first| first == "routes") {
        steps.truncate(2);
        return steps;
    }
    // `modules/camera/env/A/value`, `modules/camera/settings/createOptions01`.
    steps.retain(|step| step != "settings" && step != "value");
    for step in steps.iter_mut().skip(2).filter(|step| step.starts_with("createOptions")) {
        step.truncate("createOptions".len());
    }
    steps
}
