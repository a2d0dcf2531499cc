//! One look: what is off, and the plan without what the documents want left as it is. The controller carries out what comes of
//! it, and `hem plan` shows the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Found, desired, leave, rules, stays};
use crate::{
    DesiredIdentity, DesiredTwins, DevicePlan, Effective, ModuleTwins, Observed, Plan, Resolution, plan::Said,
};
use hemline_model::{
    document::DriftMode,
    edge::DriftRules,
    id::{DeviceId, ModuleId},
};

/// What is off in the hub, and the plan without those differences that are to be left alone. What of them stays, and is to be
/// told, is in [`Plan::stays`]. `observed` is the same afterwards.
#[must_use]
pub fn spare(
    plan: Plan,
    wanted: &Resolution,
    said: &Resolution,
    observed: &mut Observed,
) -> (Plan, Vec<Found>) {
    let found = desired(&plan, wanted, said, observed);
    let left: BTreeSet<&DeviceId> =
        found.iter().filter(|found| found.mode != DriftMode::Heal).map(|found| &found.device).collect();
    if left.is_empty() {
        return (plan, found);
    }
    let devices = plan.devices.iter().filter(|device| left.contains(&device.device));
    let real: BTreeMap<DeviceId, DevicePlan> =
        devices.map(|device| (device.device.clone(), device.clone())).collect();
    let mut plan = leave(plan, &found, wanted, said, observed);
    for device in &mut plan.devices {
        if let Some(real) = real.get(&device.device) {
            tell_what_is_there(device, real);
        }
    }
    plan.stays = stays::of(&plan, &found);
    (plan, found)
}

/// The same for who has a picture of the hub in place of the hub, and of what the documents said in place of the documents.
/// Only devices whose documents want something left alone are looked at.
pub(crate) fn spare_of(plan: Plan, wanted: &Resolution, said: Option<Said<'_>>, observed: &Observed) -> Plan {
    let Some(said) = said else { return plan };
    let (mut before, mut there) = (Resolution::default(), Observed::default());
    for DevicePlan { device: id, .. } in &plan.devices {
        let Some(wanted) = wanted.devices.get(id).filter(|wanted| rules(wanted) != DriftRules::default())
        else {
            continue;
        };
        if let (Some(said), Some(now)) = (effective(said, id, wanted), observed.devices.get(id)) {
            before.devices.insert(id.clone(), said);
            there.devices.insert(id.clone(), now.clone());
        }
    }
    if before.devices.is_empty() { plan } else { spare(plan, wanted, &before, &mut there).0 }
}

/// What was said of a device, as documents would say it.
fn effective(said: Said<'_>, id: &DeviceId, wanted: &Effective) -> Option<Effective> {
    match said {
        Said::Documents(resolution) => resolution.devices.get(id).cloned(),
        Said::Picture(picture) => {
            let device = picture.devices.get(id)?;
            let modules: BTreeMap<ModuleId, _> = device
                .modules
                .iter()
                .map(|(module, there)| (module.clone(), there.desired.clone()))
                .collect();
            Some(Effective {
                identity: DesiredIdentity {
                    edge: device.edge,
                    enabled: device.enabled,
                    parent: device.parent.clone(),
                    auth: device.auth.clone(),
                },
                twins: DesiredTwins {
                    tags: Arc::new(device.tags.clone()),
                    device: Arc::new(device.desired.clone()),
                    modules: Arc::new(ModuleTwins::from(modules)),
                },
                ..wanted.clone()
            })
        }
    }
}

/// Where documents speak of a value that was to be left alone, it is overwritten: a reader sees what is there now, not what was
/// said in its place.
fn tell_what_is_there(device: &mut DevicePlan, real: &DevicePlan) {
    for planned in &mut device.actions {
        let subject = planned.action.subject();
        let Some(was) = real.actions.iter().find(|was| was.action.subject() == subject) else { continue };
        let there = |path: &str| was.action.changes().iter().find(|change| change.path == path);
        let same = planned
            .action
            .changes()
            .iter()
            .all(|change| there(&change.path).is_none_or(|was| was.from == change.from));
        if same {
            continue;
        }
        for change in Arc::make_mut(planned).action.changes_mut() {
            if let Some(was) = there(&change.path) {
                change.from.clone_from(&was.from);
            }
        }
    }
}
