//! `hem plan PATH`: what a change of the documents would do. With `--base` it needs nothing but the repository; with a
//! state it also says what is there already and what was changed by hand.

use std::process::ExitCode;

use hemline_plan::{Review, findings_markdown};

use super::review::{Outcome, Request, StateFrom, review};
use crate::{
    args::{Args, Output, Plan, PlanFormat},
    error::{CommandError, exit},
    output,
};

/// Plans and prints.
pub(crate) async fn run(args: &Args, typed: &Plan) -> Result<ExitCode, CommandError> {
    let state = match &typed.state {
        Some(place) => StateFrom::File(place),
        None if typed.live || args.server.is_some() => StateFrom::Hub,
        None => StateFrom::Nobody,
    };
    let request = Request {
        folder: &typed.path,
        base: typed.base.as_deref(),
        head: typed.head.as_deref(),
        state,
        policy: typed.policy.policy(),
    };
    let reviewed = match review(args, &request).await? {
        Outcome::Plan(reviewed) => reviewed,
        Outcome::Broken(findings) => {
            // A pull request shows why there is no plan in the place of the plan.
            if typed.format == Some(PlanFormat::Markdown) {
                output::text(&findings_markdown(&findings))?;
            }
            return Ok(ExitCode::from(exit::FAILURE));
        }
    };
    if let Some(path) = &typed.out {
        std::fs::write(path, reviewed.sealed.text()).map_err(|source| CommandError::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    print(args, typed.format, &reviewed.review)?;
    Ok(ExitCode::from(reviewed.review.exit_code(typed.detailed_exitcode)))
}

/// Prints in the form asked for.
pub(crate) fn print(args: &Args, format: Option<PlanFormat>, review: &Review) -> Result<(), CommandError> {
    let output = match (format, args.output) {
        (Some(PlanFormat::Markdown), _) => return output::text(&review.markdown()),
        (Some(PlanFormat::Human), _) | (None, Output::Table | Output::Wide) => {
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
