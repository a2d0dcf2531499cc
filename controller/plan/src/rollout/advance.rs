//! `advance(record, sight, now) → record`: one rollout, as far as it goes with what is seen.
//!
//! It says which devices may have the change by their progress, and each step of the way as a [`Transition`]. It runs until
//! nothing changes any more, so that the same sight at the same time changes nothing twice.

use std::collections::BTreeMap;

use hemline_model::{
    document::{Approve, Offline, OnFailure},
    id::{DeviceId, DocumentName, ModuleId, Revision},
    valid::RolloutSpec,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    clock::put_back,
    give::{absent, begin, catch_up, give},
    health::Health,
    record::{Progress, RolloutRecord, WaveRecord},
    settle::settle,
    state::{HaltReason, State, WaitReason},
};

/// Nobody agrees for this long: the rollout halts.
pub(super) const APPROVAL_SECS: u64 = 7 * 24 * 3600;
/// Somebody pauses for this long: the rollout halts.
pub(super) const PAUSE_SECS: u64 = 30 * 24 * 3600;

/// One device as it is now. Health and what the hub holds matter only for those that have the change or give it back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSight {
    /// May it connect?
    pub enabled: bool,
    /// Is it connected?
    pub connected: bool,
    /// Has its agent ever said anything? One that never did runs nothing yet.
    pub known: bool,
    /// The hub holds the new configuration for it.
    pub holds_new: bool,
    /// The hub holds for it what was complete before.
    pub holds_old: bool,
    /// How it does with what the hub holds.
    pub health: Health,
    /// Restarts of modules that had some.
    pub restarts: BTreeMap<ModuleId, u64>,
    /// The first wave whose selector takes it.
    pub picked_by: Option<usize>,
}

/// One step of a rollout, for logs, metrics and events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Of which deployment.
    pub deployment: DocumentName,
    /// Which revision it brings.
    pub revision: Revision,
    /// From which phase.
    pub from: &'static str,
    /// To which.
    pub to: &'static str,
    /// In words.
    pub what: String,
}

/// So many seconds.
pub(super) fn secs(secs: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX))
}

impl RolloutRecord {
    /// As far as it goes now.
    #[must_use]
    pub fn advance(
        &self,
        spec: &RolloutSpec,
        sight: &BTreeMap<DeviceId, DeviceSight>,
        now: Timestamp,
    ) -> (Self, Vec<Transition>) {
        let mut record = self.clone();
        let mut transitions = Vec::new();
        put_back(&mut record, spec, now);
        if record.state.goes_back() {
            take_back(&mut record, sight, now, &mut transitions);
            return (record, transitions);
        }
        if matches!(record.state, State::Complete { .. }) {
            return (record, transitions);
        }
        settle(&mut record, spec, sight, now);
        // Each round enters a phase; there are three per wave, and the ends.
        for _ in 0..record.waves.len() * 3 + 4 {
            let Some(state) = next(&mut record, spec, sight, now) else { break };
            enter(&mut record, state, now, &mut transitions);
        }
        (record, transitions)
    }

    /// When something happens by itself at the latest; `None` when nothing will.
    #[must_use]
    pub fn wakes(&self, spec: &RolloutSpec, now: Timestamp) -> Option<Timestamp> {
        let after = |at: Timestamp, seconds: u64| at.saturating_add(secs(seconds)).ok();
        let mut times = Vec::new();
        for (_, progress) in self.devices() {
            if let Progress::Given(given) = progress {
                times.extend(after(given.since, spec.deadline_secs));
                times.extend(given.healthy.and_then(|healthy| after(healthy, spec.healthy_for_secs)));
            }
        }
        times.extend(self.paused.as_ref().map(|paused| paused.until));
        match &self.state {
            State::Pending { .. } => times.push(now),
            State::Waiting { until, .. } => times.extend(*until),
            State::Rolling { wave, .. } | State::Verifying { wave, .. } => {
                times.extend(self.waves.get(*wave).and_then(|wave| after(wave.begun?, spec.deadline_secs)));
                // Those in doubt that are away take up room for so long.
                let begun = self.waves.iter().filter(|_| !self.unsettled.is_empty());
                times.extend(begun.filter_map(|wave| after(wave.begun?, spec.deadline_secs)));
            }
            State::Reverting { until, .. } => times.push(*until),
            State::Complete { .. } | State::Halted { .. } | State::Reverted { .. } => {}
        }
        times.into_iter().filter(|at| *at > now).min()
    }
}

/// Changes the state and says so. The same state again only keeps its time.
pub(super) fn enter(
    record: &mut RolloutRecord,
    state: State,
    now: Timestamp,
    transitions: &mut Vec<Transition>,
) {
    let from = record.state.word();
    record.state = state;
    let what = record.says();
    record.tell(now, what.clone());
    transitions.push(Transition {
        deployment: record.deployment.clone(),
        revision: record.revision.clone(),
        from,
        to: record.state.word(),
        what,
    });
}

