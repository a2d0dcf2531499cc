//! What became of a revision, as a forge can show it, and whether it is worth telling again.

use std::fmt;

use hemline_model::id::Revision;

/// Where a revision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Seen, not begun.
    Pending,
    /// On its way: so many of all devices are there.
    Rolling {
        /// Devices that run it.
        done: u64,
        /// Devices that will.
        all: u64,
    },
    /// Every device runs it.
    Healthy,
    /// In force, and something is wrong.
    Degraded,
    /// Stopped, or never begun, because it is bad.
    Halted,
    /// The devices that took it have what was good before.
    Reverted,
    /// A newer one came before every device had it, so nobody will know whether it is good.
    Superseded,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Rolling { done, all } => write!(f, "rolling {done}/{all}"),
            Self::Healthy => f.write_str("healthy"),
            Self::Degraded => f.write_str("degraded"),
            Self::Halted => f.write_str("halted"),
            Self::Reverted => f.write_str("reverted"),
            Self::Superseded => f.write_str("superseded"),
        }
    }
}

/// What is told of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The commit.
    pub revision: Revision,
    /// Where it stands.
    pub phase: Phase,
    /// One line.
    pub line: String,
    /// Markdown below the line, for the comment.
    pub details: String,
}

/// GitHub takes a thousand statuses for one commit and context; twenty tell the story.
const TOLD_AT_MOST: u32 = 20;
/// Steps of progress that are worth a line, in hundredths.
const STEP: u64 = 10;

/// What was told of the newest revision. In memory only: when the program stops between two revisions, the older one does not
/// hear that it is superseded.
#[derive(Debug, Default)]
pub(super) struct Told {
    revision: Option<Revision>,
    phase: Option<Phase>,
    line: String,
    count: u32,
}

impl Told {
    /// The last line of the revision before, if this one is another and nothing final was told of that.
    pub(super) fn left_by(&self, newer: &Revision) -> Option<Outcome> {
        let revision = self.revision.clone().filter(|revision| revision != newer)?;
        let phase = self.phase.filter(|phase| matches!(phase, Phase::Pending | Phase::Rolling { .. }))?;
        Some(Outcome {
            revision,
            phase: Phase::Superseded,
            line: format!("superseded by {} before every device had it", newer.short()),
            details: format!("It was {phase} then. Nothing more is told of it here."),
        })
    }

    /// Is this news? Then it counts as told.
    pub(super) fn take(&mut self, outcome: &Outcome) -> bool {
        if self.revision.as_ref() != Some(&outcome.revision) {
            *self = Self { revision: Some(outcome.revision.clone()), ..Self::default() };
        }
        let same_kind =
            |phase: Phase| std::mem::discriminant(&phase) == std::mem::discriminant(&outcome.phase);
        let news = match (self.phase, outcome.phase) {
            (Some(Phase::Rolling { done, all }), Phase::Rolling { done: now, all: of }) => {
                hundredths(done, all) / STEP != hundredths(now, of) / STEP
            }
            (Some(phase), _) if same_kind(phase) => self.line != outcome.line,
            (Some(_) | None, _) => true,
        };
        // The end is told even when the middle was noisy.
        let last =
            matches!(outcome.phase, Phase::Healthy | Phase::Halted | Phase::Reverted | Phase::Superseded)
                && !self.phase.is_some_and(same_kind);
        if !news || (self.count >= TOLD_AT_MOST && !last) {
            return false;
        }
        self.count += 1;
        self.phase = Some(outcome.phase);
        self.line.clone_from(&outcome.line);
        true
    }
}

fn hundredths(done: u64, all: u64) -> u64 {
    (done.saturating_mul(100)).checked_div(all).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(revision: &str, phase: Phase, line: &str) -> Outcome {
        let revision = Revision::new(revision).unwrap();
        Outcome { revision, phase, line: line.to_owned(), details: String::new() }
    }

    #[test]
    fn changes_and_steps_are_told_and_noise_is_not() {
        let mut told = Told::default();
        let rolling = |done| outcome("a", Phase::Rolling { done, all: 100 }, &format!("{done} of 100"));
        assert!(told.take(&outcome("a", Phase::Pending, "waits")));
        assert!(!told.take(&outcome("a", Phase::Pending, "waits")));
        let steps: Vec<u64> = (0..100).filter(|done| told.take(&rolling(*done))).collect();
        assert_eq!(steps, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert!(told.take(&outcome("a", Phase::Healthy, "fine")));
        // Flapping ends, and the end of flapping is told.
        let flaps = (0..50).filter(|n| told.take(&outcome("a", Phase::Degraded, &format!("x{n}")))).count();
        assert_eq!(flaps, 8);
        assert!(told.take(&outcome("a", Phase::Healthy, "fine")));
        assert!(told.take(&outcome("b", Phase::Pending, "waits")));
    }

    #[test]
    fn a_revision_that_nothing_final_was_told_of_is_left_with_a_last_line() {
        let newer = Revision::new("2222222222").unwrap();
        for (phase, then) in [
            (Phase::Pending, Some("It was pending then. Nothing more is told of it here.")),
            (
                Phase::Rolling { done: 3, all: 12 },
                Some("It was rolling 3/12 then. Nothing more is told of it here."),
            ),
            (Phase::Healthy, None),
            (Phase::Degraded, None),
            (Phase::Halted, None),
            (Phase::Reverted, None),
        ] {
            let mut told = Told::default();
            assert!(told.left_by(&newer).is_none(), "nothing was told");
            told.take(&outcome("1111111111", phase, "x"));
            let left = told.left_by(&newer);
            assert_eq!(left.as_ref().map(|left| left.details.as_str()), then);
            if let Some(left) = left {
                assert_eq!((left.revision.as_str(), left.phase), ("1111111111", Phase::Superseded));
                assert_eq!(left.line, "superseded by 2222222 before every device had it");
            }
            assert!(told.left_by(&Revision::new("1111111111").unwrap()).is_none(), "it is the same");
        }
    }
}
