//! `hem simulate`: the real resolving, planning and rolling out of a change, against devices that are played. Needs no hub.

use std::{path::Path, process::ExitCode, time::Duration};

use hemline_model::{Finding, Fleet, id::Revision};
use hemline_plan::{
    Facts, judge,
    simulate::{Commit, Faults, Outcome, Rehearsal, rehearse},
};
use hemline_sources::Snapshot;
use serde::Serialize;

use super::{documents, documents::plural};
use crate::{
    args::{Args, Simulate},
    error::{CommandError, exit},
    output,
};

/// Lines of the timeline for people.
const LINES_AT_MOST: usize = 60;
/// Commits that are played; of more the newest.
const COMMITS_AT_MOST: usize = 50;
/// Characters of what a commit says about itself.
const MESSAGE_AT_MOST: usize = 60;

/// One revision that can be used.
struct Side {
    revision: Revision,
    documents: String,
    fleet: Fleet,
}

impl Side {
    fn commit(&self) -> Commit<'_> {
        Commit { revision: &self.revision, documents: &self.documents, fleet: &self.fleet, at_secs: 0 }
    }
}

/// A commit, and when it comes. One that cannot be used is refused, as the controller does, and changes nothing.
struct Pushed {
    at_secs: u64,
    revision: Revision,
    message: Option<String>,
    side: Result<Side, Vec<Finding>>,
}

impl Pushed {
    fn new(at_secs: u64, snapshot: Snapshot) -> Self {
        let (revision, message) = (snapshot.revision.clone(), snapshot.message.clone());
        Self { at_secs, revision, message, side: side(snapshot) }
    }

    fn commit(&self) -> Option<Commit<'_>> {
        let side = self.side.as_ref().ok()?;
        Some(Commit { at_secs: self.at_secs, ..side.commit() })
    }

    fn told(&self) -> ToldCommit<'_> {
        let errors = self.side.as_ref().err().map(|findings| {
            let errors = || findings.iter().filter(|finding| finding.is_error());
            let first = errors().next().map(|finding| finding.message.as_str()).unwrap_or_default();
            format!("{}, first: {first}", plural(errors().count(), "error"))
        });
        ToldCommit {
            after_secs: self.at_secs,
            revision: self.revision.as_str(),
            message: self.message.as_deref(),
            refused: errors,
        }
    }
}

/// What is played.
struct Story {
    from: Option<Snapshot>,
    pushed: Vec<Pushed>,
    /// There are older commits that are not played.
    older: bool,
}

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    commits: Vec<ToldCommit<'a>>,
    /// Older commits were left out.
    older_left_out: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldCommit<'a> {
    after_secs: u64,
    revision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Rehearses and prints.
