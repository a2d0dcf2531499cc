//! What people may say to a rollout.

use hemline_model::{document::Approve, valid::RolloutSpec};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    advance::{PAUSE_SECS, Transition, enter, secs},
    record::{Given, Paused, Progress, RolloutRecord, WaveRecord},
    state::{HaltReason, State, WaitReason},
};

/// An order to one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// No device gets the change until `resume`; those that have it are watched further.
    Pause,
    /// Go on. After a halt, the devices that failed get the change and their time once more.
    Resume,
    /// Let the next wave begin.
    Approve,
    /// Stop for good; devices keep what they have.
    Abort,
    /// Give the devices back what was complete before, and never roll this revision out again.
    Revert,
}

/// Why an order makes no sense now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Command {
    /// The word that people type.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Abort => "abort",
            Self::Revert => "revert",
        }
    }
}

impl RolloutRecord {
    /// Does what somebody says. Said twice it is done once.
    ///
    /// # Errors
    /// When the order makes no sense in the state that the rollout is in; the text says which.
    pub fn command(
        &self,
        command: Command,
        by: &str,
        spec: &RolloutSpec,
        now: Timestamp,
    ) -> Result<(Self, Vec<Transition>), Refused> {
        let mut record = self.clone();
        let mut transitions = Vec::new();
        let no = |why: &str| {
            let what = command.word();
            Err(Refused(format!("cannot {what} the rollout of {}: {why}", self.deployment)))
        };
        match (command, &self.state) {
            (_, State::Reverting { .. } | State::Reverted { .. }) if command != Command::Revert => {
                return no("it goes back already; change the documents to try again");
            }
            (Command::Revert, State::Reverting { .. } | State::Reverted { .. })
            | (Command::Abort, State::Halted { reason: HaltReason::Aborted { .. }, .. }) => {}
            (_, State::Complete { .. }) => return no("it is complete; to go back, revert the commit"),
            (Command::Pause, State::Halted { .. }) => return no("it has stopped already"),
            (Command::Pause, _) => {
                if record.paused.is_none() {
                    let until = now.saturating_add(secs(PAUSE_SECS)).unwrap_or(Timestamp::MAX);
                    record.paused = Some(Paused { since: now, until, by: by.to_owned() });
                    record.note(format!("paused by {by}"), now, &mut transitions);
                }
            }
            (Command::Resume, State::Halted { reason: HaltReason::Aborted { .. }, .. }) => {
                return no("it was aborted; revert it, or change the documents to try again");
            }
            (Command::Resume, State::Halted { wave, reason, .. }) => {
                if matches!(reason, HaltReason::NotApproved { .. }) {
                    record.approved = record.approved.max(*wave + 1);
                }
                record.paused = None;
                record.forgive(now);
                record.note(
                    format!("resumed by {by}; devices that failed are tried once more"),
                    now,
                    &mut transitions,
                );
                // Also with a wave before it that has one of them.
                let waits = |wave: &WaveRecord| wave.count(|progress| *progress == Progress::Waiting) > 0;
                let first = record.waves.iter().position(waits).unwrap_or(*wave);
                let state = State::Rolling { wave: first.min(*wave), since: now };
                enter(&mut record, state, now, &mut transitions);
            }
            (Command::Resume, _) => {
                if record.paused.take().is_none() {
                    return no("it is not paused");
                }
                record.note(format!("resumed by {by}"), now, &mut transitions);
            }
            (Command::Approve, State::Waiting { wave, reason: WaitReason::Approval, .. }) => {
                record.approved = record.approved.max(*wave + 1);
                let name = record.wave_name(*wave).to_owned();
                record.note(format!("wave {name} approved by {by}"), now, &mut transitions);
            }
            (Command::Approve, _) if spec.approve != Approve::EachWave => {
                return no("its documents ask for no approval (`approve: each-wave`)");
            }
            (Command::Approve, _) => return no("no wave waits for approval now"),
            (Command::Abort, _) => {
                let state = State::Halted {
                    wave: self.wave(),
                    at: now,
                    reason: HaltReason::Aborted { by: by.to_owned() },
                };
                record.paused = None;
                enter(&mut record, state, now, &mut transitions);
            }
            (Command::Revert, _) => {
                if self.base.is_none() {
                    return no("no revision was complete before it, so there is nothing to go back to");
                }
                let state = record.reverting(HaltReason::TakenBack { by: by.to_owned() }, spec, now);
                record.paused = None;
                enter(&mut record, state, now, &mut transitions);
            }
        }
        Ok((record, transitions))
    }

    /// The state of going back, with the devices that took the change.
    pub(super) fn reverting(&self, reason: HaltReason, spec: &RolloutSpec, now: Timestamp) -> State {
        let took = self.devices().filter(|(id, _)| self.brings(id.as_str()));
        let back = took
            .map(|(id, _)| (id.clone(), false))
            .chain(self.unsettled.iter().map(|id| (id.clone(), false)));
        let until = now.saturating_add(secs(spec.deadline_secs)).unwrap_or(Timestamp::MAX);
        State::Reverting { since: now, until, reason, back: back.collect() }
    }

    /// Says something that is no change of phase.
    fn note(&mut self, what: String, now: Timestamp, transitions: &mut Vec<Transition>) {
        self.tell(now, what.clone());
        let word = self.state.word();
        transitions.push(Transition {
            deployment: self.deployment.clone(),
            revision: self.revision.clone(),
            from: word,
            to: word,
            what,
        });
    }

    /// Devices that failed get their time once more, and so does the wave.
    fn forgive(&mut self, now: Timestamp) {
        for wave in &mut self.waves {
            for progress in wave.devices.values_mut() {
                if let Progress::Failed(failure) = progress {
                    *progress = match failure.since {
                        Some(_) => Progress::Given(Given {
                            since: now,
                            healthy: None,
                            restarts: None,
                            restarts_when_healthy: 0,
                        }),
                        None => Progress::Waiting,
                    };
                }
            }
            if wave.begun.is_some() && wave.count(|progress| matches!(progress, Progress::Waiting)) > 0 {
                wave.begun = Some(now);
            }
        }
    }
}
