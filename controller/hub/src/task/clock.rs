//! What time it is, and whether somebody set the clock. Another clock that nobody can set runs beside it; what the two do not
//! agree on was set.
//!
//! A machine that slept counts as one whose clock was set: the second clock sleeps, too.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Less is a clock that is being corrected little by little.
const STEP: Duration = Duration::from_secs(1);

/// The clock as it was read last.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    /// As it is now.
    pub(crate) fn start() -> Self {
        Self { wall: Timestamp::now(), steady: Instant::now() }
    }

    /// What time it is, and by how much the clock was set since the last look, if it was.
    pub(crate) fn read(&mut self) -> (Timestamp, Option<SignedDuration>) {
        let (wall, steady) = (Timestamp::now(), Instant::now());
        (wall, self.look(wall, steady))
    }

    fn look(&mut self, wall: Timestamp, steady: Instant) -> Option<SignedDuration> {
        let shown = wall.duration_since(self.wall);
        let passed = SignedDuration::try_from(steady.saturating_duration_since(self.steady));
        (self.wall, self.steady) = (wall, steady);
        let by = shown.saturating_sub(passed.unwrap_or(SignedDuration::MAX));
        (by.unsigned_abs() >= STEP).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_count() {
        let mut clock = Clock::start();
        let (mut wall, mut steady) = (clock.wall, clock.steady);
        for (passed, shown, expected) in [
            (0, 0, None),
            (500, 500, None),
            // A correction, as time servers make it: slowly, however long it goes on.
            (500, 499, None),
            (60_000, 60_030, None),
            (86_400_000, 86_400_000, None),
            (500, 86_400_500, Some(86_400_000)),
            (500, 500, None),
            (500, -172_799_500, Some(-172_800_000)),
            (0, 1_000, Some(1_000)),
            (0, -1_000, Some(-1_000)),
            (1_000, 0, Some(-1_000)),
        ] {
            wall += SignedDuration::from_millis(shown);
            steady += Duration::from_millis(passed);
            let expected = expected.map(SignedDuration::from_millis);
            assert_eq!(clock.look(wall, steady), expected, "{passed} ms passed, {shown} were shown");
        }
    }
}
