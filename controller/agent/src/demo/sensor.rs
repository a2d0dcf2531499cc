//! The sensor: a temperature that wanders around a base, one reading per interval.
//!
//! The same sequence number gives the same deviation, always: what arrives can be checked. Not here: start and end
//! (`demo.rs`).

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::{LINE_EVERY, say, send_for_sure, settings};
use crate::edge_client::{ClientError, ModuleClient};

const SHORTEST_MS: u64 = 10;
const LONGEST_MS: u64 = 3_600_000;

/// What the desired properties set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    interval: Duration,
    base: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), base: 21.0 }
    }
}

impl Settings {
    /// A value of the wrong kind counts as absent, a number out of range as the nearest one in it.
    fn read(desired: &Map<String, Value>) -> Self {
        let default = Self::default();
        let number = |name| desired.get(name).and_then(Value::as_f64);
        let interval = match number("intervalMs") {
            None => default.interval,
            // Saturates, and the range is far inside.
            Some(ms) => Duration::from_millis((ms as u64).clamp(SHORTEST_MS, LONGEST_MS)),
        };
        Self { interval, base: number("base").unwrap_or(default.base) }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {} ms around {} °C", self.interval.as_millis(), self.base)
    }
}

/// The reading with that number: two slow waves and a little unrest, at most 2.5 °C from the base.
fn temperature(base: f64, sequence: u64) -> f64 {
    let step = (sequence % 1_000_000) as f64;
    // Knuth's multiplicative hash; the top byte is unrest enough.
    let unrest = (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as f64 / 255.0 - 0.5;
    let deviation = 1.4 * (step / 9.0).sin() + 0.8 * (step / 2.3 + 1.0).sin() + 0.6 * unrest;
    ((base + deviation) * 100.0).round() / 100.0
}

fn reading(base: f64, sequence: u64) -> Vec<u8> {
    json!({"temperature": temperature(base, sequence), "sequence": sequence, "unit": "C"})
        .to_string()
        .into_bytes()
}

/// Reads and sends until it is dropped or the client ends.
pub(super) async fn run(client: &ModuleClient) -> Result<(), ClientError> {
    let mut desired = client.desired();
    let mut now = Settings::default();
    say(format_args!("output temperature {now}"));
    let mut last = Instant::now();
    let mut sequence = 0u64;
    loop {
        tokio::select! {
            Ok(()) = desired.changed() => {
                now = settings(&mut desired, &now, Settings::read);
                continue;
            }
            () = sleep_until(last + now.interval) => {}
        }
        last = Instant::now();
        sequence += 1;
        send_for_sure(client, "temperature", reading(now.base, sequence)).await?;
        if sequence.is_multiple_of(LINE_EVERY) {
            say(format_args!("{sequence} readings sent, the last {} °C", temperature(now.base, sequence)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desired_properties() {
        for (desired, ms, base) in [
            (json!({}), 1000, 21.0),
            (json!({"intervalMs": 250, "base": 4}), 250, 4.0),
            (json!({"intervalMs": 9, "base": -3.5}), 10, -3.5),
            (json!({"intervalMs": 1e12}), 3_600_000, 21.0),
            (json!({"intervalMs": -5}), 10, 21.0),
            (json!({"intervalMs": "fast", "base": null}), 1000, 21.0),
        ] {
            let read = Settings::read(desired.as_object().unwrap());
            assert_eq!(read, Settings { interval: Duration::from_millis(ms), base }, "{desired}");
        }
    }

    #[test]
    fn readings_wander_around_the_base_and_repeat() {
        let series: Vec<f64> = (1..=1000).map(|sequence| temperature(21.0, sequence)).collect();
        assert!(series.iter().all(|value| (value - 21.0).abs() <= 2.51));
        let above = series.iter().filter(|value| **value > 21.0).count();
        assert!((350..=650).contains(&above), "{above}");
        assert!(series.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1.5));
        assert_eq!(reading(21.0, 7), reading(21.0, 7));
        let body: Value = serde_json::from_slice(&reading(21.0, 7)).unwrap();
        assert_eq!((&body["sequence"], &body["unit"]), (&json!(7), &json!("C")));
        assert!(body["temperature"].is_f64());
    }
}
