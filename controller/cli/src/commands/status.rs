//! `hem status`: is everything all right? Exit code 1 when it is not, so that scripts can ask too.

use std::process::ExitCode;

use hemline_api::StatusDocument;
use hemline_plan::drift::DriftCounts;
use hemline_reconcile::is_told_elsewhere;
use reqwest::Method;
use serde_json::Value;

use super::{documents::plural, get};
use crate::{
    args::{Args, Output},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

/// Prints the state of the fleet.
pub(crate) async fn run(args: &Args) -> Result<ExitCode, CommandError> {
    let hub = HubClient::find(args)?;
    let found = hub.call(Method::GET, &["api", "v1", "status"], None).await?;
    let status: StatusDocument = serde_json::from_value(found.clone())
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    match args.output {
        Output::Table | Output::Wide => output::text(&as_text(&status))?,
        Output::Json | Output::Yaml => output::value(&found, args.output, |_| String::new())?,
    }
    Ok(ExitCode::from(if healthy(&status) { exit::SUCCESS } else { exit::FAILURE }))
}

fn healthy(status: &StatusDocument) -> bool {
    let errors =
        list(&status.controller, "errors").is_empty() && error_findings(&status.controller).next().is_none();
    let stopped = list(&status.controller, "rollouts").iter().any(|rollout| {
        let phase = rollout.get("phase").and_then(Value::as_str).unwrap_or_default();
        matches!(phase, "halted" | "reverting" | "reverted")
    });
    errors
        && list(&status.controller, "trouble").is_empty()
        && !stopped
        && status.devices.iter().all(|device| !device.edge || device.modules_running == device.modules_wanted)
}

/// The first line is for a tired person; the rest says why.
fn as_text(status: &StatusDocument) -> String {
    let controller = &status.controller;
    let mut text = format!("{}\n", headline(status));
    let revision = short(controller.get("revision"));
    let attempted = short(controller.get("attempted"));
    line(&mut text, "source", &output::cell(controller.get("source")));
    line(&mut text, "revision", &revision);
    let waiting = short(controller.get("waiting"));
    if waiting != "-" {
        line(&mut text, "waiting", &format!("{waiting}: look with `hem plan --live`, then `hem apply`"));
    }
    let revert = controller.get("revert").filter(|revert| !revert.is_null());
    if let Some(revert) = revert {
        let what = format!(
            "{}: {}; it is not rolled out again until its documents change",
            short(revert.get("quarantined")),
            output::cell(revert.get("reason"))
        );
        line(&mut text, "went back", &what);
    } else if attempted != revision {
        line(&mut text, "refused", &attempted);
    }
    for way in list(controller, "waysBack") {
        let pull = way.get("pullRequest").and_then(Value::as_str);
        let merge = pull.map_or_else(String::new, |pull| format!(", {pull}"));
        line(&mut text, "proposed", &format!("{}{merge}", output::cell(way.get("branch"))));
    }
    for rollout in list(controller, "rollouts") {
        let what =
            format!("{}: {}", output::cell(rollout.get("deployment")), output::cell(rollout.get("says")));
        line(&mut text, "rollout", &what);
    }
    if let Some(drift) = drift(controller) {
        line(&mut text, "drift", &drift);
    }
    for trouble in list(controller, "trouble") {
        let reason = output::cell(trouble.get("reason"));
        if !is_told_elsewhere(&reason) {
            let (source, what) = (output::cell(trouble.get("source")), output::cell(trouble.get("message")));
            line(&mut text, "trouble", &format!("{what} ({source}, {reason}, since {})", since(trouble)));
        }
    }
    for finding in list(controller, "findings") {
        let place =
            finding.get("position").filter(|position| !position.is_null()).map_or_else(String::new, |at| {
                format!(
                    "{}:{}:{}: ",
                    output::cell(at.get("file")),
                    output::cell(at.get("line")),
                    output::cell(at.get("column"))
                )
            });
        let what = format!("{place}{}", output::cell(finding.get("message")));
        line(&mut text, &output::cell(finding.get("severity")), &what);
    }
    for error in list(controller, "errors") {
        line(&mut text, "error", &output::cell(Some(error)));
    }
    text.push('\n');
    text.push_str(&get::device_table(&status.devices));
    text
}

fn headline(status: &StatusDocument) -> String {
    // A rollout that is not complete says more than counts of modules.
    if let Some(rollout) = status.controller.get("headline").and_then(Value::as_str) {
        return rollout.to_owned();
    }
    let (running, wanted) = status.devices.iter().fold((0, 0), |(running, wanted), device| {
        (running + device.modules_running, wanted + device.modules_wanted)
    });
    let devices = plural(status.devices.len(), "device");
    let revision = short(status.controller.get("revision"));
    let refused = error_findings(&status.controller).count();
    let mut text = format!("{running} of {wanted} modules run on {devices} at {revision}");
    if refused > 0 {
        let attempted = short(status.controller.get("attempted"));
        text.push_str(&format!(
            "; {attempted} was refused ({}), the fleet stays as it was",
            plural(refused, "error")
        ));
    }
    text
}

/// What is not as the documents say, counted; nothing when there never was anything.
fn drift(controller: &Value) -> Option<String> {
    let counts: DriftCounts = serde_json::from_value(controller.get("drift")?.clone()).ok()?;
    let DriftCounts { present, reported, ignored, healed, devices, turned_away } = counts;
    let parts = [
        (present, "present"),
        (reported, "reported"),
        (healed, "healed within 30 days"),
        (ignored, "ignored"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if said.is_empty() {
        return None;
    }
    let on = if devices > 0 { format!(" (on {})", plural(devices, "device")) } else { String::new() };
    let more =
        if turned_away > 0 { format!("; {turned_away} more than the ledger holds") } else { String::new() };
    Some(format!("{}{on}{more}: `hem get drift`", said.join(", ")))
}

fn error_findings(controller: &Value) -> impl Iterator<Item = &Value> {
    list(controller, "findings")
        .iter()
        .filter(|finding| finding.get("severity").and_then(Value::as_str) == Some("error"))
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn short(revision: Option<&Value>) -> String {
    let text = output::cell(revision);
    hemline_model::id::Revision::new(&text).map_or(text, |revision| revision.short().to_owned())
}

/// To the second.
fn since(trouble: &Value) -> String {
    let time: Option<jiff::Timestamp> =
        trouble.get("since").and_then(Value::as_str).and_then(|since| since.parse().ok());
    time.map(|time| time.strftime("%F %T UTC").to_string()).unwrap_or_default()
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("  {name:<10} {value}\n"));
}
