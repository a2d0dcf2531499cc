//! `hem import FILE…`: Azure deployment manifests as documents, on standard output or one file each; what could not be kept
//! stands in comments above them, and on standard error.

use std::{collections::BTreeMap, io::Write as _, path::Path, process::ExitCode};

use hemline_model::{
    azure::{self, ImportOptions, ImportedDocument},
    finding::Finding,
    text::{self, SourceFile},
};

use super::documents;
use crate::{
    args::{Args, Import, Output},
    error::{CommandError, exit},
    output,
};

/// Imports all, or nothing, and prints or writes.
pub(crate) fn run(args: &Args, typed: &Import) -> Result<ExitCode, CommandError> {
    if typed.name.is_some() && typed.files.len() > 1 {
        let message = "--name is for one manifest; several are named after their ids or files".to_owned();
        return Err(CommandError::Usage(message));
    }
    let options = ImportOptions {
        name: typed.name.clone(),
        target_condition: typed.target.clone(),
        priority: typed.priority,
        variables: typed.variables.iter().cloned().collect(),
    };
    let mut read = Vec::new();
    for path in &typed.files {
        let file = file(path)?;
        let imported = azure::import(&file, &options);
        read.push((file, imported));
    }
    let findings: Vec<Finding> = read.iter().flat_map(|(_, imported)| imported.findings.clone()).collect();
    documents::show(&findings);
    let mut documents = Documents::new();
    let count = read.len();
    for (file, imported) in read {
        let Some(document) = imported.document else { continue };
        let name = document.metadata().name.clone();
        if let Some((first, ..)) = documents.get(&name) {
            let message = format!("{} and {} both become the document {name:?}", first.path, file.path);
            return Err(CommandError::Usage(format!("{message}; import them one by one with --name")));
        }
        documents.insert(name, (file, document, imported.findings));
    }
    if documents.len() < count {
        return Ok(ExitCode::from(exit::FAILURE));
    }
    match &typed.out {
        Some(folder) => write(folder, &documents)?,
        None => print(args, documents)?,
    }
    Ok(ExitCode::from(exit::SUCCESS))
}

fn file(path: &Path) -> Result<SourceFile, CommandError> {
    let unreadable = |source| CommandError::File { action: "read", path: path.to_owned(), source };
    let limit = text::Limits::default().file_bytes;
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > limit as u64 {
        let message = format!("{} has {size} bytes, at most {limit} are read", path.display());
        return Err(CommandError::Usage(message));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Ok(SourceFile { path: path.to_string_lossy().into(), bytes })
}

/// By name: where it came from, and what was said.
type Documents = BTreeMap<String, (SourceFile, ImportedDocument, Vec<Finding>)>;

fn print(args: &Args, documents: Documents) -> Result<(), CommandError> {
    match args.output {
        Output::Json => {
            let mut all: Vec<ImportedDocument> =
                documents.into_values().map(|(_, document, _)| document).collect();
            match all.pop() {
                Some(only) if all.is_empty() => output::value(&only, args.output, |_| String::new()),
                last => {
                    all.extend(last);
                    output::value(&all, args.output, |_| String::new())
                }
            }
        }
        Output::Table | Output::Wide | Output::Yaml => {
            let texts: Result<Vec<String>, _> = documents
                .values()
                .map(|(file, document, findings)| whole(file, document, findings))
                .collect();
            output::text(&texts?.join("---\n"))
        }
    }
}

/// Makes a file per document. Checked first, so that all come or none.
fn write(folder: &Path, documents: &Documents) -> Result<(), CommandError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::File { action, path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed("make", folder))?;
    let path = |name: &str| folder.join(format!("{name}.yaml"));
    if let Some(there) = documents.keys().map(|name| path(name)).find(|path| path.exists()) {
        let message = format!("{} is there already; remove it, or choose another folder", there.display());
        return Err(CommandError::Usage(message));
    }
    let mut written = String::new();
    for (name, (file, document, findings)) in documents {
        let path = path(name);
        let mut made = std::fs::File::create_new(&path).map_err(failed("make", &path))?;
        made.write_all(whole(file, document, findings)?.as_bytes()).map_err(failed("write", &path))?;
        written.push_str(&format!("{}\n", path.display()));
    }
    output::text(&written)
}

/// A document with what there is to say about it.
fn whole(
    file: &SourceFile,
    document: &ImportedDocument,
    findings: &[Finding],
) -> Result<String, CommandError> {
    Ok(format!("{}{}", comments(file, findings), body(document)?))
}

/// The document as YAML; as JSON, which is YAML too, should a value not survive being written without quotes.
fn body(document: &ImportedDocument) -> Result<String, CommandError> {
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
