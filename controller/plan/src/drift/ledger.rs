//! The ledger: one row for each difference, from when it was first seen until 30 days after it was gone.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    document::DriftMode,
    id::{DeviceId, ModuleId},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{DriftKind, DriftSight, Found};

/// Rows of all devices.
const MOST_ROWS: usize = 5_000;

/// Rows of one device, so that one that is never well leaves room for the others.
const MOST_OF_DEVICE: usize = 40;

/// A row is kept for that long after it was healed.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// `lastSeen` moves that often, when nothing else does.
const SEEN_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Everything that is known of differences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftLedger {
    /// In the order in which they were found.
    pub rows: Vec<DriftRow>,
    /// Rows that were ever opened.
    pub opened: BTreeMap<DriftKind, u64>,
    /// Rows that were ever healed.
    pub healed: BTreeMap<DriftKind, u64>,
    /// Differences of the last look for which there is no room.
    pub turned_away: usize,
    /// Rows that were healed before may have made room for others, and are not taken in again.
    #[serde(skip_serializing_if = "Option::is_none")]
    horizon: Option<Timestamp>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftRow {
    /// On which device.
    pub device: DeviceId,
    /// Of which module; of the device itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// Where: in the hub, or on the device.
    pub kind: DriftKind,
    /// In the words of the documents: `modules.camera.status`, `tags.site`.
    pub path: String,
    /// What it should be. Secrets are masked.
    pub expected: String,
    /// What it was last. Secrets are masked.
    pub found: String,
    /// Who did it, where somebody knows: of the hub whoever wrote to the device last (`policy service`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// By the clock of whoever saw it: the device's of what is there, this controller's of what is in the hub.
    pub first_seen: Timestamp,
    /// By this controller's clock; it moves at most every ten minutes.
    pub last_seen: Timestamp,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Standing {
    /// It is there, and is being put right.
    Present,
    /// It is there, and the documents want it told only.
    Reported,
    /// It is there, and the documents do not care.
    Ignored,
    /// It is as it should be again.
    Healed {
        /// Since when, by the same clock as `firstSeen`.
        healed_at: Timestamp,
        /// Seconds from when it was first seen.
        lived_secs: u64,
    },
}

/// Something that happened to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftEvent {
    /// What.
    pub transition: Transition,
    /// The row as it is now.
    pub row: DriftRow,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transition {
    /// It was found.
    Opened,
    /// Another value stands there now.
    Moved,
    /// The documents want something else done about it.
    Rated,
    /// It is as it should be again.
    Healed,
    /// The documents have no such device any more.
    Forgotten,
}

/// How many rows stand how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftCounts {
    /// Being put right.
    pub present: usize,
    /// Told only.
    pub reported: usize,
    /// Nobody cares.
    pub ignored: usize,
    /// Healed within the last 30 days.
    pub healed: usize,
    /// Devices with rows that are being put right or told.
    pub devices: usize,
    /// Differences for which the ledger has no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub turned_away: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Standing {
    /// Is the difference still there?
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Present | Self::Reported | Self::Ignored => true,
            Self::Healed { .. } => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Reported => "reported",
            Self::Ignored => "ignored",
            Self::Healed { .. } => "healed",
        }
    }
}

impl DriftRow {
    /// Is it still there, and does somebody care?
    #[must_use]
    pub fn matters(&self) -> bool {
        matches!(self.standing, Standing::Present | Standing::Reported)
    }

    fn healed_at(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Healed { healed_at, .. } => Some(healed_at),
            Standing::Present | Standing::Reported | Standing::Ignored => None,
        }
    }

    fn is_of(&self, found: &Found) -> bool {
        self.device == found.device && self.kind == found.kind && self.path == found.path
    }
}

