//! Direct methods, from the service API to a device and back.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};

use super::{error::LoadError, histogram::Histogram, sessions::Lanes};
use crate::{client::HubClient, error::CommandError};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Calls {
    /// All of them.
    pub(crate) took: Duration,
    /// Of each: from the request to its answer.
    pub(crate) latency: Histogram,
}

/// Calls a method so often, of the devices in turn, so many at a time. Each must be answered well.
pub(crate) async fn calls(
    hub: &HubClient,
    devices: &[&str],
    times: usize,
    lanes: Lanes,
) -> Result<Calls, CommandError> {
    let begun = Instant::now();
    let body = json!({
        "methodName": "load", "payload": {"n": 1}, "responseTimeoutInSeconds": 60, "connectTimeoutInSeconds": 0
    });
    let call = |device: &&str| {
        let (body, device) = (&body, (*device).to_owned());
        async move {
            let begun = Instant::now();
            let answer = hub.call(Method::POST, &["twins", &device, "methods"], Some(body)).await?;
            match answer.get("status").and_then(Value::as_u64) {
                Some(200) => Ok(begun.elapsed()),
                _ => {
                    let said = LoadError::Unexpected(answer.to_string());
                    Err(CommandError::part("a method", said))
                }
            }
        }
    };
    let latency = stream::iter(devices.iter().cycle().take(times))
        .map(call)
        .buffer_unordered(lanes.0.max(1))
        .try_fold(Histogram::default(), |mut latency, took| async move {
            latency.record(took);
            Ok(latency)
        })
        .await?;
    Ok(Calls { took: begun.elapsed(), latency })
}
