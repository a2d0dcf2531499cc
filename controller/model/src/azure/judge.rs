//! The document that came out is judged as any other, and what is wrong with it is told where the manifest says it.

use super::ImportedDocument;
use super::Notes;
use crate::{finding::Finding, finding::Severity, text::RawDocument};

/// Is the document valid? What is wrong goes to the notes.
pub(super) fn judge(document: &ImportedDocument, notes: &mut Notes<'_>) -> bool {
    let value = match serde_json::to_value(document) {
        Ok(value) => value,
        Err(why) => {
            notes.push(Finding::error("azure-manifest", format!("the document cannot be written: {why}")));
            return false;
        }
    };
    // The document has no text of its own: what the trail does not know stands at the start of the manifest.
    let located = notes.located.lending(notes.located, notes.trail());
    let unset = !notes.is_clean();
    for mut finding in crate::valid::judge(RawDocument { value, located, weight: 0 }) {
        // A variable without a value is told already, and is no name of an image.
        if unset && finding.rule == "image" && finding.underlined().is_some_and(|text| text.contains("${")) {
            continue;
        }
        // An import writes a new document and leaves the manifest as it is.
        finding.fix = None;
        if finding.rule == "route-unknown-module" {
            // The module may be in a deployment that this manifest does not know.
            finding.severity = Severity::Warning;
            finding.notes.clear();
        }
        notes.push(finding);
    }
    notes.is_clean()
}
