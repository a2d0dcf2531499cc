//! `hem rollout status|pause|resume|approve|abort|revert`: how a revision reaches the devices, and what people say to it.

mod awaited;
mod view;
mod watch;

use std::{collections::BTreeMap, io::Write as _, process::ExitCode};

use hemline_plan::rollout::{Command, RolloutStatus};
use hemline_reconcile::RolloutOrder;
use reqwest::Method;
use serde::Deserialize as _;
use serde_json::Value;

use self::watch::{Watched, watch};
use super::review::short;
use crate::{
    args::{Args, Rollout, RolloutOf},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

const PATH: [&str; 3] = ["api", "v1", "rollouts"];

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
    let rollouts = named(chosen(&hub, Some(&found), deployment.as_deref())?, deployment.as_deref())?;
    output::value(&rollouts, args.output, |rollouts| rollouts.iter().map(line).collect())?;
    Ok(ExitCode::from(exit::SUCCESS))
}

async fn status(
    args: &Args,
    hub: &HubClient,
    deployment: Option<&str>,
    watched: bool,
) -> Result<ExitCode, CommandError> {
    let Watched { rollouts, refused } = if watched {
        watch(args, hub, deployment).await?
    } else {
        let found = hub.call(Method::GET, &PATH, None).await?;
        Watched { rollouts: chosen(hub, Some(&found), deployment)?, refused: None }
    };
    if let Some(why) = &refused {
        drop(writeln!(anstream::stderr(), "{why}"));
    }
    let rollouts = named(rollouts, deployment)?;
    output::value(&rollouts, args.output, |rollouts| as_text(rollouts))?;
    let stopped =
        rollouts.iter().any(|rollout| matches!(rollout.phase.as_str(), "halted" | "reverting" | "reverted"));
    let failed = stopped || refused.is_some();
    Ok(ExitCode::from(if failed { exit::FAILURE } else { exit::SUCCESS }))
}

/// The rollouts of an answer, or the one that is named; none where there is no answer yet.
fn chosen(
    hub: &HubClient,
    found: Option<&Value>,
    deployment: Option<&str>,
) -> Result<Vec<RolloutStatus>, CommandError> {
    let Some(found) = found else { return Ok(Vec::new()) };
    let mut rollouts = <Vec<RolloutStatus>>::deserialize(found)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    rollouts.retain(|rollout| deployment.is_none_or(|name| rollout.deployment == name));
    Ok(rollouts)
}

/// Who names one wants that one.
fn named(rollouts: Vec<RolloutStatus>, deployment: Option<&str>) -> Result<Vec<RolloutStatus>, CommandError> {
    match deployment.filter(|_| rollouts.is_empty()) {
        Some(name) => Err(nobody(name)),
        None => Ok(rollouts),
    }
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
