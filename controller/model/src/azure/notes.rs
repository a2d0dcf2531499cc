//! What the importer says while it reads, and where each part of the document came from.

use std::collections::BTreeMap;

use hemline_query::near;
use serde_json::{Map, Value};

use crate::{
    finding::{Finding, RuleId, Severity},
    text::Located,
};

/// Findings of one manifest that are told.
const AT_MOST: usize = 500;

/// Findings so far, and the trail from the document back to the manifest.
pub(super) struct Notes<'a> {
    pub(super) located: &'a Located,
    findings: Vec<Finding>,
    /// Pointer in the document → pointer in the manifest.
    trail: BTreeMap<String, String>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(located: &'a Located) -> Self {
        Self { located, findings: Vec::new(), trail: BTreeMap::new() }
    }

    /// The part of the manifest at `from` became the part of the document at `document`.
    pub(super) fn came(&mut self, document: impl Into<String>, from: impl Into<String>) {
        self.trail.insert(document.into(), from.into());
    }

    /// The way from every part of the document back to the manifest.
    pub(super) fn trail(&self) -> BTreeMap<String, String> {
        self.trail.clone()
    }

    pub(super) fn push(&mut self, finding: Finding) -> &mut Finding {
        if self.findings.len() >= AT_MOST
            && let Some(lost) = self.findings.pop()
            && lost.is_error()
        {
            // That there is an error must not be lost.
            self.findings.swap_remove(0);
            self.findings.push(lost);
        }
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// The value cannot be used.
    pub(super) fn error(&mut self, rule: RuleId, pointer: &str, message: impl Into<String>) -> &mut Finding {
        self.push(self.located.finding(Severity::Error, rule, pointer, message.into()))
    }

    pub(super) fn warning(
        &mut self,
        rule: RuleId,
        pointer: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.push(self.located.finding(Severity::Warning, rule, pointer, message.into()))
    }

    pub(super) fn note(&mut self, rule: RuleId, pointer: &str, message: impl Into<String>) -> &mut Finding {
        self.push(self.located.finding_at_key(Severity::Note, rule, pointer, message.into()))
    }

    /// Something that means something in Azure has no place in a document.
    pub(super) fn dropped(&mut self, pointer: &str, message: impl Into<String>) -> &mut Finding {
        self.push(self.located.finding_at_key(Severity::Warning, "azure-left-out", pointer, message.into()))
    }

    /// Says which fields of an object nobody reads.
    pub(super) fn unknown<'k>(&mut self, fields: impl Iterator<Item = (&'k String, String)>, known: &[&str]) {
        let fields = fields.filter(|(name, _)| !known.contains(&name.as_str()) && !is_comment(name));
        for (name, pointer) in fields {
            let finding = self.dropped(&pointer, format!("unknown field {name:?} is left out"));
            finding.hint = near(name, known.iter().copied()).map(|near| format!("did you mean {near:?}?"));
        }
    }

    /// Is there no error yet?
    pub(super) fn is_clean(&self) -> bool {
        !self.findings.iter().any(Finding::is_error)
    }

    /// The findings in order of line. `manifest` is searched for passwords, which no finding may print.
    pub(super) fn finish(mut self, manifest: &Value) -> Vec<Finding> {
        let mut secrets = Vec::new();
        passwords(manifest, &mut secrets);
        for finding in &mut self.findings {
            let cut = finding.source_line_is_cut();
            if let Some(line) = &mut finding.source_line {
                for secret in &secrets {
                    // As it is, and as JSON writes it.
                    let quoted = Value::String((*secret).to_owned()).to_string();
                    for written in [*secret, quoted.trim_matches('"')] {
                        *line = line.replace(written, &"*".repeat(written.chars().count()));
                        if cut {
                            mask_edges(line, written);
                        }
                    }
                }
            }
        }
        self.findings.sort_by(|a, b| a.position.cmp(&b.position).then(a.severity.cmp(&b.severity)));
        self.findings
    }
}

pub(super) use crate::pointer::escape;

/// JSON has no comments, so people write members that nobody reads.
pub(super) fn is_comment(key: &str) -> bool {
    key.starts_with("_comment") || key.starts_with("$comment") || key.starts_with("//")
}

/// What kind of value this is, for a message.
pub(super) fn words(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Where the passwords of a manifest stand.
pub(super) fn password_pointers(manifest: &Value) -> Vec<String> {
    fn walk(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
        let Value::Object(map) = value else { return };
        for (key, inner) in map {
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&escape(key));
            if key == "password" && inner.is_string() {
                found.push(pointer.clone());
            }
            walk(inner, pointer, found);
            pointer.truncate(length);
        }
    }
    let mut found = Vec::new();
    walk(manifest, &mut String::new(), &mut found);
    found
}

fn passwords<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(password(map));
            map.values().for_each(|inner| passwords(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| passwords(inner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn password(map: &Map<String, Value>) -> Option<&str> {
    map.get("password").and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Of a long line only a piece is kept, which may start or end inside a password.
fn mask_edges(line: &mut String, secret: &str) {
    let cuts: Vec<usize> = secret.char_indices().map(|(at, _)| at).skip(1).collect();
    if let Some(tail) = cuts.iter().filter_map(|at| secret.get(*at..)).find(|tail| line.starts_with(tail)) {
        line.replace_range(..tail.len(), &"*".repeat(tail.chars().count()));
    }
    if let Some(head) = cuts.iter().rev().filter_map(|at| secret.get(..*at)).find(|head| line.ends_with(head))
    {
        line.replace_range(line.len() - head.len().., &"*".repeat(head.chars().count()));
    }
}
