//! What agents say that somebody changed on their device by hand (`hemline.drift` of their reports).
//!
//! A report comes from a device: it is bounded here, and whatever looks like a secret in it is masked.

use hemline_model::{
    edge::DriftReported,
    id::{DeviceId, ModuleId},
};
use serde_json::Value;

use super::{DriftKind, Found, rules, short};
use crate::{
    Observed, Resolution,
    change::{Change, Json},
};

/// Rows that are read of one report; an agent tells 16 at most.
const MOST_ROWS: usize = 32;

/// Longest path that is read, in bytes.
const LONGEST_PATH: usize = 512;

/// What the agents of the devices say.
#[must_use]
pub fn actual(resolution: &Resolution, observed: &Observed) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, device) in &observed.devices {
        let agent = device.modules.get(&ModuleId::edge_agent());
        let rows = agent.and_then(|agent| agent.reported.get("hemline")?.get("drift")?.as_array());
        let (Some(rows), Some(effective)) = (rows, resolution.devices.get(id)) else { continue };
        let rules = rules(effective);
        let readable = rows.iter().take(MOST_ROWS).filter_map(|row| read(id, row));
        found.extend(readable.map(|found| Found { mode: rules.mode_of(&found.path), ..found }));
    }
    found
}

/// Does the agent of a device say nothing at all? Then nothing of what it said before is taken back.
#[must_use]
pub fn is_silent(observed: &Observed, device: &DeviceId) -> bool {
    let agent = observed.devices.get(device).and_then(|device| device.modules.get(&ModuleId::edge_agent()));
    agent.is_none_or(|agent| agent.reported.is_empty())
}

fn read(device: &DeviceId, row: &Value) -> Option<Found> {
    let row: DriftReported = serde_json::from_value(row.clone()).ok()?;
    let since = row.first_seen.parse().ok()?;
    // A time that cannot be read is not "never".
    let healed = row.healed.map(|at| at.parse()).transpose().ok()?;
    if row.path.is_empty() || row.path.len() > LONGEST_PATH || row.path.contains(char::is_control) {
        return None;
    }
    let (expected, found) = masked(&row.path, &row.expected, &row.found);
    Some(Found {
        device: device.clone(),
        module: ModuleId::new(&row.module).ok(),
        kind: DriftKind::Actual,
        path: row.path,
        expected,
        found,
        mode: Default::default(),
        by: None,
        since: Some(since),
        healed,
    })
}

fn masked(path: &str, expected: &str, found: &str) -> (String, String) {
    let value = |text: &str| Value::from(short(text));
    let Change { from, to, .. } = Change::new(path, Some(&value(found)), Some(&value(expected)));
    let text = |json: Option<Json>| match json {
        Some(Json(Value::String(text))) => text,
        Some(_) | None => String::new(),
    };
    (text(to), text(from))
}
