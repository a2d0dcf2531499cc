//! `hem query TEXT`: the query language against the running hub.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{args::Args, client::HubClient, error::CommandError, output};

/// Asks, and prints all pages.
pub(crate) async fn run(args: &Args, text: &str) -> Result<(), CommandError> {
    let rows = HubClient::find(args)?.query(text).await?;
    output::value(&rows, args.output, |rows| as_table(rows))
}

/// Twins get the columns people look for; projections get their own.
fn as_table(rows: &[Value]) -> String {
    let twins = rows.iter().all(|row| row.get("properties").is_some() && row.get("deviceId").is_some());
    if twins {
        let modules = rows.iter().any(|row| row.get("moduleId").is_some());
        let mut header = vec!["device"];
        if modules {
            header.push("module");
        }
        header.extend(["connection", "desired", "reported", "tags"]);
        let cells = rows.iter().map(|row| {
            let mut cells = vec![output::cell(row.get("deviceId"))];
            if modules {
                cells.push(output::cell(row.get("moduleId")));
            }
            cells.push(output::cell(row.get("connectionState")));
            cells.push(version(row, "desired"));
            cells.push(version(row, "reported"));
            cells.push(output::cell(row.get("tags")));
            cells
        });
        return output::table(&header, cells);
    }
    let columns: BTreeSet<&String> =
        rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    let header: Vec<&str> = columns.iter().map(|column| column.as_str()).collect();
    output::table(
        &header,
        rows.iter().map(|row| columns.iter().map(|c| output::cell(row.get(c.as_str()))).collect()),
    )
}

fn version(row: &Value, collection: &str) -> String {
    row.pointer(&format!("/properties/{collection}/$version"))
        .map_or_else(|| "-".to_owned(), |v| format!("v{v}"))
}
