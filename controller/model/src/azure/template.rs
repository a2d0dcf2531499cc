//! `${NAME}` in a template: whether a file is one, and which names without a value matter.

use hemline_query::near;
use serde_json::Value;

use super::notes::{Notes, escape};
use crate::{
    document::Object,
    finding::Severity,
    text::{self, RawDocument, SourceFile, Unset},
};

/// Parts of a manifest that are left out anyway; what stands in them need not be known.
const LEFT_OUT: [&str; 2] = ["registryCredentials", "systemModules"];

/// Where values are given, for the hint about a missing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Giver {
    /// `hem import --var NAME=VALUE`.
    CommandLine,
    /// `spec.variables` of a document.
    Document,
}

/// Are the `${…}` of this file meant for Hemline? In other files they belong to the modules.
fn is_template(file: &SourceFile, variables: &Object) -> bool {
    let bare = || std::str::from_utf8(&file.bytes).is_ok_and(text::is_bare_template);
    !variables.is_empty() || file.path.ends_with(".template.json") || bare()
}

/// Reads a manifest, its variables filled when it is a template.
pub(super) fn read(
    file: &SourceFile,
    variables: &Object,
) -> (Vec<RawDocument>, Vec<crate::Finding>, Vec<Unset>) {
    text::read_manifest(file, is_template(file, variables).then_some(variables))
}

/// Says which variables have no value.
pub(super) fn missing(
    unset: &[Unset],
    manifest: &Value,
    variables: &Object,
    giver: Giver,
    notes: &mut Notes<'_>,
) {
    let mut left_out = Vec::new();
    find(manifest, &mut String::new(), &mut left_out);
    for variable in unset.iter().filter(|variable| !notes.located.is_below(variable, &left_out)) {
        let name = &variable.name;
        if !variable.braces {
            let message = format!("${name} looks like a variable and has no value; it stays as it is");
            let finding =
                notes.located.finding_at_variable(Severity::Warning, "azure-dollar-name", variable, message);
            let hint = match giver {
                Giver::CommandLine => format!("give it one: --var {name}=…"),
                Giver::Document => format!("give it one in the document: `variables: {{{name}: …}}`"),
            };
            notes.push(finding.with_hint(hint));
            continue;
        }
        let message = format!("no value for ${{{name}}}");
        let close = near(name, variables.keys().map(String::as_str));
        let hint = match (close, giver) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, Giver::CommandLine) => format!("give it one: --var {name}=…"),
            (None, Giver::Document) => format!("give it one in the document: `variables: {{{name}: …}}`"),
        };
        let finding = notes.located.finding_at_variable(Severity::Error, "azure-variable", variable, message);
        notes.push(finding.with_hint(hint));
    }
}

fn find(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                pointer.push('/');
                pointer.push_str(&escape(key));
                // Dotted keys of a layer may lead there too.
                if key.split('.').any(|step| LEFT_OUT.contains(&step)) {
                    found.push(pointer.clone());
                } else {
                    find(inner, pointer, found);
                }
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
}
