//! The clock on the wall against one that only goes forward: told when the wall clock was set while the agent runs, as on a
//! board that has no clock of its own and learns the time later. Pure.
//!
//! What was remembered in this run is shifted with it, so that nothing took longer, or less long, for it. Times of former
//! runs stay as they are: how far the clock was set while nobody looked cannot be known. Such a time in the past counts as
//! it stands, and one in the future counts as the begin of this run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Less than this is drift of the clocks, or a wait between two looks at them.
const NOTICED: SignedDuration = SignedDuration::from_secs(30);

/// What engines wrote down is put right for the newest so many jumps.
const JUMPS: usize = 8;

/// The wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// The begin of this run, by the clock as it was before.
    pub from: Timestamp,
    /// What the clock would say now if nobody had set it.
    pub until: Timestamp,
    /// How far it was set, forward or back.
    pub by: SignedDuration,
}

impl Jump {
    /// A time that was taken, by the clock as it is now.
    #[must_use]
    pub fn shifted(&self, at: Timestamp) -> Timestamp {
        if at < self.from || at > self.until {
            return at;
        }
        at.checked_add(self.by).unwrap_or(at)
    }
}

/// Both clocks at the last look, and what was noticed.
#[derive(Debug)]
pub struct Clock {
    begin: Timestamp,
    last: (Duration, Timestamp),
    jumps: Vec<Jump>,
    sets: u64,
}

impl Clock {
    /// The run begins. `steady` counts the time that the machine slept.
    #[must_use]
    pub fn new(steady: Duration, wall: Timestamp) -> Self {
        Self { begin: wall, last: (steady, wall), jumps: Vec::new(), sets: 0 }
    }

    /// Was the wall clock set since the last look?
    pub fn look(&mut self, steady: Duration, wall: Timestamp) -> Option<Jump> {
        let (before, said) = std::mem::replace(&mut self.last, (steady, wall));
        let passed = SignedDuration::try_from(steady.saturating_sub(before)).ok()?;
        let until = said.checked_add(passed).ok()?;
        let by = wall.duration_since(until);
        if by.abs() <= NOTICED {
            return None;
        }
        let jump = Jump { from: self.begin, until, by };
        self.begin = jump.shifted(self.begin);
        self.sets += 1;
        if self.jumps.len() == JUMPS {
            self.jumps.remove(0);
        }
        self.jumps.push(jump);
        Some(jump)
    }

    /// How often it was set in this run.
    #[must_use]
    pub fn sets(&self) -> u64 {
        self.sets
    }

    /// A time that somebody else wrote down by the clock as it was then, such as an engine. After a clock went back only
    /// what would be in the future is known to be from before.
    #[must_use]
    pub fn of_others(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        let at = self.jumps.iter().fold(at, |at, jump| {
            let before = jump.by.is_positive() || at > now;
            if before { jump.shifted(at) } else { at }
        });
        if at.duration_since(now) > NOTICED { self.begin.min(now) } else { at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_000_000_000, 0);

    fn wall(seconds: i64) -> Timestamp {
        START + SignedDuration::from_secs(seconds)
    }

    fn clock() -> Clock {
        Clock::new(Duration::from_secs(50), START)
    }

    fn steady(seconds: u64) -> Duration {
        Duration::from_secs(50 + seconds)
    }

    #[test]
    fn only_a_clock_that_was_set_is_told() {
        let mut clock = clock();
        for (after, said, by) in [
            (5, 5, None),
            // Drift, and a machine that slept for eight hours.
            (3600, 3610, None),
            (32_400, 32_410, None),
            (32_500, 500_032_510, Some(500_000_000)),
            (32_500, 500_032_510, None),
            (32_600, 32_610, Some(-500_000_000)),
            (32_700, 32_710, None),
        ] {
            let jump = clock.look(steady(after), wall(said));
            assert_eq!(jump.map(|jump| jump.by.as_secs()), by, "{after} {said}");
        }
        assert_eq!(clock.sets(), 2);
    }

    #[test]
    fn times_of_this_run_move_and_others_stay() {
        for by in [1_700_000_000, -7200, 0] {
            let mut clock = clock();
            let jump = clock.look(steady(60), wall(60 + by));
            let shifted = |at: i64| jump.map_or(wall(at), |jump| jump.shifted(wall(at)));
            for at in [0, 30, 60] {
                assert_eq!(shifted(at), wall(at + by), "{at} {by}");
            }
            for at in [-1, -900_000_000, 61, 2_000_000_000] {
                assert_eq!(shifted(at), wall(at), "{at} {by}");
            }
        }
    }

    #[test]
    fn what_engines_wrote_down_is_put_right() {
        for (by, at, expected) in [
            // Forward: before the jump, after it, before this run.
            (1_000_000, 20, 1_000_020),
            (1_000_000, 1_000_059, 1_000_059),
            (1_000_000, -500, -500),
            // Back: in the future by the clock as it is now, after the jump.
            (-7200, 20, -7180),
            (-7200, -7141, -7141),
            // Set while nobody looked: it began before this run.
            (0, 5_000_000, 0),
            (0, 20, 20),
        ] {
            let mut clock = clock();
            clock.look(steady(60), wall(60 + by));
            assert_eq!(clock.of_others(wall(at), wall(60 + by)), wall(expected), "{by} {at}");
        }
    }
}
