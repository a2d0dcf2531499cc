//! Two small modules for a first fleet: a sensor and a filter (`hem demo sensor`, `hem demo filter`).
//!
//! They are modules like any other: environment, workload API, MQTT. What they tell goes to standard output, where
//! `hem logs` finds it. Not here: the client they use (`edge_client.rs`).

mod filter;
mod sensor;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, Write as _},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    causes,
    edge_client::{ClientError, Desired, ModuleClient, StartError},
};

/// Every so many messages there is a line in the log.
const LINE_EVERY: u64 = 60;

/// Pause before a message is sent again that the hub would not take.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why a demo module ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no client.
    #[error("the demo module cannot start")]
    Start(#[from] StartError),
    /// The client does not work.
    #[error("the demo module cannot go on")]
    Client(#[from] ClientError),
    /// Signals cannot be waited for.
    #[error("the demo module cannot wait for signals")]
    Signal(#[source] io::Error),
}

/// Sends a temperature every second, or as `desired.intervalMs` says, until SIGTERM.
///
/// # Errors
/// When the environment is not that of a module, or the agent does not answer.
pub async fn sensor() -> Result<(), DemoError> {
    let stop = Stop::new()?;
    let client = ModuleClient::from_environment().await?;
    say(format_args!("sensor {} started", client.environment().client));
    let outcome = stop.or(sensor::run(&client)).await;
    client.close().await;
    outcome
}

/// Forwards temperatures above `desired.threshold` to the output `alerts`, until SIGTERM.
///
/// # Errors
/// When the environment is not that of a module, or the agent does not answer.
pub async fn filter() -> Result<(), DemoError> {
    let stop = Stop::new()?;
    let client = ModuleClient::from_environment().await?;
    say(format_args!("filter {} started", client.environment().client));
    let outcome = stop.or(filter::run(&client)).await;
    client.close().await;
    outcome
}

/// The wish of whoever runs this process that it ends.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, DemoError> {
        let wait_for = |kind| signal(kind).map_err(DemoError::Signal);
        Ok(Self {
            terminate: wait_for(SignalKind::terminate())?,
            interrupt: wait_for(SignalKind::interrupt())?,
        })
    }

    /// Does the work until it fails or somebody wants it to end, which is no failure.
    async fn or(mut self, work: impl Future<Output = Result<(), ClientError>>) -> Result<(), DemoError> {
        tokio::select! {
            outcome = work => outcome.map_err(DemoError::from),
            _ = self.terminate.recv() => {
                say(format_args!("asked to end"));
                Ok(())
            }
            _ = self.interrupt.recv() => {
                say(format_args!("interrupted"));
                Ok(())
            }
        }
    }
}

/// Sends until the hub has it: an absent hub is no reason to lose a message.
async fn send_for_sure(client: &ModuleClient, output: &str, body: Vec<u8>) -> Result<(), ClientError> {
    let body = bytes::Bytes::from(body);
    loop {
        match client.send_output(output, body.clone(), crate::edge_client::json()).await {
            Err(error @ ClientError::Deadline { .. }) => say(format_args!("{error}")),
            outcome => return outcome,
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// The settings in force, and a line in the log when they change.
fn settings<T: PartialEq + fmt::Display>(
    desired: &mut watch::Receiver<Desired>,
    old: &T,
    read: impl Fn(&Map<String, Value>) -> T,
) -> T {
    let new = read(&desired.borrow_and_update().properties);
    if new != *old {
        say(format_args!("now {new}"));
    }
    new
}

/// A line on standard output. A reader that went away is no reason to end.
fn say(line: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::debug!(error = causes(&error), "nobody reads standard output");
    }
}
