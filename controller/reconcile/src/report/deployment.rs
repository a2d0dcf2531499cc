//! The status of a deployment: its devices, added up.

use std::collections::BTreeMap;

use hemline_model::{
    id::{DeviceId, DocumentName},
    status::{DeploymentStatus, DeviceStatus},
};

use hemline_plan::rollout::{RolloutRecord, State as Phase};
use hemline_sources::Phase as Stands;

use super::{
    condition::{State, Verdict, holds, message},
    device::{Devices, Scene},
};

/// Failing devices that are named.
const NAMED_AT_MOST: usize = 10;

/// What a rollout that is not complete makes of a deployment.
fn rollout_verdict(record: &RolloutRecord) -> Option<Verdict> {
    let (state, reason) = match &record.state {
        Phase::Pending { .. } | Phase::Rolling { .. } | Phase::Verifying { .. } => {
            (State::Progressing, "RollingOut")
        }
        Phase::Waiting { .. } => (State::Progressing, "RolloutWaiting"),
        Phase::Halted { .. } => (State::Stalled, "RolloutHalted"),
        Phase::Reverting { .. } => (State::Degraded, "RolloutReverting"),
        Phase::Reverted { .. } => (State::Stalled, "RolloutReverted"),
        Phase::Complete { .. } => return None,
    };
    let state = if record.paused.is_some() && state == State::Progressing { State::Stalled } else { state };
    Some(Verdict::new(state, reason, format!("revision {} {}", record.revision.short(), record.says())))
}

/// Where a deployment stands, in the words of commit statuses.
fn phase(record: Option<&RolloutRecord>, applied: usize, ready: usize, failing: usize) -> Stands {
    match record.map(|record| (record, &record.state)) {
        Some((_, Phase::Halted { .. } | Phase::Reverting { .. })) => Stands::Halted,
        Some((_, Phase::Reverted { .. })) => Stands::Reverted,
        Some((
            record,
            Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Rolling { .. } | Phase::Verifying { .. },
        )) => match record.counts() {
            counts if counts.took == 0 => Stands::Pending,
            counts => Stands::Rolling { done: counts.done as u64, all: counts.devices as u64 },
        },
        Some((_, Phase::Complete { .. })) | None if failing > 0 => Stands::Degraded,
        Some((_, Phase::Complete { .. })) | None if ready < applied => {
            Stands::Rolling { done: ready as u64, all: applied as u64 }
        }
        Some((_, Phase::Complete { .. })) | None => Stands::Healthy,
    }
}

/// The devices of one deployment, added up.
#[derive(Default)]
struct Sum<'a> {
    applied: usize,
    ready: usize,
    failing: Vec<(&'a DeviceId, &'a DeviceStatus)>,
}

/// By deployment that a device has.
fn sums(devices: &Devices) -> BTreeMap<&DocumentName, Sum<'_>> {
    let mut sums: BTreeMap<&DocumentName, Sum<'_>> = BTreeMap::new();
    for (id, device) in devices {
        let (ready, failing) = (holds(&device.conditions, "Ready"), holds(&device.conditions, "Degraded"));
        for name in device.base.iter().chain(&device.layers) {
            let sum = sums.entry(name).or_default();
            sum.applied += 1;
            sum.ready += usize::from(ready);
            sum.failing.extend(failing.then_some((id, device.as_ref())));
        }
    }
    sums
}

/// Statuses of all deployments of the revision.
pub(super) fn statuses(
    scene: &Scene<'_>,
    devices: &Devices,
    before: &BTreeMap<DocumentName, DeploymentStatus>,
) -> BTreeMap<DocumentName, DeploymentStatus> {
    let mut sums = sums(devices);
    let mut statuses = BTreeMap::new();
    for (name, targeted) in &scene.resolution.targeted {
        let Sum { applied, ready, failing } = sums.remove(name).unwrap_or_default();
        let record = scene.ledger.rollouts.get(name);
        let verdict = if let Some(verdict) = record.and_then(rollout_verdict) {
            verdict
        } else if targeted.is_empty() {
            Verdict::new(State::Ready, "NoDevices", "its condition selects no device")
        } else if let Some((id, device)) = failing.first() {
            let text =
                format!("{} of {applied} devices fail; {id}: {}", failing.len(), message(&device.conditions));
            Verdict::new(State::Degraded, "DevicesFailing", text)
        } else if ready < applied {
            let text = format!("{ready} of {applied} devices are ready");
            Verdict::new(State::Progressing, "DevicesApplying", text)
        } else {
            Verdict::new(State::Ready, "DevicesReady", format!("{ready} of {ready} devices are ready"))
        };
        let conditions_before =
            before.get(name).map(|before| before.conditions.as_slice()).unwrap_or_default();
        let status = DeploymentStatus {
            revision: scene.revision.map(str::to_owned),
            phase: phase(record, applied, ready, failing.len()).to_string(),
            targeted: targeted.len() as u64,
            applied: applied as u64,
            ready: ready as u64,
            failing: failing.len() as u64,
            failing_devices: failing.iter().take(NAMED_AT_MOST).map(|(id, _)| id.to_string()).collect(),
            conditions: verdict.conditions(conditions_before, scene.at),
        };
        statuses.insert(name.clone(), status);
    }
    statuses
}
