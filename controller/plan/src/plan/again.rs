//! Single devices, planned for once more with other eyes.

use std::collections::BTreeSet;

use hemline_model::id::DeviceId;

use serde_json::{Map, Value};

use super::{Action, DevicePlan, Plan, Sight, Summary, device, edge, modules::Pairs, side::Side};
use crate::{Effective, Observed, ObservedDevice, Resolution};

/// What leads a device back to what the documents said.
pub(crate) fn back_to(id: &DeviceId, said: &Effective, there: Option<&ObservedDevice>) -> DevicePlan {
    let documents = Some(Side::Documents(said));
    let sight = Sight { there: there.map(Side::Hub), said: documents, live: false };
    device::plan(id, Some(said), &sight, &mut Pairs::default())
}

/// What would lead an agent from one configuration to another, as desired properties of `$edgeAgent`.
pub(crate) fn explain_agent(have: &Map<String, Value>, want: &Map<String, Value>) -> Vec<Action> {
    if have == want { Vec::new() } else { edge::agent(have, want) }
}

/// The same plan where some devices are seen in another way now; the others are not looked at.
pub(crate) fn replan(
    mut plan: Plan,
    again: &BTreeSet<&DeviceId>,
    desired: &Resolution,
    said: Option<&Resolution>,
    observed: &Observed,
) -> Plan {
    let mut pairs = Pairs::default();
    let mut summary = Summary { unchanged: plan.summary.unchanged, ..Summary::default() };
    plan.devices = std::mem::take(&mut plan.devices)
        .into_iter()
        .filter_map(|device| {
            let id = &device.device;
            if !again.contains(id) {
                return Some(device);
            }
            let documents = said.and_then(|said| said.devices.get(id)).map(Side::Documents);
            let there = observed.devices.get(id).map(Side::Hub);
            let sight = Sight { there, said: documents, live: true };
            let planned = device::plan(id, desired.devices.get(id), &sight, &mut pairs);
            summary.unchanged += usize::from(planned.actions.is_empty());
            (!planned.actions.is_empty()).then_some(planned)
        })
        .collect();
    for device in &plan.devices {
        summary.count(device);
    }
    plan.summary = summary;
    plan
}
