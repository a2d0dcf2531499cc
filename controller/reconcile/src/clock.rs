//! The clock on the wall against one that only goes forward: told when the wall clock was set while the program runs, as on a
//! machine that learns the time after it has started. Pure.
//!
//! A restart says nothing: how long a program was away is what the wall clock is for.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Less than this is drift of the clocks, or a wait between two looks at them.
const NOTICED: SignedDuration = SignedDuration::from_secs(30);

/// Both clocks at the last look.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<(Instant, Timestamp)>,
}

impl Clock {
    /// How far the wall clock was set since the last look, forward or back; `None` when it was not.
    pub(crate) fn set_by(&mut self, steady: Instant, wall: Timestamp) -> Option<SignedDuration> {
        let (before, said) = self.last.replace((steady, wall))?;
        let passed = SignedDuration::try_from(steady.saturating_duration_since(before)).ok()?;
        let by = wall.duration_since(said).checked_sub(passed)?;
        (by.abs() > NOTICED).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_clock_that_was_set_is_told() {
        let (steady, wall) = (Instant::now(), Timestamp::from_second(1_000_000_000).unwrap());
        let mut clock = Clock::default();
        assert_eq!(clock.set_by(steady, wall), None, "the first look knows nothing");
        let mut look = |after: u64, said: i64| {
            let wall = wall.checked_add(SignedDuration::from_secs(said)).unwrap();
            clock.set_by(steady + Duration::from_secs(after), wall).map(|by| by.as_secs())
        };
        for (after, said, by) in [
            (3600, 3610, None),
            (3700, 500_003_710, Some(500_000_000)),
            (3800, 500_003_810, None),
            (3900, 3910, Some(-500_000_000)),
            (3900, 3910, None),
        ] {
            assert_eq!(look(after, said), by, "{after} {said}");
        }
    }
}
