//! The catalogue as a page: `controller/RULES.md`, where the rules of SARIF logs and editors link to.

use super::{Rule, sections};

/// Where the page is published.
const PUBLISHED: &str = "https://hemline.dev/rules";

/// The address of a rule's entry.
#[must_use]
pub fn uri(id: &str) -> String {
    format!("{PUBLISHED}#{id}")
}

/// The whole page, Markdown that ends with a line feed. The heading of each rule is its name, so that its anchor is too.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Rules\n\nEvery finding of `hem validate`, `hem plan` and `hem import` names one of these rules; \
         `hem validate --explain RULE` prints the same entry.\nAn error keeps the documents from being used. A warning or note \
         goes away with an annotation of the document that says why:\n`hemline.dev/ignore-RULE: reason`.\n\
         Written by `cargo xtask codegen` from the catalogue in `controller/model/src/rules/`.\n",
    );
    for (title, rules) in sections() {
        page.push_str(&format!("\n## {title}\n\n| rule | severity | what |\n|---|---|---|\n"));
        for Rule { id, severity, summary, .. } in rules {
            page.push_str(&format!("| [{id}](#{id}) | {severity} | {} |\n", summary.replace('|', "\\|")));
        }
        for rule in rules {
            page.push_str(&entry(rule));
        }
    }
    page
}

fn entry(rule: &Rule) -> String {
    let Rule { id, severity, summary, why, fix, wrong, right } = rule;
    let (wrong, right) = (fenced(wrong), fenced(right));
    format!(
        "\n### {id}\n\n*{severity}:* {summary}\n\n{why}\n\n{fix}\n\nWrong:\n\n{wrong}\n\nRight:\n\n{right}\n"
    )
}

fn fenced(piece: &str) -> String {
    format!("```yaml\n{}\n```", visible(piece))
}

/// An example as people may see it: a NUL, which one of them is about, would make a file that no tool takes for text.
pub(super) fn visible(example: &str) -> String {
    example.replace('\0', "␀")
}
