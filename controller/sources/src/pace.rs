//! When to look again: an interval with jitter, so that a hundred controllers do not ask a forge in the same second.

use std::time::Duration;

/// The interval, up to a tenth longer or shorter.
pub(crate) fn jittered(interval: Duration) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness the interval is as good as any.
    if getrandom::fill(&mut random).is_err() {
        return interval;
    }
    spread(interval, u16::from_be_bytes(random))
}

/// 0 is nine tenths of the interval, the largest number eleven.
fn spread(interval: Duration, random: u16) -> Duration {
    let tenth = interval / 10;
    interval - tenth + (tenth * 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_either_way() {
        let second = Duration::from_secs(1);
        assert_eq!(spread(second, 0), Duration::from_millis(900));
        assert_eq!(spread(second, u16::MAX), Duration::from_millis(1100));
        assert_eq!(spread(Duration::ZERO, 7), Duration::ZERO);
    }
}
