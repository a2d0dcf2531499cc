//! Trying a new configuration: it is good when every module has come up, and given up when that takes too long. Pure.
//!
//! What was given up is not tried again until the desired configuration changes. Not here: keeping the record
//! (`reconcile/store.rs`) and acting on it (`reconcile/course.rs`).

use std::collections::BTreeSet;

use hemline_model::valid::rollout::DEADLINE_SECS;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Goal, Memory, Wanted, clock::Jump, restart};
use crate::module::{EngineStatus, Health, Seen};

/// A module without a health check counts as up when it has run that long.
const STEADY: SignedDuration = SignedDuration::from_secs(10);

/// One whose check has passed, when it has run that long: it may have been asked right before it fell over.
const STEADY_AND_HEALTHY: SignedDuration = SignedDuration::from_secs(1);

/// Until then the modules have to be up when the documents name no deadline: as long as the controller waits. It does not run
/// while images are fetched.
pub const DEADLINE: SignedDuration = SignedDuration::from_secs(DEADLINE_SECS.cast_signed());

/// A configuration under which the agent is started more often than that is given up: perhaps it takes the machine down.
const MOST_STARTS: u32 = 5;

/// Which configuration is meant: the version alone may come again, after the hub was made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// `$version`
    pub version: u64,
    /// Hash of its properties.
    pub digest: String,
}

/// What became of the newest configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Course {
    /// Not decided yet.
    Trying(Trial),
    /// Every module came up.
    Good {
        /// Which.
        mark: Mark,
        /// When that was found.
        since: Timestamp,
    },
    /// Given up; the last good one is in force.
    RolledBack(RolledBack),
}

/// A configuration that is being tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub mark: Mark,
    /// When it came.
    pub since: Timestamp,
    /// How often the agent was started meanwhile.
    pub starts: u32,
    /// Modules that it leaves as they are and that were not well when it came; none until the first look.
    pub ailing: Option<BTreeSet<String>>,
}

/// A configuration that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Which.
    pub mark: Mark,
    /// `$version` of the one in force instead.
    pub to: u64,
    /// Why.
    pub reason: String,
    /// When.
    pub since: Timestamp,
}

impl Course {
    /// Which configuration it is about.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        match self {
            Self::Trying(trial) => &trial.mark,
            Self::Good { mark, .. } => mark,
            Self::RolledBack(back) => &back.mark,
        }
    }

    /// What happens with a configuration that came. `good` is the digest of the last good one.
    #[must_use]
    pub fn with(before: Option<Self>, mark: Mark, good: Option<&str>, now: Timestamp) -> Self {
        match before.filter(|before| *before.mark() == mark) {
            Some(known) => known,
            None if good == Some(mark.digest.as_str()) => Self::Good { mark, since: now },
            None => Self::Trying(Trial { mark, since: now, starts: 0, ailing: None }),
        }
    }

    /// The agent was started anew.
    #[must_use]
    pub fn restarted(self) -> Self {
        match self {
            Self::Trying(trial) => Self::Trying(Trial { starts: trial.starts.saturating_add(1), ..trial }),
            decided @ (Self::Good { .. } | Self::RolledBack(_)) => decided,
        }
    }
}

impl Course {
    /// The same by a clock on the wall that was set.
    #[must_use]
    pub fn shifted(self, jump: &Jump) -> Self {
        match self {
            Self::Trying(trial) => Self::Trying(Trial { since: jump.shifted(trial.since), ..trial }),
            Self::Good { mark, since } => Self::Good { mark, since: jump.shifted(since) },
            Self::RolledBack(back) => {
                Self::RolledBack(RolledBack { since: jump.shifted(back.since), ..back })
            }
        }
    }
}

/// What one look at a trial gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Every module is up.
    Good,
    /// Not yet.
    Undecided,
    /// It takes too long, for that reason.
    TooLate(String),
}

