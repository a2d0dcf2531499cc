//! The two time spellings of IoT Hub bodies and topics.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// ISO 8601 with seven decimals and `Z`: the only form that the C# client parses (reference device-protocol §4.6).
pub use hemline_model::twin::dotnet_time as iso;

/// `MM/dd/yyyy HH:mm:ss`, as tracking ids carry it.
#[must_use]
pub fn tracking(at: Timestamp) -> String {
    let t = TimeZone::UTC.to_datetime(at);
    format!(
        "{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
        t.month(),
        t.day(),
        t.year(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// Reads ISO 8601 with or without zone and fraction; without a zone it is UTC (reference device-protocol §4.6).
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let at: Timestamp = "2024-05-01T10:20:30.1234567Z".parse().unwrap();
        assert_eq!(iso(at), "2024-05-01T10:20:30.1234567Z");
        assert_eq!(tracking(at), "05/01/2024 10:20:30");
        for text in [
            "2024-05-01T10:20:30.1234567",
            "2024-05-01T10:20:30.1234567+00:00",
            "2024-05-01T12:20:30.1234567+02:00",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert_eq!(parse("tomorrow"), None);
    }
}
