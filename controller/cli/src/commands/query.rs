//! `hem query TEXT`: the query language against the running hub.

use std::collections::BTreeSet;

use hemline_query::select::Query;
use serde_json::Value;

use crate::{args::Args, client::HubClient, error::CommandError, output};

/// Asks, and prints all pages.
pub(crate) async fn run(args: &Args, text: &str) -> Result<(), CommandError> {
    let rows = HubClient::find(args)?.query(text).await?;
    output::value(&rows, args.output, |rows| as_table(rows, text))
}

/// Twins get the columns people look for; projections get their own, in the order of the query.
fn as_table(rows: &[Value], query: &str) -> String {
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
    // A JSON object has no order, so the select list is asked; the hub may be newer and know more than it.
    let asked = Query::parse(query).ok();
    let mut header = asked.as_ref().and_then(Query::columns).unwrap_or_default();
    let found: BTreeSet<&str> =
        rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).map(String::as_str).collect();
    let more: Vec<&str> = found.into_iter().filter(|column| !header.contains(column)).collect();
    header.extend(more);
    output::table(&header, rows.iter().map(|row| header.iter().map(|c| output::cell(row.get(*c))).collect()))
}

fn version(row: &Value, collection: &str) -> String {
    row.pointer(&format!("/properties/{collection}/$version"))
        .map_or_else(|| "-".to_owned(), |v| format!("v{v}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_in_the_order_of_the_query() {
        let first = |rows: &[Value], query: &str| as_table(rows, query).lines().next().map(str::to_lowercase);
        let words = |line: Option<String>| -> Vec<String> {
            line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let rows = [json!({"site": "lyon", "n": 2}), json!({"n": 1})];
        let query = "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site";
        assert_eq!(words(first(&rows, query)), ["site", "n"]);
        assert_eq!(
            words(first(&rows, "SELECT COUNT() AS n, tags.site FROM devices GROUP BY tags.site")),
            ["n", "site"]
        );
        // What only the hub understands is shown all the same.
        assert_eq!(words(first(&rows, "SELECT WHATEVER")), ["n", "site"]);
    }
}
