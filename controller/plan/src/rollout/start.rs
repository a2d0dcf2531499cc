//! A commit comes: its rollouts begin, also in the middle of those of another.
//!
//! The rule for a commit that comes before the one before it is complete:
//!
//! * Where it goes from does not change: the last complete revision. The commit in between is never complete.
//! * A rollout whose devices, configurations and waves the new commit leaves as they are goes on where it is. Other rules count
//!   from then on, but for the budgets of a wave that has begun.
//! * Any other begins again with its first wave. Devices that took the commit in between keep it until it is their turn, and
//!   are the first of their wave; they go straight to the new one. One for which both commits say the same keeps its progress.
//! * A device for which the new commit says what was complete before goes back at once: that needs no proof.
//! * A pause stays. Approvals do not: they were given to something else.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    id::{DeviceId, DocumentName, Revision},
    valid::{RolloutSpec, rollout::WaveSpec},
};
use jiff::Timestamp;

use super::{
    advance::Transition,
    cut::cut,
    lead::{led, runs_the_same},
    ledger::{Ledger, Revisions},
    record::{Progress, RolloutRecord, WaveRecord},
    state::State,
};
use crate::Resolution;

/// Revisions besides the last complete one that devices may stay on: their documents are kept for them.
pub(super) const BETWEEN_AT_MOST: usize = 8;

/// Makes the records of the head.
pub(super) fn start(
    ledger: &mut Ledger,
    revisions: &Revisions<'_>,
    now: Timestamp,
    transitions: &mut Vec<Transition>,
) {
    let before = std::mem::take(&mut ledger.rollouts);
    // Rollouts that are through, or went back, are history.
    let running = |record: &RolloutRecord| {
        !record.state.goes_back() && revisions.base.is_none_or(|base| base.revision != &record.revision)
    };
    let earlier = ledger.head.as_ref().and_then(|head| revisions.others.get(head));
    for (name, pool) in led(revisions.base.map(|base| base.side), revisions.head.side) {
        let Some(spec) = spec(revisions, &name) else { continue };
        let old = before.get(&name).filter(|record| running(record));
        let record = match old.zip(earlier) {
            Some((old, earlier)) if is_untouched(old, &pool, earlier, revisions, spec) => {
                let mut record = old.clone();
                record.revision = revisions.head.revision.clone();
                let what = format!("revision {} changes nothing here; it goes on", record.revision.short());
                record.tell(now, what);
                record
            }
            Some((old, earlier)) => begin(&name, &pool, spec, revisions, Some((old, earlier)), now),
            None => {
                let mut record = begin(&name, &pool, spec, revisions, None, now);
                record.paused = old.and_then(|old| old.paused.clone());
                record
            }
        };
        if record.story.len() <= 1 {
            transitions.push(pending(&record));
        }
        ledger.rollouts.insert(name, record);
    }
    ledger.head = Some(revisions.head.revision.clone());
}

/// Rollouts that lead devices only now, because of what devices report.
pub(super) fn join(
    ledger: &mut Ledger,
    revisions: &Revisions<'_>,
    pools: &BTreeMap<DocumentName, Vec<DeviceId>>,
    now: Timestamp,
    transitions: &mut Vec<Transition>,
) {
    for (name, pool) in pools {
        let Some(spec) = spec(revisions, name).filter(|_| !ledger.rollouts.contains_key(name)) else {
            continue;
        };
        let record = begin(name, pool, spec, revisions, None, now);
        transitions.push(pending(&record));
        ledger.rollouts.insert(name.clone(), record);
    }
}

fn pending(record: &RolloutRecord) -> Transition {
    Transition {
        deployment: record.deployment.clone(),
        revision: record.revision.clone(),
        from: "none",
        to: "pending",
        what: record.story.first().map(|line| line.what.clone()).unwrap_or_default(),
    }
}

fn spec<'a>(revisions: &Revisions<'a>, name: &DocumentName) -> Option<&'a RolloutSpec> {
    revisions.head.side.fleet.deployments.get(name)?.spec.rollout.as_ref()
}

