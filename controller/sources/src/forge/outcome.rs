//! What became of a revision, as a forge can show it, and whether it is worth telling again.

use std::{collections::VecDeque, fmt};

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

/// Revisions of which is remembered what was told: one that comes back is not told the same again.
const REMEMBERED: usize = 8;

/// What was told of the last revisions. In memory only: when the program stops between two revisions, the older one does not
/// hear that it is superseded.
#[derive(Debug, Default)]
pub(super) struct Told(VecDeque<ToldOf>);

/// What was told of one revision.
#[derive(Debug)]
struct ToldOf {
    revision: Revision,
    phase: Option<Phase>,
    line: String,
    count: u32,
}

impl Told {
    /// What there is to send of all that can be said now, in order: the last line of each revision that nothing is said of any
    /// more, if nothing final was told of it, and what is news.
    pub(super) fn news(&mut self, now: &[Outcome]) -> Vec<Outcome> {
        let Some(first) = now.first() else { return Vec::new() };
        let gone = self.0.iter().filter(|told| now.iter().all(|outcome| outcome.revision != told.revision));
        let left: Vec<Outcome> = gone.filter_map(|told| told.left_to(&first.revision)).collect();
        left.into_iter()
            .chain(now.iter().cloned())
            .filter(|outcome| self.of(&outcome.revision).take(outcome))
            .collect()
    }

    fn of(&mut self, revision: &Revision) -> &mut ToldOf {
        let known = self.0.iter().position(|told| told.revision == *revision);
        let told = known.and_then(|at| self.0.remove(at)).unwrap_or_else(|| ToldOf::nothing(revision));
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(told);
        &mut self.0[0]
    }
}

impl ToldOf {
    fn nothing(revision: &Revision) -> Self {
        Self { revision: revision.clone(), phase: None, line: String::new(), count: 0 }
    }

    /// The last line, now that another one is in its place.
    fn left_to(&self, newer: &Revision) -> Option<Outcome> {
        let phase = self.phase.filter(|phase| matches!(phase, Phase::Pending | Phase::Rolling { .. }))?;
        Some(Outcome {
            revision: self.revision.clone(),
            phase: Phase::Superseded,
            line: format!("superseded by {} before every device had it", newer.short()),
            details: format!("It was {phase} then. Nothing more is told of it here."),
        })
    }

    /// Is this news? Then it counts as told.
    fn take(&mut self, outcome: &Outcome) -> bool {
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

    fn said(outcome: &Outcome) -> String {
        format!("{} {}", outcome.revision, outcome.phase)
    }

    #[test]
    fn changes_and_steps_are_told_and_noise_is_not() {
        let mut told = Told::default();
        let mut take = |outcome: Outcome| !told.news(&[outcome]).is_empty();
        let rolling = |done| outcome("a", Phase::Rolling { done, all: 100 }, &format!("{done} of 100"));
        assert!(take(outcome("a", Phase::Pending, "waits")));
        assert!(!take(outcome("a", Phase::Pending, "waits")));
        let steps: Vec<u64> = (0..100).filter(|done| take(rolling(*done))).collect();
        assert_eq!(steps, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert!(take(outcome("a", Phase::Healthy, "fine")));
        // Flapping ends, and the end of flapping is told.
        let flaps = (0..50).filter(|n| take(outcome("a", Phase::Degraded, &format!("x{n}")))).count();
        assert_eq!(flaps, 8);
        assert!(take(outcome("a", Phase::Healthy, "fine")));
        assert!(take(outcome("b", Phase::Pending, "waits")));
    }

    #[test]
    fn a_revision_that_nothing_final_was_told_of_is_left_with_a_last_line() {
        let newer = || outcome("2222222222", Phase::Pending, "x");
        assert_eq!(Told::default().news(&[newer()]), [newer()], "nothing was told before");
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
            told.news(&[outcome("1111111111", phase, "x")]);
            let news = told.news(&[newer()]);
            let (last, left) = news.split_last().unwrap();
            assert_eq!(last, &newer());
            let left = left.first();
            assert_eq!(left.map(|left| left.details.as_str()), then);
            if let Some(left) = left {
                assert_eq!((left.revision.as_str(), left.phase), ("1111111111", Phase::Superseded));
                assert_eq!(left.line, "superseded by 2222222 before every device had it");
            }
            assert!(told.news(&[newer()]).is_empty(), "it is told once");
        }
    }

    #[test]
    fn a_revision_goes_on_beside_a_newer_one_that_is_not_in_force() {
        let mut told = Told::default();
        let rolling = |done| outcome("a", Phase::Rolling { done, all: 12 }, "canary");
        let refused = || outcome("b", Phase::Halted, "3 errors");
        let mut all = Vec::new();
        for now in [
            vec![rolling(1)],
            vec![rolling(1), refused()],
            vec![rolling(6), refused()],
            vec![outcome("a", Phase::Healthy, "fine"), refused()],
            vec![outcome("c", Phase::Pending, "waits")],
            // People go back to what was good, and forward again.
            vec![outcome("a", Phase::Healthy, "fine")],
            vec![outcome("c", Phase::Healthy, "fine")],
            vec![],
        ] {
            all.push(told.news(&now).iter().map(said).collect::<Vec<_>>().join(", "));
        }
        let wanted = [
            "a rolling 1/12",
            "b halted",
            "a rolling 6/12",
            "a healthy",
            "c pending",
            "c superseded",
            "c healthy",
            "",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut told = Told::default();
        for number in 0..100 {
            told.news(&[outcome(&format!("r{number}"), Phase::Healthy, "fine")]);
        }
        assert_eq!(told.0.len(), REMEMBERED);
        assert!(told.news(&[outcome("r92", Phase::Healthy, "fine")]).is_empty());
    }
}