impl DriftLedger {
    /// Takes in what one look has seen. The same sight at the same time again changes nothing.
    #[must_use]
    pub fn advance(&self, sight: &DriftSight, now: Timestamp) -> (Self, Vec<DriftEvent>) {
        let mut turn = Turn { ledger: self.clone(), events: Vec::new(), now };
        turn.forget(sight);
        turn.ledger.turned_away = 0;
        let found = distinct(&sight.found);
        let places = turn.places(&found);
        // What is gone is closed first, so that its room is there for what is new.
        turn.close(sight, &places.iter().flatten().copied().collect());
        for (found, place) in found.iter().zip(places) {
            if let Some(place) = place {
                turn.update(place, found);
            }
        }
        turn.ledger.expire(now);
        for (found, place) in found.iter().zip(turn.places(&found)) {
            if place.is_none() {
                turn.admit(found);
            }
        }
        (turn.ledger, turn.events)
    }

    /// Would a look that finds nothing change nothing? Most looks: nothing is copied then.
    #[must_use]
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        let old = |row: &DriftRow| row.healed_at().is_none_or(|at| now.duration_since(at) >= KEPT);
        self.turned_away == 0 && !self.rows.iter().any(old)
    }

    /// Devices with rows.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<&DeviceId> {
        self.rows.iter().map(|row| &row.device).collect()
    }

    /// How many rows stand how.
    #[must_use]
    pub fn counts(&self) -> DriftCounts {
        let mut counts = DriftCounts { turned_away: self.turned_away, ..DriftCounts::default() };
        for row in &self.rows {
            match row.standing {
                Standing::Present => counts.present += 1,
                Standing::Reported => counts.reported += 1,
                Standing::Ignored => counts.ignored += 1,
                Standing::Healed { .. } => counts.healed += 1,
            }
        }
        let matters = self.rows.iter().filter(|row| row.matters());
        counts.devices = matters.map(|row| &row.device).collect::<BTreeSet<_>>().len();
        counts
    }

    fn expire(&mut self, now: Timestamp) {
        self.rows.retain(|row| row.healed_at().is_none_or(|at| now.duration_since(at) < KEPT));
    }

    /// Makes room for one more row of a device by letting one go that was healed longest ago; false when there is none.
    fn make_room(&mut self, device: &DeviceId) -> bool {
        let of_device = self.rows.iter().filter(|row| row.device == *device).count();
        let crowded = of_device >= MOST_OF_DEVICE;
        if !crowded && self.rows.len() < MOST_ROWS {
            return true;
        }
        let healed = self.rows.iter().enumerate().filter(|(_, row)| !crowded || row.device == *device);
        let oldest = healed.filter_map(|(place, row)| Some((row.healed_at()?, place))).min();
        if let Some((at, place)) = oldest {
            self.horizon = self.horizon.max(Some(at));
            self.rows.remove(place);
        }
        oldest.is_some()
    }
}

/// One look being taken in.
struct Turn {
    ledger: DriftLedger,
    events: Vec<DriftEvent>,
    now: Timestamp,
}

/// Each difference once. Of several that an agent tells with one time the last one counts.
fn distinct(found: &[Found]) -> Vec<&Found> {
    let key = |found: &Found| (found.device.clone(), found.kind, found.path.clone(), found.since);
    let last: BTreeMap<_, usize> =
        found.iter().enumerate().map(|(place, found)| (key(found), place)).collect();
    let is_last = |(place, one): &(usize, &Found)| last.get(&key(one)) == Some(place);
    found.iter().enumerate().filter(is_last).map(|(_, found)| found).collect()
}

impl Turn {
    fn tell(&mut self, transition: Transition, row: &DriftRow) {
        let count = |counts: &mut BTreeMap<DriftKind, u64>| *counts.entry(row.kind).or_default() += 1;
        match transition {
            Transition::Opened => count(&mut self.ledger.opened),
            Transition::Healed => count(&mut self.ledger.healed),
            Transition::Moved | Transition::Rated | Transition::Forgotten => {}
        }
        self.events.push(DriftEvent { transition, row: row.clone() });
    }

    fn forget(&mut self, sight: &DriftSight) {
        let (gone, rows) = std::mem::take(&mut self.ledger.rows)
            .into_iter()
            .partition(|row| sight.gone.contains(&row.device));
        self.ledger.rows = rows;
        let gone: Vec<DriftRow> = gone;
        for row in gone.iter().filter(|row| row.standing.is_open()) {
            self.tell(Transition::Forgotten, row);
        }
    }

