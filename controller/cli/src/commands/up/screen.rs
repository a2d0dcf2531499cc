//! The one screen that says what runs, where, and how to look closer; then one line per change.

use std::path::Path;

use hemline_api::{DeviceRow, ModuleRow};
use hemline_hub::HubHandle;
use hemline_hub_core::service::{ServiceReply, ServiceRequest};
use hemline_model::{finding::Severity, id::DeviceId};
use hemline_reconcile::{ControllerView, Ongoing, PassReport};

use super::names::Names;
use crate::{commands::connection_string, commands::documents, error::CommandError, output};

/// Devices shown by name; a larger fleet gets a line that says how many more there are.
const SHOWN: usize = 10;

/// What the screen is made of.
pub(super) struct Facts<'a> {
    pub(super) names: &'a Names,
    pub(super) data_dir: &'a Path,
    pub(super) owner: &'a str,
    pub(super) report: Option<std::sync::Arc<PassReport>>,
    pub(super) settled: &'a [DeviceRow],
    pub(super) hub: &'a HubHandle,
}

/// Prints the screen.
pub(super) async fn show(facts: &Facts<'_>) -> Result<(), CommandError> {
    let modules = hemline_api::module_rows(facts.hub).await.unwrap_or_default();
    let mut text = head(facts);
    for device in facts.settled.iter().take(SHOWN) {
        device_lines(&mut text, device, &modules);
    }
    if facts.settled.len() > SHOWN {
        add(&mut text, &format!("    … and {} more: hem get devices\n", facts.settled.len() - SHOWN));
    }
    add(&mut text, "\n");
    add(&mut text, &format!("  owner     {}\n", facts.owner));
    for device in facts.settled.iter().take(SHOWN) {
        if let Some(line) = device_connection_string(facts, &device.device_id).await {
            add(&mut text, &format!("  device    {line}\n"));
        }
    }
    add(&mut text, &trust(facts.data_dir));
    say(&text)
}

