//! `hem rollout status|pause|resume|approve|abort|revert`: how a revision reaches the devices, and what people say to it.

use std::{collections::BTreeMap, io::IsTerminal as _, process::ExitCode, time::Duration};

use hemline_plan::rollout::{Command, RolloutStatus, WaveStatus};
use hemline_reconcile::RolloutOrder;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;

use super::{documents::plural, review::short};
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
    let mut rollouts = look(hub, deployment).await?;
    if watch {
        let live = args.output.is_table() && std::io::stderr().is_terminal();
        let mut view = View::new(live);
        let mut told = BTreeMap::new();
        loop {
            view.show(&rollouts);
            if !live && args.output.is_table() {
                tell(&rollouts, &mut told)?;
            }
            if rollouts.iter().all(is_over) {
                break;
            }
            tokio::time::sleep(LOOK).await;
            rollouts = look(hub, deployment).await?;
        }
        view.clear();
    }
    output::value(&rollouts, args.output, |rollouts| as_text(rollouts))?;
    let stopped =
        rollouts.iter().any(|rollout| matches!(rollout.phase.as_str(), "halted" | "reverting" | "reverted"));
    Ok(ExitCode::from(if stopped { exit::FAILURE } else { exit::SUCCESS }))
}

async fn look(hub: &HubClient, deployment: Option<&str>) -> Result<Vec<RolloutStatus>, CommandError> {
    let found = hub.call(Method::GET, &PATH, None).await?;
    chosen(hub, found, deployment)
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
            return Err(CommandError::Usage(format!(
                "there is no rollout of {name:?}; `hem rollout status` lists them"
            )));
        }
    }
    Ok(rollouts)
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

/// The live view of a terminal: a bar for each wave that has devices, and the sentence of each rollout.
struct View {
    all: Option<MultiProgress>,
    bars: BTreeMap<(String, usize), ProgressBar>,
    lines: BTreeMap<String, ProgressBar>,
}

impl View {
    fn new(live: bool) -> Self {
        Self { all: live.then(MultiProgress::new), bars: BTreeMap::new(), lines: BTreeMap::new() }
    }

    fn show(&mut self, rollouts: &[RolloutStatus]) {
        let Some(all) = &self.all else { return };
        for rollout in rollouts {
            let head = self.lines.entry(rollout.deployment.clone()).or_insert_with(|| {
                let bar = all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            head.set_message(format!("{} {} {}", rollout.deployment, short(&rollout.revision), rollout.says));
            for (place, wave) in rollout.waves.iter().enumerate().filter(|(_, wave)| wave.devices > 0) {
                let bar = self.bars.entry((rollout.deployment.clone(), place)).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new(wave.devices as u64));
                    if let Ok(style) =
                        ProgressStyle::with_template("  {prefix:<16} [{bar:24}] {pos}/{len} {msg}")
                    {
                        bar.set_style(style.progress_chars("=> "));
                    }
                    bar.set_prefix(wave.name.clone());
                    bar
                });
                bar.set_length(wave.devices as u64);
                bar.set_position(wave.done as u64);
                bar.set_message(beside(wave));
            }
        }
    }

    fn clear(&self) {
        if let Some(all) = &self.all {
            // A view that cannot be cleared stays above the result.
            drop(all.clear());
        }
    }
}

fn beside(wave: &WaveStatus) -> String {
    let mut parts = Vec::new();
    for (count, what) in [(wave.given, "on the way"), (wave.failed, "failed"), (wave.skipped, "away")] {
        if count > 0 {
            parts.push(format!("{} {what}", plural(count, "device")));
        }
    }
    parts.join(", ")
}