    /// The row of each difference, where there is one.
    fn places(&self, found: &[&Found]) -> Vec<Option<usize>> {
        let mut by_path: BTreeMap<(&DeviceId, DriftKind, &str), Vec<usize>> = BTreeMap::new();
        for (place, row) in self.ledger.rows.iter().enumerate() {
            by_path.entry((&row.device, row.kind, &row.path)).or_default().push(place);
        }
        let place = |found: &&Found| {
            let places = by_path.get(&(&found.device, found.kind, found.path.as_str()))?;
            let same = |place: &&usize| {
                self.ledger.rows.get(**place).is_some_and(|row| match found.since {
                    // An agent counts its rows itself.
                    Some(since) => row.first_seen == since,
                    None => row.standing.is_open(),
                })
            };
            places.iter().find(same).copied()
        };
        found.iter().map(place).collect()
    }

    /// What was open and is not found any more is healed.
    fn close(&mut self, sight: &DriftSight, told: &BTreeSet<usize>) {
        let now = self.now;
        for place in 0..self.ledger.rows.len() {
            let Some(row) = self.ledger.rows.get_mut(place) else { continue };
            let silent = row.kind == DriftKind::Actual && sight.silent.contains(&row.device);
            if !row.standing.is_open() || silent || told.contains(&place) {
                continue;
            }
            row.standing = healed(row.first_seen, now);
            row.last_seen = now;
            let row = row.clone();
            self.tell(Transition::Healed, &row);
        }
    }

    fn update(&mut self, place: usize, found: &Found) {
        let now = self.now;
        let Some(row) = self.ledger.rows.get_mut(place) else { return };
        debug_assert!(row.is_of(found));
        let before = row.standing;
        let standing = standing(found, row.first_seen);
        let moved = standing.is_open() && (row.found != found.found || row.expected != found.expected);
        row.found.clone_from(&found.found);
        row.expected.clone_from(&found.expected);
        row.standing = standing;
        if moved && found.by.is_some() {
            row.by.clone_from(&found.by);
        }
        let transition = match (before.is_open(), standing.is_open()) {
            (true, false) => Some(Transition::Healed),
            (false, true) => Some(Transition::Opened),
            (true, true) if before != standing => Some(Transition::Rated),
            (true, true) if moved => Some(Transition::Moved),
            (_, _) => None,
        };
        let again = standing.is_open() && now.duration_since(row.last_seen) >= SEEN_AGAIN;
        if transition.is_some() || again {
            row.last_seen = now;
        }
        if let Some(transition) = transition {
            let row = row.clone();
            self.tell(transition, &row);
        }
    }

    fn admit(&mut self, found: &Found) {
        let now = self.now;
        let first_seen = found.since.unwrap_or(now);
        let standing = standing(found, first_seen);
        let row = DriftRow {
            device: found.device.clone(),
            module: found.module.clone(),
            kind: found.kind,
            path: found.path.clone(),
            expected: found.expected.clone(),
            found: found.found.clone(),
            by: found.by.clone(),
            first_seen,
            last_seen: now,
            standing,
        };
        // What is over is worth a row only while there is room, and is not taken in twice.
        if let Some(at) = row.healed_at()
            && (now.duration_since(at) >= KEPT || self.ledger.horizon.is_some_and(|horizon| at <= horizon))
        {
            return;
        }
        if !self.ledger.make_room(&found.device) {
            self.ledger.turned_away += 1;
            return;
        }
        self.ledger.rows.push(row.clone());
        self.tell(Transition::Opened, &row);
        if !standing.is_open() {
            self.tell(Transition::Healed, &row);
        }
    }
}

fn standing(found: &Found, first_seen: Timestamp) -> Standing {
    match (found.healed, found.mode) {
        (Some(at), _) => healed(first_seen, at),
        (None, DriftMode::Heal) => Standing::Present,
        (None, DriftMode::Report) => Standing::Reported,
        (None, DriftMode::Ignore) => Standing::Ignored,
    }
}

fn healed(first_seen: Timestamp, healed_at: Timestamp) -> Standing {
    // A clock may have been set back in between.
    let lived_secs = u64::try_from(healed_at.duration_since(first_seen).as_secs()).unwrap_or_default();
    Standing::Healed { healed_at, lived_secs }
}
