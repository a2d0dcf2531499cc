//! The time of the loop: when the clock on the wall was set, what is remembered moves with it before anything is judged.
//!
//! Not here: what a jump is (`decide/clock.rs`).

use std::time::Duration;

use jiff::Timestamp;

use super::Reconciler;
use crate::{decide::clock::Jump, module::Seen};

impl Reconciler {
    /// The time now, and times that are remembered agree with it.
    pub(super) fn now(&mut self) -> Timestamp {
        let now = Timestamp::now();
        if let Some(jump) = self.wall.look(steady(), now) {
            self.clock_was_set(&jump);
        }
        now
    }

    fn clock_was_set(&mut self, jump: &Jump) {
        let seconds = jump.by.as_secs();
        tracing::warn!(seconds, "the clock of this machine was set; what is under way moves with it");
        for at in [&mut self.clock, &mut self.since, &mut self.started, &mut self.tidied] {
            *at = jump.shifted(*at);
        }
        self.memory.shift(jump);
        let shelf = self.shelf.clone();
        self.shelf.shift(jump);
        if self.shelf != shelf {
            self.store.save_shelf(&self.shelf);
        }
        if let Some(course) = self.course.clone() {
            self.keep(course.shifted(jump));
        }
    }

    /// Times that runtimes wrote down, by the clock as it is now.
    pub(super) fn put_times_right(&self, seen: &mut [Seen], now: Timestamp) {
        for seen in seen {
            for at in [&mut seen.started, &mut seen.exited].into_iter().flatten() {
                *at = self.wall.of_others(*at, now);
            }
        }
    }
}

/// The time since the machine booted, with the time that it slept: the steady one of the two clocks.
#[cfg(target_os = "linux")]
pub(super) fn steady() -> Duration {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(since_boot).unwrap_or_default()
}

/// The time since it was asked first; whether the time that the machine slept counts is the system's.
#[cfg(not(target_os = "linux"))]
pub(super) fn steady() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}
