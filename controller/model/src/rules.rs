//! The catalogue of rules: what each one says, why it matters, and how a document breaks and keeps it. Data only.
//!
//! Every [`Finding`](crate::Finding) names a rule of this list, whichever crate makes it; a test of `xtask` compares the
//! list with the sources, in both directions. Not here: the checks themselves.

mod azure;
mod broker;
mod configuration;
mod documents;
mod engine;
mod files;
mod fleet;
mod manifest;
mod page;
mod rollout;
mod secret;

use page::visible;
pub use page::{page, uri};

use crate::finding::{RuleId, Severity};

/// What there is to know about one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name.
    pub id: RuleId,
    /// How bad its findings are. A route to an unknown module is judged per device and may be milder there.
    pub severity: Severity,
    /// What is found, in one sentence.
    pub summary: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// A piece of a document that breaks it.
    pub wrong: &'static str,
    /// The same piece as it should be.
    pub right: &'static str,
}

impl Rule {
    /// Can an annotation of a document silence it? An error cannot be silenced.
    #[must_use]
    pub fn may_be_ignored(&self) -> bool {
        // Mild where only some of the devices lack the module.
        self.severity != Severity::Error || self.id == "route-unknown-module"
    }

    /// The whole entry as a person reads it, plain text that ends with a line feed.
    #[must_use]
    pub fn explain(&self) -> String {
        let Self { id, severity, summary, why, fix, wrong, right } = self;
        let (wrong, right) = (indented(&visible(wrong)), indented(&visible(right)));
        format!(
            "{severity}[{id}]: {summary}\n\nWhy: {why}\nFix: {fix}\n\nWrong:\n\n{wrong}\nRight:\n\n{right}"
        )
    }
}

/// All rules, in the order in which a document meets them.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    sections().into_iter().flat_map(|(_, rules)| rules)
}

/// The rules by what they are about.
fn sections() -> [(&'static str, &'static [Rule]); 10] {
    [
        ("Files and sources", files::RULES),
        ("Documents", documents::RULES),
        ("Secrets", secret::RULES),
        ("Rollouts", rollout::RULES),
        ("Topic policies", broker::RULES),
        ("createOptions", engine::RULES),
        ("The fleet as a whole", fleet::RULES),
        ("Twin configurations", configuration::RULES),
        ("Manifests beside documents", manifest::RULES),
        ("Azure manifests", azure::RULES),
    ]
}

/// The rule of this name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

/// The name of a rule that was probably meant.
#[must_use]
pub fn near(id: &str) -> Option<RuleId> {
    hemline_query::near(id, all().map(|rule| rule.id))
}

const fn error(
    id: RuleId,
    summary: &'static str,
    why: &'static str,
    fix: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Rule {
    Rule { id, severity: Severity::Error, summary, why, fix, wrong, right }
}

const fn warning(
    id: RuleId,
    summary: &'static str,
    why: &'static str,
    fix: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Rule {
    Rule { severity: Severity::Warning, ..error(id, summary, why, fix, wrong, right) }
}

const fn note(
    id: RuleId,
    summary: &'static str,
    why: &'static str,
    fix: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Rule {
    Rule { severity: Severity::Note, ..error(id, summary, why, fix, wrong, right) }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
