//! Which configuration is in force: the newest one while it is tried and when it is good, else the last good one.
//!
//! Every step is on disk before anything is done about it, so a killed agent goes on where it was. Not here: when a
//! configuration is good or given up (`decide/trial.rs`).

use std::sync::Arc;

use hemline_model::edge::{AgentDesired, ConfigReported, DesiredStatus, EdgeError};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{InForce, Reconciler, View};
use crate::{
    decide::{
        Decision,
        spec_hash::spec_hash,
        trial::{Course, DEADLINE, Evidence, Finding, Mark, RolledBack, Trial},
    },
    module::ModuleKind,
    uplink::DesiredDocument,
};

/// Code of a configuration that did not work out (reference edge-runtime §2.2).
const FAILED: u16 = 500;

impl Reconciler {
    /// Takes what the hub wants, or what was kept of it.
    pub(super) fn take_desired(&mut self) {
        let Some(document) = self.ends.desired.borrow_and_update().clone() else {
            return;
        };
        match AgentDesired::parse(&document.properties) {
            Ok(desired) => self.take_readable(&document, desired),
            // Nothing has ever been deployed: that is no fault of a configuration.
            Err(error @ EdgeError::Empty) if self.in_force.is_none() => {
                self.refused = Some((document.version, status_of(&error)));
            }
            Err(error) => {
                tracing::warn!(version = document.version, %error, "configuration cannot be used; the last good one stays");
                self.refused = Some((document.version, status_of(&error)));
            }
        }
    }

    fn take_readable(&mut self, document: &Arc<DesiredDocument>, desired: AgentDesired) {
        // Before the course is taken: it moves with the clock.
        let now = self.now();
        let mark = mark(document);
        let good = self.good.as_deref().map(mark_of_good);
        let before = self.course.take();
        let course = Course::with(before.clone(), mark, good.as_deref(), now);
        if before.as_ref() != Some(&course) {
            self.clock = now;
        }
        self.store.save_config(document);
        self.keep(course);
        self.refused = None;
        match &self.course {
            Some(Course::RolledBack(back)) => {
                let back = back.clone();
                self.go_back(&back, Some((document.version, desired)));
            }
            Some(Course::Trying(_) | Course::Good { .. }) | None => self.enforce(document.version, desired),
        }
    }

    fn enforce(&mut self, version: u64, desired: AgentDesired) {
        let same = |have: &InForce| have.version == version && have.desired == desired;
        if !self.in_force.as_ref().is_some_and(same) {
            self.since = self.now();
            tracing::info!(version, modules = desired.modules.len(), "configuration is in force");
        }
        self.in_force = Some(InForce { version, desired });
    }

    /// The last good configuration comes in force; the newest one stays when the other cannot be read any more.
    fn go_back(&mut self, back: &RolledBack, newest: Option<(u64, AgentDesired)>) {
        let good = self.good.as_deref();
        let readable =
            good.and_then(|good| Some((good.version, AgentDesired::parse(&good.properties).ok()?)));
        if readable.is_none() {
            tracing::error!("the last good configuration cannot be read; the newest one stays in force");
        }
        if let Some((version, desired)) = readable.or(newest) {
            self.enforce(version, desired);
        }
        let description = format!("rolled back to version {}: {}", back.to, back.reason);
        self.refused = Some((back.mark.version, DesiredStatus { code: FAILED, description }));
    }

    /// Before anything is done for a new configuration: which of the modules that it leaves as they are were ill already.
    pub(super) fn note_ailing(&mut self, view: &View, decision: &Decision) {
        let Some(Course::Trying(trial)) = &self.course else { return };
        if trial.ailing.is_some() {
            return;
        }
        let ailing = Some(self.evidence(view, decision, Timestamp::now()).ailing());
        let trial = Trial { ailing, ..trial.clone() };
        self.keep(Course::Trying(trial));
    }

