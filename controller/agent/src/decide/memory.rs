//! What the agent remembers about modules between passes, and how the outcome of an action changes it. Pure.
//!
//! Restart counts and held modules are persisted (`reconcile/store.rs`); failures of commands live in memory only, so a
//! restarted agent tries at once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Action, Reason, Step, Wanted,
    clock::Jump,
    drift::{Made, Row},
    restart,
};
use crate::module::{ModuleKey, Seen};

/// Everything remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    modules: BTreeMap<ModuleKey, Remembered>,
    /// What somebody changed by hand.
    pub drift: Vec<Row>,
}

/// What is remembered about one module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Remembered {
    /// Restarts by policy since the last reset.
    pub restarts: u32,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_restart: Option<Timestamp>,
    /// This agent stopped it, so that its exit is not a failure.
    pub held: bool,
    /// What it was right after this agent had made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The last command on it failed.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// A failed command.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which attempt it belongs to ([`Action::attempt`]).
    pub attempt: String,
    /// The step that failed.
    pub step: Step,
    /// Failures in a row.
    pub count: u32,
    /// The last one.
    pub at: Timestamp,
    /// What the runtime said.
    pub message: String,
}

impl Remembered {
    /// Is there a restart count worth forgetting?
    #[must_use]
    pub fn counts(&self) -> bool {
        self.restarts > 0 || self.last_restart.is_some()
    }
}

impl Memory {
    /// What is remembered about a module.
    #[must_use]
    pub fn of(&self, key: &ModuleKey) -> Option<&Remembered> {
        self.modules.get(key)
    }

    /// Restarts of a module by policy since the last reset.
    #[must_use]
    pub fn restarts(&self, key: &ModuleKey) -> u32 {
        self.of(key).map_or(0, |remembered| remembered.restarts)
    }

    /// All modules.
    pub fn iter(&self) -> impl Iterator<Item = (&ModuleKey, &Remembered)> {
        self.modules.iter()
    }

    /// Puts back what was persisted.
    pub fn restore(&mut self, key: ModuleKey, remembered: Remembered) {
        self.modules.insert(key, remembered);
    }

    /// When a failed attempt may be made again; none when it did not fail.
    ///
    /// The pause is min(10·2ⁿ, 300) s with n = failures in a row, and there is no last attempt (design §10).
    #[must_use]
    pub fn retry_at(&self, key: &ModuleKey, attempt: &str) -> Option<Timestamp> {
        let failure = self.of(key)?.failure.as_ref().filter(|failure| failure.attempt == attempt)?;
        failure.at.checked_add(restart::pause(failure.count)).ok()
    }

    /// A module is about to be made: what is known about the one before does not hold for it.
    pub fn making(&mut self, key: &ModuleKey) {
        if let Some(remembered) = self.modules.get_mut(key) {
            remembered.made = None;
        }
    }

    /// Remembers modules as they are right after they were made.
    pub fn notice(&mut self, wanted: &[Wanted], seen: &[Seen]) {
        for wanted in wanted {
            let found = seen.iter().find(|seen| seen.key == wanted.key);
            let Some(found) = found.filter(|seen| seen.hash.as_deref() == Some(wanted.hash.as_str())) else {
                continue;
            };
            let remembered = self.modules.entry(wanted.key.clone()).or_default();
            if remembered.made.as_ref().is_none_or(|made| made.hash != wanted.hash) {
                let (hash, id, traits) = (wanted.hash.clone(), found.id.clone(), found.traits.clone());
                remembered.made = Some(Made { hash, id, traits });
            }
        }
    }

    /// An action succeeded.
    pub fn succeeded(&mut self, action: &Action, now: Timestamp) {
        let remembered = self.modules.entry(action.key.clone()).or_default();
        if remembered.failure.as_ref().is_some_and(|failure| failure.step == action.step) {
            remembered.failure = None;
        }
        match action.step {
            Step::Pull | Step::Mend => {}
            Step::Create => {
                remembered.restarts = 0;
                remembered.last_restart = None;
                remembered.held = false;
            }
            Step::Start => remembered.held = false,
            Step::Restart => {
                remembered.restarts += 1;
                remembered.last_restart = Some(now);
                remembered.held = false;
            }
            Step::Stop => self.stopped(action),
            Step::Remove => {
                if action.reason == Reason::NotDesired {
                    self.modules.remove(&action.key);
                }
            }
        }
    }

    /// An action failed.
    pub fn failed(&mut self, action: &Action, message: String, now: Timestamp) {
        let remembered = self.modules.entry(action.key.clone()).or_default();
        let earlier = remembered.failure.take().filter(|failure| failure.attempt == action.attempt);
        let count = earlier.map_or(1, |failure| failure.count.saturating_add(1));
        let (attempt, step) = (action.attempt.clone(), action.step);
        remembered.failure = Some(Failure { attempt, step, count, at: now, message });
    }

    /// A module ran long enough for its restarts to be forgiven.
    pub fn healthy(&mut self, key: &ModuleKey) {
        if let Some(remembered) = self.modules.get_mut(key) {
            remembered.restarts = 0;
            remembered.last_restart = None;
        }
    }

    /// This agent stopped a module on purpose (shutdown), so that it starts again with the agent.
    pub fn hold(&mut self, key: &ModuleKey) {
        self.modules.entry(key.clone()).or_default().held = true;
    }

    /// The clock on the wall was set: times of this run move with it.
    pub fn shift(&mut self, jump: &Jump) {
        for remembered in self.modules.values_mut() {
            let failed = remembered.failure.as_mut().map(|failure| &mut failure.at);
            for at in remembered.last_restart.iter_mut().chain(failed) {
                *at = jump.shifted(*at);
            }
        }
        for row in &mut self.drift {
            row.since = jump.shifted(row.since);
            row.healed = row.healed.map(|at| jump.shifted(at));
        }
    }

    /// Forgets everything about modules that are neither desired nor there.
    pub fn retain(&mut self, keep: impl Fn(&ModuleKey) -> bool) {
        self.modules.retain(|key, _| keep(key));
    }

    /// Drops failures of attempts that nobody makes any more, and gives the messages of the others.
    #[must_use]
    pub fn failures(&self) -> Vec<(&ModuleKey, &Failure)> {
        let with =
            self.modules.iter().filter_map(|(key, remembered)| Some((key, remembered.failure.as_ref()?)));
        with.collect()
    }

    /// Forgets failures of attempts that are not listed as current.
    pub fn forget_failures(&mut self, current: impl Fn(&ModuleKey, &str) -> bool) {
        for (key, remembered) in &mut self.modules {
            if remembered.failure.as_ref().is_some_and(|failure| !current(key, &failure.attempt)) {
                remembered.failure = None;
            }
        }
    }

    fn stopped(&mut self, action: &Action) {
        let remembered = self.modules.entry(action.key.clone()).or_default();
        if action.reason == Reason::DesiredStopped {
            remembered.restarts = 0;
            remembered.last_restart = None;
            remembered.held = true;
        }
    }
}
