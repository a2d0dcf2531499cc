//! The document that came out is judged as any other, and what is wrong with it is told where the manifest says it.

use super::Notes;
use crate::{
    document::EdgeDeployment,
    finding::{Finding, Severity},
    text::{self, Located, SourceFile},
};

/// Is the document valid? What is wrong goes to the notes.
pub(super) fn judge(document: &EdgeDeployment, notes: &mut Notes<'_>) -> bool {
    let bytes = match serde_json::to_vec_pretty(document) {
        Ok(bytes) => bytes,
        Err(why) => {
            notes.push(Finding::error("azure-manifest", format!("the document cannot be written: {why}")));
            return false;
        }
    };
    let file = SourceFile { path: "document.json".into(), bytes };
    let (written, _) = text::read(&file);
    let unset = !notes.is_clean();
    for finding in crate::load(std::slice::from_ref(&file)).findings {
        // A variable without a value is told already, and is no name of an image.
        if unset && finding.rule == "image" && finding.underlined().is_some_and(|text| text.contains("${")) {
            continue;
        }
        let mut told = retell(&finding, written.first().map(|document| &document.located), notes);
        if finding.rule == "route-unknown-module" {
            // The module may be in a deployment that this manifest does not know.
            told.severity = Severity::Warning;
            told.notes.clear();
        }
        notes.push(told);
    }
    notes.is_clean()
}

/// The same finding at its place in the manifest.
fn retell(finding: &Finding, written: Option<&Located>, notes: &Notes<'_>) -> Finding {
    let origin = notes.origin(&finding.pointer);
    // About the name of a member, or about its value?
    let at_key = written.is_some_and(|written| {
        let key = written.key_position(&finding.pointer);
        finding.position.as_ref().is_some_and(|at| (at.line, at.column) == (key.line, key.column))
    });
    let (severity, rule, message) = (finding.severity, finding.rule, finding.message.clone());
    let mut told = match at_key {
        true => notes.located.finding_at_key(severity, rule, &origin, message),
        false => notes.located.finding(severity, rule, &origin, message),
    };
    told.hint.clone_from(&finding.hint);
    told.notes.clone_from(&finding.notes);
    inside(finding, &mut told, written);
    told
}

/// Findings inside a text keep their distance from its start, when the manifest has the same characters there.
fn inside(finding: &Finding, told: &mut Finding, written: Option<&Located>) -> Option<()> {
    let start = written?.position(&finding.pointer);
    let place = finding.position.as_ref().filter(|place| place.line == start.line)?;
    let distance = place.column.checked_sub(start.column)?;
    let wanted = finding.underlined()?.to_owned();
    // A text inside another one starts behind its quote.
    let column = told.position.as_ref()?.column + distance;
    let moved = [column, column.saturating_sub(1)].into_iter().find_map(|column| {
        let mut moved = told.clone();
        moved.position.as_mut()?.column = column;
        moved.span_len = finding.span_len;
        moved.end_column = Some(column + finding.span_len);
        (moved.underlined() == Some(&*wanted)).then_some(moved)
    })?;
    *told = moved;
    Some(())
}
