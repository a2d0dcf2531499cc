//! Who gets the change now: the only place that gives it. A wave's budgets are fixed here when it begins.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{document::Offline, id::DeviceId, valid::RolloutSpec};
use jiff::Timestamp;

use super::{
    advance::{DeviceSight, secs},
    record::{Failure, Given, Progress, RolloutRecord, WaveRecord},
    story::span,
};

/// Fixes the budgets of a wave, once.
pub(super) fn begin(record: &mut RolloutRecord, at: usize, spec: &RolloutSpec, now: Timestamp) {
    let Some(wave) = record.waves.get_mut(at).filter(|wave| wave.begun.is_none()) else { return };
    wave.begun = Some(now);
    wave.max_unavailable = spec.max_unavailable.of(wave.devices.len());
    wave.max_failures = spec.max_failures.of(wave.devices.len());
}

/// Devices of earlier waves, and those that came late, get the change when they are there.
pub(super) fn catch_up(
    record: &mut RolloutRecord,
    at: usize,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) {
    let begun = record.waves.iter_mut().take(at.saturating_add(1)).filter(|wave| wave.begun.is_some());
    for wave in begun {
        if wave.count(|progress| *progress == Progress::Skipped || progress.never_could()) > 0 {
            give(wave, &mut record.unsettled, spec, sight, now);
        }
    }
}

/// Gives the change to as many devices of a wave as its budget allows: first to those that have another unproven one.
pub(super) fn give(
    wave: &mut WaveRecord,
    unsettled: &mut BTreeSet<DeviceId>,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) {
    let late = is_late(wave, spec, now);
    let counts = |id: &DeviceId, progress: &Progress| {
        let away = sight.get(id).is_some_and(|seen| seen.enabled && !seen.connected);
        match progress {
            Progress::Given(_) => true,
            // Nobody waits for ever for one that does not come back.
            Progress::Waiting | Progress::Skipped if away && late => false,
            Progress::Waiting => unsettled.contains(id) || (away && spec.offline == Offline::Count),
            Progress::Skipped => unsettled.contains(id),
            Progress::Done | Progress::Failed(_) => false,
        }
    };
    let busy = wave.devices.iter().filter(|(id, progress)| counts(id, progress)).count();
    let mut room = wave.max_unavailable.saturating_sub(busy);
    for first in [true, false] {
        for (id, progress) in &mut wave.devices {
            let doubtful = unsettled.contains(id);
            let Some(seen) = sight.get(id) else { continue };
            let there = seen.connected || !seen.enabled;
            let waits = matches!(progress, Progress::Waiting | Progress::Skipped) || progress.never_could();
            if doubtful != first || !there || !waits {
                continue;
            }
            // One that is in doubt is unavailable already.
            if !doubtful && room == 0 {
                continue;
            }
            if !seen.enabled {
                // It cannot run anything, so there is nothing to wait for and no budget to use.
                *progress = Progress::Done;
                continue;
            }
            room -= usize::from(!doubtful);
            *progress = Progress::Given(Given {
                since: now,
                healthy: None,
                restarts: None,
                restarts_when_healthy: 0,
            });
        }
        if first {
            unsettled.retain(|id| {
                wave.devices.get(id).is_none_or(|p| matches!(p, Progress::Waiting | Progress::Skipped))
            });
        }
    }
}

/// Devices that the wave waits for and that do not come.
pub(super) fn absent(
    wave: &mut WaveRecord,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) {
    if spec.offline == Offline::Skip || !is_late(wave, spec, now) {
        return;
    }
    for (id, progress) in &mut wave.devices {
        let away = sight.get(id).is_some_and(|seen| seen.enabled && !seen.connected);
        if away && *progress == Progress::Waiting {
            let what = format!("was not connected for {}", span(spec.deadline_secs));
            let failure =
                Failure { at: now, since: None, module: None, what, exit_code: None, restarts: None };
            *progress = Progress::Failed(failure);
        }
    }
}

/// Has the wave been on for as long as a device has?
fn is_late(wave: &WaveRecord, spec: &RolloutSpec, now: Timestamp) -> bool {
    let until = wave.begun.and_then(|begun| begun.saturating_add(secs(spec.deadline_secs)).ok());
    until.is_some_and(|until| now >= until)
}
