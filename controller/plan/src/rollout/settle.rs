//! Single devices: who is done, who failed, who came late, who is gone. The only place that decides about one device.

use std::collections::BTreeMap;

use hemline_model::{document::Approve, id::DeviceId, valid::RolloutSpec};
use jiff::{SignedDuration, Timestamp};

use super::{
    advance::{DeviceSight, secs},
    health::{Ailment, Health},
    record::{Failure, Given, Progress, RolloutRecord, sentence},
    story::span,
};

/// Brings the devices of the record up to what is seen. Never gives anything.
pub(super) fn settle(
    record: &mut RolloutRecord,
    spec: &RolloutSpec,
    sight: &BTreeMap<DeviceId, DeviceSight>,
    now: Timestamp,
) {
    for wave in &mut record.waves {
        // What failed stays as evidence, also when it was taken away to be looked at.
        wave.devices.retain(|id, progress| sight.contains_key(id) || matches!(progress, Progress::Failed(_)));
        for (id, progress) in &mut wave.devices {
            let Some(seen) = sight.get(id) else { continue };
            if let Progress::Given(given) = progress
                && let Some(next) = judge(given, seen, spec, now)
            {
                *progress = next;
            }
        }
    }
    record.unsettled.retain(|id| sight.contains_key(id));
    join(record, spec, sight);
}

/// Devices that the rollout leads and that no wave has: they came after it began. One whose wave has not begun, nor any
/// after it, waits in it, also when the rollout went past it because it was empty; any other belongs to the last wave and nobody waits for it,
/// unless a person has still to agree to that wave.
fn join(record: &mut RolloutRecord, spec: &RolloutSpec, sight: &BTreeMap<DeviceId, DeviceSight>) {
    let late: Vec<&DeviceId> = sight.keys().filter(|id| record.progress(id.as_str()).is_none()).collect();
    if late.is_empty() || record.waves.is_empty() {
        return;
    }
    for id in late {
        let seen = sight.get(id).map(|seen| seen.picked_by);
        let own = seen.flatten().filter(|place| *place < record.waves.len());
        let open = |place: &usize| record.waves.iter().skip(*place).all(|wave| wave.begun.is_none());
        let place = own.filter(open).unwrap_or(record.waves.len() - 1);
        let agreed = spec.approve != Approve::EachWave || record.approved > place;
        if let Some(wave) = record.waves.get_mut(place) {
            let on = wave.begun.is_some() && agreed;
            let progress = if on { Progress::Skipped } else { Progress::Waiting };
            wave.devices.insert(id.clone(), progress);
        }
    }
}

/// What becomes of a device that has the change; `None` when that is not clear yet.
fn judge(given: &mut Given, seen: &DeviceSight, spec: &RolloutSpec, now: Timestamp) -> Option<Progress> {
    // It runs nothing that could be judged.
    if !seen.enabled {
        return Some(Progress::Done);
    }
    if given.restarts.is_none() && seen.holds_new {
        given.restarts = Some(seen.restarts.clone());
    }
    let deadline = given.since.saturating_add(secs(spec.deadline_secs)).unwrap_or(Timestamp::MAX);
    let failed = |ailment: Ailment| {
        let Ailment { module, what, exit_code, restarts } = ailment;
        Progress::Failed(Failure {
            at: now,
            since: Some(given.since),
            module,
            what: with_restarts(&what, restarts, now.duration_since(given.since)),
            exit_code,
            restarts,
        })
    };
    match &seen.health {
        Health::Failed(ailment) if seen.holds_new => return Some(failed(ailment.clone())),
        Health::Healthy if seen.holds_new && seen.connected => {
            let restarts: u64 = seen.restarts.values().sum();
            if given.healthy.is_none() || restarts > given.restarts_when_healthy {
                given.healthy = Some(now);
                given.restarts_when_healthy = restarts;
            }
            let since = given.healthy.unwrap_or(now);
            if now.duration_since(since) >= secs(spec.healthy_for_secs) {
                return Some(Progress::Done);
            }
        }
        Health::Healthy | Health::Ailing(_) | Health::Failed(_) | Health::Unseen => given.healthy = None,
    }
    if now < deadline {
        return None;
    }
    let within = span(spec.deadline_secs);
    let late = match &seen.health {
        _ if !seen.connected => {
            Ailment::of_device(format!("is not connected, {within} after it could take the change"))
        }
        _ if !seen.holds_new => Ailment::of_device(format!("could not be given the change within {within}")),
        Health::Ailing(ailment) | Health::Failed(ailment) => {
            Ailment { what: format!("{} after {within}", ailment.what), ..ailment.clone() }
        }
        Health::Healthy => {
            Ailment::of_device(format!("was not healthy for {} within {within}", span(spec.healthy_for_secs)))
        }
        Health::Unseen => Ailment::of_device(format!("was not seen healthy within {within}")),
    };
    Some(failed(late))
}

fn with_restarts(what: &str, restarts: Option<u64>, after: SignedDuration) -> String {
    let after = span(u64::try_from(after.as_secs()).unwrap_or_default());
    match restarts {
        Some(restarts) if restarts > 0 => {
            let plural = if restarts == 1 { "" } else { "s" };
            sentence(&format!("{what} ({restarts} restart{plural} in {after})"))
        }
        Some(_) | None => sentence(what),
    }
}
