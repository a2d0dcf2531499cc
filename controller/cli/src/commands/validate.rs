//! `hem validate PATH…`: all findings at once, exit code 1 when one is an error.

mod mend;

use std::process::ExitCode;

use hemline_model::{
    Finding, Severity,
    finding::{github, junit, sarif},
    rules,
};
use hemline_plan::{Facts, Judged, judge};
use hemline_sources::Note;

use super::documents;
use crate::{
    args::{Args, FindingFormat, Output, Validate},
    error::{CommandError, exit},
    output,
};

/// Checks documents, or explains a rule.
pub(crate) fn run(args: &Args, typed: &Validate) -> Result<ExitCode, CommandError> {
    if let Some(rule) = &typed.explain {
        output::text(&explain(rule)?)?;
        return Ok(ExitCode::from(exit::SUCCESS));
    }
    let (mut files, notes) = documents::read_noted(&typed.paths)?;
    if typed.fix {
        files = mend::run(&files)?;
    }
    let mut findings: Vec<Finding> = notes.iter().map(Note::finding).collect();
    let read = documents::plural(files.len(), "file");
    let loaded = hemline_model::load(&files);
    // Documents keep their own text.
    drop(files);
    let Judged { usable, findings: more } = judge(loaded, &Facts::default());
    findings.extend(more);
    let summary = usable.as_ref().map(|(fleet, _)| {
        let configurations = fleet.configurations.len();
        let mut parts = vec![
            documents::plural(fleet.devices.len(), "device"),
            documents::plural(fleet.deployments.len(), "deployment"),
        ];
        if configurations > 0 {
            parts.push(documents::plural(configurations, "twin configuration"));
        }
        let last = parts.pop().unwrap_or_default();
        format!("{} and {last} in {read}: nothing wrong\n", parts.join(", "))
    });
    // The process ends with its command; to take a large fleet apart piece by piece would only keep somebody waiting.
    std::mem::forget(usable);
    if typed.strict {
        findings = findings.into_iter().map(Finding::strictly).collect();
    }
    print(args, typed, &findings, summary.as_deref())?;
    let failed = findings.iter().any(Finding::is_error);
    Ok(ExitCode::from(if failed { exit::FAILURE } else { exit::SUCCESS }))
}

fn print(
    args: &Args,
    typed: &Validate,
    findings: &Vec<Finding>,
    summary: Option<&str>,
) -> Result<(), CommandError> {
    let format = match (typed.format, args.output) {
        (Some(format), _) => format,
        (None, Output::Table | Output::Wide) => FindingFormat::Human,
        (None, Output::Json) => FindingFormat::Json,
        (None, Output::Yaml) => return output::value(findings, Output::Yaml, |_| String::new()),
    };
    match format {
        FindingFormat::Human => {
            documents::show(findings);
            let quiet = findings.iter().all(|finding| finding.severity == Severity::Note);
            output::text(summary.filter(|_| quiet).unwrap_or_default())
        }
        FindingFormat::Json => output::value(findings, Output::Json, |_| String::new()),
        FindingFormat::Sarif => output::text(&sarif::print(findings, env!("CARGO_PKG_VERSION"))),
        FindingFormat::Github => output::text(&github::print(findings)),
        FindingFormat::Junit => output::text(&junit::print(findings)),
    }
}

fn explain(id: &str) -> Result<String, CommandError> {
    if id == "all" {
        let row =
            |rule: &rules::Rule| vec![rule.id.to_owned(), rule.severity.to_string(), rule.summary.to_owned()];
        return Ok(output::table(&["rule", "severity", "what"], rules::all().map(row)));
    }
    rules::find(id).map(rules::Rule::explain).ok_or_else(|| {
        let near = rules::near(id).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        CommandError::Usage(format!("there is no rule {id:?}; {near}`hem validate --explain all` lists them"))
    })
}
