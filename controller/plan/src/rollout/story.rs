//! A rollout in words that a tired person understands.

use std::fmt;

use hemline_model::id::DeviceId;
use serde::Serialize;

use super::{
    ledger::Ledger,
    record::{Failure, Progress, RolloutRecord},
    state::{HaltReason, State, WaitReason},
};

/// Devices of a rollout by how far they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All.
    pub devices: usize,
    /// Healthy with the change.
    pub done: usize,
    /// They have it, and are watched.
    pub given: usize,
    /// They failed.
    pub failed: usize,
    /// They were away, or came late.
    pub skipped: usize,
    /// It is not their turn.
    pub waiting: usize,
    /// They have the change, whatever came of it.
    pub took: usize,
}

/// Seconds for people: `90 s`, `2 min`, `3 h 5 min`, `7 days`.
pub(super) fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        120..7200 => format!("{} min {} s", secs / 60, secs % 60),
        7200..172_800 if secs.is_multiple_of(3600) => format!("{} h", secs / 3600),
        7200..172_800 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} days", secs / 86_400),
    }
}

impl RolloutRecord {
    /// How many devices are how far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (id, progress) in self.devices() {
            counts.devices += 1;
            counts.took += usize::from(self.brings(id.as_str()));
            match progress {
                Progress::Waiting => counts.waiting += 1,
                Progress::Skipped => counts.skipped += 1,
                Progress::Given(_) => counts.given += 1,
                Progress::Done => counts.done += 1,
                Progress::Failed(_) => counts.failed += 1,
            }
        }
        counts
    }

    /// What it is doing, as a sentence without its subject: `halted at canary: camera on press-01 exits 1`.
    #[must_use]
    pub fn says(&self) -> String {
        let counts = self.counts();
        let text = match &self.state {
            State::Pending { .. } => "has not begun".to_owned(),
            State::Waiting { wave, until, reason, .. } => {
                let late = *wave >= self.waves.len();
                let wave = if late { "devices that were away or came late" } else { self.wave_name(*wave) };
                let until = until.map(|until| until.strftime("%F %H:%M UTC").to_string()).unwrap_or_default();
                match reason {
                    WaitReason::Window => format!("waits with {wave} for its window, which opens {until}"),
                    WaitReason::Approval => format!("waits for approval of {wave}, until {until}"),
                }
            }
            State::Rolling { wave, .. } => format!("rolls out to {}", self.progress_of(*wave)),
            State::Verifying { wave, .. } if *wave >= self.waves.len() => {
                format!("watches the last {} that came late", devices(counts.given))
            }
            State::Verifying { wave, .. } => format!("watches {}", self.progress_of(*wave)),
            State::Complete { .. } => {
                let mut text = format!("complete on {}", devices(counts.done + counts.given));
                if counts.failed > 0 {
                    text.push_str(&format!("; {} failed", devices(counts.failed)));
                }
                if counts.skipped > 0 {
                    let back =
                        if counts.skipped == 1 { "gets it when it is" } else { "get it when they are" };
                    text.push_str(&format!("; {} {back} back", devices(counts.skipped)));
                }
                text
            }
            State::Halted { wave, .. } => format!("halted at {}: {}", self.wave_name(*wave), self.why()),
            State::Reverting { back, .. } => {
                let there = back.values().filter(|is_back| **is_back).count();
                format!("goes back: {}; {there} of {} are back", self.why(), devices(back.len()))
            }
            State::Reverted { left, .. } => {
                let mut text = format!("reverted: {}", self.why());
                if !left.is_empty() {
                    text.push_str(&format!("; {} not back yet", devices(left.len())));
                }
                text
            }
        };
        match &self.paused {
            Some(paused) if !self.state.is_over() => format!("paused by {}; {text}", paused.by),
            Some(_) | None => text,
        }
    }

    /// The reason of its state, in words; empty when it needs none.
    #[must_use]
    pub fn why(&self) -> String {
        let reason = match &self.state {
            State::Halted { reason, .. }
            | State::Reverting { reason, .. }
            | State::Reverted { reason, .. } => reason,
            State::Pending { .. }
            | State::Waiting { .. }
            | State::Rolling { .. }
            | State::Verifying { .. }
            | State::Complete { .. } => return String::new(),
        };
        match reason {
            HaltReason::Failures { failed, .. } => match self.first_failure() {
                Some((id, failure)) if *failed > 1 => {
                    format!("{} fail; {}", devices(*failed), failure.says(id))
                }
                Some((id, failure)) => failure.says(id),
                None => format!("{} fail", devices(*failed)),
            },
            HaltReason::NobodyThere { waited_secs } => {
                format!("no device of it was connected for {}, so nothing was tried", span(*waited_secs))
            }
            HaltReason::NotApproved { waited_secs } => {
                format!("nobody approved it for {}", span(*waited_secs))
            }
            HaltReason::PausedTooLong { waited_secs } => format!("it was paused for {}", span(*waited_secs)),
            HaltReason::Aborted { by } => format!("aborted by {by}"),
            HaltReason::TakenBack { by } => format!("taken back by {by}"),
            HaltReason::With { deployment } => format!("the rollout of {deployment} takes the commit back"),
        }
    }

    fn first_failure(&self) -> Option<(&DeviceId, &Failure)> {
        let failures = self.devices().filter_map(|(id, progress)| match progress {
            Progress::Failed(failure) => Some((id, failure)),
            Progress::Waiting | Progress::Skipped | Progress::Given(_) | Progress::Done => None,
        });
        failures.min_by_key(|(_, failure)| failure.at)
    }

    /// `canary: 1 of 3 devices done, 1 on its way`.
    fn progress_of(&self, wave: usize) -> String {
        let Some(wave) = self.waves.get(wave) else { return "the end".to_owned() };
        let done = wave.count(|progress| matches!(progress, Progress::Done));
        let given = wave.count(|progress| matches!(progress, Progress::Given(_)));
        let failed = wave.failed();
        let mut text = format!("{}: {done} of {} done", wave.name, devices(wave.devices.len()));
        if given > 0 {
            text.push_str(&format!(", {given} on the way"));
        }
        if failed > 0 {
            text.push_str(&format!(", {failed} failed"));
        }
        text
    }
}

