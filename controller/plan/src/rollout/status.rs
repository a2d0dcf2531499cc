//! A rollout as it is shown: counts instead of devices, a few of those that failed, the last lines of the story.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{Paused, Progress, RolloutRecord, StoryLine};

/// Failed devices that are named.
const FAILED_AT_MOST: usize = 10;
/// Lines of the story that are shown.
const STORY_AT_MOST: usize = 20;

/// One rollout, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Of which deployment.
    pub deployment: String,
    /// What it brings.
    pub revision: String,
    /// What was complete before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// `pending`, `waiting`, `rolling`, `verifying`, `complete`, `halted`, `reverting` or `reverted`.
    pub phase: String,
    /// What it is doing, as the end of a sentence.
    pub says: String,
    /// Why it stopped or goes back; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Somebody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// Since when there is this rollout.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Its devices.
    pub devices: usize,
    /// Those that have the change.
    pub took: usize,
    /// In order.
    pub waves: Vec<WaveStatus>,
    /// At most ten of the devices that failed, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// The last lines of the story.
    pub story: Vec<StoryLine>,
}

/// One wave, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// For people.
    pub name: String,
    /// All of its devices.
    pub devices: usize,
    /// Healthy with the change.
    pub done: usize,
    /// They have it and are watched.
    pub given: usize,
    /// They failed.
    pub failed: usize,
    /// They are away or came late, and nobody waits for them.
    pub skipped: usize,
    /// It is the one that the rollout is at.
    pub current: bool,
}

impl RolloutStatus {
    /// What is shown of a record.
    #[must_use]
    pub fn of(record: &RolloutRecord) -> Self {
        let counts = record.counts();
        let at = record.wave();
        let waves = record.waves.iter().enumerate().map(|(place, wave)| WaveStatus {
            name: wave.name.clone(),
            devices: wave.devices.len(),
            done: wave.count(|progress| matches!(progress, Progress::Done)),
            given: wave.count(|progress| matches!(progress, Progress::Given(_))),
            failed: wave.failed(),
            skipped: wave.count(|progress| matches!(progress, Progress::Skipped)),
            current: place == at && !record.state.is_over(),
        });
        let failed = record.devices().filter_map(|(id, progress)| match progress {
            Progress::Failed(failure) => Some(failure.says(id)),
            Progress::Waiting | Progress::Skipped | Progress::Given(_) | Progress::Done => None,
        });
        Self {
            deployment: record.deployment.to_string(),
            revision: record.revision.to_string(),
            base: record.base.as_ref().map(ToString::to_string),
            phase: record.state.word().to_owned(),
            says: record.says(),
            why: record.why(),
            paused: record.paused.clone(),
            started: record.started,
            devices: counts.devices,
            took: counts.took,
            waves: waves.collect(),
            failed: failed.take(FAILED_AT_MOST).collect(),
            story: record.story.iter().rev().take(STORY_AT_MOST).rev().cloned().collect(),
        }
    }
}
