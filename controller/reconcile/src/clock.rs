//! The clock on the wall against one that only goes forward: told when the wall clock was set while the program runs, as on a
//! machine that learns the time after it has started. Pure but for [`Machine`].
//!
//! A restart says nothing: how long a program was away is what the wall clock is for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Where the time of a round comes from. The test that kills rounds everywhere plays one.
pub(crate) trait Clocks: Send + Sync {
    /// The clock on the wall.
    fn wall(&self) -> Timestamp;

    /// The one that only goes forward, with the time that the machine slept.
    fn steady(&self) -> Duration;
}

/// Those of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine;

impl Clocks for Machine {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn steady(&self) -> Duration {
        steady()
    }
}

/// Less than this is drift of the clocks, or a wait between two looks at them.
const NOTICED: SignedDuration = SignedDuration::from_secs(30);

/// Both clocks at the last look.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<(Duration, Timestamp)>,
}

impl Clock {
    /// How far the wall clock was set since the last look, forward or back; `None` when it was not. `steady` counts the time
    /// that the machine slept, as the wall clock does.
    pub(crate) fn set_by(&mut self, steady: Duration, wall: Timestamp) -> Option<SignedDuration> {
        let (before, said) = self.last.replace((steady, wall))?;
        let passed = SignedDuration::try_from(steady.saturating_sub(before)).ok()?;
        let by = wall.duration_since(said).checked_sub(passed)?;
        (by.abs() > NOTICED).then_some(by)
    }
}

/// The time since the machine booted, with the time that it slept: the steady one of the two clocks.
#[cfg(target_os = "linux")]
fn steady() -> Duration {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(since_boot).unwrap_or_default()
}

/// The time since it was asked first; whether the time that the machine slept counts is the system's.
#[cfg(not(target_os = "linux"))]
fn steady() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_steady_clock_counts_sleep() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
        let off = steady().as_secs_f64() - uptime;
        assert!((-1.0..30.0).contains(&off), "not the time since the boot: off by {off} s");
    }

    #[test]
    fn only_a_clock_that_was_set_is_told() {
        let (steady, wall) = (Duration::from_secs(77), Timestamp::from_second(1_000_000_000).unwrap());
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
            // It slept for eight hours: both clocks went on.
            (32_700, 32_710, None),
        ] {
            assert_eq!(look(after, said), by, "{after} {said}");
        }
    }
}
