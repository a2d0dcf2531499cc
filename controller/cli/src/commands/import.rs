//! `hem import FILE`: an Azure deployment manifest as documents, on standard output; what could not be kept stands in
//! comments above them, and on standard error.

use std::process::ExitCode;

use hemline_model::{
    azure::{self, ImportOptions},
    document::EdgeDeployment,
    finding::Finding,
    text::{self, SourceFile},
};

use super::documents;
use crate::{
    args::{Args, Import, Output},
    error::{CommandError, exit},
    output,
};

/// Imports and prints.
pub(crate) fn run(args: &Args, typed: &Import) -> Result<ExitCode, CommandError> {
    let limit = text::Limits::default().file_bytes;
    let size = std::fs::metadata(&typed.file).map_err(|source| unreadable(typed, source))?.len();
    if size > limit as u64 {
        let message = format!("{} has {size} bytes, at most {limit} are read", typed.file.display());
        return Err(CommandError::Usage(message));
    }
    let bytes = std::fs::read(&typed.file).map_err(|source| unreadable(typed, source))?;
    let file = SourceFile { path: typed.file.to_string_lossy().into(), bytes };
    let options = ImportOptions {
        name: typed.name.clone(),
        target_condition: typed.target.clone(),
        priority: typed.priority,
        variables: typed.variables.iter().cloned().collect(),
    };
    let imported = azure::import(&file, &options);
    documents::show(&imported.findings);
    let Some(document) = imported.document else { return Ok(ExitCode::from(exit::FAILURE)) };
    match args.output {
        Output::Json => output::value(&document, args.output, |_| String::new())?,
        Output::Table | Output::Yaml => {
            let body = body(&document)?;
            output::text(&format!("{}{body}", comments(&file, &imported.findings)))?;
        }
    }
    Ok(ExitCode::from(exit::SUCCESS))
}

fn unreadable(typed: &Import, source: std::io::Error) -> CommandError {
    CommandError::File { action: "read", path: typed.file.clone(), source }
}

/// The document as YAML; as JSON, which is YAML too, should a value not survive being written without quotes.
fn body(document: &EdgeDeployment) -> Result<String, CommandError> {
    let json = serde_json::to_value(document).map_err(|error| CommandError::part("JSON", error))?;
    let yaml = serde_yaml_ng::to_string(document).map_err(|error| CommandError::part("YAML", error))?;
    let file = SourceFile { path: "".into(), bytes: yaml.clone().into_bytes() };
    let (read, findings) = text::read(&file);
    match read.as_slice() {
        [only] if only.value == json && findings.is_empty() => Ok(yaml),
        [] | [_, ..] => {
            let text =
                serde_json::to_string_pretty(&json).map_err(|error| CommandError::part("JSON", error))?;
            Ok(format!("{text}\n"))
        }
    }
}

/// Where the document came from and what it lost on the way; one line each.
fn comments(file: &SourceFile, findings: &[Finding]) -> String {
    let mut text = comment(&format!("imported from {}", file.path));
    for finding in findings {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        text.push_str(&comment(&format!("{finding}{hint}")));
    }
    text
}

fn comment(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {line}\n")
}
