//! Instants and seconds without overflow. The core never asks what time it is; it is told.

use jiff::{SignedDuration, Timestamp};

/// This many seconds later; the end of time when that is further than time goes.
pub(crate) fn later(at: Timestamp, seconds: i64) -> Timestamp {
    let far = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(far)
}

/// The same instant on a clock that was set by so much.
pub(crate) fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    let far = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    at.checked_add(by).unwrap_or(far)
}

/// 100-nanosecond steps since the year 1, the unit of generation ids and edge scopes.
pub(crate) fn ticks(at: Timestamp) -> u64 {
    const TICKS_TO_1970: i128 = 621_355_968_000_000_000;
    u64::try_from(at.as_nanosecond() / 100 + TICKS_TO_1970).unwrap_or(0)
}
