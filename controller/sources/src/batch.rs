//! When something pending is sent: not more often than a given time, later after each failure. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A refusal stands until somebody changes rights: asked again so often.
pub const REFUSED: Duration = Duration::from_secs(60 * 60);
/// Longest wait after failures that may pass by themselves.
pub const BACKOFF_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// Something to send, newest wins.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pending: Option<T>,
    pace: Pace,
}

/// When the next may be sent, whatever it is.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    not_before: Option<Instant>,
    failures: u32,
}

impl<T> Batch<T> {
    pub(crate) fn new(every: Duration) -> Self {
        Self { pending: None, pace: Pace::new(every) }
    }

    /// Replaces what waits.
    pub(crate) fn put(&mut self, value: T) {
        self.pending = Some(value);
    }

    pub(crate) fn waits(&self) -> bool {
        self.pending.is_some()
    }

    /// When there is something to send; `None` when nothing waits.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        self.pending.as_ref().map(|_| self.pace.due(now))
    }

    /// What is to be sent now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<T> {
        if self.due(now).is_none_or(|due| due > now) {
            return None;
        }
        self.pace.begun(now);
        self.pending.take()
    }

    pub(crate) fn sent(&mut self) {
        self.pace.sent();
    }

    /// It has to be sent again, unless something newer waits.
    pub(crate) fn failed(&mut self, value: T, now: Instant) {
        self.pace.failed(now);
        self.pending.get_or_insert(value);
    }

    /// What kept it from being sent may be over: it is due now.
    pub(crate) fn again(&mut self) {
        self.pace.again();
    }

    /// It has to be sent again, but only after this time.
    pub(crate) fn refused(&mut self, value: T, until: Instant) {
        self.pace.rest(until);
        self.pending.get_or_insert(value);
    }
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, not_before: None, failures: 0 }
    }

    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.not_before.unwrap_or(now)
    }

    /// Something is being sent.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.not_before = Some(now + self.every);
    }

    pub(crate) fn sent(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait = self.every.max(Duration::from_secs(1)) * 2_u32.saturating_pow(self.failures.min(16));
        self.not_before = Some(now + wait.min(BACKOFF_AT_MOST));
    }

    fn again(&mut self) {
        self.not_before = None;
        self.failures = 0;
    }

    /// Nothing before this time.
    pub(crate) fn rest(&mut self, until: Instant) {
        self.not_before = Some(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_more_often_than_told_and_the_newest_wins() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut batch = Batch::new(Duration::from_secs(30));
        assert_eq!(batch.due(start), None);
        batch.put(1);
        assert_eq!(batch.take(start), Some(1));
        batch.put(2);
        batch.put(3);
        assert_eq!(batch.due(at(1)), Some(at(30)));
        assert_eq!(batch.take(at(29)), None);
        assert_eq!(batch.take(at(30)), Some(3));
        batch.sent();
        assert_eq!(batch.take(at(90)), None);
    }

    #[test]
    fn what_was_refused_is_due_when_somebody_says_that_it_is_over() {
        let start = Instant::now();
        let mut batch = Batch::new(Duration::from_secs(30));
        batch.refused(1, start + Duration::from_secs(3600));
        assert_eq!(batch.take(start + Duration::from_secs(60)), None);
        batch.again();
        assert_eq!(batch.take(start + Duration::from_secs(60)), Some(1));
    }

    #[test]
    fn failures_wait_longer_and_never_replace_news() {
        let start = Instant::now();
        let mut batch = Batch::new(Duration::from_secs(30));
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            batch.put(1);
            let value = batch.take(now).unwrap();
            batch.failed(value, now);
            let due = batch.due(now).unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900, 900]);
        let old = batch.take(now).unwrap();
        batch.put(9);
        batch.failed(old, now);
        assert_eq!(batch.take(batch.due(now).unwrap()), Some(9));
        batch.sent();
        batch.put(1);
        batch.take(now + Duration::from_secs(10_000)).unwrap();
        assert_eq!(batch.due(now), None);
    }
}
