//! What somebody changed on the device by hand: how it is noticed, and the ledger of it. Pure.
//!
//! A module is compared with what it was right after this agent had made it, so what an engine makes of its settings is
//! no difference. Not here: what happens then (`decide.rs`), the rules of the documents (`hemline_model::edge::DriftRules`).

use hemline_model::edge::{DriftMode, DriftReported};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Goal, Memory, RestartPolicy, Situation, Wanted};
use crate::module::{IMAGE, ModuleKey, Seen};

/// Rows that are kept; the oldest healed ones go first.
const MOST_ROWS: usize = 16;

/// A healed row is told for that long.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Longest text of a row.
const LONGEST: usize = 80;

/// One difference between a module and what this agent made.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The module.
    pub key: ModuleKey,
    /// Where, in the words of the documents: `modules.camera.createOptions.HostConfig.Memory`.
    pub path: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// What the documents want done about it.
    pub mode: DriftMode,
    /// What puts it right.
    pub cure: Cure,
}

/// What puts a difference right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cure {
    /// Start it.
    Start,
    /// Stop and start it.
    Restart,
    /// Stop it.
    Stop,
    /// Put a setting back in place.
    Mend,
    /// Make it anew.
    Remake,
}

/// What a module was right after it had been made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Spec hash.
    pub hash: String,
    /// What the engine calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the engine lets anybody change in place.
    #[serde(default)]
    pub traits: std::collections::BTreeMap<String, Value>,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The module.
    pub module: String,
    /// Where.
    pub path: String,
    /// What it should be.
    pub expected: String,
    /// What it was.
    pub found: String,
    /// When that was seen first.
    pub since: Timestamp,
    /// When it was gone again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<Timestamp>,
}

/// Everything that differs, whatever is to be done about it.
#[must_use]
pub fn differences(situation: &Situation<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    for wanted in situation.wanted {
        if situation.silent.contains(&wanted.key.kind) {
            continue;
        }
        let seen = situation.seen.iter().find(|seen| seen.key == wanted.key);
        let made = situation.memory.of(&wanted.key).and_then(|remembered| remembered.made.as_ref());
        let mut look = Look { situation, wanted, found: &mut found };
        match (seen, made.filter(|made| made.hash == wanted.hash)) {
            (None, Some(_)) => look.add("", "there", "removed", Cure::Remake),
            (Some(seen), made) if seen.hash.as_deref() == Some(wanted.hash.as_str()) => {
                look.run_state(seen);
                if let Some(made) = made {
                    look.made(made, seen);
                }
            }
            (None | Some(_), _) => {}
        }
    }
    found
}

struct Look<'a, 's> {
    situation: &'a Situation<'s>,
    wanted: &'a Wanted,
    found: &'a mut Vec<Difference>,
}

impl Look<'_, '_> {
    fn add(&mut self, below: &str, expected: &str, found: &str, cure: Cure) {
        let dot = if below.is_empty() { "" } else { "." };
        let path = format!("modules.{}{dot}{below}", self.wanted.key.name);
        let mode = self.situation.drift.mode_of(&path);
        let short = |text: &str| text.chars().take(LONGEST).collect();
        let (expected, found) = (short(expected), short(found));
        self.found.push(Difference { key: self.wanted.key.clone(), path, expected, found, mode, cure });
    }

    fn run_state(&mut self, seen: &Seen) {
        let held = self.situation.memory.of(&self.wanted.key).is_some_and(|remembered| remembered.held);
        match self.wanted.goal {
            Goal::Running if seen.paused => self.add("status", "running", "paused", Cure::Restart),
            Goal::Running if seen.by_hand && !held && self.wanted.policy > RestartPolicy::Never => {
                self.add("status", "running", "stopped", Cure::Start);
            }
            Goal::Stopped if held && seen.status.is_up() => {
                self.add("status", "stopped", "running", Cure::Stop);
            }
            Goal::Running | Goal::Stopped => {}
        }
    }

    fn made(&mut self, made: &Made, seen: &Seen) {
        if made.id != seen.id {
            let text = |id: &Option<String>| {
                id.as_ref().map_or_else(String::new, |id| id.chars().take(12).collect())
            };
            self.add("", &text(&made.id), &format!("replaced by {}", text(&seen.id)), Cure::Remake);
            return;
        }
        for (name, expected) in &made.traits {
            let found = seen.traits.get(name).unwrap_or(&Value::Null);
            if name == IMAGE {
                self.image(expected, found);
                continue;
            }
            if found != expected {
                let cure = if is_settable(expected) { Cure::Mend } else { Cure::Remake };
                self.add(name, &plain(expected), &plain(found), cure);
            }
        }
    }
}

impl Look<'_, '_> {
    /// Another image has the name now that the module asks for. A name that no image has says nothing.
    fn image(&mut self, made_of: &Value, named_now: &Value) {
        if let (Some(old), Some(new)) = (made_of.as_str(), named_now.as_str())
            && old != new
        {
            self.add(IMAGE, &short_id(new), &short_id(old), Cure::Remake);
        }
    }
}

/// As engines print it.
fn short_id(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

/// Engines take nothing for "no change", so a setting that was not there cannot be taken back in place.
fn is_settable(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Object(_) => true,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// What is to be done about one module: nothing, nothing because the documents say so, or the strongest of the cures.
pub(super) enum Order {
    Nothing,
    LeaveAlone,
    Put(Cure),
}

pub(super) fn order(differences: &[Difference], key: &ModuleKey) -> Order {
    let of_module = || differences.iter().filter(|difference| difference.key == *key);
    let heal = of_module().filter(|difference| difference.mode == DriftMode::Heal);
    match heal.map(|difference| difference.cure).max() {
        Some(cure) => Order::Put(cure),
        None if of_module().next().is_some() => Order::LeaveAlone,
        None => Order::Nothing,
    }
}

/// Writes into the ledger what is there now, and closes what is gone. A difference that the documents ignore has no row.
pub fn note(rows: &mut Vec<Row>, differences: &[Difference], now: Timestamp) {
    let told = || differences.iter().filter(|difference| difference.mode != DriftMode::Ignore);
    for row in rows.iter_mut().filter(|row| row.healed.is_none()) {
        if !told().any(|difference| difference.path == row.path && difference.found == row.found) {
            row.healed = Some(now);
        }
    }
    for difference in told() {
        let open = |row: &Row| row.healed.is_none() && row.path == difference.path;
        if !rows.iter().any(open) {
            rows.push(Row {
                module: difference.key.name.clone(),
                path: difference.path.clone(),
                expected: difference.expected.clone(),
                found: difference.found.clone(),
                since: now,
                healed: None,
            });
        }
    }
    rows.retain(|row| row.healed.is_none_or(|healed| now.duration_since(healed) < KEPT));
    while rows.len() > MOST_ROWS {
        let oldest = rows.iter().position(|row| row.healed.is_some()).unwrap_or_default();
        rows.remove(oldest);
    }
}

/// The ledger as it is reported.
#[must_use]
pub fn reported(memory: &Memory) -> Vec<DriftReported> {
    let row = |row: &Row| DriftReported {
        module: row.module.clone(),
        path: row.path.clone(),
        expected: row.expected.clone(),
        found: row.found.clone(),
        first_seen: format!("{:.3}", row.since),
        healed: row.healed.map(|healed| format!("{healed:.3}")),
    };
    memory.drift.iter().map(row).collect()
}
