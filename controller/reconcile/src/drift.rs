//! What is not as the documents say, though nobody changed them: found in a pass, left alone where the documents say so, and
//! kept in the ledger ([`hemline_plan::drift`] decides; this finds, keeps and tells).
//!
//! The ledger is on disk before anything is put right. One that cannot be read counts as empty: what is still off gets rows
//! anew, and agents tell what they healed within the last day again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use hemline_model::{document::DriftMode, id::DeviceId};
use hemline_plan::{
    DeviceDiff, Observed, Plan, Resolution, device_diff,
    drift::{self, DriftEvent, DriftKind, DriftRow, DriftSight, Found, Transition},
};
use jiff::Timestamp;

use hemline_sources::chain;

use crate::{apply::Applied, approve::ApplyError, pass::State, registry::Registry};

/// Devices whose last writer is remembered.
const WRITERS: usize = 10_000;

/// Who wrote to which device in the hub last, as far as this process heard of it. Written by whoever listens to the hub, read
/// by passes; nothing depends on it but what people are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writers(Arc<Mutex<BTreeMap<DeviceId, Arc<str>>>>);

impl Writers {
    pub(crate) fn noted(&self, device: &DeviceId, by: Arc<str>) {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.len() >= WRITERS && !writers.contains_key(device) {
            writers.pop_first();
        }
        writers.insert(device.clone(), by);
    }

    fn of(&self, device: &DeviceId) -> Option<String> {
        let writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writers.get(device).map(|by| by.to_string())
    }
}

/// What one pass found.
#[derive(Debug, Default)]
pub(crate) struct Drifted {
    sight: DriftSight,
}

impl Drifted {
    /// The devices on which something was found.
    pub(crate) fn devices(&self) -> BTreeSet<DeviceId> {
        self.sight.found.iter().map(|found| found.device.clone()).collect()
    }
}

/// Looks for differences. Gives the plan without what the documents want left alone.
pub(crate) fn find(
    plan: Plan,
    desired: &Resolution,
    said: Option<&Resolution>,
    observed: &mut Observed,
) -> (Plan, Vec<Found>) {
    let Some(said) = said.filter(|_| desired.is_usable()) else { return (plan, Vec::new()) };
    drift::spare(plan, desired, said, observed)
}

impl State {
    /// Takes in what is there before anything is put right.
    pub(crate) fn note_drift(
        &mut self,
        mut found: Vec<Found>,
        desired: &Resolution,
        observed: &Observed,
        now: Timestamp,
    ) -> Drifted {
        if !desired.is_usable() {
            return Drifted::default();
        }
        for found in &mut found {
            found.by = self.writers.of(&found.device);
        }
        found.extend(drift::actual(desired, observed));
        let rows: BTreeSet<DeviceId> = self.drift.devices().into_iter().cloned().collect();
        let (known, gone) = rows.into_iter().partition(|id| desired.devices.contains_key(id));
        let known: BTreeSet<DeviceId> = known;
        let silent = known.into_iter().filter(|id| drift::is_silent(observed, id)).collect();
        let drifted = Drifted { sight: DriftSight { found, gone, silent } };
        self.take_in(&drifted.sight, now);
        drifted
    }

    /// Takes in what was put right: everything that should be, but for devices that refused.
    pub(crate) fn note_healed(&mut self, mut drifted: Drifted, applied: &Applied, now: Timestamp) {
        let left = |found: &Found| {
            found.kind == DriftKind::Actual
                || found.mode != DriftMode::Heal
                || applied.failed.contains_key(&found.device)
        };
        let all = drifted.sight.found.len();
        drifted.sight.found.retain(left);
        if drifted.sight.found.len() < all {
            self.take_in(&drifted.sight, now);
        }
    }

    fn take_in(&mut self, sight: &DriftSight, now: Timestamp) {
        if sight.found.is_empty() && sight.gone.is_empty() && self.drift.is_quiet(now) {
            return;
        }
        let (ledger, events) = self.drift.advance(sight, now);
        if ledger == *self.drift {
            return;
        }
        // What cannot be kept is put right all the same; the next change writes all of it.
        self.kept.write_drift(&ledger);
        self.drift = Arc::new(ledger);
        events.iter().for_each(log);
    }
}

