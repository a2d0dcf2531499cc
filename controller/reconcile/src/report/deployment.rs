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
    device::Scene,
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

/// Statuses of all deployments of the revision.
pub(super) fn statuses(
    scene: &Scene<'_>,
    devices: &BTreeMap<DeviceId, DeviceStatus>,
    before: &BTreeMap<DocumentName, DeploymentStatus>,
) -> BTreeMap<DocumentName, DeploymentStatus> {
    let mut statuses = BTreeMap::new();
    for (name, targeted) in &scene.resolution.targeted {
        let applied: Vec<(&DeviceId, &DeviceStatus)> = devices
            .iter()
            .filter(|(_, device)| device.base.as_ref() == Some(name) || device.layers.contains(name))
            .collect();
        let count = |kind: &str| applied.iter().filter(|(_, device)| holds(&device.conditions, kind)).count();
        let (ready, failing) = (count("Ready"), count("Degraded"));
        let failing_devices: Vec<&(&DeviceId, &DeviceStatus)> =
            applied.iter().filter(|(_, device)| holds(&device.conditions, "Degraded")).collect();
        let record = scene.ledger.rollouts.get(name);
        let verdict = if let Some(verdict) = record.and_then(rollout_verdict) {
            verdict
        } else if targeted.is_empty() {
            Verdict::new(State::Ready, "NoDevices", "its condition selects no device")
        } else if let Some((id, device)) = failing_devices.first() {
            let text =
                format!("{failing} of {} devices fail; {id}: {}", applied.len(), message(&device.conditions));
            Verdict::new(State::Degraded, "DevicesFailing", text)
        } else if ready < applied.len() {
            let text = format!("{ready} of {} devices are ready", applied.len());
            Verdict::new(State::Progressing, "DevicesApplying", text)
        } else {
            Verdict::new(State::Ready, "DevicesReady", format!("{ready} of {ready} devices are ready"))
        };
        let conditions_before =
            before.get(name).map(|before| before.conditions.as_slice()).unwrap_or_default();
        let status = DeploymentStatus {
            revision: scene.revision.map(str::to_owned),
            phase: phase(record, applied.len(), ready, failing).to_string(),
            targeted: targeted.len() as u64,
            applied: applied.len() as u64,
            ready: ready as u64,
            failing: failing as u64,
            failing_devices: failing_devices
                .iter()
                .take(NAMED_AT_MOST)
                .map(|(id, _)| id.to_string())
                .collect(),
            conditions: verdict.conditions(conditions_before, scene.at),
        };
        statuses.insert(name.clone(), status);
    }
    statuses
}