pub(crate) fn run(args: &Args, typed: &Simulate) -> Result<ExitCode, CommandError> {
    let Story { from, pushed, older } = match (&typed.folder, &typed.commits, &typed.to) {
        (Some(folder), Some(commits), _) => of_commits(folder, commits, typed.every)?,
        (_, _, Some(to)) => Story {
            from: typed.from.as_deref().map(on_disk).transpose()?,
            pushed: vec![Pushed::new(0, on_disk(to)?)],
            older: false,
        },
        _ => return Err(CommandError::Usage("say --commits A..B, or --from DIR --to DIR".to_owned())),
    };
    // What the fleet runs at first need not be without mistakes, only usable.
    let from = from.and_then(|from| side(from).map_err(|findings| documents::show(&findings)).ok());
    // Where it all leads to has to be.
    if let Some(Err(findings)) = pushed.last().map(|last| last.side.as_ref()) {
        documents::show(findings);
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let rehearsal = Rehearsal {
        base: from.as_ref().map(Side::commit),
        commits: pushed.iter().filter_map(Pushed::commit).collect(),
        events: Vec::new(),
        faults: Faults {
            seed: typed.seed,
            offline_percent: typed.offline,
            back_within_secs: typed.back_within.as_secs(),
            apply_secs: typed.apply.as_secs(),
            slow_percent: typed.slow,
            failing: typed.fail.iter().cloned().collect(),
            flaky_percent: typed.flaky,
        },
        start: typed.start.unwrap_or_else(jiff::Timestamp::now),
    };
    let outcome = rehearse(&rehearsal, &mut |_, _, _| {});
    let commits = pushed.iter().map(Pushed::told).collect();
    let told = Told { outcome: &outcome, commits, older_left_out: older };
    let begin = from.as_ref().map_or("a new fleet", |from| from.revision.short());
    let end = pushed.last().map_or("nothing", |last| last.revision.short());
    output::value(&told, args.output, |told| as_text(told, begin, end))?;
    let good = matches!(outcome.outcome.as_str(), "complete" | "nothing");
    Ok(ExitCode::from(if good { exit::SUCCESS } else { exit::REFUSED }))
}

/// Every commit of `A..B` in its turn. The way back, on which no commit is new, is one step.
fn of_commits(folder: &Path, commits: &str, every: Option<Duration>) -> Result<Story, CommandError> {
    let (from, to) = commits
        .split_once("..")
        .filter(|(from, to)| !from.is_empty() && !to.is_empty())
        .ok_or_else(|| {
            CommandError::Usage(format!("--commits takes two revisions such as main..HEAD, not {commits:?}"))
        })?;
    let git = |error| CommandError::part("Git", error);
    let place = hemline_sources::locate(folder).map_err(git)?;
    let read = |revision: &str| {
        hemline_sources::read_revision(&place.repository, revision, &place.folder).map_err(git)
    };
    let way = hemline_sources::way(&place.repository, from, to, COMMITS_AT_MOST).map_err(git)?;
    let first = way.commits.first().map(|(_, time)| *time);
    let mut pushed: Vec<Pushed> = Vec::new();
    for (revision, time) in &way.commits {
        let at_secs = match (every, pushed.last(), first) {
            (Some(every), Some(last), _) => last.at_secs.saturating_add(every.as_secs()),
            // Clocks of people differ; nobody pushes before what he builds on.
            (None, Some(last), Some(first)) => {
                u64::try_from(time.duration_since(first).as_secs()).unwrap_or_default().max(last.at_secs)
            }
            _ => 0,
        };
        pushed.push(Pushed::new(at_secs, read(revision.as_str())?));
    }
    if pushed.is_empty() {
        pushed.push(Pushed::new(0, read(to)?));
    }
    Ok(Story { from: Some(read(from)?), pushed, older: way.older })
}

fn on_disk(folder: &Path) -> Result<Snapshot, CommandError> {
    let (files, notes) = documents::read_noted(&[folder.to_owned()])?;
    Ok(Snapshot { revision: hemline_sources::digest(&files), files, message: None, notes })
}

/// The documents with what they mean, or why they are not usable.
fn side(snapshot: Snapshot) -> Result<Side, Vec<Finding>> {
    let documents = hemline_sources::contents(&snapshot.files);
    let judged = judge(hemline_model::load(&snapshot.files), &Facts::default());
    match judged.usable {
        Some((fleet, _)) => Ok(Side { revision: snapshot.revision, documents, fleet }),
        None => Err(judged.findings),
    }
}

fn as_text(told: &Told<'_>, from: &str, to: &str) -> String {
    let outcome = told.outcome;
    let mut text = format!("rehearsal {from} → {to}     ");
    let devices = plural(outcome.devices, "device");
    text.push_str(&match outcome.outcome.as_str() {
        "nothing" => "no rollout: everything changes at once, or nothing does\n".to_owned(),
        "complete" => format!("complete after {} on {devices}\n", span(outcome.seconds)),
        "waiting" => format!(
            "waits for a person after {}; {} of {devices} have it\n",
            span(outcome.seconds),
            outcome.took
        ),
        stopped => {
            format!("{stopped} after {}; {} of {devices} have it\n", span(outcome.seconds), outcome.took)
        }
    });
    if let Some(stopped) = &outcome.stopped {
        text.push_str(&format!("  {stopped}\n"));
    }
    text.push('\n');
    text.push_str(&commits(told));
    for told in outcome.timeline.iter().take(LINES_AT_MOST) {
        text.push_str(&format!("  {:>12}  {}  {}\n", span(told.after_secs), told.deployment, told.what));
    }
    if outcome.timeline.len() > LINES_AT_MOST {
        text.push_str(&format!("  … and {} more lines: -o json\n", outcome.timeline.len() - LINES_AT_MOST));
    }
    for failed in outcome.failed.values() {
        text.push_str(&format!("  failed  {failed}\n"));
    }
    text
}

/// What is pushed when; of one commit the first line says enough.
fn commits(told: &Told<'_>) -> String {
    let mut text = String::new();
    if told.older_left_out {
        text.push_str(&format!("  the newest {COMMITS_AT_MOST} commits; older ones are left out\n"));
    }
    if told.commits.len() > 1 {
        for commit in &told.commits {
            let message: String = commit.message.unwrap_or_default().chars().take(MESSAGE_AT_MOST).collect();
            let revision = commit.revision.get(..7).unwrap_or(commit.revision);
            text.push_str(&format!("  {:>12}  {revision} pushed: {message}\n", span(commit.after_secs)));
            if let Some(refused) = &commit.refused {
                text.push_str(&format!("  {:>12}  {revision} refused: {refused}\n", ""));
            }
        }
        text.push('\n');
    }
    text
}

/// `0 s`, `2 min 30 s`, `3 h 5 min`, `2 d 4 h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
