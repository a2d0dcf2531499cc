//! How often somebody may do something: so many at once, then one per period. Time is an argument, memory is bounded.
//!
//! Each key is one number, the moment at which its bucket is full again; a key whose bucket is full is not kept. When there
//! are more keys than there is room for, those that owe least are forgotten: whoever comes too often owes most and stays.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// So many at once, then one per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Milliseconds until one more is allowed.
    pub period_ms: u32,
}

/// Too often. In so many milliseconds one more is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too often; wait {0} ms")]
pub struct Wait(pub i64);

impl Wait {
    /// The same in whole seconds, rounded up, at least 1: what `Retry-After` takes.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.saturating_add(999).div_euclid(1_000).max(1)
    }
}

/// Who did how much lately.
#[derive(Debug, Clone)]
pub struct Throttle<K> {
    rate: Rate,
    /// Keys that are kept.
    most: usize,
    /// Milliseconds since 1970 at which the bucket of a key is full again.
    full_at: BTreeMap<K, i64>,
}

impl<K: Ord + Clone> Throttle<K> {
    /// Nobody has done anything. At least one key is kept, whatever `most` is.
    #[must_use]
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most: most.max(1), full_at: BTreeMap::new() }
    }

    /// May it do one more? Counts nothing.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), Wait> {
        let missing = self.owed(key, now) + self.period() - self.whole();
        if missing > 0 { Err(Wait(missing)) } else { Ok(()) }
    }

    /// It did one more. What is beyond the burst is not remembered, so nobody is ever locked out for longer than the
    /// whole bucket takes.
    pub fn charge(&mut self, key: K, now: Timestamp) {
        let owed = (self.owed(&key, now) + self.period()).min(self.whole());
        self.full_at.insert(key, now.as_millisecond().saturating_add(owed));
        if self.full_at.len() > self.most {
            self.forget(now.as_millisecond());
        }
    }

    /// May it do one more, and if so it did.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&mut self, key: K, now: Timestamp) -> Result<(), Wait> {
        self.check(&key, now)?;
        self.charge(key, now);
        Ok(())
    }

    /// Keys that are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Is none kept?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// What its bucket lacks, in milliseconds. More than the whole is lacking only when the clock was set back: then nobody
    /// knows, and nothing is owed, for else whoever came shortly before would be refused until the clock is there again.
    fn owed(&self, key: &K, now: Timestamp) -> i64 {
        let full_at = self.full_at.get(key).copied().unwrap_or(i64::MIN);
        let owed = full_at.saturating_sub(now.as_millisecond());
        if owed > self.whole() { 0 } else { owed.max(0) }
    }

    fn period(&self) -> i64 {
        i64::from(self.rate.period_ms)
    }

    fn whole(&self) -> i64 {
        i64::from(self.rate.burst) * self.period()
    }

    /// Makes room for many more, so that this is rare.
    fn forget(&mut self, now: i64) {
        let whole = self.whole();
        self.full_at.retain(|_, full_at| (1..=whole).contains(&full_at.saturating_sub(now)));
        if self.full_at.len() <= self.most / 4 * 3 {
            return;
        }
        let mut moments: Vec<i64> = self.full_at.values().copied().collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let median = *median;
        self.full_at.retain(|_, full_at| *full_at > median);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    #[test]
    fn a_burst_then_one_per_period() {
        let mut throttle = Throttle::new(Rate { burst: 3, period_ms: 1_000 }, 10);
        for (ms, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(Wait(1_000))),
            (400, Err(Wait(600))),
            (1_000, Ok(())),
            (1_500, Err(Wait(500))),
            (2_900, Ok(())),
            (3_000, Ok(())),
            (3_000, Err(Wait(1_000))),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Err(Wait(1_000))),
            // The clock was set back by an hour: nobody waits for it to come round again.
            (-3_600_000, Ok(())),
            (-3_600_000, Ok(())),
            (-3_600_000, Ok(())),
            (-3_600_000, Err(Wait(1_000))),
            (-3_599_000, Ok(())),
            (-3_597_000, Ok(())),
            // By a little: so much longer it takes, and never longer than the whole bucket.
            (-3_597_500, Err(Wait(500))),
        ] {
            assert_eq!(throttle.take("a", at(ms)), expected, "at {ms}");
        }
        assert_eq!(throttle.check(&"b", at(0)), Ok(()), "everybody has a bucket of their own");
        assert_eq!([0, 1, 1_000, 1_001].map(|ms| Wait(ms).seconds()), [1, 1, 1, 2]);
    }

    #[test]
    fn failures_that_were_not_prevented_do_not_pile_up() {
        let mut throttle = Throttle::new(Rate { burst: 2, period_ms: 1_000 }, 10);
        for _ in 0..100 {
            throttle.charge("a", at(0));
        }
        assert_eq!(throttle.check(&"a", at(0)), Err(Wait(1_000)));
        assert_eq!(throttle.check(&"a", at(1_000)), Ok(()));
        let never = Throttle::<u8>::new(Rate { burst: 0, period_ms: 5 }, 1);
        assert_eq!(never.check(&1, at(0)), Err(Wait(5)));
    }

    #[test]
    fn a_crowd_does_not_make_the_worst_forgotten() {
        let mut throttle = Throttle::new(Rate { burst: 10, period_ms: 1_000 }, 100);
        for _ in 0..10 {
            throttle.charge(0, at(0));
        }
        for key in 1..10_000 {
            throttle.charge(key, at(1));
            assert!(throttle.len() <= 100, "{} keys", throttle.len());
        }
        assert!(throttle.check(&0, at(2)).is_err(), "it owes most");
    }

    proptest! {
        /// A bucket that is filled drop by drop, kept for everybody for ever.
        #[test]
        fn as_a_naive_bucket(
            burst in 0_u32..5,
            period in 1_u32..50,
            steps in proptest::collection::vec((0_u8..4, 0_i64..60, any::<bool>()), 0..200),
        ) {
            let mut throttle = Throttle::new(Rate { burst, period_ms: period }, 1_000);
            let whole = i64::from(burst) * i64::from(period);
            let mut levels = [whole; 4];
            let mut now = 0;
            for (key, pause, only_count) in steps {
                now += pause;
                levels.iter_mut().for_each(|level| *level = (*level + pause).min(whole));
                let level = &mut levels[usize::from(key)];
                let expected = if *level >= i64::from(period) { Ok(()) } else { Err(Wait(i64::from(period) - *level)) };
                prop_assert_eq!(throttle.check(&key, at(now)), expected);
                if only_count {
                    throttle.charge(key, at(now));
                    *level = (*level - i64::from(period)).max(0);
                } else {
                    prop_assert_eq!(throttle.take(key, at(now)), expected);
                    if expected.is_ok() {
                        *level -= i64::from(period);
                    }
                }
            }
        }

        /// With little room nobody is refused whom the full memory lets pass for the first time, and the room is kept.
        #[test]
        fn little_room(
            most in 1_usize..20,
            steps in proptest::collection::vec((any::<u8>(), 0_i64..60), 0..400),
        ) {
            let mut throttle = Throttle::new(Rate { burst: 2, period_ms: 100 }, most);
            let mut seen = std::collections::BTreeSet::new();
            let mut now = 0;
            for (key, pause) in steps {
                now += pause;
                let told = throttle.take(key, at(now));
                prop_assert!(told.is_ok() || !seen.insert(key), "the first time of {}", key);
                seen.insert(key);
                prop_assert!(throttle.len() <= most);
            }
        }
    }
}
