//! Status files: one YAML per device, deployment and twin configuration, and a `README.md` that a tired person understands.

use hemline_model::{
    document::API_VERSION,
    id::{DocumentName, Revision},
};
use hemline_sources::{Reason, StatusFile};
use serde::Serialize;

use super::{
    PassReport,
    condition::{holds, message},
    drift,
};
use crate::trouble::Ongoing;

/// Findings that are written out.
const FINDINGS_AT_MOST: usize = 20;
/// Devices in the table; those that are not ready come first.
const ROWS_AT_MOST: usize = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    status: &'a T,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

/// All status files of a report.
pub(crate) fn status_files(report: &PassReport) -> Vec<StatusFile> {
    let mut files = vec![StatusFile { path: "README.md".to_owned(), text: readme(report) }];
    for (id, status) in &*report.devices {
        if let Some(name) = report.names.get(id) {
            files.extend(file("devices", "Device", name, status.as_ref()));
        }
    }
    for (name, status) in &*report.deployments {
        files.extend(file("deployments", "EdgeDeployment", name, status));
    }
    for (name, status) in &*report.configurations {
        files.extend(file("configurations", "TwinConfiguration", name, status));
    }
    files
}

fn file<T: Serialize>(
    folder: &str,
    kind: &'static str,
    name: &DocumentName,
    status: &T,
) -> Option<StatusFile> {
    let metadata = Metadata { name: name.as_str() };
    let document = Document { api_version: API_VERSION, kind, metadata, status };
    let text = serde_yaml_ng::to_string(&document)
        .inspect_err(|error| tracing::error!(%name, %error, "a status cannot be written as YAML"))
        .ok()?;
    Some(StatusFile { path: format!("{folder}/{name}.yaml"), text })
}

fn readme(report: &PassReport) -> String {
    let mut text = format!("{}\n", first_line(report));
    // Of status itself nobody would read it here.
    let told = |one: &&Ongoing| !one.is_told_elsewhere() && one.reason != Reason::Status.word();
    for trouble in report.trouble.iter().filter(told) {
        text.push_str(&format!("\n> {} ({})\n", cell(&trouble.message), trouble.reason));
    }
    for error in &report.errors {
        text.push_str(&format!("\n> {}\n", cell(error)));
    }
    for way in &report.ways_back {
        let merge = match &way.pull_request {
            Some(address) => format!("merge {address}"),
            None => "merge it".to_owned(),
        };
        text.push_str(&format!("\nThe branch `{}` goes back: {merge}, or mend the documents.\n", way.branch));
    }
    for rollout in &report.rollouts {
        text.push_str(&format!("\n**{}**: {}\n\n", rollout.deployment, cell(&rollout.says)));
        for line in &rollout.story {
            text.push_str(&format!("- {} {}\n", line.at.strftime("%F %H:%M:%S"), cell(&line.what)));
        }
    }
    table(&mut text, report);
    text.push_str(&drift::story(&report.drift_ledger));
    let shown: Vec<String> =
        report.findings.iter().take(FINDINGS_AT_MOST).map(|finding| finding.render()).collect();
    if !shown.is_empty() {
        text.push_str(&format!("\n```text\n{}```\n", shown.join("\n").replace("```", "'''")));
    }
    if report.findings.len() > FINDINGS_AT_MOST {
        text.push_str(&format!(
            "\n… and {} more: `hem validate`\n",
            report.findings.len() - FINDINGS_AT_MOST
        ));
    }
    text
}

/// The state of everything in one line.
fn first_line(report: &PassReport) -> String {
    let waiting =
        report.waiting.as_ref().map(|waiting| format!("revision {} waits for `hem apply`", waiting.short()));
    if let Some(headline) = &report.headline {
        return match (refused(report), waiting) {
            // What goes back is what the headline is about.
            (Some(refused), _) if report.revert.is_none() => format!("{refused}; {headline}"),
            (_, Some(waiting)) => format!("{headline}; {waiting}"),
            (_, None) => headline.clone(),
        };
    }
    let mut line = if let Some(bad) = &report.revert {
        let good = short(report.revision.as_ref());
        format!(
            "revision {} went back and is not rolled out again: {}; {good} in force",
            bad.quarantined.short(),
            bad.reason
        )
    } else if let Some(refused) = refused(report) {
        match &report.revision {
            Some(good) => format!("{refused}; {} stays in force", good.short()),
            None => format!("{refused}; nothing is in force yet"),
        }
    } else if let Some(revision) = &report.revision {
        format!("revision {} in force", revision.short())
    } else {
        return waiting.unwrap_or_else(|| "no usable revision yet".to_owned());
    };
    line.push_str(&ready(report));
    if let Some(waiting) = waiting {
        line.push_str(&format!("; {waiting}"));
    }
    line.push_str(&failing(report));
    line
}

/// What is said of the revision in force alone, whatever became of a newer one.
pub(super) fn line_in_force(report: &PassReport) -> String {
    let begin = format!("revision {}", short(report.revision.as_ref()));
    match &report.headline {
        Some(headline) if headline.starts_with(&begin) => headline.clone(),
        _ => format!("{begin} in force{}{}", ready(report), failing(report)),
    }
}

/// Why the newest revision is not in force, when it is not usable.
fn refused(report: &PassReport) -> Option<String> {
    if !report.is_held_back() {
        return None;
    }
    let errors = report.findings.iter().filter(|finding| finding.is_error()).count();
    let errors = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    Some(format!("revision {} refused: {errors}", short(report.attempted.as_ref())))
}

fn ready(report: &PassReport) -> String {
    let all = report.devices.len();
    let ready = report.devices.values().filter(|device| holds(&device.conditions, "Ready")).count();
    match all {
        0 => String::new(),
        1 => format!(": {ready} of 1 device ready"),
        _ => format!(": {ready} of {all} devices ready"),
    }
}

/// The first device that fails, and why.
fn failing(report: &PassReport) -> String {
    let failing = report.devices.iter().find(|(_, device)| holds(&device.conditions, "Degraded"));
    failing.map_or_else(String::new, |(id, device)| format!("; {id}: {}", message(&device.conditions)))
}

fn short(revision: Option<&Revision>) -> &str {
    revision.map_or("none", Revision::short)
}

fn table(text: &mut String, report: &PassReport) {
    if report.devices.is_empty() {
        return;
    }
    text.push_str("\n| device | state | modules | what |\n|---|---|---|---|\n");
    let mut rows: Vec<_> = report.devices.iter().collect();
    rows.sort_by_key(|(_, device)| holds(&device.conditions, "Ready"));
    for (id, device) in rows.iter().take(ROWS_AT_MOST) {
        let state = ["Stalled", "Degraded", "Progressing", "Ready"]
            .into_iter()
            .find(|kind| holds(&device.conditions, kind))
            .unwrap_or("Unknown");
        let modules: Vec<String> =
            device.modules.iter().map(|(name, module)| format!("{name} {}", module.state)).collect();
        let what = cell(message(&device.conditions));
        text.push_str(&format!(
            "| {} | {state} | {} | {what} |\n",
            cell(id.as_str()),
            cell(&modules.join(", "))
        ));
    }
    if rows.len() > ROWS_AT_MOST {
        text.push_str(&format!("\n… and {} more devices.\n", rows.len() - ROWS_AT_MOST));
    }
}

/// A text that cannot break out of its cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
