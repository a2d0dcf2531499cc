//! The status of a twin configuration: the twins that it selects, counted.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    id::{DocumentName, ModuleId},
    status::ConfigurationStatus,
    twin,
};
use hemline_plan::Target;
use serde_json::{Map, Value};

use super::{
    condition::{State, Verdict},
    device::Scene,
};
use crate::observe::Scope;

/// Statuses of all twin configurations of the revision. `lacking`: the twins that do not hold yet what one says, out of scope
/// as they were found before.
pub(super) fn statuses(
    scene: &Scene<'_>,
    before: &BTreeMap<DocumentName, ConfigurationStatus>,
    lacking: &mut BTreeSet<(DocumentName, Target)>,
) -> BTreeMap<DocumentName, ConfigurationStatus> {
    look(scene, lacking);
    let mut missing: BTreeMap<&DocumentName, usize> = BTreeMap::new();
    lacking.iter().for_each(|(name, _)| *missing.entry(name).or_default() += 1);
    let status = |(name, targets): (&DocumentName, &Vec<Target>)| {
        let applied = targets.len() - missing.get(name).copied().unwrap_or_default().min(targets.len());
        let of = |target: &Target| scene.failed.get_key_value(&target.device);
        let refused = if scene.failed.is_empty() { None } else { targets.iter().find_map(of) };
        let verdict = if targets.is_empty() {
            Verdict::new(State::Ready, "NoTargets", "its condition selects nothing")
        } else if let Some((device, error)) = refused {
            Verdict::new(State::Degraded, "HubRefused", format!("{device}: {error}"))
        } else if applied < targets.len() {
            let text = format!("{applied} of {} twins hold it", targets.len());
            Verdict::new(State::Progressing, "TwinsApplying", text)
        } else {
            Verdict::new(State::Ready, "TwinsApplied", format!("{applied} of {applied} twins hold it"))
        };
        let conditions_before =
            before.get(name).map(|before| before.conditions.as_slice()).unwrap_or_default();
        let status = ConfigurationStatus {
            revision: scene.revision.map(str::to_owned),
            targeted: targets.len() as u64,
            applied: applied as u64,
            conditions: verdict.conditions(conditions_before, scene.at),
        };
        (name.clone(), status)
    };
    scene.resolution.configured.iter().map(status).collect()
}

/// Finds the twins in scope that lack something.
fn look(scene: &Scene<'_>, lacking: &mut BTreeSet<(DocumentName, Target)>) {
    match scene.scope {
        Scope::All => {
            let targets = scene.resolution.configured.iter();
            let all = targets.flat_map(|(name, targets)| targets.iter().map(move |target| (name, target)));
            *lacking = all
                .filter(|(_, target)| !holds(scene, target))
                .map(|(name, target)| (name.clone(), target.clone()))
                .collect();
        }
        Scope::These(ids) => {
            lacking.retain(|(_, target)| !ids.contains(&target.device));
            for id in ids {
                let Some(effective) = scene.resolution.devices.get(id) else { continue };
                let target =
                    |module: Option<&ModuleId>| Target { device: id.clone(), module: module.cloned() };
                let own = effective.configurations.iter().map(|name| (name.clone(), target(None)));
                let modules = effective.module_configurations.iter();
                let modules = modules.flat_map(|(module, names)| {
                    names.iter().map(move |name| (name.clone(), target(Some(module))))
                });
                lacking.extend(own.chain(modules).filter(|(_, target)| !holds(scene, target)));
            }
        }
    }
}

/// Does the hub hold what the documents say for this twin?
fn holds(scene: &Scene<'_>, target: &Target) -> bool {
    let wanted = scene.resolution.devices.get(&target.device);
    let there = scene.observed.devices.get(&target.device);
    let (Some(wanted), Some(there)) = (wanted, there) else { return false };
    match &target.module {
        None => says(&there.desired, &wanted.twins.device),
        Some(module) => match (there.modules.get(module), wanted.twins.modules.get(module)) {
            (Some(there), Some(wanted)) => says(&there.desired, wanted),
            (None, _) | (_, None) => false,
        },
    }
}

/// Would merging `wanted` change nothing?
fn says(there: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    let mut after = there.clone();
    twin::merge(&mut after, wanted);
    after == *there
}
