//! The pieces of the Markdown: what a change means for the fleet in one line, and the devices and values of one group.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::id::DeviceId;

use super::{
    Group,
    escape::{NAME_AT_MOST, code, fenced},
};
use crate::{
    Action, Effect, MASK, On, Review,
    names::some_names,
    print::{VALUE_AT_MOST, clean, consequence, count, pair, window},
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

/// What happens to what runs, in one line: the answer to "what can this break?".
pub(super) fn blast(review: &Review, groups: &[Group<'_>]) -> String {
    let forecast = &review.forecast;
    let deleted: usize = groups
        .iter()
        .filter(|(planned, _)| planned.action == Action::DeleteDevice)
        .map(|(_, devices)| devices.len())
        .sum();
    let mut parts = Vec::new();
    if deleted > 0 {
        parts.push(format!("deletes {}", count(deleted, "device")));
    }
    // The causes of restarts stand in a list of their own; here a module is one item.
    let mut restarts: BTreeMap<&str, BTreeSet<&DeviceId>> = BTreeMap::new();
    for restart in &forecast.restarts {
        restarts.entry(restart.module.as_str()).or_default().extend(&restart.devices);
    }
    let restarts: Vec<(&str, usize)> = restarts.iter().map(|(name, on)| (*name, on.len())).collect();
    let of = |list: &[On]| -> Vec<(String, usize)> {
        list.iter().map(|on| (on.name.clone(), on.devices.len())).collect()
    };
    let (stops, removes, starts) = (of(&forecast.stops), of(&forecast.removes), of(&forecast.starts));
    parts.extend(items("restarts", &restarts));
    parts.extend(items("removes", &removes));
    parts.extend(items("stops", &stops));
    parts.extend(items("starts", &starts));
    if forecast.live > 0 {
        parts.push(format!("nothing restarts on {}", count(forecast.live, "device")));
    }
    if review.plan.summary.unchanged > 0 {
        parts.push(format!("untouched {}", count(review.plan.summary.unchanged, "device")));
    }
    // Without a look at the fleet nothing can be said of drift; silence would read as "none".
    if forecast.offline.is_none() {
        parts.push("drift not looked for".to_owned());
    } else if forecast.drift.is_empty() && review.plan.stays.is_empty() {
        parts.push("no drift".to_owned());
    }
    parts.join(" · ")
}

fn items<T: AsRef<str>>(verb: &str, list: &[(T, usize)]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    let shown = list.iter().take(ITEMS_AT_MOST);
    let mut items: Vec<String> = shown
        .map(|(name, devices)| {
            format!("{} on {}", code(name.as_ref(), NAME_AT_MOST), count(*devices, "device"))
        })
        .collect();
    if list.len() > ITEMS_AT_MOST {
        items.push(format!("{} more", list.len() - ITEMS_AT_MOST));
    }
    Some(format!("{verb} {}", items.join(", ")))
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
