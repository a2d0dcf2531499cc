//! Which images go: fetched by this agent, used by nobody for long, or too many of them. Pure.
//!
//! Images that were on the device before, or came by another hand, are not on the shelf and are never touched. Not here:
//! taking one away (`Runtime::discard`), which looks again whether anything uses it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::clock::Jump;

/// An image that nothing used for that long goes (reference edge-runtime §3.10, image GC).
const UNUSED_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// More unused ones than that are not kept, however young.
const MOST_UNUSED: usize = 10;

/// The images that this agent fetched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shelf {
    images: BTreeMap<String, Kept>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// As the configuration names it.
    reference: String,
    /// When a module was last made of it.
    used: Timestamp,
}

impl Shelf {
    /// An image is new on the device, and this agent fetched it.
    pub fn fetched(&mut self, id: String, reference: String, now: Timestamp) {
        self.images.insert(id, Kept { reference, used: now });
    }

    /// Modules are made of these.
    pub fn used<'a>(&mut self, ids: impl Iterator<Item = &'a str>, now: Timestamp) {
        for id in ids {
            if let Some(kept) = self.images.get_mut(id) {
                kept.used = now;
            }
        }
    }

    /// The clock on the wall was set: times of this run move with it.
    pub fn shift(&mut self, jump: &Jump) {
        for kept in self.images.values_mut() {
            kept.used = jump.shifted(kept.used);
        }
    }

    /// It is gone.
    pub fn forget(&mut self, id: &str) {
        self.images.remove(id);
    }

    /// What may go, the longest unused first. `wanted` are the images of configurations that may come in force.
    #[must_use]
    pub fn outdated(&self, in_use: &BTreeSet<&str>, wanted: &BTreeSet<&str>, now: Timestamp) -> Vec<String> {
        let unused = |(id, kept): &(&String, &Kept)| {
            !in_use.contains(id.as_str()) && !wanted.contains(kept.reference.as_str())
        };
        let mut unused: Vec<(&String, &Kept)> = self.images.iter().filter(unused).collect();
        unused.sort_by_key(|(_, kept)| kept.used);
        let too_many = unused.len().saturating_sub(MOST_UNUSED);
        let old = |kept: &Kept| now.duration_since(kept.used) >= UNUSED_AT_MOST;
        let goes = unused.into_iter().enumerate().filter(|(place, (_, kept))| *place < too_many || old(kept));
        goes.map(|(_, (id, _))| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn days(days: i64) -> Timestamp {
        NOW - SignedDuration::from_hours(days * 24)
    }

    #[test]
    fn only_what_nobody_needs_for_long() {
        let mut shelf = Shelf::default();
        for (id, reference, age) in [
            ("old", "a:1", 8),
            ("young", "a:2", 6),
            ("running", "a:3", 9),
            ("wanted", "a:4", 9),
            ("older", "a:5", 30),
        ] {
            shelf.fetched(id.to_owned(), reference.to_owned(), days(age));
        }
        let (in_use, wanted) = (BTreeSet::from(["running", "not ours"]), BTreeSet::from(["a:4"]));
        assert_eq!(shelf.outdated(&in_use, &wanted, NOW), ["older", "old"]);
        shelf.used(["old", "not ours"].into_iter(), NOW);
        assert_eq!(shelf.outdated(&in_use, &wanted, NOW), ["older"]);
        shelf.forget("older");
        assert!(shelf.outdated(&in_use, &wanted, NOW).is_empty());
    }

    #[test]
    fn young_ones_go_when_there_are_too_many() {
        let mut shelf = Shelf::default();
        for n in 0..13 {
            shelf.fetched(format!("i{n:02}"), format!("a:{n}"), NOW - SignedDuration::from_mins(n));
        }
        assert_eq!(shelf.outdated(&BTreeSet::new(), &BTreeSet::new(), NOW), ["i12", "i11", "i10"]);
    }
}
