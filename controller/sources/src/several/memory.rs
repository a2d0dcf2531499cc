//! What combined revisions were made of, and which of them were found healthy: so whom it concerns what becomes of one. Kept on
//! disk, because a way back leads through it after a restart too.

use std::path::PathBuf;

use hemline_model::id::Revision;
use serde::{Deserialize, Serialize};

use super::{read, write};

/// Combinations of revisions that are remembered.
const REMEMBERED: usize = 64;

/// Combined revisions, newest last.
#[derive(Debug)]
pub(super) struct Memory {
    made: Vec<MadeOf>,
    /// The file that keeps them.
    path: PathBuf,
}

/// A combined revision and those of its parts, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MadeOf {
    combined: Revision,
    of: Vec<Option<Revision>>,
    /// Was the whole fleet healthy with it once? Files from before this was known say no.
    #[serde(default)]
    healthy: bool,
}

impl Memory {
    /// What was kept of this many parts.
    pub(super) fn open(path: PathBuf, parts: usize) -> Self {
        let made: Vec<MadeOf> = read(&path).unwrap_or_default();
        Self { made: made.into_iter().filter(|made| made.of.len() == parts).collect(), path }
    }

    /// The revisions of the parts.
    pub(super) fn made_of(&self, combined: &Revision) -> Option<&[Option<Revision>]> {
        self.made.iter().rev().find(|made| made.combined == *combined).map(|made| made.of.as_slice())
    }

    /// Remembers what a combined revision is made of; it is the newest now.
    pub(super) fn remember(&mut self, combined: &Revision, of: Vec<Option<Revision>>) {
        if self.made.last().is_some_and(|last| last.combined == *combined) {
            return;
        }
        let healthy = self.made.iter().any(|made| made.combined == *combined && made.healthy);
        self.made.retain(|made| made.combined != *combined);
        self.made.push(MadeOf { combined: combined.clone(), of, healthy });
        let surplus = self.made.len().saturating_sub(REMEMBERED);
        self.made.drain(..surplus);
        self.keep();
    }

    /// The whole fleet is healthy with this one.
    pub(super) fn found_healthy(&mut self, combined: &Revision) {
        let mut found = self.made.iter_mut().filter(|made| made.combined == *combined && !made.healthy);
        if let Some(made) = found.next() {
            made.healthy = true;
            self.keep();
        }
    }

    /// Does this combined revision have another one of a part than the last that was healthy before it? Where none is known to
    /// have been, it concerns all.
    pub(super) fn concerns(&self, combined: &Revision, part: usize) -> bool {
        let good = self.made.iter().rev().find(|made| made.healthy && made.combined != *combined);
        match (good, self.made_of(combined)) {
            (Some(good), Some(of)) => good.of.get(part) != of.get(part),
            _ => true,
        }
    }

    fn keep(&self) {
        if let Err(error) = write(&self.path, &self.made) {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep this for the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(text: &str) -> Revision {
        Revision::new(text).unwrap()
    }

    #[test]
    fn an_outcome_concerns_whose_revision_was_not_healthy_with_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.of.json");
        let open = || Memory::open(path.clone(), 2);
        let remember = |memory: &mut Memory, combined: &str, of: [&str; 2]| {
            memory.remember(&revision(combined), of.map(|of| Some(revision(of))).to_vec());
        };
        let concerned =
            |memory: &Memory, combined: &str| [0, 1].map(|part| memory.concerns(&revision(combined), part));
        let mut memory = open();
        remember(&mut memory, "c1", ["a1", "g1"]);
        assert_eq!(concerned(&memory, "c1"), [true, true], "nothing was healthy before");
        remember(&mut memory, "c2", ["a1", "g2"]);
        assert_eq!(concerned(&memory, "c2"), [true, true], "nobody knows whether c1 was");
        memory.found_healthy(&revision("c1"));
        assert_eq!(concerned(&memory, "c2"), [false, true]);
        remember(&mut memory, "c3", ["a2", "g2"]);
        assert_eq!(concerned(&memory, "c3"), [true, true], "g2 may be what is wrong");
        // After a restart, and after going back to what was healthy.
        let mut memory = open();
        assert_eq!(concerned(&memory, "c3"), [true, true]);
        remember(&mut memory, "c1", ["a1", "g1"]);
        remember(&mut memory, "c4", ["a1", "g4"]);
        assert_eq!(concerned(&memory, "c4"), [false, true]);
        assert_eq!(concerned(&memory, "unknown"), [true, true]);
    }
}
