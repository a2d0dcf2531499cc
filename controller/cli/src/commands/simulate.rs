//! `hem simulate`: the real resolving, planning and rolling out of a change, against devices that are played. Needs no hub.

use std::{path::Path, process::ExitCode};

use hemline_model::{Fleet, id::Revision};
use hemline_plan::{
    Facts, judge,
    simulate::{Commit, Faults, Outcome, Rehearsal, rehearse},
};
use hemline_sources::Snapshot;

use super::{documents, documents::plural};
use crate::{
    args::{Args, Simulate},
    error::{CommandError, exit},
    output,
};

/// Lines of the timeline for people.
const LINES_AT_MOST: usize = 60;

/// One side of the change.
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

/// Rehearses and prints.
pub(crate) fn run(args: &Args, typed: &Simulate) -> Result<ExitCode, CommandError> {
    let (from, to) = match (&typed.folder, &typed.commits, &typed.to) {
        (Some(folder), Some(commits), _) => {
            let (from, to) = commits
                .split_once("..")
                .filter(|(from, to)| !from.is_empty() && !to.is_empty())
                .ok_or_else(|| {
                    CommandError::Usage(format!(
                        "--commits takes two revisions such as main..HEAD, not {commits:?}"
                    ))
                })?;
            (Some(at_revision(folder, from)?), at_revision(folder, to)?)
        }
        (_, _, Some(to)) => (typed.from.as_deref().map(on_disk).transpose()?, on_disk(to)?),
        _ => return Err(CommandError::Usage("say --commits A..B, or --from DIR --to DIR".to_owned())),
    };
    // What the fleet runs at first need not be without mistakes, only usable.
    let from = match from {
        Some(snapshot) => Some(side(snapshot)?),
        None => None,
    };
    let to = side(to)?;
    let (Some(to), from) = (to, from.flatten()) else { return Ok(ExitCode::from(exit::FAILURE)) };
    let rehearsal = Rehearsal {
        base: from.as_ref().map(Side::commit),
        commits: vec![to.commit()],
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
    output::value(&outcome, args.output, |outcome| as_text(outcome, &from, &to))?;
    let good = matches!(outcome.outcome.as_str(), "complete" | "nothing");
    Ok(ExitCode::from(if good { exit::SUCCESS } else { exit::REFUSED }))
}

fn at_revision(folder: &Path, revision: &str) -> Result<Snapshot, CommandError> {
    let git = |error| CommandError::part("Git", error);
    let place = hemline_sources::locate(folder).map_err(git)?;
    hemline_sources::read_revision(&place.repository, revision, &place.folder).map_err(git)
}

fn on_disk(folder: &Path) -> Result<Snapshot, CommandError> {
    let (files, notes) = documents::read_noted(&[folder.to_owned()])?;
    Ok(Snapshot { revision: hemline_sources::digest(&files), files, message: None, notes })
}

/// The documents with what they mean; `None` when they are not usable, which has been shown.
fn side(snapshot: Snapshot) -> Result<Option<Side>, CommandError> {
    let documents = hemline_sources::contents(&snapshot.files);
    let judged = judge(hemline_model::load(&snapshot.files), &Facts::default());
    match judged.usable {
        Some((fleet, _)) => Ok(Some(Side { revision: snapshot.revision, documents, fleet })),
        None => {
            documents::show(&judged.findings);
            Ok(None)
        }
    }
}

fn as_text(outcome: &Outcome, from: &Option<Side>, to: &Side) -> String {
    let from = from.as_ref().map_or("a new fleet", |from| from.revision.short());
    let mut text = format!("rehearsal {from} → {}     ", to.revision.short());
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