impl Failure {
    /// `camera on press-01 exits 1 (5 restarts in 2 min)`.
    #[must_use]
    pub fn says(&self, device: &DeviceId) -> String {
        match &self.module {
            Some(module) => format!("{module} on {device} {}", self.what),
            None => format!("{device} {}", self.what),
        }
    }
}

impl Ledger {
    /// The rollout that says most about the state of the fleet, in one line; `None` when there is nothing to say.
    #[must_use]
    pub fn headline(&self) -> Option<String> {
        let weight = |record: &&RolloutRecord| match &record.state {
            State::Reverting { .. } => 0,
            State::Halted { .. } => 1,
            State::Reverted { .. } => 2,
            State::Waiting { .. } => 3,
            State::Rolling { .. } | State::Verifying { .. } | State::Pending { .. } => 4,
            State::Complete { .. } => 5,
        };
        let record = self.rollouts.values().min_by_key(weight)?;
        if matches!(record.state, State::Complete { .. }) {
            return None;
        }
        let counts = record.counts();
        let mut text = format!("revision {} {}", record.revision.short(), record.says());
        if let Some(base) = &record.base {
            let (have, what) = match &record.state {
                State::Reverting { .. } | State::Reverted { .. } => (counts.devices, "should run"),
                _ => (counts.devices - counts.took, "run"),
            };
            text.push_str(&format!("; {have} of {} {what} {}", devices(counts.devices), base.short()));
        }
        Some(text)
    }
}

impl fmt::Display for RolloutRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: revision {} {}", self.deployment, self.revision.short(), self.says())?;
        for line in &self.story {
            writeln!(f, "  {}  {}", line.at.strftime("%F %T"), line.what)?;
        }
        Ok(())
    }
}

pub(super) fn devices(count: usize) -> String {
    format!("{count} device{}", if count == 1 { "" } else { "s" })
}
