//! What is there, what should be there → typed actions with reasons for people, and steps for whoever carries them out.
//!
//! Documents own what they say: other tags and desired properties of a device or module twin stay, except those that the
//! documents said before and say no longer. The twins of `$edgeAgent` and `$edgeHub` are owned as a whole.

mod action;
mod again;
mod device;
mod digest;
mod edge;
mod modules;
mod patch;
mod side;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hemline_model::{id::DeviceId, twin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Observed, Resolution, drift::Stays};

use self::{modules::Pairs, side::Side};

pub use self::{
    action::{Action, Effect, Planned, Reason},
    step::{IdentityStep, Step},
};
pub(crate) use self::{
    action::{Gone, TwinOf},
    again::{back_to, explain_agent, replan},
};

/// Everything that would change, by device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The revision that it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The revision that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Only devices with something to do, by id; deletions come first in each.
    pub devices: Vec<DevicePlan>,
    /// What the documents change and the hub has already: nothing is done for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub already: Vec<DevicePlan>,
    /// What somebody changed outside the documents and stays, because they want it reported: nothing is done about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<Stays>,
    /// The counts.
    pub summary: Summary,
}

/// What would change on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePlan {
    /// Which.
    #[schemars(with = "String")]
    pub device: DeviceId,
    /// What, and why.
    // Shared by all devices with the same modules before and after.
    pub actions: Vec<Arc<Planned>>,
    /// How. Never printed or stored: a step holds values in clear that the actions mask.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// Counts of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Devices, modules and routes that are new.
    pub add: usize,
    /// Things that are different afterwards.
    pub change: usize,
    /// Devices, modules and routes that go.
    pub remove: usize,
    /// Modules that restart.
    pub restart: usize,
    /// Devices with something to do.
    pub devices: usize,
    /// Devices with nothing to do.
    pub unchanged: usize,
}

/// Plans.
///
/// * `previous`: what was applied last, or the base of a pull request. Devices and properties are only removed when they
///   were in it.
/// * `observed`: what a hub holds. Without it the plan leads from `previous` to `desired`.
///
/// Applying the steps to `observed` makes the next plan with the same arguments empty.
#[must_use]
pub fn plan(desired: &Resolution, previous: Option<&Resolution>, observed: Option<&Observed>) -> Plan {
    plan_from(desired, previous.map(Said::Documents), observed)
}

/// What the documents said before.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    /// The documents themselves.
    Documents(&'a Resolution),
    /// A picture of the hub that they made.
    Picture(&'a Observed),
}

impl<'a> Said<'a> {
    pub(crate) fn has(self, id: &DeviceId) -> bool {
        self.device(id).is_some()
    }

    fn device(self, id: &DeviceId) -> Option<Side<'a>> {
        match self {
            Self::Documents(resolution) => resolution.devices.get(id).map(Side::Documents),
            Self::Picture(observed) => observed.devices.get(id).map(Side::Hub),
        }
    }

    fn ids(self) -> Vec<&'a DeviceId> {
        match self {
            Self::Documents(resolution) => resolution.devices.keys().collect(),
            Self::Picture(observed) => observed.devices.keys().collect(),
        }
    }
}

/// The same from documents or from a picture of what they made.
pub(crate) fn plan_from(desired: &Resolution, said: Option<Said<'_>>, observed: Option<&Observed>) -> Plan {
    let gone = said.into_iter().flat_map(Said::ids);
    let ids: BTreeSet<&DeviceId> = desired.devices.keys().chain(gone).collect();

    let mut pairs = Pairs::default();
    let mut plan = Plan::default();
    for id in ids {
        let said = said.and_then(|said| said.device(id));
        let there = match observed {
            Some(observed) => observed.devices.get(id).map(Side::Hub),
            None => said,
        };
        let sight = Sight { there, said, live: observed.is_some() };
        let planned = device::plan(id, desired.devices.get(id), &sight, &mut pairs);
        if planned.actions.is_empty() {
            plan.summary.unchanged += usize::from(desired.devices.contains_key(id));
        } else {
            plan.summary.count(&planned);
            plan.devices.push(planned);
        }
    }
    plan
}

/// What is known about a device besides what it should be.
#[derive(Debug, Clone, Copy)]
struct Sight<'a> {
    /// What is there; `None` when it does not exist.
    there: Option<Side<'a>>,
    /// What the documents said before.
    said: Option<Side<'a>>,
    /// `there` comes from a hub and not from documents.
    live: bool,
}

// === impl Plan ===

impl Plan {
    /// Says between which revisions the plan leads.
    #[must_use]
    pub fn between(mut self, base: Option<String>, head: Option<String>) -> Self {
        self.base = base;
        self.head = head;
        self
    }

