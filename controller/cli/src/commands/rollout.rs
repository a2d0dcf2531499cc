//! `hem rollout status|pause|resume|approve|abort|revert`: how a revision reaches the devices, and what people say to it.

mod awaited;
mod view;

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use hemline_plan::rollout::{Command, RolloutStatus};
use hemline_reconcile::RolloutOrder;
use reqwest::Method;
use serde_json::Value;

use self::{
    awaited::awaited,
    view::{View, draw},
};
use super::review::short;
use crate::{
    args::{Args, Rollout, RolloutOf},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

const PATH: [&str; 3] = ["api", "v1", "rollouts"];
/// How often `--watch` looks.
const LOOK: Duration = Duration::from_millis(500);

/// Asks or orders. Exit code 1 when a rollout stopped or went back, so that scripts can ask too.
pub(crate) async fn run(args: &Args, typed: &Rollout) -> Result<ExitCode, CommandError> {
    let hub = HubClient::find(args)?;
    let (command, of) = match typed {
        Rollout::Status { deployment, watch } => {
            return status(args, &hub, deployment.as_deref(), *watch).await;
        }
        Rollout::Pause(of) => (Command::Pause, of),
        Rollout::Resume(of) => (Command::Resume, of),
        Rollout::Approve(of) => (Command::Approve, of),
        Rollout::Abort(of) => (Command::Abort, of),
        Rollout::Revert(of) => (Command::Revert, of),
    };
    let RolloutOf { deployment, by } = of;
    let order = RolloutOrder { command, deployment: deployment.clone(), by: by.clone() };
    let body = serde_json::to_value(&order).map_err(|error| CommandError::part("JSON", error))?;
    let found = hub.call(Method::POST, &PATH, Some(&body)).await?;
    let rollouts = chosen(&hub, found, deployment.as_deref())?;
    output::value(&rollouts, args.output, |rollouts| rollouts.iter().map(line).collect())?;
    Ok(ExitCode::from(exit::SUCCESS))
}

async fn status(
    args: &Args,
    hub: &HubClient,
    deployment: Option<&str>,
    watch: bool,
) -> Result<ExitCode, CommandError> {
    let mut rollouts = look(hub, deployment, watch).await?;
    if watch {
        let live = args.output.is_table() && std::io::stderr().is_terminal();
        let view = View::new(live);
        let mut told = BTreeMap::new();
        let mut last = None;
        loop {
            // There is none for a moment after a push.
            if rollouts.is_empty()
                && let Some(line) = awaited(&controller(hub).await?)
            {
                if !live && last.as_ref() != Some(&line) {
                    // Not on the output: that is for the rollouts.
                    drop(writeln!(anstream::stderr(), "{line}"));
                }
                view.show(line.clone());
                last = Some(line);
                tokio::time::sleep(LOOK).await;
                rollouts = look(hub, deployment, watch).await?;
                continue;
            }
            view.show(draw(&rollouts));
            if !live && args.output.is_table() {
                tell(&rollouts, &mut told)?;
            }
            if rollouts.iter().all(is_over) {
                break;
            }
            tokio::time::sleep(LOOK).await;
            rollouts = look(hub, deployment, watch).await?;
        }
        view.clear();
        if let (Some(name), true) = (deployment, rollouts.is_empty()) {
            return Err(nobody(name));
        }
    }
    output::value(&rollouts, args.output, |rollouts| as_text(rollouts))?;
    let stopped =
        rollouts.iter().any(|rollout| matches!(rollout.phase.as_str(), "halted" | "reverting" | "reverted"));
    Ok(ExitCode::from(if stopped { exit::FAILURE } else { exit::SUCCESS }))
}

/// The rollouts now. One that is named must be there, unless somebody `waits` for it and there is none at all.
async fn look(
    hub: &HubClient,
    deployment: Option<&str>,
    waits: bool,
) -> Result<Vec<RolloutStatus>, CommandError> {
    let found = hub.call(Method::GET, &PATH, None).await?;
    let none = found.as_array().is_some_and(Vec::is_empty);
    chosen(hub, found, deployment.filter(|_| !(waits && none)))
}

/// What the newest pass of the controller found.
async fn controller(hub: &HubClient) -> Result<Value, CommandError> {
    let mut status = hub.call(Method::GET, &["api", "v1", "status"], None).await?;
    Ok(status.get_mut("controller").map(Value::take).unwrap_or_default())
}

fn chosen(
    hub: &HubClient,
    found: Value,
    deployment: Option<&str>,
) -> Result<Vec<RolloutStatus>, CommandError> {
    let mut rollouts: Vec<RolloutStatus> = serde_json::from_value(found)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    if let Some(name) = deployment {
        rollouts.retain(|rollout| rollout.deployment == name);
        if rollouts.is_empty() {
            return Err(nobody(name));
        }
    }
    Ok(rollouts)
}

fn nobody(deployment: &str) -> CommandError {
    CommandError::Usage(format!("there is no rollout of {deployment:?}; `hem rollout status` lists them"))
}

fn is_over(rollout: &RolloutStatus) -> bool {
    matches!(rollout.phase.as_str(), "complete" | "halted" | "reverted")
}

fn line(rollout: &RolloutStatus) -> String {
    format!("{}: revision {} {}\n", rollout.deployment, short(&rollout.revision), rollout.says)
}

fn as_text(rollouts: &[RolloutStatus]) -> String {
    if rollouts.is_empty() {
        return "there is no rollout: no deployment that changed last has a `rollout:`\n".to_owned();
    }
    let mut text = String::new();
    for rollout in rollouts {
        text.push_str(&line(rollout));
        let rows = rollout.waves.iter().map(|wave| {
            vec![
                format!("{} {}", if wave.current { ">" } else { " " }, wave.name),
                wave.devices.to_string(),
                wave.done.to_string(),
                wave.given.to_string(),
                wave.failed.to_string(),
                wave.skipped.to_string(),
            ]
        });
        text.push_str(&output::table(&["  wave", "devices", "done", "on the way", "failed", "away"], rows));
        for failed in &rollout.failed {
            text.push_str(&format!("  failed  {failed}\n"));
        }
        for told in &rollout.story {
            text.push_str(&format!("  {}  {}\n", told.at.strftime("%F %T"), told.what));
        }
        text.push('\n');
    }
    text
}

/// Without a terminal: a line for each step, once.
fn tell(
    rollouts: &[RolloutStatus],
    told: &mut BTreeMap<String, jiff::Timestamp>,
) -> Result<(), CommandError> {
    for rollout in rollouts {
        let last = told.get(&rollout.deployment).copied();
        for line in rollout.story.iter().filter(|line| last.is_none_or(|last| line.at > last)) {
            output::text(&format!("{}  {}: {}\n", line.at.strftime("%F %T"), rollout.deployment, line.what))?;
        }
        if let Some(line) = rollout.story.last() {
            told.insert(rollout.deployment.clone(), line.at);
        }
    }
    Ok(())
}
