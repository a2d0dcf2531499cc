//! What was changed by hand, in the status of a device and in the README: what is still so, and what was healed last.
//!
//! Every text changes with a row only: there are times of beginnings and ends in it, and no ages.

use std::collections::BTreeMap;

use hemline_model::{
    id::DeviceId,
    status::{Condition, ConditionStatus, DriftState},
};
use hemline_plan::drift::{DriftLedger, DriftRow, Standing};
use jiff::Timestamp;

use super::files::cell;

/// Rows in the status of one device.
const ROWS_AT_MOST: usize = 20;
/// Open rows in the README.
const OPEN_AT_MOST: usize = 20;
/// Healed rows in the README.
const HEALED_AT_MOST: usize = 10;
/// The condition of a device.
const DRIFTED: &str = "Drifted";

/// What is still so, by device.
pub(super) fn states(ledger: &DriftLedger) -> BTreeMap<DeviceId, Vec<DriftState>> {
    let mut states: BTreeMap<DeviceId, Vec<DriftState>> = BTreeMap::new();
    for row in ledger.rows.iter().filter(|row| row.matters()) {
        let of_device = states.entry(row.device.clone()).or_default();
        if of_device.len() < ROWS_AT_MOST {
            of_device.push(DriftState {
                path: row.path.clone(),
                kind: row.kind.to_string(),
                expected: row.expected.clone(),
                found: row.found.clone(),
                state: row.standing.as_str().to_owned(),
                since: row.first_seen,
            });
        }
    }
    states
}

/// Adds the condition `Drifted` to a device on which something is so, or once was.
pub(super) fn condition(
    mut conditions: Vec<Condition>,
    drift: &[DriftState],
    at: Timestamp,
) -> Vec<Condition> {
    let known = conditions.iter().any(|condition| condition.kind == DRIFTED);
    let (status, reason, message) = match drift {
        [] if !known => return conditions,
        [] => (ConditionStatus::False, "AsDocuments", "nothing is changed by hand".to_owned()),
        [first, more @ ..] => {
            let and = if more.is_empty() { String::new() } else { format!("; {} more", more.len()) };
            let DriftState { path, expected, found, .. } = first;
            (ConditionStatus::True, "ChangedByHand", format!("{path} is {found}, not {expected}{and}"))
        }
    };
    let (kind, reason) = (DRIFTED.to_owned(), reason.to_owned());
    Condition::set(&mut conditions, Condition { kind, status, reason, message, last_transition_time: at });
    conditions
}

/// The story for the README; empty when nothing was changed by hand in the last 30 days.
pub(super) fn story(ledger: &DriftLedger) -> String {
    let open: Vec<&DriftRow> = ledger.rows.iter().filter(|row| row.matters()).collect();
    let mut healed: Vec<(Timestamp, &DriftRow)> = ledger
        .rows
        .iter()
        .filter_map(|row| match row.standing {
            Standing::Healed { healed_at, .. } => Some((healed_at, row)),
            Standing::Present | Standing::Reported | Standing::Ignored => None,
        })
        .collect();
    if open.is_empty() && healed.is_empty() {
        return String::new();
    }
    healed.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut text = "\n**changed by hand**\n\n".to_owned();
    for row in open.iter().take(OPEN_AT_MOST) {
        let then = if row.standing == Standing::Present { "is being put right" } else { "reported only" };
        text.push_str(&format!("- {}, since {}, {then}\n", subject(row), time(row.first_seen)));
    }
    if open.len() > OPEN_AT_MOST {
        text.push_str(&format!("- … and {} more: `hem get drift`\n", open.len() - OPEN_AT_MOST));
    }
    for (at, row) in healed.iter().take(HEALED_AT_MOST) {
        text.push_str(&format!("- {}, since {}, healed {}\n", subject(row), time(row.first_seen), time(*at)));
    }
    text
}

fn subject(row: &DriftRow) -> String {
    let DriftRow { device, path, expected, found, .. } = row;
    cell(&format!("{device} {path}: {found}, not {expected}"))
}

fn time(at: Timestamp) -> String {
    at.strftime("%F %TZ").to_string()
}
