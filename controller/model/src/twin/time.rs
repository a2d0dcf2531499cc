//! The time format of twins: ISO 8601 with seven decimals, as .NET writes it.

use jiff::{Timestamp, tz::TimeZone};

/// A time as the hub prints it: `2026-01-01T00:00:00.0000000Z`.
#[must_use]
pub fn dotnet_time(at: Timestamp) -> String {
    let seconds = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    // Before 1970 jiff's sub-second part is negative; rem_euclid keeps the seven decimals right there too.
    let ticks = at.as_nanosecond().rem_euclid(1_000_000_000) / 100;
    format!("{seconds}.{ticks:07}Z")
}
