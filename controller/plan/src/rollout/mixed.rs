//! The ledger → what every device should be now, and what documents said of it last.
//!
//! Identity, tags and device twin are always those of the head; what runs may be of an earlier revision.

use std::collections::BTreeMap;

use hemline_model::id::{DeviceId, Revision};

use super::{
    lead::runs_the_same,
    ledger::{Ledger, Revisions},
    record::RolloutRecord,
    start::is_kept,
};
use crate::{Effective, Resolution};

/// `(desired, said)`.
pub(super) fn mixed(
    ledger: &Ledger,
    revisions: &Revisions<'_>,
    goes_back: bool,
) -> (Resolution, Option<Resolution>) {
    let head = revisions.head.side.resolution;
    let base = revisions.base.map(|base| base.side.resolution);
    let mut desired = head.clone();
    let leads: BTreeMap<&DeviceId, &RolloutRecord> = ledger
        .rollouts
        .values()
        .flat_map(|record| record.devices().map(move |(id, _)| (id, record)))
        .collect();
    if goes_back {
        // Also when the order to work towards the last complete revision has not been kept yet.
        if let Some(base) = base {
            desired = base.clone();
        }
    } else {
        for (id, effective) in &mut desired.devices {
            let held = leads.get(id).is_some_and(|record| !record.brings(id.as_str()));
            if !held {
                continue;
            }
            // One that had nothing of the head to take, and now has because of what it reports, waits for its turn.
            let other = |revision: &&Revision| *revision != revisions.head.revision;
            let between = ledger.revision_of(id).filter(other).filter(|revision| is_kept(ledger, revision));
            let between = between.and_then(|revision| config(id, revision, revisions));
            let was = between.or_else(|| base.and_then(|base| base.devices.get(id)));
            let was = was.or_else(|| revisions.newcomers.and_then(|all| all.devices.get(id)));
            hold(effective, was);
        }
    }
    (desired, said(ledger, revisions))
}

/// What documents said last: identities, tags and device twins of the revision that was told last, and of what runs the
/// revision that each device was given last.
fn said(ledger: &Ledger, revisions: &Revisions<'_>) -> Option<Resolution> {
    let base = revisions.base.map(|base| base.side.resolution);
    let told = ledger.told.as_ref().and_then(|told| of(told, revisions));
    let mut said = match (told, base) {
        (Some(told), Some(base)) => {
            let mut both = base.clone();
            for (id, effective) in &told.devices {
                let was = base.devices.get(id);
                let mut now = effective.clone();
                // A device that is new and waits has nothing of its own yet.
                hold(&mut now, was);
                both.devices.insert(id.clone(), now);
            }
            both
        }
        (Some(told), None) => told.clone(),
        (None, Some(base)) => base.clone(),
        (None, None) => return None,
    };
    for taken in &ledger.on {
        let Some(resolution) = of(&taken.revision, revisions) else { continue };
        for id in &taken.devices {
            if let (Some(entry), Some(given)) = (said.devices.get_mut(id), resolution.devices.get(id))
                && !runs_the_same(Some(entry), given)
            {
                hold(entry, Some(given));
            }
        }
    }
    Some(said)
}

fn of<'a>(revision: &Revision, revisions: &Revisions<'a>) -> Option<&'a Resolution> {
    if revisions.head.revision == revision {
        return Some(revisions.head.side.resolution);
    }
    match revisions.base {
        Some(base) if base.revision == revision => Some(base.side.resolution),
        Some(_) | None => revisions.others.get(revision),
    }
}

fn config<'a>(id: &DeviceId, revision: &Revision, revisions: &Revisions<'a>) -> Option<&'a Effective> {
    of(revision, revisions)?.devices.get(id)
}

/// Keeps of one what the other one runs; nothing when there is no other.
fn hold(effective: &mut Effective, was: Option<&Effective>) {
    match was {
        Some(was) => {
            effective.base.clone_from(&was.base);
            effective.layers.clone_from(&was.layers);
            effective.module_configurations = was.module_configurations.clone();
            effective.twins.modules = was.twins.modules.clone();
            effective.provenance = was.provenance.clone();
        }
        None => {
            effective.base = None;
            effective.layers = Default::default();
            effective.module_configurations = Default::default();
            effective.twins.modules = Default::default();
            effective.provenance = Default::default();
        }
    }
}
