//! Every rule that a finding names is in the catalogue of the model, and every entry of the catalogue is in use.

use std::collections::{BTreeMap, BTreeSet};

use super::Sources;

/// The catalogue.
const CATALOGUE: &str = "controller/model/src/rules";
/// Crates that make findings.
const CRATES: [&str; 4] = ["model", "plan", "sources", "reconcile"];
/// Where every text with a hyphen is a rule, also in tables and tuples.
const ONLY_RULES: [&str; 3] =
    ["controller/model/src/text", "controller/model/src/valid", "controller/plan/src/resolve"];
/// What stands in front of a rule, blanks aside.
const BEFORE: [&str; 10] = [
    ".error(",
    ".warning(",
    "::error(",
    "::warning(",
    "::note(",
    ".note(",
    "error_at_key(",
    "error_in(",
    "severity,",
    "rule:",
];
const SEVERITIES: [&str; 3] = ["Severity::Error,", "Severity::Warning,", "Severity::Note,"];

/// One line for each rule without entry, and each entry without rule.
pub(crate) fn broken_rules(sources: &Sources) -> Vec<String> {
    let mut entries: BTreeSet<&str> = BTreeSet::new();
    let mut used: BTreeMap<&str, &str> = BTreeMap::new();
    let mut mentioned: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in sources {
        if path.starts_with(CATALOGUE) {
            let made = ["error(", "warning(", "note("];
            entries.extend(
                words(text)
                    .filter(|(before, _)| made.iter().any(|made| before.ends_with(made)))
                    .map(|(_, word)| word),
            );
        } else if CRATES.iter().any(|name| path.starts_with(&format!("controller/{name}/src/"))) {
            let only_rules = ONLY_RULES.iter().any(|folder| path.starts_with(folder));
            for (before, word) in words(text) {
                mentioned.insert(word);
                let named = BEFORE.iter().chain(&SEVERITIES).any(|end| before.ends_with(end));
                if named || (only_rules && word.contains('-')) {
                    used.insert(word, path);
                }
            }
        }
    }
    let unknown = used
        .iter()
        .filter(|(word, _)| !entries.contains(*word))
        .map(|(word, path)| format!("{path}: the rule {word} is not in the catalogue ({CATALOGUE})"));
    let idle = entries
        .iter()
        .filter(|entry| !mentioned.contains(*entry))
        .map(|entry| format!("{CATALOGUE}: no finding names the rule {entry}"));
    unknown.chain(idle).collect()
}

/// Texts of small letters, digits and hyphens, each with the code of its line and the lines before, without blanks.
fn words(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.match_indices('"').filter_map(|(quote, _)| {
        let rest = text.get(quote + 1..)?;
        let word = rest.get(..rest.find('"')?)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) || !word.chars().all(plain) {
            return None;
        }
        let before = text.get(..quote)?;
        let line = before.rsplit('\n').next().unwrap_or_default();
        if line.contains("//") || line.trim_start().starts_with('#') {
            return None;
        }
        let mut near: Vec<char> = before.chars().rev().filter(|c| !c.is_whitespace()).take(40).collect();
        near.reverse();
        Some((near.into_iter().collect(), word))
    })
}

#[cfg(test)]
mod tests {
    use super::{CATALOGUE, Sources, broken_rules};

    fn judged(code: &str, entry: &str) -> Vec<String> {
        broken_rules(&Sources::from([
            (format!("{CATALOGUE}/x.rs"), format!("error(\n    \"{entry}\",\n    \"a summary\")")),
            ("controller/model/src/valid/x.rs".to_owned(), code.to_owned()),
        ]))
    }

    #[test]
    fn a_missing_entry_and_an_idle_one_are_seen() {
        let fine =
            ["context.error(\n  \"name\", 1)", "(Severity::Note, \"name\", 2)", "Note { rule: \"name\" }"];
        for code in fine {
            assert_eq!(judged(code, "name"), Vec::<String>::new(), "{code}");
        }
        assert_eq!(judged("(\"tab-indent\", 1)", "tab-indent"), Vec::<String>::new());
        assert_eq!(judged("(\"tab-indent\", 1)", "name").len(), 2);
        assert_eq!(judged("context.error(\"nam\", 1)", "name").len(), 2);
        assert_eq!(judged("// context.error(\"other\", 1)\n\"name\"", "name"), Vec::<String>::new());
    }
}
