//! The filter: lets readings above a threshold pass, marked as alerts.
//!
//! An input is acknowledged only when its alert is the hub's, so a crash in between loses nothing. Not here: start and
//! end (`demo.rs`).

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::{LINE_EVERY, say, send_for_sure, settings};
use crate::edge_client::{ClientError, InputMessage, ModuleClient};

/// The input that is listened to; others are acknowledged and forgotten.
const INPUT: &str = "temperature";

/// Counts are reported no more often.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What the desired properties set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 21.0 }
    }
}

impl Settings {
    fn read(desired: &Map<String, Value>) -> Self {
        let threshold = desired.get("threshold").and_then(Value::as_f64);
        Self { threshold: threshold.unwrap_or(Self::default().threshold) }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alerts above {} °C", self.threshold)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    received: u64,
    forwarded: u64,
}

/// The alert for a reading, if it is one.
fn alert(body: &[u8], threshold: f64) -> Option<Vec<u8>> {
    let mut reading: Map<String, Value> = serde_json::from_slice(body).ok()?;
    if reading.get("temperature")?.as_f64()? <= threshold {
        return None;
    }
    reading.insert("alert".to_owned(), Value::Bool(true));
    Some(Value::Object(reading).to_string().into_bytes())
}

/// Filters and reports until it is dropped or the client ends.
pub(super) async fn run(client: &ModuleClient) -> Result<(), ClientError> {
    let mut inputs = client.inputs().ok_or(ClientError::Closed)?;
    let mut desired = client.desired();
    let mut now = Settings::default();
    say(format_args!("input {INPUT}, {now}"));
    let mut counts = Counts::default();
    let mut reported = Counts::default();
    let mut report_at = Instant::now();
    loop {
        tokio::select! {
            Ok(()) = desired.changed() => now = settings(&mut desired, &now, Settings::read),
            message = inputs.recv() => {
                let message = message.ok_or(ClientError::Closed)?;
                handle(client, message, now, &mut counts).await?;
            }
            () = sleep_until(report_at), if counts != reported => {
                report(client, counts).await?;
                reported = counts;
                report_at = Instant::now() + REPORT_EVERY;
            }
        }
    }
}

async fn handle(
    client: &ModuleClient,
    message: InputMessage,
    now: Settings,
    counts: &mut Counts,
) -> Result<(), ClientError> {
    if message.input == INPUT {
        counts.received += 1;
        if let Some(body) = alert(&message.body, now.threshold) {
            send_for_sure(client, "alerts", body).await?;
            counts.forwarded += 1;
        }
        if counts.received.is_multiple_of(LINE_EVERY) {
            say(format_args!("{} readings received, {} alerts forwarded", counts.received, counts.forwarded));
        }
    }
    message.ack().await;
    Ok(())
}

/// What the hub does not take now is told with the next report.
async fn report(client: &ModuleClient, counts: Counts) -> Result<(), ClientError> {
    let Value::Object(patch) = json!({"received": counts.received, "forwarded": counts.forwarded}) else {
        return Ok(());
    };
    match client.report(&patch).await {
        Err(error @ (ClientError::Deadline { .. } | ClientError::Refused { .. })) => {
            say(format_args!("{error}"));
            Ok(())
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readings_above_the_threshold_are_alerts() {
        for (body, threshold, expected) in [
            (
                r#"{"temperature":21.5,"sequence":3}"#,
                21.0,
                Some(json!({"temperature": 21.5, "sequence": 3, "alert": true})),
            ),
            (r#"{"temperature":21.0}"#, 21.0, None),
            (r#"{"temperature":5}"#, -1.0, Some(json!({"temperature": 5, "alert": true}))),
            (r#"{"temperature":"hot"}"#, 0.0, None),
            ("[1]", 0.0, None),
            ("", 0.0, None),
        ] {
            let found =
                alert(body.as_bytes(), threshold).map(|body| serde_json::from_slice::<Value>(&body).unwrap());
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn desired_properties() {
        for (desired, threshold) in
            [(json!({}), 21.0), (json!({"threshold": 30}), 30.0), (json!({"threshold": "x"}), 21.0)]
        {
            assert_eq!(Settings::read(desired.as_object().unwrap()), Settings { threshold });
        }
    }
}
