//! What the hub holds of a device → what its rollout sees of it.

use std::collections::BTreeMap;

use hemline_model::{
    id::{DeviceId, ModuleId},
    valid::{
        RolloutSpec,
        rollout::{Pick, WaveSpec},
    },
};

use super::{
    advance::DeviceSight,
    cut::takes,
    health::health,
    ledger::Revisions,
    record::{Progress, RolloutRecord},
};
use crate::{Effective, Observed, ObservedDevice};

/// One device as its rollout sees it. Only those that have the change, or give it back, are looked at closely.
pub(super) fn sight(
    id: &DeviceId,
    record: &RolloutRecord,
    spec: &RolloutSpec,
    revisions: &Revisions<'_>,
    observed: &Observed,
) -> DeviceSight {
    let head = revisions.head.side;
    let new = head.resolution.devices.get(id);
    let enabled = new.is_none_or(|new| new.identity.enabled);
    let Some(there) = observed.devices.get(id) else {
        return DeviceSight { enabled, ..DeviceSight::default() };
    };
    let picked_by = match record.progress(id.as_str()) {
        Some(_) => None,
        None => {
            let document = head.fleet.devices.get(id);
            let selector = |wave: &WaveSpec| matches!(wave.pick, Pick::Selector(_)) && takes(wave, document);
            spec.waves.iter().position(selector)
        }
    };
    let mut seen = DeviceSight {
        enabled,
        connected: there.is_connected(),
        known: known(there),
        picked_by,
        ..DeviceSight::default()
    };
    let before = match record.progress(id.as_str()) {
        Some(Progress::Given(given)) => given.restarts.clone(),
        _ if record.state.goes_back() => Some(BTreeMap::new()),
        _ => return seen,
    };
    let (_, restarts) = health(there, &BTreeMap::new());
    seen.health = health(there, before.as_ref().unwrap_or(&restarts)).0;
    seen.restarts = restarts;
    seen.holds_new = new.is_some_and(|new| holds(there, new));
    let old = revisions.base.and_then(|base| base.side.resolution.devices.get(id));
    seen.holds_old = old.is_none_or(|old| holds(there, old));
    seen
}

fn known(there: &ObservedDevice) -> bool {
    there.modules.get(&ModuleId::edge_agent()).is_some_and(|agent| !agent.reported.is_empty())
}

/// Does the hub hold what the modules of a device should be? `$edgeAgent` and `$edgeHub` are owned as a whole; of the others
/// only what the documents say counts.
fn holds(there: &ObservedDevice, effective: &Effective) -> bool {
    effective.twins.modules.iter().all(|(module, wanted)| {
        let Some(found) = there.modules.get(module) else { return false };
        if module.is_system() {
            return found.desired == *wanted;
        }
        let mut after = found.desired.clone();
        hemline_model::twin::merge(&mut after, wanted);
        after == found.desired
    })
}
