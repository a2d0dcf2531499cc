//! Whose change is it? A plan against a hub, held against what the documents themselves change: **yours**, **merged
//! before** and not applied yet, **drift** that is overwritten, and what is **there already**.
//!
//! Judged value by value: one module may restart because of a new image and lose, on that occasion, a variable that
//! somebody set by hand.

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::id::{DeviceId, ModuleId};

use crate::{
    Action, Change, DevicePlan, Plan, Planned, Reason, Resolution, StateSight,
    drift::spare_of,
    plan::{Said, TwinOf, plan_from},
};

/// Plans from what a state says to the documents of `head`, and says whose each change is. `base`: the documents that the
/// change starts from; without them it starts from what was applied.
#[must_use]
pub fn three_way(
    head: &Resolution,
    base: Option<&Resolution>,
    sight: &StateSight,
    since: &BTreeMap<DeviceId, BTreeMap<String, String>>,
) -> Plan {
    let before = base.map(Said::Documents);
    let said = sight.said.as_ref().map(Said::Picture).or(before);
    let live = plan_from(head, said, Some(&sight.observed));
    // As the controller does it: what is to be left alone is no work, whoever asks.
    let mut live = spare_of(live, head, said, &sight.observed);
    let own = Subjects::of(&plan_from(head, before.or(said), None));
    // What the base says and was not applied: somebody else's change, on its way.
    let late = match (base, &sight.said) {
        (Some(base), Some(said)) => Subjects::of(&plan_from(base, Some(Said::Picture(said)), None)),
        (None, _) | (_, None) => Subjects::default(),
    };
    for device in &mut live.devices {
        let known = said.is_some_and(|said| said.has(&device.device));
        for planned in device.actions.iter_mut().map(Arc::make_mut) {
            let subject = planned.action.subject();
            let ours = own.get(&device.device, &subject);
            let theirs = late.get(&device.device, &subject);
            planned.reason = judge(&mut planned.action, ours, theirs, known);
            if let Some(times) = since.get(&device.device) {
                date(planned, times);
            }
        }
        device.actions.sort();
    }
    live.already = already(&own, &live);
    live
}

/// Actions by device and subject.
#[derive(Debug, Default)]
struct Subjects(BTreeMap<DeviceId, BTreeMap<String, Action>>);

impl Subjects {
    fn of(plan: &Plan) -> Self {
        let devices = plan.devices.iter().map(|device| {
            let actions = device.actions.iter();
            let by_subject = actions.map(|planned| (planned.action.subject(), planned.action.clone()));
            (device.device.clone(), by_subject.collect())
        });
        Self(devices.collect())
    }

    fn get(&self, device: &DeviceId, subject: &str) -> Option<&Action> {
        self.0.get(device)?.get(subject)
    }
}

/// Whose an action is; marks its values that are drift where not all of them are.
fn judge(action: &mut Action, ours: Option<&Action>, theirs: Option<&Action>, known: bool) -> Reason {
    // Nothing was said about the device before: whatever is there is not drift from it.
    if !known {
        return Reason::Documents;
    }
    if action.changes().is_empty() {
        return match (ours, theirs) {
            (Some(_), _) => Reason::Documents,
            (None, Some(_)) => Reason::Pending,
            (None, None) => Reason::Drift,
        };
    }
    // A new thing has no values of its own to compare; what is there in its place is replaced on purpose.
    if ours.is_some_and(|ours| ours.changes().is_empty()) {
        return Reason::Documents;
    }
    let find = |action: Option<&Action>, path: &str| -> Option<Change> {
        action?.changes().iter().find(|change| change.path == path).cloned()
    };
    let (mut documents, mut pending, mut drift) = (false, false, 0);
    for change in action.changes_mut() {
        let mine = find(ours, &change.path);
        let late = find(theirs, &change.path);
        let was_late = late.as_ref().is_some_and(|late| late.from == change.from);
        documents |= mine.is_some();
        let expected = mine.is_some_and(|mine| mine.from == change.from) || was_late;
        if !expected {
            change.drift = true;
            drift += 1;
        } else if !documents {
            pending = true;
        }
    }
    if drift == action.changes().len() && !documents {
        for change in action.changes_mut() {
            change.drift = false;
        }
        return Reason::Drift;
    }
    if documents || !pending { Reason::Documents } else { Reason::Pending }
}

/// Puts the time beside values that are drift.
fn date(planned: &mut Planned, times: &BTreeMap<String, String>) {
    let reason = planned.reason;
    let module = match planned.action.twin() {
        Some(TwinOf::Module(module)) => Some(module.clone()),
        Some(TwinOf::Device) => None,
        None => return,
    };
    for change in planned.action.changes_mut().iter_mut().filter(|change| change.is_drift(reason)) {
        change.since = times.get(&time_key(module.as_ref(), &change.path)).cloned();
    }
}

/// The name of a value in the times of a state: `tags.site`, `camera.desired.fps`.
pub(crate) fn time_key(module: Option<&ModuleId>, path: &str) -> String {
    match module {
        Some(module) => format!("{module}.{path}"),
        None => path.to_owned(),
    }
}

/// What the documents change and the plan has no work for.
fn already(own: &Subjects, live: &Plan) -> Vec<DevicePlan> {
    let live = Subjects::of(live);
    let mut devices = Vec::new();
    for (device, subjects) in &own.0 {
        let mut actions: Vec<Arc<Planned>> = subjects
            .iter()
            .filter(|(_, action)| !matches!(action, Action::ConfigureAgent | Action::ConfigureHub))
            .filter_map(|(subject, action)| done(action, live.get(device, subject)))
            .map(|action| Arc::new(Planned { action, reason: Reason::Documents }))
            .collect();
        actions.sort();
        if !actions.is_empty() {
            devices.push(DevicePlan { device: device.clone(), actions, steps: Vec::new() });
        }
    }
    devices
}

/// The part of an action that is not in the work that is left.
fn done(action: &Action, left: Option<&Action>) -> Option<Action> {
    let Some(left) = left else { return Some(action.clone()) };
    if left.changes().is_empty() || action.changes().is_empty() {
        return None;
    }
    let open = |change: &Change| left.changes().iter().any(|left| left.path == change.path);
    let mut action = action.clone();
    let list = action.change_list()?;
    list.retain(|change| !open(change));
    if list.is_empty() { None } else { Some(action) }
}