/// The next state; `None` when it stays. Gives the change to devices on the way.
fn next(
    record: &mut RolloutRecord,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) -> Option<State> {
    if record.state.is_over() || record.state.goes_back() {
        return None;
    }
    // Back to a wave that it went past while nobody was in it, or whose failed devices were forgiven.
    let waits = |wave: &WaveRecord| wave.count(|progress| matches!(progress, Progress::Waiting)) > 0;
    let at = record.wave();
    let at = record.waves.iter().position(waits).map_or(at, |first| first.min(at));
    if let Some((wave, failed, limit)) = over_budget(record) {
        return Some(stop(record, spec, wave, HaltReason::Failures { failed, limit }, now));
    }
    if let Some(paused) = &record.paused {
        let waited_secs = PAUSE_SECS;
        return (now >= paused.until).then_some(State::Halted {
            wave: at,
            at: now,
            reason: HaltReason::PausedTooLong { waited_secs },
        });
    }
    let open = spec.window.as_ref().is_none_or(|window| window.is_open(now));
    if open {
        catch_up(record, at, spec, sight, now);
    }
    let mut at = at;
    while let Some(wave) = record.waves.get(at) {
        if !is_through(wave, spec, sight) {
            let state = in_wave(record, at, open, spec, sight, now);
            return state.filter(|state| !state.is_like(&record.state));
        }
        match untried(record, at, spec, sight, now) {
            Tried::Waits => {
                let state = State::Rolling { wave: at, since: now };
                return Some(state).filter(|state| !state.is_like(&record.state));
            }
            Tried::Never => {
                let reason = HaltReason::NobodyThere { waited_secs: spec.deadline_secs };
                return Some(State::Halted { wave: at, at: now, reason });
            }
            Tried::Enough => {}
        }
        if let Some((wave, failed, limit)) = leave(record, at, spec, now) {
            return Some(stop(record, spec, wave, HaltReason::Failures { failed, limit }, now));
        }
        at += 1;
    }
    finish(record, open, spec, sight, now)
}

/// A wave that has devices to wait for: may it begin or go on, and who gets the change?
fn in_wave(
    record: &mut RolloutRecord,
    at: usize,
    open: bool,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) -> Option<State> {
    let gives = record.waves.get(at)?.count(|progress| matches!(progress, Progress::Waiting)) > 0;
    if gives && spec.approve == Approve::EachWave && record.approved <= at {
        return wait_for_approval(record, at, now);
    }
    if gives && !open {
        let until = spec.window.as_ref().and_then(|window| window.next_change(now));
        return Some(State::Waiting { wave: at, since: now, until, reason: WaitReason::Window });
    }
    begin(record, at, spec, now);
    // Failures that it takes over from the commit before count from the first moment.
    if let Some((wave, failed, limit)) = over_budget(record) {
        return Some(stop(record, spec, wave, HaltReason::Failures { failed, limit }, now));
    }
    let wave = record.waves.get_mut(at)?;
    give(wave, &mut record.unsettled, spec, sight, now);
    absent(wave, spec, sight, now);
    let left = wave.count(|progress| matches!(progress, Progress::Waiting));
    if let Some((wave, failed, limit)) = over_budget(record) {
        return Some(stop(record, spec, wave, HaltReason::Failures { failed, limit }, now));
    }
    Some(if left > 0 {
        State::Rolling { wave: at, since: now }
    } else {
        State::Verifying { wave: at, since: now }
    })
}

/// The first wave with as many failures as it may not have, the number, and the limit.
fn over_budget(record: &RolloutRecord) -> Option<(usize, usize, usize)> {
    record.waves.iter().enumerate().find_map(|(place, wave)| {
        let failed = wave.failed();
        (wave.begun.is_some() && failed >= wave.max_failures).then_some((place, failed, wave.max_failures))
    })
}

/// What happens after too many failures.
fn stop(
    record: &RolloutRecord,
    spec: &RolloutSpec,
    wave: usize,
    reason: HaltReason,
    now: Timestamp,
) -> State {
    match spec.on_failure {
        OnFailure::Revert if record.base.is_some() => record.reverting(reason, spec, now),
        OnFailure::Revert | OnFailure::Halt => State::Halted { wave, at: now, reason },
    }
}

/// Is nothing left to wait for in this wave?
fn is_through(wave: &WaveRecord, spec: &RolloutSpec, sight: &BTreeMap<DeviceId, DeviceSight>) -> bool {
    let away = |id: &DeviceId| sight.get(id).is_none_or(|seen| seen.enabled && !seen.connected);
    wave.devices.iter().all(|(id, progress)| match progress {
        Progress::Done | Progress::Failed(_) | Progress::Skipped => true,
        Progress::Given(_) => false,
        Progress::Waiting => wave.begun.is_some() && spec.offline == Offline::Skip && away(id),
    })
}