    /// Is there nothing to do?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// `sha256:…` over the canonical JSON: two plans with the same digest do the same for the same revisions.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::of(self)
    }

    /// `sha256:…` over what would be done on each device, whatever the reasons and revisions: two plans with the same one
    /// do the same.
    #[must_use]
    pub fn work(&self) -> String {
        let mut hash = Sha256::new();
        for device in &self.devices {
            hash.update(device.device.as_str());
            hash.update([0]);
            hash.update(device.work());
        }
        format!("sha256:{:x}", hash.finalize())
    }

    /// The devices in waves that may be carried out one after the other, each in any order inside: parents before the
    /// devices that connect through them.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<&DevicePlan>> {
        let by_id: BTreeMap<&DeviceId, &DevicePlan> =
            self.devices.iter().map(|plan| (&plan.device, plan)).collect();
        let mut waves: Vec<Vec<&DevicePlan>> = Vec::new();
        for device in &self.devices {
            let mut depth = 0;
            let mut above = device.new_parent();
            // Validation refuses circles; the bound only keeps a mistake there from hanging here.
            while let Some(parent) = above.and_then(|id| by_id.get(id)).filter(|_| depth < self.devices.len())
            {
                depth += 1;
                above = parent.new_parent();
            }
            if waves.len() <= depth {
                waves.resize_with(depth + 1, Vec::new);
            }
            waves[depth].push(device);
        }
        waves.retain(|wave| !wave.is_empty());
        waves
    }

    /// The exit code of a command that only plans: 0, or 2 for changes when the caller asked for detail.
    #[must_use]
    pub fn exit_code(&self, detailed: bool) -> u8 {
        if detailed && !self.is_empty() { 2 } else { 0 }
    }

    /// Devices by what happens on them: identical lists of one action, listed once. For every printed form.
    #[must_use]
    pub fn groups(&self) -> Vec<(&Planned, Vec<&DeviceId>)> {
        group_by(&self.devices)
    }
}

/// Devices by action.
pub(crate) fn group_by(devices: &[DevicePlan]) -> Vec<(&Planned, Vec<&DeviceId>)> {
    // First by place in memory, which needs no look inside: most actions are shared.
    let mut shared: HashMap<*const Planned, (&Planned, Vec<usize>)> = HashMap::new();
    for (place, device) in devices.iter().enumerate() {
        for planned in &device.actions {
            let entry = shared.entry(Arc::as_ptr(planned)).or_insert_with(|| (planned, Vec::new()));
            entry.1.push(place);
        }
    }
    let mut groups: BTreeMap<&Planned, Vec<usize>> = BTreeMap::new();
    for (planned, places) in shared.into_values() {
        groups.entry(planned).or_default().extend(places);
    }
    let device = |place: usize| devices.get(place).map(|device| &device.device);
    let named = |(planned, mut places): (_, Vec<usize>)| {
        places.sort_unstable();
        (planned, places.into_iter().filter_map(device).collect())
    };
    groups.into_iter().map(named).collect()
}

impl DevicePlan {
    /// `sha256:…` over what would be done on the device.
    pub(crate) fn work(&self) -> String {
        let mut actions: Vec<Action> = self.actions.iter().map(|planned| planned.action.clone()).collect();
        for change in actions.iter_mut().flat_map(Action::changes_mut) {
            change.drift = false;
            change.since = None;
        }
        // The reason is part of the order of a plan, and no part of the work.
        actions.sort();
        let value = serde_json::to_value(&actions).unwrap_or_default();
        format!("sha256:{:x}", Sha256::digest(twin::canonical(&value)))
    }

    /// Does the action only fill in something that is made on the same occasion?
    fn makes_owner_of(&self, action: &Action) -> bool {
        let made =
            |wanted: &dyn Fn(&Action) -> bool| self.actions.iter().any(|planned| wanted(&planned.action));
        match action.twin() {
            Some(TwinOf::Device) => made(&|other| matches!(other, Action::CreateDevice { .. })),
            Some(TwinOf::Module(module)) => {
                made(&|other| matches!(other, Action::CreateModule { module: new, .. } if new == module))
            }
            None => false,
        }
    }

    /// The parent that the device is given, which must exist first.
    fn new_parent(&self) -> Option<&DeviceId> {
        self.steps.iter().find_map(|step| match step {
            Step::CreateDevice { identity, .. } | Step::UpdateDevice { identity, .. } => {
                identity.parent.as_ref().and_then(Option::as_ref)
            }
            Step::DeleteDevice { .. }
            | Step::CreateModule { .. }
            | Step::DeleteModule { .. }
            | Step::PatchTwin { .. } => None,
        })
    }
}

impl Summary {
    fn count(&mut self, device: &DevicePlan) {
        self.devices += 1;
        for planned in &device.actions {
            // What a new thing says is part of the new thing.
            if device.makes_owner_of(&planned.action) {
                continue;
            }
            match planned.action.effect() {
                Effect::Remove => self.remove += 1,
                Effect::Add => self.add += 1,
                Effect::Recreate => {
                    self.change += 1;
                    self.restart += 1;
                }
                Effect::Change => self.change += 1,
            }
        }
    }
}
