//! The annotations that silence a rule for one document: the rule must exist, be no error, come with a reason, and there
//! must be something to silence.

use serde_json::Value;

use super::escape;
use crate::{
    finding::{Finding, Severity},
    rules,
    text::{IGNORE_PREFIX, Located, ignore_annotations},
};

/// Rules that are judged with what a running hub knows: without one, nothing is silenced.
const NEEDS_A_HUB: [&str; 1] = ["condition-reads-reported"];

/// An annotation that has silenced nothing so far: not yet, because only layering shows the rest.
#[derive(Debug, Clone)]
pub struct IdleIgnore {
    located: Located,
    rule: String,
}

impl IdleIgnore {
    /// What to say when the findings of layering show nothing to silence either.
    #[must_use]
    pub fn finding(&self, layering: &[Finding]) -> Option<Finding> {
        let Self { located, rule } = self;
        let silenced =
            |finding: &Finding| finding.ignored.is_some() && finding.rule == rule && located.covers(finding);
        if NEEDS_A_HUB.contains(&rule.as_str()) || layering.iter().any(silenced) {
            return None;
        }
        let pointer = pointer(rule);
        let message = format!("the annotation silences nothing: {rule} finds nothing here");
        let finding = located.finding_at_key(Severity::Warning, "ignore-unused", &pointer, message);
        Some(finding.with_hint("remove it").with_fix(located.fix_removal(&pointer, "remove the annotation")))
    }
}

/// The annotations of these documents that silenced none of the findings.
pub(super) fn idle(annotated: &[Located], findings: &[Finding]) -> Vec<IdleIgnore> {
    let silenced: Vec<&Finding> = findings.iter().filter(|finding| finding.ignored.is_some()).collect();
    let mut idle = Vec::new();
    for located in annotated {
        let own: Vec<&str> =
            silenced.iter().filter(|finding| located.covers(finding)).map(|finding| finding.rule).collect();
        // What is wrong with the annotation itself is said already.
        let may = |rule: &&str| rules::find(rule).is_some_and(rules::Rule::may_be_ignored);
        let unused = located.ignored().filter(|rule| !own.contains(rule)).filter(may);
        idle.extend(unused.map(|rule| IdleIgnore { located: located.clone(), rule: rule.to_owned() }));
    }
    idle
}

fn pointer(rule: &str) -> String {
    format!("/metadata/annotations/{}", escape(&format!("{IGNORE_PREFIX}{rule}")))
}

/// What is wrong with the annotations of a document.
pub(super) fn check(document: &Value, located: &Located, findings: &mut Vec<Finding>) {
    let mut named: Vec<&str> = ignore_annotations(document).map(|(id, _)| id).collect();
    for (id, reason) in ignore_annotations(document) {
        let pointer = pointer(id);
        let warning = |rule, message| located.finding_at_key(Severity::Warning, rule, &pointer, message);
        let finding = match rules::find(id) {
            None => {
                let near = rules::near(id);
                let may = |near: &&str| {
                    rules::find(near).is_some_and(rules::Rule::may_be_ignored) && !named.contains(near)
                };
                let fix = near
                    .filter(may)
                    .and_then(|near| located.fix_name(&pointer, &format!("{IGNORE_PREFIX}{near}")));
                named.extend(near);
                warning("ignore-unknown-rule", format!("there is no rule {id:?} to ignore"))
                    .with_hint_if(near.map(|near| format!("did you mean {near:?}?")))
                    .with_fix(fix)
            }
            Some(rule) if !rule.may_be_ignored() => {
                let message = format!("{id} is an error; only warnings and notes can be ignored");
                warning("ignore-error", message)
                    .with_hint("mend what it is about, and remove this line")
                    .with_fix(located.fix_removal(&pointer, "remove the annotation"))
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
