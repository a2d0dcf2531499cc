//! One change of desired properties for each of many devices, through the service API: until when has each device heard of its own?

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use super::{
    connection::PATIENCE,
    histogram::Histogram,
    sessions::{Lanes, Sessions},
};
use crate::{client::HubClient, error::CommandError};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Patches {
    /// Devices that heard of their change.
    pub(crate) reached: usize,
    /// From the first request to the last device that heard.
    pub(crate) took: Duration,
    /// Of each: from the request to the device.
    pub(crate) latency: Histogram,
}

/// Changes the twins of these devices, which are the first of the sessions, so many at a time.
pub(crate) async fn patches(
    hub: &HubClient,
    sessions: &mut Sessions,
    devices: &[&str],
    value: u64,
    lanes: Lanes,
) -> Result<Patches, CommandError> {
    let begun = Instant::now();
    let asked: Vec<Cell<Option<Instant>>> = devices.iter().map(|_| Cell::new(None)).collect();
    let body = json!({"properties": {"desired": {"load": value}}});
    let ask = |(place, device): (usize, &&str)| {
        let (asked, body, device) = (&asked, &body, (*device).to_owned());
        async move {
            if let Some(asked) = asked.get(place) {
                asked.set(Some(Instant::now()));
            }
            hub.call(Method::PATCH, &["twins", &device], Some(body)).await.map(drop)
        }
    };
    let asking = stream::iter(devices.iter().enumerate())
        .map(ask)
        .buffer_unordered(lanes.0.max(1))
        .try_for_each(|()| async { Ok(()) });
    let hearing = async {
        let (mut latency, mut last) = (Histogram::default(), begun);
        while latency.total() < devices.len() as u64 {
            // One that does not hear must not hold this up for ever.
            let Ok(Some(changed)) = timeout(PATIENCE, sessions.changed()).await else { break };
            // Only the first word counts, and only of a change that was asked for now.
            let Some(asked) = asked.get(changed.actor).and_then(Cell::take) else { continue };
            latency.record(changed.at.saturating_duration_since(asked));
            last = last.max(changed.at);
        }
        Ok::<_, CommandError>((latency, last))
    };
    let ((), (latency, last)) = tokio::try_join!(asking, hearing)?;
    let reached = usize::try_from(latency.total()).unwrap_or(usize::MAX);
    Ok(Patches { reached, took: last.saturating_duration_since(begun), latency })
}
