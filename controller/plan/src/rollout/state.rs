//! The states of a rollout. Each knows since when, until when at most, and why.

use std::collections::BTreeMap;

use hemline_model::id::{DeviceId, DocumentName};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rollout is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum State {
    /// It has not begun.
    Pending {
        /// Since when.
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// A wave may not begin, or not go on, yet.
    Waiting {
        /// Place of the wave.
        wave: usize,
        /// Since when.
        #[schemars(with = "String")]
        since: Timestamp,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
        /// For what.
        reason: WaitReason,
    },
    /// Devices of a wave get the change.
    Rolling {
        /// Place of the wave.
        wave: usize,
        /// Since when.
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// All devices of a wave have the change; not all of them are done.
    Verifying {
        /// Place of the wave.
        wave: usize,
        /// Since when.
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// Every device has the change, or gets it when it is back.
    Complete {
        /// Since when.
        #[schemars(with = "String")]
        at: Timestamp,
    },
    /// It stopped; devices keep what they have.
    Halted {
        /// Place of the wave.
        wave: usize,
        /// Since when.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Why.
        reason: HaltReason,
    },
    /// The devices that took the change get back what was complete before.
    Reverting {
        /// Since when.
        #[schemars(with = "String")]
        since: Timestamp,
        /// When it ends, whoever is back by then.
        #[schemars(with = "String")]
        until: Timestamp,
        /// Why.
        reason: HaltReason,
        /// The devices, and whether they are back.
        #[schemars(with = "BTreeMap<String, bool>")]
        back: BTreeMap<DeviceId, bool>,
    },
    /// They have got it back.
    Reverted {
        /// Since when.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Why.
        reason: HaltReason,
        /// Devices that were not back in time; they get it when they can.
        #[schemars(with = "Vec<String>")]
        left: Vec<DeviceId>,
    },
}

/// For what a wave waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WaitReason {
    /// For the window to open.
    Window,
    /// For a person to agree.
    Approval,
}

/// Why a rollout stopped or goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HaltReason {
    /// Too many devices of a wave failed.
    Failures {
        /// Devices that failed.
        failed: usize,
        /// At which number it stops.
        limit: usize,
    },
    /// No device of a wave was there to try it.
    NobodyThere {
        /// Seconds that it waited.
        waited_secs: u64,
    },
    /// Nobody agreed in time.
    NotApproved {
        /// Seconds that it waited.
        waited_secs: u64,
    },
    /// It was paused, and nobody let it go on in time.
    PausedTooLong {
        /// Seconds that it waited.
        waited_secs: u64,
    },
    /// Somebody ended it.
    Aborted {
        /// Who.
        by: String,
    },
    /// Somebody took it back.
    TakenBack {
        /// Who.
        by: String,
    },
    /// Another rollout of the same commit goes back, and with it the commit.
    With {
        /// Which.
        #[schemars(with = "String")]
        deployment: DocumentName,
    },
}

impl State {
    /// Does nothing happen any more without a person or a commit?
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Complete { .. } | Self::Halted { .. } | Self::Reverted { .. } => true,
            Self::Pending { .. }
            | Self::Waiting { .. }
            | Self::Rolling { .. }
            | Self::Verifying { .. }
            | Self::Reverting { .. } => false,
        }
    }

    /// Is it going back, or has it?
    #[must_use]
    pub fn goes_back(&self) -> bool {
        matches!(self, Self::Reverting { .. } | Self::Reverted { .. })
    }

    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Waiting { .. } => "waiting",
            Self::Rolling { .. } => "rolling",
            Self::Verifying { .. } => "verifying",
            Self::Complete { .. } => "complete",
            Self::Halted { .. } => "halted",
            Self::Reverting { .. } => "reverting",
            Self::Reverted { .. } => "reverted",
        }
    }

    /// The same phase of the same wave for the same reason? Times do not count.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Waiting { wave, reason, .. }, Self::Waiting { wave: w, reason: r, .. }) => {
                wave == w && reason == r
            }
            (Self::Rolling { wave, .. }, Self::Rolling { wave: other, .. })
            | (Self::Verifying { wave, .. }, Self::Verifying { wave: other, .. }) => wave == other,
            (one, other) => one.word() == other.word(),
        }
    }
}
