//! `hem plan PATH`: what a change of the documents would do. With `--base` it needs nothing but the repository; without,
//! it compares with the documents in force in the data directory, or with nothing.

use std::process::ExitCode;

use hemline_model::{Finding, Fleet};
use hemline_plan::{
    Facts, Forecast, Judged, Resolution, Review, Scene, Side as Documents, findings_markdown, judge, plan,
    resolve,
};
use hemline_sources::Snapshot;

use super::documents;
use crate::{
    args::{Args, Output, Plan, PlanFormat},
    error::{CommandError, exit},
    output,
};

/// Plans and prints.
pub(crate) fn run(args: &Args, typed: &Plan) -> Result<ExitCode, CommandError> {
    let (before, after) = match &typed.base {
        Some(base) => revisions(typed, base)?,
        None => (in_force(args), on_disk(typed)?),
    };
    let (head, findings) = judged(&after);
    let Some((fleet, head)) = head else {
        // A pull request shows why there is no plan in the place of the plan.
        if typed.format == Some(PlanFormat::Markdown) {
            output::text(&findings_markdown(&findings))?;
        }
        return Ok(ExitCode::from(exit::FAILURE));
    };
    // What is wrong with the base is history: its errors only mean that everything counts as new.
    let base = before.as_ref().map(|side| resolution_of(&side.snapshot).unwrap_or_default());
    let planned = plan(&head, base.as_ref().map(|(_, resolution)| resolution), None);
    let forecast = Forecast::new(
        &planned,
        &Scene {
            before: base.as_ref().map(|(fleet, resolution)| Documents { fleet, resolution }),
            after: Documents { fleet: &fleet, resolution: &head },
            observed: None,
        },
    );
    let review = Review {
        verdict: typed.policy.policy().judge(&planned, &forecast),
        plan: planned.between(before.map(|side| side.label), Some(after.label)),
        forecast,
        findings,
        notes: Vec::new(),
    };
    print(args, typed, &review)?;
    Ok(ExitCode::from(review.exit_code(typed.detailed_exitcode)))
}

/// One side of the comparison.
struct Side {
    label: String,
    snapshot: Snapshot,
}

/// What a hub with this data directory works towards.
fn in_force(args: &Args) -> Option<Side> {
    let snapshot = hemline_reconcile::documents_in_force(&args.data_dir.join("last-good"))?;
    Some(Side { label: snapshot.revision.short().to_owned(), snapshot })
}

fn on_disk(typed: &Plan) -> Result<Side, CommandError> {
    let files = documents::read(std::slice::from_ref(&typed.path))?;
    let revision = hemline_sources::digest(&files);
    Ok(Side {
        label: revision.short().to_owned(),
        snapshot: Snapshot { revision, files, message: None, notes: Vec::new() },
    })
}

fn revisions(typed: &Plan, base: &str) -> Result<(Option<Side>, Side), CommandError> {
    let git = |error| CommandError::part("Git", error);
    let place = hemline_sources::locate(&typed.path).map_err(git)?;
    let at = |revision: &str| -> Result<Side, CommandError> {
        let snapshot =
            hemline_sources::read_revision(&place.repository, revision, &place.folder).map_err(git)?;
        Ok(Side { label: snapshot.revision.short().to_owned(), snapshot })
    };
    match &typed.head {
        Some(head) => {
            // What the base branch gained meanwhile is not part of this change.
            let fork = hemline_sources::merge_base(&place.repository, base, head).map_err(git)?;
            Ok((Some(at(fork.as_str())?), at(head)?))
        }
        None => Ok((Some(at(base)?), on_disk(typed)?)),
    }
}

/// Shows findings and returns them; no resolution when one is an error.
fn judged(side: &Side) -> (Option<(Fleet, Resolution)>, Vec<Finding>) {
    let Judged { usable, findings } = judge(hemline_model::load(&side.snapshot.files), &Facts::default());
    documents::show(&findings);
    (usable, findings)
}

fn resolution_of(snapshot: &Snapshot) -> Option<(Fleet, Resolution)> {
    let fleet = hemline_model::load(&snapshot.files).fleet?;
    let resolution = resolve(&fleet, &Facts::default());
    Some((fleet, resolution))
}

fn print(args: &Args, typed: &Plan, review: &Review) -> Result<(), CommandError> {
    let output = match (typed.format, args.output) {
        (Some(PlanFormat::Markdown), _) => return output::text(&review.markdown()),
        (Some(PlanFormat::Human), _) | (None, Output::Table) => {
            return output::text(&coloured(&review.to_string()));
        }
        (Some(PlanFormat::Json), _) => Output::Json,
        (None, output @ (Output::Json | Output::Yaml)) => output,
    };
    output::value(&review.document(), output, |_| String::new())
}

/// The lines of a plan by what they announce; anstream drops the colour where it does not belong.
fn coloured(text: &str) -> String {
    use anstyle::AnsiColor::{Cyan, Green, Red, Yellow};
    let mut out = String::with_capacity(text.len());
    for (place, line) in text.lines().enumerate() {
        let colour = match line.get(..5) {
            _ if place == 0 => None,
            Some(sign) if sign.starts_with("  -/+") => Some(Yellow),
            Some(sign) if sign.starts_with("  - ") || sign.starts_with("  x ") => Some(Red),
            Some(sign) if sign.starts_with("  + ") => Some(Green),
            Some(sign) if sign.starts_with("  ~ ") => Some(Cyan),
            Some(sign) if sign.starts_with("  ! ") => Some(Yellow),
            Some(_) | None => None,
        };
        let mut style = anstyle::Style::new().fg_color(colour.map(Into::into));
        if place == 0 || line.starts_with("Plan: ") {
            style = style.bold();
        }
        out.push_str(&format!("{style}{line}{style:#}\n"));
    }
    out
}
