//! What every rule has at hand: the document's place and the list of findings. Words for values and pointers.

use std::collections::BTreeSet;

use hemline_query::{Diagnostic, near};
use serde_json::Value;

use crate::{
    document::Object,
    engine,
    finding::{Finding, RuleId, Severity},
    text::{InText, Located},
    twin::{Which, limits},
};

/// Properties without a value that are told of one section.
const NULLS_AT_MOST: usize = 100;

/// The document that is being judged.
pub(super) struct Context<'a> {
    pub(super) located: &'a Located,
    /// Pointers that deviate in shape and are reported already.
    pub(super) dropped: &'a BTreeSet<String>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Context<'_> {
    /// Adds an error about a value.
    pub(super) fn error(&mut self, rule: RuleId, pointer: &str, message: impl Into<String>) -> &mut Finding {
        self.add(self.located.finding(Severity::Error, rule, pointer, message.into()))
    }

    /// Adds an error about the key of a member.
    pub(super) fn error_at_key(
        &mut self,
        rule: RuleId,
        pointer: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(self.located.finding_at_key(Severity::Error, rule, pointer, message.into()))
    }

    /// Adds a warning about the key of a member.
    pub(super) fn warning(
        &mut self,
        rule: RuleId,
        pointer: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(self.located.finding_at_key(Severity::Warning, rule, pointer, message.into()))
    }

    /// Adds a note about a value.
    pub(super) fn note(&mut self, rule: RuleId, pointer: &str, message: impl Into<String>) -> &mut Finding {
        self.add(self.located.finding(Severity::Note, rule, pointer, message.into()))
    }

    /// Adds a warning about a value.
    pub(super) fn warning_at(
        &mut self,
        rule: RuleId,
        pointer: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(self.located.finding(Severity::Warning, rule, pointer, message.into()))
    }

    /// Adds an error about a piece of a text value.
    pub(super) fn error_in(
        &mut self,
        rule: RuleId,
        place: InText<'_>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(self.located.finding_in(Severity::Error, rule, place, message.into()))
    }

    pub(super) fn add(&mut self, finding: Finding) -> &mut Finding {
        let at = self.findings.len();
        self.findings.push(finding);
        &mut self.findings[at]
    }

    /// Was this value taken out because of its shape?
    pub(super) fn was_dropped(&self, pointer: &str) -> bool {
        self.dropped.contains(pointer)
    }

    /// Adds what a parser of one of our languages says about a text (given with its pointer).
    pub(super) fn diagnostics(
        &mut self,
        severity: Severity,
        rule: RuleId,
        (pointer, text): (&str, &str),
        diagnostics: &[Diagnostic],
    ) {
        for Diagnostic { span, message, hint } in diagnostics {
            let place = InText { pointer, text, start: span.start, end: span.end };
            let fix = meant(hint.as_deref()).and_then(|meant| {
                // The hint is about the root of a path, the finding about the whole of it.
                let old = text.get(span.start..span.end)?;
                let root = if meant.contains('.') { old } else { old.split(['.', '[']).next()? };
                let piece = InText { end: span.start + root.len(), ..place };
                near(root, [meant].into_iter()).and_then(|meant| self.located.fix_within(piece, meant))
            });
            let finding = self.located.finding_in(severity, rule, place, message.clone());
            self.add(finding.with_hint_if(hint.clone()).with_fix(fix));
        }
    }

    /// Was a member of this mapping taken out that is, or was probably meant to be, `field`?
    pub(super) fn was_slip_of(&self, parent: &str, field: &str) -> bool {
        let members =
            self.dropped.iter().filter_map(|pointer| pointer.strip_prefix(parent)?.strip_prefix('/'));
        let mut members = members.filter(|name| !name.contains('/'));
        members.any(|name| name == field || near(name, [field].into_iter()).is_some())
    }

    /// Checks a section of a twin against the limits of IoT Hub.
    pub(super) fn twin(&mut self, section: &Object, which: Which, pointer: &str) {
        for broken in limits::violations(section, which) {
            let pointer = format!("{pointer}{}", broken.pointer);
            let message = broken.why.to_string();
            match broken.why {
                limits::TwinLimitKind::KeyLength { .. } | limits::TwinLimitKind::KeyCharacter { .. } => {
                    self.error_at_key("twin-limit", &pointer, message);
                }
                limits::TwinLimitKind::Size { .. }
                | limits::TwinLimitKind::Depth
                | limits::TwinLimitKind::TextLength { .. }
                | limits::TwinLimitKind::Number { .. }
                | limits::TwinLimitKind::NullInArray => {
                    self.error("twin-limit", &pointer, message);
                }
            }
        }
        let mut left = NULLS_AT_MOST;
        self.nulls(section, &mut pointer.to_owned(), &mut left);
    }

    fn nulls(&mut self, section: &Object, pointer: &mut String, left: &mut usize) {
        for (key, value) in section {
            if *left == 0 {
                return;
            }
            let back = pointer.len();
            crate::pointer::push(pointer, key);
            match value {
                Value::Null => {
                    *left -= 1;
                    let message =
                        format!("{} has no value; in a twin, null removes a property", name_of(pointer));
                    self.error_at_key("twin-null", pointer, message).hint =
                        Some("give it a value, or remove the line".to_owned());
                }
                Value::Object(inner) => self.nulls(inner, pointer, left),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
            pointer.truncate(back);
        }
    }
}

/// The word that a hint of one of our languages proposes for the piece of text that it is about.
fn meant(hint: Option<&str>) -> Option<&str> {
    hint?.strip_prefix("did you mean ")?.strip_suffix('?')
}

/// A segment of a JSON pointer as a key.
pub(super) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// A pointer as people write it: `modules.camera.image`; without `spec`, which is in every one.
pub(super) fn name_of(pointer: &str) -> String {
    let path = pointer.strip_prefix('/').unwrap_or(pointer);
    let path = path.strip_prefix("spec/").unwrap_or(path);
    path.split('/').map(unescape).collect::<Vec<_>>().join(".")
}

/// A value in the words of a finding.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        said => engine::words(said),
    }
}
