//! Clocks that are set. One that is set while somebody watches moves what is under way along ([`Ledger::shifted`]). What is found
//! after a restart is taken for what it says, but for one thing ([`put_back`]): what lies ahead of now has not begun yet by this
//! clock, so it counts from now; else a device would be waited for until the clock is there again, which may be years.

use jiff::{SignedDuration, Timestamp};

use super::{
    advance::{APPROVAL_SECS, PAUSE_SECS, secs},
    ledger::Ledger,
    record::{Progress, RolloutRecord},
    state::{State, WaitReason},
};
use hemline_model::valid::RolloutSpec;

/// Leaves nothing in the record that began later than now, and no deadline further away than it may be.
pub(super) fn put_back(record: &mut RolloutRecord, spec: &RolloutSpec, now: Timestamp) {
    let from_now = |seconds: u64| now.saturating_add(secs(seconds)).unwrap_or(Timestamp::MAX);
    for wave in &mut record.waves {
        wave.begun = wave.begun.map(|begun| begun.min(now));
        for progress in wave.devices.values_mut() {
            if let Progress::Given(given) = progress {
                given.since = given.since.min(now);
                given.healthy = given.healthy.map(|healthy| healthy.min(now));
            }
        }
    }
    if let Some(paused) = &mut record.paused {
        paused.until = paused.until.min(from_now(PAUSE_SECS));
    }
    match &mut record.state {
        State::Reverting { until, .. } => *until = (*until).min(from_now(spec.deadline_secs)),
        State::Waiting { until, reason: WaitReason::Approval, .. } => {
            *until = until.map(|until| until.min(from_now(APPROVAL_SECS)));
        }
        // A window is a time of day: when it opens depends on what the clock says now.
        State::Waiting { until, reason: WaitReason::Window, .. } => {
            *until = spec.window.as_ref().and_then(|window| window.next_change(now));
        }
        State::Pending { .. }
        | State::Rolling { .. }
        | State::Verifying { .. }
        | State::Complete { .. }
        | State::Halted { .. }
        | State::Reverted { .. } => {}
    }
}

impl Ledger {
    /// The same after the clock was set forward by so much, or back: everybody has as long as before.
    #[must_use]
    pub fn shifted(&self, by: SignedDuration) -> Self {
        let mut ledger = self.clone();
        for record in ledger.rollouts.values_mut().filter(|record| !record.state.is_over()) {
            shift(record, by);
        }
        ledger
    }
}

fn shift(record: &mut RolloutRecord, by: SignedDuration) {
    let moved = |at: Timestamp| {
        let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        at.checked_add(by).unwrap_or(end)
    };
    for wave in &mut record.waves {
        wave.begun = wave.begun.map(moved);
        for progress in wave.devices.values_mut() {
            if let Progress::Given(given) = progress {
                given.since = moved(given.since);
                given.healthy = given.healthy.map(moved);
            }
        }
    }
    if let Some(paused) = &mut record.paused {
        (paused.since, paused.until) = (moved(paused.since), moved(paused.until));
    }
    match &mut record.state {
        State::Reverting { since, until, .. } => (*since, *until) = (moved(*since), moved(*until)),
        State::Waiting { since, until, reason: WaitReason::Approval, .. } => {
            (*since, *until) = (moved(*since), until.map(moved));
        }
        // When it opens is looked up again with every turn.
        State::Waiting { since, reason: WaitReason::Window, .. }
        | State::Pending { since }
        | State::Rolling { since, .. }
        | State::Verifying { since, .. } => *since = moved(*since),
        State::Complete { .. } | State::Halted { .. } | State::Reverted { .. } => {}
    }
}