/// Was somebody there to try a wave?
enum Tried {
    /// Yes, or nobody has to.
    Enough,
    /// Not yet.
    Waits,
    /// For too long.
    Never,
}

/// A wave that nobody was there to try proves nothing: where something worked before, the rollout does not go on over it. When
/// there is nothing to go on to, somebody has as long to come, for right after a start of the hub nobody is connected yet;
/// then it is as `offline: skip` says. Devices that never ran anything have nothing to lose.
fn untried(
    record: &RolloutRecord,
    at: usize,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) -> Tried {
    let Some(wave) = record.waves.get(at) else { return Tried::Enough };
    let tried = |wave: &WaveRecord| {
        wave.count(|progress| matches!(progress, Progress::Done | Progress::Failed(_))) > 0
    };
    let untried = wave.count(|progress| matches!(progress, Progress::Waiting)) > 0;
    if tried(wave) || !untried || record.base.is_none() {
        return Tried::Enough;
    }
    let runs = |id: &DeviceId| sight.get(id).is_some_and(|seen| seen.enabled && seen.known);
    let until = wave.begun.unwrap_or(now).saturating_add(secs(spec.deadline_secs)).unwrap_or(Timestamp::MAX);
    let late = now >= until;
    if record.waves.iter().skip(at + 1).any(|wave| wave.devices.keys().any(runs)) {
        return if late { Tried::Never } else { Tried::Waits };
    }
    let last = !late && wave.devices.keys().any(runs) && !record.waves.iter().any(tried);
    if last { Tried::Waits } else { Tried::Enough }
}

/// Nobody waits any more for those that are away. A wave that took all of its devices over from the commit before begins and
/// ends at once: their failures count. An empty one does not begin, so that devices may still join it.
fn leave(
    record: &mut RolloutRecord,
    at: usize,
    spec: &RolloutSpec,
    now: Timestamp,
) -> Option<(usize, usize, usize)> {
    if record.waves.get(at).is_some_and(|wave| !wave.devices.is_empty()) {
        begin(record, at, spec, now);
    }
    let devices = record.waves.get_mut(at).into_iter().flat_map(|wave| wave.devices.values_mut());
    for progress in devices.filter(|progress| **progress == Progress::Waiting) {
        *progress = Progress::Skipped;
    }
    over_budget(record)
}

/// The end, when no device is on its way any more and none is there that could still take the change as the rules say.
fn finish(
    record: &RolloutRecord,
    open: bool,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) -> Option<State> {
    let wave = record.waves.len();
    let there = |id: &DeviceId| sight.get(id).is_some_and(|seen| seen.enabled && seen.connected);
    let could = |(id, progress): (&DeviceId, &Progress)| !progress.has_it() && there(id);
    let state = if !open && record.devices().any(could) {
        let until = spec.window.as_ref().and_then(|window| window.next_change(now));
        State::Waiting { wave, since: now, until, reason: WaitReason::Window }
    } else if record.devices().any(|device| could(device) || matches!(device.1, Progress::Given(_))) {
        State::Verifying { wave, since: now }
    } else {
        return Some(State::Complete { at: now });
    };
    (!state.is_like(&record.state)).then_some(state)
}

fn wait_for_approval(record: &RolloutRecord, wave: usize, now: Timestamp) -> Option<State> {
    match &record.state {
        State::Waiting { wave: same, reason: WaitReason::Approval, until: Some(until), .. }
            if *same == wave =>
        {
            let reason = HaltReason::NotApproved { waited_secs: APPROVAL_SECS };
            (now >= *until).then_some(State::Halted { wave, at: now, reason })
        }
        _ => {
            let until = now.saturating_add(secs(APPROVAL_SECS)).ok();
            Some(State::Waiting { wave, since: now, until, reason: WaitReason::Approval })
        }
    }
}

/// Going back: who has it again, and when that is enough.
fn take_back(
    record: &mut RolloutRecord,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
    transitions: &mut Vec<Transition>,
) {
    let State::Reverting { until, reason, back, .. } = &mut record.state else { return };
    for (id, is_back) in back.iter_mut() {
        *is_back = *is_back
            || sight.get(id).is_none_or(|seen| {
                !seen.enabled || (seen.holds_old && seen.connected && seen.health == Health::Healthy)
            });
    }
    if back.values().all(|is_back| *is_back) || now >= *until {
        let left = back.iter().filter(|(_, is_back)| !**is_back).map(|(id, _)| id.clone()).collect();
        let state = State::Reverted { at: now, reason: reason.clone(), left };
        enter(record, state, now, transitions);
    }
}
