//! How long things took, in constant memory: counts per bucket, each bucket at most 1/64 wide of what it holds. Pure.

use std::time::Duration;

/// Buckets per doubling.
const FINE: u64 = 64;
/// Bits of `FINE`.
const FINE_BITS: u32 = FINE.trailing_zeros();

/// Durations that were counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// How many were counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The longest, exactly.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// What so many of a thousand did not exceed, at most 1/64 too much; nothing when nothing was counted.
    pub(crate) fn per_mille(&self, share: u64) -> Option<Duration> {
        let rank = (self.total * share.min(1_000)).div_ceil(1_000).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(highest(bucket).min(self.longest)))
    }
}

/// Below two times `FINE` each value has a bucket of its own; above, the leading bits choose it.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(FINE_BITS + 1);
    let bucket = u64::from(shift) * FINE + (value >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let shift = bucket / FINE - 1;
    let leading = bucket - shift * FINE;
    // The last bucket ends where the numbers do.
    ((u128::from(leading) + 1) << shift).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_without_gaps() {
        let mut before = None;
        for bucket_at in 0..bucket(u64::MAX) {
            let top = highest(bucket_at);
            assert_eq!(bucket(top), bucket_at, "{top}");
            assert_eq!(bucket(top + 1), bucket_at + 1, "{top} and one");
            let lowest = before.map_or(0, |before: u64| before + 1);
            assert!(top - lowest <= lowest / FINE, "{lowest}..={top}");
            before = Some(top);
        }
        assert_eq!(highest(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn shares_are_those_of_the_sorted_values() {
        // Any spread will do; this one has every order of magnitude.
        let mut values: Vec<u64> = (1..5_000_u64).map(|n| n * n * n % 1_000_003 + n).collect();
        let (mut all, mut other) = (Histogram::default(), Histogram::default());
        for (place, nanos) in values.iter().enumerate() {
            let half = if place % 3 == 0 { &mut all } else { &mut other };
            half.record(Duration::from_nanos(*nanos));
        }
        all.merge(&other);
        values.sort_unstable();
        assert_eq!(all.total(), values.len() as u64);
        assert_eq!(all.longest().as_nanos() as u64, *values.last().unwrap());
        for share in [0, 1, 10, 500, 900, 990, 999, 1_000] {
            let rank = (values.len() as u64 * share).div_ceil(1_000).max(1) as usize;
            let exact = values[rank - 1];
            let told = all.per_mille(share).unwrap().as_nanos() as u64;
            assert!((exact..=exact + exact / FINE).contains(&told), "{share}: {exact} {told}");
        }
    }

    #[test]
    fn nothing_counted_is_nothing_told() {
        assert_eq!(Histogram::default().per_mille(500), None);
        assert_eq!(Histogram::default().longest(), Duration::ZERO);
    }
}
