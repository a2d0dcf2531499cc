//! `hem export FOLDER DEVICE`: what one device should run, as an Azure deployment manifest. Needs no hub; conditions on
//! reported properties select nothing here.

use std::process::ExitCode;

use hemline_plan::{Effective, Facts, Judged, Resolution, export, judge};

use super::documents;
use crate::{
    args::{Args, Export, Output},
    error::{CommandError, exit},
    output,
};

/// Exports and prints.
pub(crate) fn run(args: &Args, typed: &Export) -> Result<ExitCode, CommandError> {
    let files = documents::read(std::slice::from_ref(&typed.path))?;
    let Judged { usable, mut findings } = judge(hemline_model::load(&files), &Facts::default());
    let Some((_, resolution)) = usable else {
        documents::show(&findings);
        return Ok(ExitCode::from(exit::FAILURE));
    };
    let exported = export(device(&resolution, &typed.device)?);
    findings.extend(exported.findings);
    documents::show(&findings);
    let Some(manifest) = exported.manifest else { return Ok(ExitCode::from(exit::FAILURE)) };
    // Azure's tools read JSON only; YAML is for people who ask for it.
    let form = match args.output {
        Output::Table | Output::Wide | Output::Json => Output::Json,
        Output::Yaml => Output::Yaml,
    };
    output::value(&manifest, form, |_| String::new())?;
    Ok(ExitCode::from(exit::SUCCESS))
}

/// By hub id, else by the name of its document.
fn device<'a>(resolution: &'a Resolution, typed: &str) -> Result<&'a Effective, CommandError> {
    let by_name = || resolution.devices.values().find(|device| device.name.as_str() == typed);
    resolution.devices.get(typed).or_else(by_name).ok_or_else(|| {
        let some: Vec<&str> = resolution.devices.keys().take(5).map(|id| id.as_str()).collect();
        let more = if resolution.devices.len() > some.len() { ", …" } else { "" };
        CommandError::Usage(match some.as_slice() {
            [] => format!("no device {typed:?}: the documents have no devices"),
            [_, ..] => format!("no device {typed:?}; there are {}{more}", some.join(", ")),
        })
    })
}
