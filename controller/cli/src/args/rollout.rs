//! What was typed after `hem rollout` and `hem simulate`.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;

use super::seconds;

/// `hem rollout`
#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// How far it is, and what happened.
    Status {
        /// Only the rollout of this deployment.
        deployment: Option<String>,
        /// Have the hub look at its source now, then look until what it holds is in force and every rollout is over. Fails when the
        /// newest revision is refused.
        #[arg(short, long)]
        watch: bool,
    },
    /// Give the change to no further device; those that have it are watched on.
    Pause(RolloutOf),
    /// Go on after a pause or a halt; devices that failed are tried once more.
    Resume(RolloutOf),
    /// Let the wave begin that waits for approval.
    Approve(RolloutOf),
    /// Stop for good; devices keep what they have.
    Abort(RolloutOf),
    /// Give the devices back what was complete before, and never roll this revision out again.
    Revert(RolloutOf),
}

/// Whose rollout is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct RolloutOf {
    /// The deployment; without it every rollout for which it makes sense.
    pub(crate) deployment: Option<String>,
    /// Who says so, for the story of the rollout.
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

/// What the exit codes of `hem simulate` mean.
const SIMULATE_EXIT_CODES: &str = "\
Exit codes:
  0   every rollout would be complete
  1   an error, or invalid documents
  3   a rollout would stop, go back, or wait for a person
  64  the command line was wrong";

/// `hem simulate`
#[derive(Debug, clap::Args)]
#[command(after_help = SIMULATE_EXIT_CODES)]
pub(crate) struct Simulate {
    /// A folder of documents inside a Git repository; with --from and --to it is not needed.
    #[arg(required_unless_present = "to", value_name = "FLEET")]
    pub(crate) folder: Option<PathBuf>,
    /// The commits to rehearse: what the fleet runs at first, and where it goes. Each commit of the branch in between is
    /// pushed in its turn, oldest first, as far after the first one as it was committed; the newest fifty of more.
    #[arg(long, value_name = "A..B", required_unless_present = "to", requires = "folder")]
    pub(crate) commits: Option<String>,
    /// Push a commit as often as this, whenever they were committed.
    #[arg(long, value_parser = seconds, value_name = "DURATION", requires = "commits")]
    pub(crate) every: Option<Duration>,
    /// A folder of documents that the fleet runs at first; without it the fleet is new.
    #[arg(long, value_name = "DIR", requires = "to")]
    pub(crate) from: Option<PathBuf>,
    /// A folder of documents to go to.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["folder", "commits"])]
    pub(crate) to: Option<PathBuf>,
    /// The same seed gives the same story.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,
    /// Share of devices that are away at first.
    #[arg(long, default_value = "0%", value_parser = percent, value_name = "PERCENT")]
    pub(crate) offline: u8,
    /// Within this time they come back; `0s` for never.
    #[arg(long, default_value = "4h", value_parser = seconds, value_name = "DURATION")]
    pub(crate) back_within: Duration,
    /// A device takes at most this long to apply a change.
    #[arg(long, default_value = "1m", value_parser = seconds, value_name = "DURATION")]
    pub(crate) apply: Duration,
    /// Share of devices with a slow line; they take ten times as long.
    #[arg(long, default_value = "0%", value_parser = percent, value_name = "PERCENT")]
    pub(crate) slow: u8,
    /// A module whose new configuration fails, on all devices or on a share of them: `camera`, `camera=20%`.
    #[arg(long, value_parser = failing, value_name = "MODULE[=PERCENT]")]
    pub(crate) fail: Vec<(String, u8)>,
    /// Share of devices on which any changed module fails.
    #[arg(long, default_value = "0%", value_parser = percent, value_name = "PERCENT")]
    pub(crate) flaky: u8,
    /// When it starts, for windows: `2026-11-23T20:00:00Z`; now without it.
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<jiff::Timestamp>,
}

/// `20%` or `20`.
fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<u8>().ok();
    number.filter(|number| *number <= 100).ok_or_else(|| format!("{text:?} is no percentage from 0% to 100%"))
}

/// `camera` or `camera=20%`.
fn failing(text: &str) -> Result<(String, u8), String> {
    match text.split_once('=') {
        Some((module, share)) => Ok((module.to_owned(), percent(share)?)),
        None => Ok((text.to_owned(), 100)),
    }
}
