//! The pieces of the Markdown: what a change means for the fleet in one line, and the devices and values of one group.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hemline_model::id::DeviceId;
use serde_json::Value;

use super::{
    Group,
    escape::{NAME_AT_MOST, code, fenced},
};
use crate::{
    Action, Effect, MASK, Plan,
    print::{VALUE_AT_MOST, clean, consequence, count, pair, some_names, window},
};

/// Items of each list of the forecast.
const ITEMS_AT_MOST: usize = 6;

/// How much of a group is shown.
pub(super) struct Limits {
    devices: usize,
    changes: usize,
    value: usize,
}

/// What is shown when everything fits.
pub(super) const LONG: Limits = Limits { devices: 200, changes: 100, value: 400 };
/// What is shown of a group among many.
pub(super) const SHORT: Limits = Limits { devices: 3, changes: 5, value: VALUE_AT_MOST };

/// What happens to what runs: the answer to "what can this break?".
#[derive(Debug, Default)]
pub(super) struct Forecast<'a> {
    /// Modules that restart, and where.
    restart: BTreeMap<&'a str, BTreeSet<&'a DeviceId>>,
    /// Modules that stop or go, and where.
    stop: BTreeMap<&'a str, BTreeSet<&'a DeviceId>>,
    /// Modules that start or are new, and where.
    start: BTreeMap<&'a str, BTreeSet<&'a DeviceId>>,
    /// Images that replace another, and where.
    images: BTreeMap<&'a str, BTreeSet<&'a DeviceId>>,
    /// Devices that go.
    deleted: usize,
    /// Devices on which nothing restarts, starts or stops.
    live: usize,
    unchanged: usize,
}

impl<'a> Forecast<'a> {
    pub(super) fn of(plan: &Plan, groups: &[Group<'a>]) -> Self {
        let mut forecast = Self { unchanged: plan.summary.unchanged, ..Self::default() };
        let mut disturbed: BTreeSet<&DeviceId> = BTreeSet::new();
        for (planned, devices) in groups {
            let (list, module) = match &planned.action {
                Action::DeleteDevice => {
                    forecast.deleted += devices.len();
                    disturbed.extend(devices);
                    continue;
                }
                Action::RecreateModule { module, because } => {
                    for change in because.iter().filter(|change| change.path == "image") {
                        if let Some(Value::String(image)) = change.to.as_ref().map(|to| &to.0) {
                            forecast.images.entry(image).or_default().extend(devices);
                        }
                    }
                    (&mut forecast.restart, module)
                }
                Action::RemoveModule { module } | Action::StopModule { module } => {
                    (&mut forecast.stop, module)
                }
                Action::CreateModule { module, started: true, .. } | Action::StartModule { module } => {
                    (&mut forecast.start, module)
                }
                Action::CreateModule { started: false, .. }
                | Action::RemoveRoute { .. }
                | Action::CreateDevice { .. }
                | Action::UpdateModule { .. }
                | Action::UpdateDevice { .. }
                | Action::AddRoute { .. }
                | Action::SetRoute { .. }
                | Action::ConfigureHub
                | Action::ConfigureAgent
                | Action::UpdateHub { .. }
                | Action::UpdateAgent { .. }
                | Action::PatchTwin { .. }
                | Action::PatchTags { .. } => continue,
            };
            list.entry(module.as_str()).or_default().extend(devices);
            disturbed.extend(devices);
        }
        forecast.live = plan.devices.len() - disturbed.len();
        forecast
    }
}

impl fmt::Display for Forecast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.deleted > 0 {
            parts.push(format!("deletes {}", count(self.deleted, "device")));
        }
        for (verb, list) in [
            ("restarts", &self.restart),
            ("stops", &self.stop),
            ("starts", &self.start),
            ("new image", &self.images),
        ] {
            if !list.is_empty() {
                parts.push(format!("{verb} {}", items(list)));
            }
        }
        if self.live > 0 {
            parts.push(format!("nothing restarts on {}", count(self.live, "device")));
        }
        if self.unchanged > 0 {
            parts.push(format!("untouched {}", count(self.unchanged, "device")));
        }
        f.write_str(&parts.join(" · "))
    }
}

fn items(list: &BTreeMap<&str, BTreeSet<&DeviceId>>) -> String {
    let mut items: Vec<String> = list
        .iter()
        .take(ITEMS_AT_MOST)
        .map(|(name, devices)| format!("{} on {}", code(name, NAME_AT_MOST), count(devices.len(), "device")))
        .collect();
    if list.len() > ITEMS_AT_MOST {
        items.push(format!("{} more", list.len() - ITEMS_AT_MOST));
    }
    items.join(", ")
}

/// The devices of a group, and whether some are left out.
pub(super) fn names(devices: &[&DeviceId], limits: &Limits) -> (String, bool) {
    if devices.len() > limits.devices && limits.devices < LONG.devices {
        return (code(&some_names(devices), NAME_AT_MOST * 3), true);
    }
    let named: Vec<String> =
        devices.iter().take(limits.devices).map(|id| code(id.as_str(), NAME_AT_MOST)).collect();
    let more = devices.len().saturating_sub(limits.devices);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (format!("{}{rest}", named.join(" ")), more > 0)
}

/// The values of a group as a diff, and whether something is left out.
pub(super) fn diff(action: &Action, limits: &Limits) -> (String, bool) {
    let changes = action.changes();
    let mut cut = changes.len() > limits.changes;
    let mut lines = String::new();
    if changes.is_empty() {
        let sign = match action.effect() {
            Effect::Remove => '-',
            Effect::Add => '+',
            Effect::Recreate | Effect::Change => '!',
        };
        let what = format!("{sign} {} {}", action.subject(), consequence(action));
        let what = clean(what.trim_end());
        cut |= what.chars().count() > limits.value;
        lines = format!("{}\n", window(&what, 0, limits.value));
    }
    for change in changes.iter().take(limits.changes) {
        let path = window(&clean(&change.path), 0, NAME_AT_MOST);
        let (from, to) = pair(change, limits.value);
        cut |= pair(change, usize::MAX) != (from.clone(), to.clone());
        // Two masks look alike; the words tell that the value behind them is another one.
        let masked = from.as_deref() == Some(MASK) && to.as_deref() == Some(MASK);
        for (sign, value, when) in [('-', from, " (before)"), ('+', to, " (after)")] {
            if let Some(value) = value {
                lines.push_str(&format!("{sign} {path}: {value}{}\n", if masked { when } else { "" }));
            }
        }
    }
    if changes.len() > limits.changes {
        lines.push_str(&format!("# and {} more\n", changes.len() - limits.changes));
    }
    (fenced("diff", &lines), cut)
}
