//! `hem plan PATH`: what a change of the documents would do. With `--base` it needs nothing but the repository; without,
//! it compares with the documents in force in the data directory, or with nothing.

use std::process::ExitCode;

use hemline_model::Finding;
use hemline_plan::{Facts, Judged, Plan as Planned, Resolution, findings_markdown, judge, plan, resolve};
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
    let Some(head) = head else {
        // A pull request shows why there is no plan in the place of the plan.
        if typed.format == Some(PlanFormat::Markdown) {
            output::text(&findings_markdown(&findings))?;
        }
        return Ok(ExitCode::from(exit::FAILURE));
    };
    // What is wrong with the base is history: its errors only mean that everything counts as new.
    let base = before.as_ref().map(|side| resolution_of(&side.snapshot).unwrap_or_default());
    let planned = plan(&head, base.as_ref(), None).between(before.map(|side| side.label), Some(after.label));
    print(args, typed, &planned, &findings)?;
    Ok(ExitCode::from(planned.exit_code(typed.detailed_exitcode)))
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
fn judged(side: &Side) -> (Option<Resolution>, Vec<Finding>) {
    let Judged { usable, findings } = judge(hemline_model::load(&side.snapshot.files), &Facts::default());
    documents::show(&findings);
    (usable.map(|(_, resolution)| resolution), findings)
}

fn resolution_of(snapshot: &Snapshot) -> Option<Resolution> {
    let fleet = hemline_model::load(&snapshot.files).fleet?;
    Some(resolve(&fleet, &Facts::default()))
}

fn print(args: &Args, typed: &Plan, planned: &Planned, findings: &[Finding]) -> Result<(), CommandError> {
    let output = match (typed.format, args.output) {
        (Some(PlanFormat::Markdown), _) => return output::text(&planned.markdown(findings)),
        (Some(PlanFormat::Human), _) | (None, Output::Table) => return output::text(&planned.to_string()),
        (Some(PlanFormat::Json), _) => Output::Json,
        (None, output @ (Output::Json | Output::Yaml)) => output,
    };
    let mut value = serde_json::to_value(planned).map_err(|error| CommandError::part("JSON", error))?;
    value["digest"] = planned.digest().into();
    output::value(&value, output, |_| String::new())
}
