//! What the answers to a health check make of a module's health. Pure.
//!
//! As engines do it: one passed check makes a module healthy, so many failed ones in a row make it unhealthy, and failures
//! shortly after a start do not count. Not here: asking (`health.rs` of the crate).

use std::time::Duration;

use hemline_model::edge::HealthCheck;

use crate::module::Health;

/// While a module is starting it is asked that often, so that it counts as healthy as soon as it is.
const WHILE_STARTING: Duration = Duration::from_secs(1);

/// What is known so far of one run of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its health.
    pub health: Health,
    failures: u32,
}

impl Default for Record {
    fn default() -> Self {
        Self { health: Health::Starting, failures: 0 }
    }
}

impl Record {
    /// After an answer, `up` after the start.
    #[must_use]
    pub fn after(self, check: &HealthCheck, passed: bool, up: Duration) -> Self {
        if passed {
            return Self { health: Health::Healthy, failures: 0 };
        }
        let starting = self.health == Health::Starting && up.as_secs() < check.start_period_secs;
        if starting {
            return self;
        }
        let failures = self.failures.saturating_add(1);
        let health = if failures >= check.retries { Health::Unhealthy } else { self.health };
        Self { health, failures }
    }

    /// Until the next check.
    #[must_use]
    pub fn pause(self, check: &HealthCheck) -> Duration {
        let interval = Duration::from_secs(check.interval_secs.max(1));
        if self.health == Health::Starting { interval.min(WHILE_STARTING) } else { interval }
    }
}
