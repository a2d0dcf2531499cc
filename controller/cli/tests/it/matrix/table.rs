//! The matrix as Markdown, and its copy in the README.

use super::{
    client::{CLIENTS, Client},
    feature::{FEATURES, Feature},
};

const BEGIN: &str = "<!-- matrix: printed by the test `matrix::every_client_and_feature` -->";
const END: &str = "<!-- end of the matrix -->";

/// What was seen of one feature of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Works,
    /// By the client's nature, with the reason.
    Absent(&'static str),
    /// With what went wrong.
    Fails(String),
}

/// A row of the table: the cells in the order of the features.
pub(super) struct Row {
    pub(super) client: Client,
    pub(super) cells: Vec<Cell>,
}

/// Reasons and remarks of the whole matrix, numbered as they first appear: the same whichever rows were run.
fn notes() -> Vec<&'static str> {
    let mut notes = Vec::new();
    for client in CLIENTS {
        for feature in FEATURES {
            notes.extend(note(client, feature).filter(|note| !notes.contains(note)));
        }
    }
    notes
}

fn note(client: Client, feature: Feature) -> Option<&'static str> {
    feature.absent(client).or_else(|| feature.remark(client))
}

/// Heading, rows, notes.
pub(super) fn markdown(rows: &[Row]) -> String {
    let titles: Vec<&str> = FEATURES.iter().map(|feature| feature.title()).collect();
    let mut lines = vec![format!("| client | {} |", titles.join(" | "))];
    lines.push(format!("|---|{}", ":-:|".repeat(FEATURES.len())));
    lines.extend(rows.iter().map(line));
    lines.push(String::new());
    lines.extend(notes().iter().enumerate().map(|(index, note)| format!("{}. {note}", index + 1)));
    lines.join("\n") + "\n"
}

fn line(row: &Row) -> String {
    let notes = notes();
    let cells = row.cells.iter().zip(FEATURES).map(|(cell, feature)| {
        let sign = match cell {
            Cell::Works => "✓",
            Cell::Absent(_) => "–",
            Cell::Fails(_) => "✗",
        };
        let number = note(row.client, feature).and_then(|note| notes.iter().position(|other| *other == note));
        number.map_or_else(|| sign.to_owned(), |number| format!("{sign} <sup>{}</sup>", number + 1))
    });
    format!("| {} | {} |", row.client.title(), cells.collect::<Vec<_>>().join(" | "))
}

/// What the README says differently, line by line; rows that were not run are not compared.
pub(super) fn differences(readme: &str, rows: &[Row]) -> Vec<String> {
    let Some(block) = readme.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)) else {
        return vec![format!("README.md has no {BEGIN} … {END}")];
    };
    let seen = markdown(rows);
    let not_run = |line: &str| {
        let title = line.strip_prefix("| ").and_then(|line| line.split_once(" | "));
        title.is_some_and(|(title, _)| {
            let is = |client: &Client| client.title() == title;
            CLIENTS.iter().any(is) && !rows.iter().any(|row| is(&row.client))
        })
    };
    let written: Vec<&str> = block.0.trim().lines().filter(|line| !not_run(line)).collect();
    let seen: Vec<&str> = seen.trim().lines().collect();
    let missing = seen.iter().filter(|line| !written.contains(line)).map(|line| format!("+ {line}"));
    let wrong = written.iter().filter(|line| !seen.contains(line)).map(|line| format!("- {line}"));
    let mut differences: Vec<String> = wrong.chain(missing).collect();
    if differences.is_empty() && written != seen {
        differences.push("the lines are in another order".to_owned());
    }
    differences
}
