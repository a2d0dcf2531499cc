//! Outcomes that wait to be told: the newest of each revision, the oldest revision first. Bounded, no clock.
//!
//! In memory only. What waits when the program stops is not told; the next start tells the newest revision anew.

use std::collections::VecDeque;

use hemline_model::id::Revision;

use super::Outcome;

/// Revisions that wait. Of more, the oldest are left as they stand at the forge.
const REVISIONS: usize = 8;

/// What waits, oldest revision first.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Outcome>);

impl Queue {
    /// Takes an outcome in the place of what waits of the same revision.
    pub(super) fn put(&mut self, outcome: Outcome) {
        self.0.retain(|waits| waits.revision != outcome.revision);
        self.0.push_back(outcome);
        let surplus = self.0.len().saturating_sub(REVISIONS);
        self.0.drain(..surplus);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<Outcome> {
        self.0.pop_front()
    }

    /// It was not its turn yet: it comes first again, unless there is news of its revision.
    pub(super) fn first(&mut self, outcome: Outcome) {
        if !self.knows(&outcome.revision) && self.0.len() < REVISIONS {
            self.0.push_front(outcome);
        }
    }

    /// It did not get through: the others have their turn before it, so that a commit that a forge cannot bear holds up no
    /// other.
    pub(super) fn last(&mut self, outcome: Outcome) {
        if !self.knows(&outcome.revision) && self.0.len() < REVISIONS {
            self.0.push_back(outcome);
        }
    }

    fn knows(&self, revision: &Revision) -> bool {
        self.0.iter().any(|waits| waits.revision == *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Phase, *};

    fn outcome(revision: &str, phase: Phase) -> Outcome {
        let revision = Revision::new(revision).unwrap();
        Outcome { revision, phase, line: String::new(), details: String::new() }
    }

    fn all(mut queue: Queue) -> Vec<String> {
        let taken = std::iter::from_fn(|| queue.take());
        taken.map(|outcome| format!("{} {}", outcome.revision.as_str(), outcome.phase)).collect()
    }

    #[test]
    fn each_revision_keeps_its_newest_and_the_oldest_goes_first() {
        let mut queue = Queue::default();
        for (revision, phase) in [
            ("a", Phase::Pending),
            ("a", Phase::Halted),
            ("b", Phase::Pending),
            ("b", Phase::Rolling { done: 1, all: 2 }),
        ] {
            queue.put(outcome(revision, phase));
        }
        assert_eq!(all(queue), ["a halted", "b rolling 1/2"]);
    }

    #[test]
    fn what_comes_back_never_replaces_news_and_goes_where_it_belongs() {
        let mut queue = Queue::default();
        queue.put(outcome("b", Phase::Pending));
        queue.first(outcome("a", Phase::Halted));
        queue.first(outcome("b", Phase::Healthy));
        assert_eq!(all(queue), ["a halted", "b pending"]);
        let mut queue = Queue::default();
        queue.put(outcome("b", Phase::Pending));
        queue.last(outcome("a", Phase::Halted));
        queue.last(outcome("b", Phase::Healthy));
        assert_eq!(all(queue), ["b pending", "a halted"]);
    }

    #[test]
    fn of_too_many_the_newest_stay() {
        let mut queue = Queue::default();
        for number in 0..20 {
            queue.put(outcome(&format!("r{number}"), Phase::Healthy));
        }
        queue.first(outcome("r0", Phase::Healthy));
        let left = all(queue);
        assert_eq!((left.len(), left[0].as_str(), left[7].as_str()), (8, "r12 healthy", "r19 healthy"));
    }
}
