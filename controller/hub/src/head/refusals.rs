//! Which refusals are worth a log line: one per identity and reason and minute. A client with a wrong key retries every
//! few seconds for days, and a log that repeats it is a log that nobody reads.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A repeated refusal is silent for this long.
const QUIET: Duration = Duration::from_secs(60);

/// Identities remembered. Names come from outside, so the memory for them is bounded; beyond it nothing is logged
/// until the minute is over, and the counters still tell.
const REMEMBERED: usize = 4_096;

/// What was logged lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    lately: Mutex<HashMap<(String, String), Instant>>,
}

impl Refusals {
    /// Is this the first refusal of its kind within a minute?
    pub(crate) fn first(&self, identity: &str, reason: &str, now: Instant) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (identity.chars().take(300).collect(), reason.chars().take(100).collect());
        if let Some(at) = lately.get_mut(&key) {
            if now.duration_since(*at) < QUIET {
                return false;
            }
            *at = now;
            return true;
        }
        if lately.len() >= REMEMBERED {
            lately.retain(|_, at| now.duration_since(*at) < QUIET);
            if lately.len() >= REMEMBERED {
                return false;
            }
        }
        lately.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_identity_reason_and_minute() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert!(refusals.first("a", "wrong key", start));
        assert!(!refusals.first("a", "wrong key", start + Duration::from_secs(59)));
        assert!(refusals.first("a", "expired", start));
        assert!(refusals.first("b", "wrong key", start));
        assert!(refusals.first("a", "wrong key", start + Duration::from_secs(60)));
    }

    #[test]
    fn memory_is_bounded() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let logged = (0..10_000).filter(|id| refusals.first(&id.to_string(), "x", start)).count();
        assert_eq!(logged, REMEMBERED);
        assert!(refusals.first("later", "x", start + QUIET));
    }
}
