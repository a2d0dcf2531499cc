//! How results reach standard output: a table for people, JSON or YAML for programs.

use std::io::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::{args::Output, error::CommandError};

/// Writes a text as it is.
pub(crate) fn text(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Writes one value in the form asked for; `table` makes the form for people.
pub(crate) fn value<T: Serialize>(
    value: &T,
    output: Output,
    table: impl FnOnce(&T) -> String,
) -> Result<(), CommandError> {
    match output {
        Output::Table | Output::Wide => text(&table(value)),
        Output::Json => {
            let json =
                serde_json::to_string_pretty(value).map_err(|error| CommandError::part("JSON", error))?;
            text(&format!("{json}\n"))
        }
        Output::Yaml => {
            text(&serde_yaml_ng::to_string(value).map_err(|error| CommandError::part("YAML", error))?)
        }
    }
}

/// A table without borders, as kubectl prints it.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|cell| cell.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.push(String::new());
    lines.join("\n")
}

/// The text of a JSON value in a table cell: strings bare, nothing as `-`.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
