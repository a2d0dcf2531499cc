//! The annotations that silence a rule for one document: the rule must exist, be no error, and come with a reason.

use serde_json::Value;

use super::escape;
use crate::{
    finding::{Finding, Severity},
    rules,
    text::{IGNORE_PREFIX, Located, ignore_annotations},
};

/// What is wrong with the annotations of a document.
pub(super) fn check(document: &Value, located: &Located, findings: &mut Vec<Finding>) {
    for (id, reason) in ignore_annotations(document) {
        let pointer = format!("/metadata/annotations/{}", escape(&format!("{IGNORE_PREFIX}{id}")));
        let warning = |rule, message| located.finding_at_key(Severity::Warning, rule, &pointer, message);
        let finding = match rules::find(id) {
            None => {
                let near = rules::near(id).map(|near| format!("did you mean {near:?}?"));
                warning("ignore-unknown-rule", format!("there is no rule {id:?} to ignore"))
                    .with_hint_if(near)
            }
            Some(rule) if !rule.may_be_ignored() => {
                let message = format!("{id} is an error; only warnings and notes can be ignored");
                warning("ignore-error", message).with_hint("mend what it is about, and remove this line")
            }
            // What is no text is reported as a wrong type.
            Some(_) if reason.is_some_and(|reason| reason.trim().is_empty()) => {
                let message = format!("{id} is not ignored: the annotation gives no reason");
                warning("ignore-without-reason", message).with_hint("say why it is fine here")
            }
            Some(_) => continue,
        };
        findings.push(finding);
    }
}
