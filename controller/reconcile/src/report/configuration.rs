//! The status of a twin configuration: the twins that it selects, counted.

use std::collections::BTreeMap;

use hemline_model::{id::DocumentName, status::ConfigurationStatus, twin};
use hemline_plan::Target;
use serde_json::{Map, Value};

use super::{
    condition::{State, Verdict},
    device::Scene,
};

/// Statuses of all twin configurations of the revision.
pub(super) fn statuses(
    scene: &Scene<'_>,
    before: &BTreeMap<DocumentName, ConfigurationStatus>,
) -> BTreeMap<DocumentName, ConfigurationStatus> {
    let status = |(name, targets): (&DocumentName, &Vec<Target>)| {
        let applied = targets.iter().filter(|target| holds(scene, target)).count();
        let refused = targets.iter().find_map(|target| scene.failed.get_key_value(&target.device));
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
