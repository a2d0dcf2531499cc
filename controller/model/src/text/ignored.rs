//! Findings that the author of a document has looked at and accepts: annotations `hemline.dev/ignore-RULE: reason`.
//!
//! An error cannot be accepted, because nothing could be built from the document. What is wrong with the annotations
//! themselves is said by `valid`.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the name of such an annotation starts with; the rule follows.
pub(crate) const PREFIX: &str = "hemline.dev/ignore-";

/// Rule and reason of each annotation of a document that has a reason.
pub(super) fn of(document: &Value) -> BTreeMap<String, String> {
    annotations(document)
        .filter_map(|(rule, reason)| Some((rule.to_owned(), reason?.trim().to_owned())))
        .filter(|(_, reason)| !reason.is_empty())
        .collect()
}

/// Rule and reason of each annotation; no reason when the value is not a text.
pub(crate) fn annotations(document: &Value) -> impl Iterator<Item = (&str, Option<&str>)> {
    let metadata = document.get("metadata");
    let all = metadata.and_then(|metadata| metadata.get("annotations")).and_then(Value::as_object);
    all.into_iter().flatten().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value.as_str())))
}