/// A fleet does not stop because nobody reads its screen any more (`hem up | head`).
fn say(text: &str) -> Result<(), CommandError> {
    match output::text(text) {
        Err(CommandError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn head(facts: &Facts<'_>) -> String {
    let names = facts.names;
    let (source, revision) = facts.report.as_ref().map_or(("-".to_owned(), "-".to_owned()), |report| {
        (report.source.clone(), report.revision.as_ref().map_or("-".to_owned(), |r| r.short().to_owned()))
    });
    let mut text = String::new();
    add(
        &mut text,
        &format!(
            "\nhemline {}  ·  data {}  ·  source {source} @ {revision}\n\n",
            env!("CARGO_PKG_VERSION"),
            shown(facts.data_dir)
        ),
    );
    let https = crate::client::with_port(&names.advertised, names.https_port);
    let host = &names.advertised;
    add(
        &mut text,
        &format!(
            "  {} hub        mqtts://{host}:{}   https://{https}{}\n",
            mark(true),
            names.mqtt_port,
            names.plain_mqtt_port.map(|port| format!("   mqtt://127.0.0.1:{port}")).unwrap_or_default()
        ),
    );
    if let Some(report) = &facts.report {
        let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        if errors > 0 {
            add(
                &mut text,
                &format!(
                    "  {} documents  {} — see hem status\n",
                    mark(false),
                    documents::plural(errors, "error")
                ),
            );
        }
    }
    text
}

fn device_lines(text: &mut String, device: &DeviceRow, modules: &[ModuleRow]) {
    if !device.edge {
        add(text, &format!("  · {}   a device without modules\n", device.device_id));
        return;
    }
    let good = device.modules_running == device.modules_wanted;
    add(
        text,
        &format!(
            "  {} {}   {} of {} modules running\n",
            mark(good),
            device.device_id,
            device.modules_running,
            device.modules_wanted
        ),
    );
    let own: Vec<&ModuleRow> = modules.iter().filter(|module| module.device_id == device.device_id).collect();
    let width = own.iter().map(|module| module.module_id.len()).max().unwrap_or_default();
    for module in own {
        let state = if module.state.is_empty() { "not started" } else { &module.state };
        add(
            text,
            &format!(
                "      {:width$}   {state:<8}  {}  {}\n",
                module.module_id, module.runtime, module.description
            ),
        );
    }
}

async fn device_connection_string(facts: &Facts<'_>, device: &str) -> Option<String> {
    let id = DeviceId::new(device).ok()?;
    let Ok(ServiceReply::Identity { document, .. }) = facts.hub.call(ServiceRequest::GetDevice(id)).await
    else {
        return None;
    };
    connection_string::of_identity(&facts.names.advertised, device, None, &document).ok()
}

fn trust(data_dir: &Path) -> String {
    let program = program();
    let hem = if data_dir.file_name().is_some_and(|name| name == ".hem") {
        program
    } else {
        format!("{program} --data-dir {}", shown(data_dir))
    };
    format!(
        "\n  trust     {hem} ca > ca.pem\n            \
         Python device  IoTHubDeviceClient.create_from_connection_string(cs, server_verification_cert=open(\"ca.pem\").read())\n            \
         Python service REQUESTS_CA_BUNDLE=ca.pem    Node NODE_EXTRA_CA_CERTS=ca.pem    C option TrustedCerts    mosquitto --cafile ca.pem\n\n  \
         try       {hem} status  ·  {hem} message watch  ·  {hem} get modules  ·  edit a document and save  ·  Ctrl-C stops it all\n\n"
    )
}

/// Prints a line whenever a revision was taken or refused. Ends with the controller.
pub(super) async fn follow(view: &mut ControllerView) -> Result<(), CommandError> {
    let mut last = view.latest();
    while let Some(report) = view.changed().await {
        let told = |previous: &PassReport| {
            previous.attempted == report.attempted
                && previous.findings == report.findings
                && previous.errors == report.errors
                && previous.trouble == report.trouble
                && report.done.is_empty()
        };
        if last.as_deref().is_some_and(told) {
            continue;
        }
        say(&line(&report, last.as_deref()))?;
        last = Some(report);
    }
    Ok(())
}

fn line(report: &PassReport, last: Option<&PassReport>) -> String {
    let revision =
        report.attempted.as_ref().or(report.revision.as_ref()).map_or("-", |r| r.short()).to_owned();
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mut text = String::new();
    if errors > 0 {
        add(
            &mut text,
            &format!(
                "  {} {revision}  {}; the fleet stays as it was\n",
                mark(false),
                documents::plural(errors, "error")
            ),
        );
        for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Error).take(3) {
            for line in finding.render().lines() {
                add(&mut text, &format!("      {line}\n"));
            }
        }
    } else if !report.done.is_empty() {
        add(&mut text, &format!("  {} {revision}  {}\n", mark(report.errors.is_empty()), report.done));
    }
    let known = |one: &Ongoing| last.is_some_and(|last| last.trouble.contains(one));
    for trouble in report.trouble.iter().filter(|one| !one.is_told_elsewhere() && !known(one)) {
        add(&mut text, &format!("  {} {revision}  {}\n", mark(false), trouble.message));
    }
    for error in &report.errors {
        add(&mut text, &format!("  {} {revision}  {error}\n", mark(false)));
    }
    text
}

fn mark(good: bool) -> String {
    let colour = if good { anstyle::AnsiColor::Green } else { anstyle::AnsiColor::Red };
    let style = anstyle::Style::new().fg_color(Some(colour.into()));
    format!("{style}{}{style:#}", if good { '✓' } else { '✗' })
}

/// What to type for this program: its name where the shell finds it, else its path.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "hem".to_owned() };
    let found = std::env::var_os("PATH").is_some_and(|path| {
        let same = |folder: std::path::PathBuf| folder.join("hem").canonicalize().is_ok_and(|hem| hem == own);
        std::env::split_paths(&path).any(same)
    });
    if found { "hem".to_owned() } else { shown(&own) }
}

/// Relative to where the person is, when it lies below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(ToOwned::to_owned))
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}

fn add(text: &mut String, more: &str) {
    text.push_str(more);
}