/// One device, compared now. `None` when no document describes it.
pub(crate) async fn diff(
    hub: &impl Registry,
    state: &mut State,
    device: &DeviceId,
) -> Result<Option<DeviceDiff>, ApplyError> {
    state.picture.follow(hub).await.map_err(|error| ApplyError::Unavailable(chain(&error)))?;
    let head = match (state.said(), &state.good) {
        (None, Some(good)) => Some(state.resolve_other(good)),
        (_, _) => None,
    };
    let said = state.said().or(head.as_ref()).and_then(|said| said.devices.get(device));
    let there = state.picture.device(device);
    Ok(said.map(|said| DeviceDiff {
        revision: state.statuses.devices.get(device).and_then(|status| status.revision.clone()),
        ..device_diff(device, said, there.as_ref(), &state.drift)
    }))
}

/// One line for each transition.
fn log(DriftEvent { transition, row }: &DriftEvent) {
    let DriftRow { device, kind, path, expected, found, standing, .. } = row;
    let (state, by) = (standing.as_str(), row.by.as_deref().unwrap_or("somebody"));
    match transition {
        Transition::Opened | Transition::Moved if row.matters() => {
            tracing::warn!(%device, %kind, path, expected, found, state, by, "drift: something is not as the documents say");
        }
        Transition::Opened | Transition::Moved | Transition::Rated => {
            tracing::info!(%device, %kind, path, expected, found, state, "drift: a difference stands otherwise now");
        }
        Transition::Healed => {
            tracing::info!(%device, %kind, path, expected, found, "drift: it is as the documents say again");
        }
        Transition::Forgotten => {
            tracing::info!(%device, %kind, path, "drift: the documents have no such device any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, panic::AssertUnwindSafe};

    use super::*;
    use crate::{brake, last_good::LastGood};

    #[test]
    fn a_kill_between_any_two_steps_loses_and_doubles_no_row() {
        let folder = tempfile::tempdir().unwrap();
        // Every step is done by a program that has just started.
        let start = || State::restore(LastGood::new(folder.path().to_path_buf()), false);
        let at =
            |seconds: usize| Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        let found = Found {
            device: DeviceId::new("press").unwrap(),
            module: None,
            kind: DriftKind::Desired,
            path: "tags.site".to_owned(),
            expected: "lyon".to_owned(),
            found: "oslo".to_owned(),
            mode: DriftMode::Heal,
            by: None,
            since: None,
            healed: None,
        };
        let there = DriftSight { found: vec![found], ..DriftSight::default() };
        let sights = [there, DriftSight::default()];
        let mut points = 0;
        loop {
            drop(fs::remove_file(folder.path().join("drift.json")));
            brake::arm(points);
            let (mut step, mut killed) = (0, false);
            while let Some(sight) = sights.get(step) {
                let mut state = start();
                match std::panic::catch_unwind(AssertUnwindSafe(|| state.take_in(sight, at(step)))) {
                    Ok(()) => step += 1,
                    Err(cause) if cause.is::<brake::Killed>() => killed = true,
                    Err(cause) => std::panic::resume_unwind(cause),
                }
            }
            brake::disarm();
            let ledger = start().drift;
            let [row] = ledger.rows.as_slice() else { panic!("{points}: {ledger:?}") };
            let standing = drift::Standing::Healed { healed_at: at(1), lived_secs: 1 };
            assert_eq!((row.first_seen, row.standing), (at(0), standing), "{points}");
            assert_eq!(
                (ledger.opened[&DriftKind::Desired], ledger.healed[&DriftKind::Desired]),
                (1, 1),
                "{points}"
            );
            if !killed {
                break;
            }
            points += 1;
        }
        assert!(points >= 4, "{points} points were stopped at");
    }
}