/// What a trial is judged by.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Desired modules.
    pub wanted: &'a [Wanted],
    /// Modules found.
    pub seen: &'a [Seen],
    /// Failed commands.
    pub memory: &'a Memory,
    /// Waits for something that is no fault of the configuration: an engine, identities, first downloads.
    pub paused: bool,
    /// Something is still to be done.
    pub busy: bool,
    /// Since when the deadline runs.
    pub clock: Timestamp,
    /// The deadline.
    pub deadline: SignedDuration,
    /// The instant of the look.
    pub now: Timestamp,
}

impl Trial {
    /// Judges it.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let exempt = |name: &str| self.ailing.as_ref().is_some_and(|ailing| ailing.contains(name));
        let unfit: Vec<String> =
            evidence.unfit().filter(|(wanted, _)| !exempt(&wanted.key.name)).map(|(_, why)| why).collect();
        if unfit.is_empty() && !evidence.paused && !evidence.busy {
            return Finding::Good;
        }
        if self.starts > MOST_STARTS {
            return Finding::TooLate(format!(
                "the agent was started {} times before its modules were up",
                self.starts
            ));
        }
        if evidence.paused || evidence.now.duration_since(evidence.clock) < evidence.deadline {
            return Finding::Undecided;
        }
        let seconds = evidence.deadline.as_secs();
        let why = if unfit.is_empty() { "not everything was done".to_owned() } else { unfit.join("; ") };
        Finding::TooLate(format!("not up within {seconds} s: {why}"))
    }
}

impl Evidence<'_> {
    /// Modules that the configuration leaves as they are and that are not well.
    #[must_use]
    pub fn ailing(&self) -> BTreeSet<String> {
        let same = |wanted: &Wanted| {
            let seen = self.seen.iter().find(|seen| seen.key == wanted.key);
            seen.is_some_and(|seen| seen.hash.as_deref() == Some(wanted.hash.as_str()))
        };
        let ailing = self.unfit().filter(|(wanted, _)| same(wanted));
        ailing.map(|(wanted, _)| wanted.key.name.clone()).collect()
    }

    fn unfit(&self) -> impl Iterator<Item = (&Wanted, String)> {
        self.wanted.iter().filter_map(|wanted| {
            let seen = self.seen.iter().find(|seen| seen.key == wanted.key);
            let why = unfit(wanted, seen, self.now)?;
            let failure = self.memory.of(&wanted.key).and_then(|remembered| remembered.failure.as_ref());
            let why = failure.map_or(why, |failure| failure.message.clone());
            Some((wanted, format!("module {}: {why}", wanted.key.name)))
        })
    }
}

/// Why a module is not as it should be; none when it is.
fn unfit(wanted: &Wanted, seen: Option<&Seen>, now: Timestamp) -> Option<String> {
    let Some(seen) = seen else { return Some("it is not there".to_owned()) };
    if seen.hash.as_deref() != Some(wanted.hash.as_str()) {
        return Some("it is still made from the former configuration".to_owned());
    }
    let described = || Some(seen.description.clone());
    match (wanted.goal, seen.status) {
        (Goal::Stopped, EngineStatus::Stopped | EngineStatus::Failed) => None,
        (Goal::Stopped, _) => Some("it does not stop".to_owned()),
        (Goal::Running, EngineStatus::Running) => match seen.health {
            Health::None | Health::Healthy => {
                let enough = if seen.health == Health::None { STEADY } else { STEADY_AND_HEALTHY };
                let steady = seen.started.is_some_and(|at| now.duration_since(at) >= enough);
                (!steady).then(|| format!("it has not run for {} s yet", enough.as_secs()))
            }
            Health::Starting => Some("its health check has not passed yet".to_owned()),
            Health::Unhealthy => described(),
        },
        // Its work is done, and well.
        (Goal::Running, EngineStatus::Stopped)
            if seen.started.is_some() && !restart::owed(seen.status, wanted.policy) =>
        {
            None
        }
        (
            Goal::Running,
            EngineStatus::Stopped
            | EngineStatus::Failed
            | EngineStatus::Unhealthy
            | EngineStatus::Dead
            | EngineStatus::Unknown,
        ) => described(),
    }
}
