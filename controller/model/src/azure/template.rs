//! `${NAME}` in the texts of a template. Azure's tools replace them in the text of the file before they parse it; here they
//! are replaced in the values, so that no value can break the file.

use std::collections::BTreeMap;

use hemline_query::near;
use serde_json::Value;

use super::{ImportOptions, Notes, notes::escape};
use crate::text::InText;

/// Are the `${…}` of this file meant for the importer?
pub(super) fn is_template(path: &str, options: &ImportOptions) -> bool {
    !options.variables.is_empty() || path.ends_with(".template.json")
}

/// Replaces every variable that has a value, and says which have none.
pub(super) fn fill(value: &mut Value, variables: &BTreeMap<String, String>, notes: &mut Notes<'_>) {
    walk(value, &mut String::new(), variables, notes);
}

fn walk(
    value: &mut Value,
    pointer: &mut String,
    variables: &BTreeMap<String, String>,
    notes: &mut Notes<'_>,
) {
    let length = pointer.len();
    match value {
        Value::String(text) => *text = filled(text, pointer, variables, notes),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                pointer.push_str(&format!("/{index}"));
                walk(item, pointer, variables, notes);
                pointer.truncate(length);
            }
        }
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                let told = notes.count();
                pointer.push('/');
                pointer.push_str(&escape(key));
                walk(inner, pointer, variables, notes);
                pointer.truncate(length);
                // Logins are left out anyway; their values need not be known.
                if key == "registryCredentials" {
                    notes.forget(told);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn filled(text: &str, pointer: &str, variables: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> String {
    let (mut out, mut at) = (String::new(), 0);
    while let Some(start) = text.get(at..).and_then(|rest| rest.find("${")).map(|found| at + found) {
        let Some(end) = text.get(start..).and_then(|rest| rest.find('}')).map(|found| start + found + 1)
        else {
            break;
        };
        let name = text.get(start + 2..end - 1).unwrap_or_default();
        out.push_str(text.get(at..start).unwrap_or_default());
        match variables.get(name) {
            Some(value) => out.push_str(value),
            None => {
                out.push_str(text.get(start..end).unwrap_or_default());
                let place = InText { pointer, text, start, end };
                let finding = notes.error_in("azure-variable", place, format!("no value for ${{{name}}}"));
                let close = near(name, variables.keys().map(String::as_str));
                finding.hint = Some(match close {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("give it one: --var {name}=…"),
                });
            }
        }
        at = end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