    /// Judges the configuration that is being tried; true when another one is in force now.
    pub(super) fn judge_trial(&mut self, view: &View, decision: &Decision) -> bool {
        let now = self.now();
        if self.wall.sets() != view.clock_sets {
            // Seen by another clock than it would be judged by: the next look tells.
            return false;
        }
        let Some(Course::Trying(trial)) = &self.course else { return false };
        let trial = trial.clone();
        let evidence = self.evidence(view, decision, now);
        let paused = evidence.paused;
        match trial.judge(&evidence) {
            Finding::Undecided => {
                if paused {
                    self.clock = now;
                }
                false
            }
            Finding::Good => {
                tracing::info!(version = trial.mark.version, "configuration is good: every module is up");
                // The pair is one file: never a good configuration without the course that says so.
                self.good = self.ends.desired.borrow().clone().filter(|newest| mark(newest) == trial.mark);
                self.keep(Course::Good { mark: trial.mark, since: now });
                false
            }
            Finding::TooLate(reason) => {
                let Some(good) = &self.good else { return false };
                let to = good.version;
                tracing::error!(version = trial.mark.version, to, reason, "configuration is given up");
                let back = RolledBack { mark: trial.mark, to, reason, since: now };
                self.keep(Course::RolledBack(back.clone()));
                self.go_back(&back, None);
                true
            }
        }
    }

    fn evidence<'a>(&'a self, view: &'a View, decision: &Decision, now: Timestamp) -> Evidence<'a> {
        let hemline = self.in_force.as_ref().and_then(|in_force| in_force.desired.hemline.as_ref());
        let said =
            hemline.and_then(|hemline| hemline_model::duration::seconds(hemline.deadline.as_ref()?).ok());
        let said = said.and_then(|seconds| Some(SignedDuration::from_secs(i64::try_from(seconds).ok()?)));
        let needed = |kind: &ModuleKind| view.wanted.iter().any(|wanted| wanted.key.kind == *kind);
        // A deadline that somebody wrote holds for downloads too; ours waits for the first attempt at each.
        let downloads = said.is_none() && decision.pulls_outstanding;
        Evidence {
            wanted: &view.wanted,
            seen: &view.seen,
            memory: &self.memory,
            paused: downloads || !view.unready.is_empty() || view.silent.keys().any(needed),
            busy: !decision.actions.is_empty() || decision.pulls_outstanding,
            clock: self.clock,
            deadline: said.unwrap_or(DEADLINE),
            now,
        }
    }

    pub(super) fn keep(&mut self, course: Course) {
        if self.course.as_ref() != Some(&course) || self.kept_good != self.good {
            self.store.save_course(&course, self.good.as_deref());
            self.kept_good.clone_from(&self.good);
        }
        self.course = Some(course);
    }

    /// For the reported properties.
    pub(super) fn config_reported(&self) -> Option<ConfigReported> {
        let good_version = self.good.as_ref().map(|good| good.version);
        let one = |version, state: &str, since: Timestamp, reason: Option<String>| ConfigReported {
            version,
            state: state.to_owned(),
            since: format!("{since:.0}"),
            good_version,
            reason,
        };
        Some(match self.course.as_ref()? {
            Course::Trying(trial) => one(trial.mark.version, "trying", trial.since, None),
            Course::Good { mark, since } => one(mark.version, "good", *since, None),
            Course::RolledBack(back) => {
                one(back.mark.version, "rolledBack", back.since, Some(super::report::shortened(&back.reason)))
            }
        })
    }
}

fn mark(document: &DesiredDocument) -> Mark {
    Mark { version: document.version, digest: mark_of_good(document) }
}

fn mark_of_good(document: &DesiredDocument) -> String {
    spec_hash(&Value::Object(document.properties.clone()))
}

fn status_of(error: &EdgeError) -> DesiredStatus {
    DesiredStatus { code: error.code(), description: error.to_string() }
}
