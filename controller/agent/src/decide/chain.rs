//! A chain: the steps that bring one module where it should be, and what it has to wait for. Pure.

use super::{Action, Decision, Images, Reason, Situation, Step, WaitingFor, Wanted, attempt};
use crate::module::{ModuleKey, ModuleKind, PullPolicy};

/// The steps that bring one module where it should be, in one go.
pub(super) struct Chain {
    pub(super) key: ModuleKey,
    pub(super) hash: String,
    /// `None` comes before every startup order.
    pub(super) order: Option<u32>,
    pub(super) steps: &'static [Step],
    pub(super) reason: Reason,
    pub(super) attempt: String,
    pub(super) pull: PullPolicy,
}

pub(super) const MAKE: &[Step] = &[Step::Create];
pub(super) const MAKE_AND_RUN: &[Step] = &[Step::Create, Step::Start];
pub(super) const REMAKE: &[Step] = &[Step::Stop, Step::Remove, Step::Create];
pub(super) const REMAKE_AND_RUN: &[Step] = &[Step::Stop, Step::Remove, Step::Create, Step::Start];
pub(super) const CLEAR: &[Step] = &[Step::Remove, Step::Create];
pub(super) const CLEAR_AND_RUN: &[Step] = &[Step::Remove, Step::Create, Step::Start];
pub(super) const TAKE_AWAY: &[Step] = &[Step::Stop, Step::Remove];
pub(super) const TAKE_AWAY_STOPPED: &[Step] = &[Step::Remove];

impl Chain {
    pub(super) fn of(wanted: &Wanted, steps: &'static [Step], reason: Reason) -> Self {
        Self {
            key: wanted.key.clone(),
            hash: wanted.hash.clone(),
            order: Some(wanted.order),
            steps,
            reason,
            attempt: attempt(wanted),
            pull: wanted.pull,
        }
    }

    /// Not due while the pause after its last failure runs.
    pub(super) fn is_due(&self, situation: &Situation<'_>, decision: &mut Decision) -> bool {
        let until = situation.memory.retry_at(&self.key, &self.attempt);
        match until.filter(|until| *until > situation.now) {
            None => true,
            Some(until) => {
                decision.wait(&self.key, Some(until), WaitingFor::RetryPause);
                false
            }
        }
    }

    pub(super) fn needs_image(&self, images: &Images) -> bool {
        self.key.kind == ModuleKind::Docker
            && self.pull == PullPolicy::OnCreate
            && self.steps.contains(&Step::Create)
            && !images.ready.contains(&self.hash)
    }

    /// Must it wait until every image is there? Everything that stops or replaces something must.
    ///
    /// An image whose fetch failed is waited for by its own module only, so one bad image holds up nobody else.
    pub(super) fn waits_for_images(&self) -> bool {
        match self.reason {
            Reason::Added
            | Reason::SpecChanged
            | Reason::Dead
            | Reason::NotDesired
            | Reason::DesiredStopped => true,
            Reason::NeverStarted
            | Reason::Drifted
            | Reason::DesiredRunning
            | Reason::MachineRestarted
            | Reason::Policy { .. } => false,
        }
    }

    pub(super) fn starts_something(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Start | Step::Restart => true,
            Step::Pull | Step::Create | Step::Stop | Step::Remove | Step::Mend => false,
        })
    }

    pub(super) fn action(&self, step: Step) -> Action {
        Action { key: self.key.clone(), step, reason: self.reason, attempt: self.attempt.clone() }
    }
}
