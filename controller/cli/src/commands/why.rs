//! `hem why FOLDER DEVICE [PATH]`: where each effective value comes from. Reads documents only, asks no hub.

use std::process::ExitCode;

use hemline_plan::{Because, Facts, resolve, unknown_device, why};

use super::documents;
use crate::{
    args::{Args, Why},
    error::{CommandError, exit},
    output,
};

/// Looks and prints.
pub(crate) fn run(args: &Args, typed: &Why) -> Result<ExitCode, CommandError> {
    let files = documents::read(std::slice::from_ref(&typed.folder))?;
    let loaded = hemline_model::load(&files);
    let Some(fleet) = loaded.fleet else {
        documents::show(&loaded.findings);
        return Ok(ExitCode::from(exit::FAILURE));
    };
    let resolution = resolve(&fleet, &Facts::default());
    let found = fleet.devices.values().find(|device| device.id.as_str() == typed.device);
    let Some((device, effective)) = found.and_then(|doc| Some((doc, resolution.devices.get(&doc.id)?)))
    else {
        let hint = unknown_device(&typed.device, resolution.devices.keys()).hint;
        return Err(CommandError::NotFound {
            what: format!("no document makes device {:?}", typed.device),
            hint,
        });
    };
    // Errors across documents concern what is shown here: of two layers that disagree, one is shown.
    let errors: Vec<_> = resolution.findings.iter().filter(|finding| finding.is_error()).cloned().collect();
    let failed = documents::show(&errors);
    let rows =
        why(&fleet, device, effective, typed.path.as_deref()).map_err(|unknown| CommandError::NotFound {
            what: format!(
                "no document says {:?} for device {}",
                typed.path.as_deref().unwrap_or_default(),
                typed.device
            ),
            hint: unknown.hint,
        })?;
    output::value(&rows, args.output, |rows| table(rows))?;
    Ok(ExitCode::from(if failed { exit::FAILURE } else { exit::SUCCESS }))
}

fn table(rows: &[Because]) -> String {
    let row = |because: &Because| {
        let mut lines = vec![vec![
            because.path.clone(),
            because.shown(),
            because.layer.name().to_owned(),
            because.document.to_string(),
            format!("{}:{}", because.file, because.line),
        ]];
        for over in &because.overrides {
            let name = if over.path == because.path { String::new() } else { format!(" {}", over.path) };
            lines.push(vec![
                format!("  overrides{name}"),
                over.shown(),
                over.layer.name().to_owned(),
                over.document.to_string(),
                format!("{}:{}", over.file, over.line),
            ]);
        }
        lines
    };
    output::table(&["path", "value", "layer", "document", "at"], rows.iter().flat_map(row))
}
