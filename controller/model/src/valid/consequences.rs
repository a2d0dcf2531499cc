//! Findings that only follow from others: a name that seems to be missing because the document that has it could not be read,
//! and the same missing name told once per document that uses it. Told all, they would bury the mistake they come from.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    finding::{Finding, Position, RuleId},
    text::SourceFile,
};

/// Rules about names that no document has.
const ABOUT_NAMES: [RuleId; 3] = ["unknown-parent", "route-unknown-module", "secret-unknown"];
/// Rules that say that a whole document, or the rest of its file, was not understood.
const COST_A_DOCUMENT: [RuleId; 16] = [
    "alias-expansion",
    "alias-recursive",
    "control-character",
    "file-too-large",
    "key-not-text",
    "list-at-top",
    "merge-conflict",
    "merge-key",
    "not-a-document",
    "not-utf8",
    "tab-indent",
    "too-deep",
    "unknown-api-version",
    "unknown-kind",
    "unknown-tag",
    "yaml-syntax",
];
/// Places that a note lists.
const LISTED: usize = 3;

/// Leaves out findings about names that stand in a file that was not understood, and joins those about the same name.
pub(super) fn quieten(findings: &mut Vec<Finding>, files: &[SourceFile]) {
    let costly = findings.iter().filter(|finding| COST_A_DOCUMENT.contains(&finding.rule));
    let places = costly.filter_map(|finding| Some(&*finding.position.as_ref()?.file));
    let paths: BTreeSet<&str> = places.collect();
    let unread: Vec<&SourceFile> = files.iter().filter(|file| paths.contains(&*file.path)).collect();
    let mut joined: BTreeMap<String, (usize, Vec<Position>)> = BTreeMap::new();
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    // What has no form in JSON is read as nothing; that nothing stands there is no second mistake.
    let lost = |finding: &&Finding| finding.rule == "no-json-number";
    let lost: BTreeSet<Position> =
        findings.iter().filter(lost).filter_map(|one| one.position.clone()).collect();
    for finding in findings.drain(..) {
        let of_lost = finding.rule == "twin-null"
            && finding
                .position
                .as_ref()
                .is_some_and(|at| lost.iter().any(|one| one.file == at.file && one.line == at.line));
        if of_lost {
            continue;
        }
        if !ABOUT_NAMES.contains(&finding.rule) {
            kept.push(finding);
            continue;
        }
        let name = finding.underlined().unwrap_or_default();
        // Of a file that is too large nobody knows what it names.
        let may_name = |file: &&SourceFile| file.is_too_large() || contains(&file.bytes, name.as_bytes());
        if !name.is_empty() && unread.iter().any(may_name) {
            continue;
        }
        if finding.rule != "unknown-parent" {
            kept.push(finding);
            continue;
        }
        match joined.get_mut(&finding.message) {
            Some((_, others)) => others.extend(finding.position),
            None => {
                joined.insert(finding.message.clone(), (kept.len(), Vec::new()));
                kept.push(finding);
            }
        }
    }
    for (first, others) in joined.into_values().filter(|(_, others)| !others.is_empty()) {
        let shown: Vec<String> = others.iter().take(LISTED).map(Position::to_string).collect();
        let more = if others.len() > shown.len() { ", …" } else { "" };
        kept[first].notes.push(format!("also at {} more: {}{more}", count(others.len()), shown.join(", ")));
    }
    *findings = kept;
}

fn count(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}

fn contains(text: &[u8], name: &[u8]) -> bool {
    text.windows(name.len()).any(|window| window == name)
}
