//! One rollout as it is kept: what it brings where, how far every device is, what it is doing.
//!
//! Its size is bounded by the number of devices: a word for most, a sentence for those that failed.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::id::{DeviceId, DocumentName, ModuleId, Revision};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::State;

/// Lines of a story that are kept: the first ones and the last ones tell it.
const STORY_BEGINS: usize = 16;
const STORY_AT_MOST: usize = 96;
/// Characters of one sentence about a device: an engine that says no names an image and an address, and why comes last.
const SENTENCE_AT_MOST: usize = 320;

/// One rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// Of which deployment.
    #[schemars(with = "String")]
    pub deployment: DocumentName,
    /// What it brings.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// What was complete before; none for the first revision of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub base: Option<Revision>,
    /// Since when there is this rollout.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// What it is doing.
    pub state: State,
    /// Somebody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// How many waves were approved, from the first on.
    #[serde(default)]
    pub approved: usize,
    /// In order.
    pub waves: Vec<WaveRecord>,
    /// Devices that have an earlier revision that was not complete either, and that nobody found healthy with it. They
    /// count as unavailable until they have this one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<String>")]
    pub unsettled: BTreeSet<DeviceId>,
    /// What happened, in order.
    pub story: Vec<StoryLine>,
}

/// Who holds a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When the rollout ends if nobody lets it go on.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Who.
    pub by: String,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoryLine {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// One wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveRecord {
    /// For people.
    pub name: String,
    /// Which devices it takes, as the documents said when it was cut; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub picks: String,
    /// When its first device could get the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub begun: Option<Timestamp>,
    /// Devices that may be on their way at once; fixed when the wave begins.
    #[serde(default)]
    pub max_unavailable: usize,
    /// Failed devices at which the rollout stops; fixed when the wave begins.
    #[serde(default)]
    pub max_failures: usize,
    /// How far they are.
    #[schemars(with = "BTreeMap<String, Progress>")]
    pub devices: BTreeMap<DeviceId, Progress>,
}

/// How far one device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// It has what was there before.
    Waiting,
    /// The same, and nobody waits for it: it was away when its wave was on, or came later. It gets the change when it is there.
    Skipped,
    /// It may take the change.
    Given(Given),
    /// It is healthy with it.
    Done,
    /// It is not.
    Failed(Failure),
}

/// A device that may take the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Since when it is healthy without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub healthy: Option<Timestamp>,
    /// Restarts that its modules had before; only those with some. `None` until somebody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, u64>>")]
    pub restarts: Option<BTreeMap<ModuleId, u64>>,
    /// Restarts of all modules when `healthy` was set.
    #[serde(default)]
    pub restarts_when_healthy: u64,
}

/// Why a device failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When that was clear.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// When it could take the change; absent when it never could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// The module that fails, when one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub module: Option<ModuleId>,
    /// What it does, as the end of a sentence: `exits 1 (5 restarts in 2 min)`.
    pub what: String,
    /// Exit code of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Restarts of the module since it got the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u64>,
}

impl RolloutRecord {
    /// How far a device is; `None` when it is no part of the rollout.
    #[must_use]
    pub fn progress(&self, device: &str) -> Option<&Progress> {
        self.waves.iter().find_map(|wave| wave.devices.get(device))
    }

    /// All devices, in order of waves.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Progress)> {
        self.waves.iter().flat_map(|wave| &wave.devices)
    }

    /// Should the device have the new revision?
    #[must_use]
    pub fn brings(&self, device: &str) -> bool {
        match &self.state {
            State::Reverting { .. } | State::Reverted { .. } => false,
            State::Complete { .. } => true,
            State::Pending { .. }
            | State::Waiting { .. }
            | State::Rolling { .. }
            | State::Verifying { .. }
            | State::Halted { .. } => self.progress(device).is_some_and(Progress::has_it),
        }
    }

    /// The wave that it is at; that of the last one when it is through.
    #[must_use]
    pub fn wave(&self) -> usize {
        match &self.state {
            State::Pending { .. } => 0,
            State::Waiting { wave, .. }
            | State::Rolling { wave, .. }
            | State::Verifying { wave, .. }
            | State::Halted { wave, .. } => *wave,
            State::Complete { .. } | State::Reverting { .. } | State::Reverted { .. } => self.last_begun(),
        }
    }

    /// The name of a wave.
    #[must_use]
    pub fn wave_name(&self, wave: usize) -> &str {
        self.waves.get(wave).map_or("the end", |wave| wave.name.as_str())
    }

    /// Adds a line to the story.
    pub(super) fn tell(&mut self, at: Timestamp, what: String) {
        if self.story.len() >= STORY_AT_MOST {
            self.story.remove(STORY_BEGINS);
        }
        self.story.push(StoryLine { at, what });
    }

    fn last_begun(&self) -> usize {
        self.waves.iter().rposition(|wave| wave.begun.is_some()).unwrap_or_default()
    }
}

impl WaveRecord {
    pub(super) fn count(&self, wanted: impl Fn(&Progress) -> bool) -> usize {
        self.devices.values().filter(|progress| wanted(progress)).count()
    }

    /// Devices that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|progress| matches!(progress, Progress::Failed(_)))
    }
}

impl Progress {
    /// Was it given the change?
    #[must_use]
    pub fn has_it(&self) -> bool {
        match self {
            Self::Waiting | Self::Skipped => false,
            Self::Given(_) | Self::Done => true,
            // One that never could take it failed by being away.
            Self::Failed(failure) => failure.since.is_some(),
        }
    }

    /// Was it away for as long as anybody waits? When it is back, it may still take the change.
    pub(super) fn never_could(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.since.is_none())
    }
}

/// A text from outside as a part of a sentence: one line, not long.
pub(super) fn sentence(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut short: String = clean.trim().chars().take(SENTENCE_AT_MOST).collect();
    if short.chars().count() < clean.trim().chars().count() {
        short.push('…');
    }
    short
}
