//! `hem rollout status --watch`: has the source looked at, then looks until what it holds is rolled out and every rollout is
//! over.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use hemline_plan::rollout::RolloutStatus;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    awaited::{Awaited, awaited},
    chosen, is_over, tell,
    view::{View, draw},
};
use crate::{args::Args, client::HubClient, error::CommandError};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);
/// How often the source is asked for again that does not answer.
const AGAIN: Duration = Duration::from_secs(5);

/// How it ended.
pub(super) struct Watched {
    pub(super) rollouts: Vec<RolloutStatus>,
    /// Why nothing comes of the newest revision.
    pub(super) refused: Option<String>,
}

/// Watches.
pub(super) async fn watch(
    args: &Args,
    hub: &HubClient,
    deployment: Option<&str>,
) -> Result<Watched, CommandError> {
    let live = args.output.is_table() && std::io::stderr().is_terminal();
    let view = View::new(live);
    let mut told = BTreeMap::new();
    let mut last = None;
    let mut asked = ask(hub).await?;
    let mut asked_at = Instant::now();
    loop {
        let controller = controller(hub).await?;
        let rollouts = chosen(hub, controller.get("rollouts"), deployment)?;
        let next = awaited(&controller, asked);
        match next {
            Awaited::Yes(line) if rollouts.iter().all(is_over) => {
                if !live && last.as_ref() != Some(&line) {
                    // Not on the output: that is for the rollouts.
                    drop(writeln!(anstream::stderr(), "{line}"));
                }
                view.show(line.clone());
                last = Some(line);
                if asked.is_some() && asked_at.elapsed() > AGAIN {
                    // The clock of the hub may have been set back meanwhile.
                    asked = asked.min(ask(hub).await?);
                    asked_at = Instant::now();
                }
            }
            Awaited::Yes(_) | Awaited::No | Awaited::Refused(_) => {
                view.show(draw(&rollouts));
                if !live && args.output.is_table() {
                    tell(&rollouts, &mut told)?;
                }
                if rollouts.iter().all(is_over) {
                    view.clear();
                    let refused = match next {
                        Awaited::Refused(why) => Some(why),
                        Awaited::Yes(_) | Awaited::No => None,
                    };
                    return Ok(Watched { rollouts, refused });
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Has the source looked at now: when that was, by the clock of the hub. `None` for who may only read: then what the hub knows
/// already is watched.
async fn ask(hub: &HubClient) -> Result<Option<Timestamp>, CommandError> {
    loop {
        match hub.call(Method::POST, &["api", "v1", "sync"], None).await {
            Ok(answer) => return Ok(answer.get("at").and_then(Value::as_str).and_then(|at| at.parse().ok())),
            Err(CommandError::Refused { status: 401 | 403, .. }) => return Ok(None),
            // It starts.
            Err(CommandError::Refused { status: 503, .. }) => tokio::time::sleep(LOOK).await,
            Err(error) => return Err(error),
        }
    }
}

/// What the newest pass of the controller found.
async fn controller(hub: &HubClient) -> Result<Value, CommandError> {
    let mut status = hub.call(Method::GET, &["api", "v1", "status"], None).await?;
    Ok(status.get_mut("controller").map(Value::take).unwrap_or_default())
}