/// Does the new commit say the same as the one before it, for this rollout?
fn is_untouched(
    old: &RolloutRecord,
    pool: &[DeviceId],
    earlier: &Resolution,
    revisions: &Revisions<'_>,
    spec: &RolloutSpec,
) -> bool {
    let had: BTreeSet<&DeviceId> = old.devices().map(|(id, _)| id).collect();
    let same = |(old, new): (&WaveRecord, &WaveSpec)| {
        old.name == new.name && (old.picks.is_empty() || old.picks == new.pick.to_string())
    };
    pool.iter().collect::<BTreeSet<_>>() == had
        && old.waves.len() == spec.waves.len()
        && old.waves.iter().zip(&spec.waves).all(same)
        && pool.iter().all(|id| says_the_same(id, earlier, revisions.head.side.resolution))
}

fn says_the_same(id: &DeviceId, one: &Resolution, other: &Resolution) -> bool {
    other.devices.get(id).is_some_and(|other| runs_the_same(one.devices.get(id), other))
}

/// A record with its waves cut. What the devices have of the commit before is taken over.
fn begin(
    name: &DocumentName,
    pool: &[DeviceId],
    spec: &RolloutSpec,
    revisions: &Revisions<'_>,
    old: Option<(&RolloutRecord, &Resolution)>,
    now: Timestamp,
) -> RolloutRecord {
    let head = revisions.head;
    let devices = cut(&spec.waves, pool, |id| head.side.fleet.devices.get(id));
    let mut unsettled = BTreeSet::new();
    let mut waves = Vec::new();
    for (wave, devices) in spec.waves.iter().zip(devices) {
        let progress = devices.into_iter().map(|id| {
            let (progress, doubt) = inherited(&id, old, head.side.resolution);
            if doubt {
                unsettled.insert(id.clone());
            }
            (id, progress)
        });
        let devices: BTreeMap<DeviceId, Progress> = progress.collect();
        waves.push(WaveRecord {
            name: wave.name.clone(),
            picks: wave.pick.to_string(),
            begun: None,
            max_unavailable: spec.max_unavailable.of(devices.len()),
            max_failures: spec.max_failures.of(devices.len()),
            devices,
        });
    }
    let base = revisions.base.map(|base| base.revision.clone());
    let mut record = RolloutRecord {
        deployment: name.clone(),
        revision: head.revision.clone(),
        base,
        started: now,
        state: State::Pending { since: now },
        paused: old.and_then(|(old, _)| old.paused.clone()),
        approved: 0,
        waves,
        unsettled,
        story: Vec::new(),
    };
    let from = record.base.as_ref().map_or_else(String::new, |base| format!(" from {}", base.short()));
    let instead = match old {
        Some((old, _)) if old.revision != record.revision => {
            format!(", in place of {}", old.revision.short())
        }
        Some(_) | None => String::new(),
    };
    let who = if pool.len() == 1 { "device goes" } else { "devices go" };
    let what = format!("{} {who}{from} to {}{instead}", pool.len(), record.revision.short());
    record.tell(now, what);
    record
}

/// How far a device is with the new commit because of the one before, and whether it is in doubt.
fn inherited(
    id: &DeviceId,
    old: Option<(&RolloutRecord, &Resolution)>,
    head: &Resolution,
) -> (Progress, bool) {
    let Some((old, earlier)) = old else { return (Progress::Waiting, false) };
    let Some(progress) = old.progress(id.as_str()).filter(|progress| progress.has_it()) else {
        // It may still have one from before that, which nobody found good either.
        return (Progress::Waiting, old.unsettled.contains(id));
    };
    if says_the_same(id, earlier, head) {
        return (progress.clone(), false);
    }
    (Progress::Waiting, !matches!(progress, Progress::Done))
}

/// May devices stay on this revision? Only the newest few have their documents kept.
pub(super) fn is_kept(ledger: &Ledger, revision: &Revision) -> bool {
    ledger.on.iter().rev().take(BETWEEN_AT_MOST).any(|taken| taken.revision == *revision)
}
