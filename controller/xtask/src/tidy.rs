//! `cargo xtask tidy`: the rules of the house that no lint can express.
//!
//! Two sets: what crates may use (`graph`, from `cargo metadata`) and how files look (`files`, from their text).
//! The tests below run both, so that `cargo test` fails when a rule breaks.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};

use crate::workspace_root;

mod files;
mod graph;
mod pages;
mod rules;

/// The committed picture of the crate graph, relative to the root.
const PICTURE: &str = "controller/xtask/tests/crates.txt";

/// Checks all rules and prints what breaks them; true when nothing does.
///
/// # Errors
/// When the workspace cannot be read.
pub(crate) fn run() -> Result<bool> {
    let mut broken = broken_rules()?;
    if !picture_is_current()? {
        broken.push(format!("{PICTURE} was stale; it is written again, look at its diff"));
    }
    for rule in &broken {
        println!("tidy: {rule}");
    }
    println!("tidy: {}", if broken.is_empty() { "all rules hold" } else { "rules are broken" });
    Ok(broken.is_empty())
}

/// One line for each break of a rule.
fn broken_rules() -> Result<Vec<String>> {
    let root = workspace_root()?;
    let graph = graph::Graph::read(&root)?;
    let mut broken = graph.broken_rules();
    let sources = files::read(&root)?;
    broken.extend(files::broken_rules(&sources));
    broken.extend(rules::broken_rules(&sources));
    broken.extend(pages::broken_paths(&root)?);
    Ok(broken)
}

/// Compares the committed picture of the crates with the real one, and writes it when it differs.
fn picture_is_current() -> Result<bool> {
    let root = workspace_root()?;
    let picture = graph::Graph::read(&root)?.picture();
    let path = root.join(PICTURE);
    if fs::read_to_string(&path).is_ok_and(|committed| committed == picture) {
        return Ok(true);
    }
    fs::write(&path, picture).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(false)
}

/// Text of source files by their path from the root, with `/`.
type Sources = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    #[test]
    fn no_rule_is_broken() {
        let broken = super::broken_rules().expect("the workspace can be read");
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn picture_of_the_crates_is_up_to_date() {
        let current = super::picture_is_current().expect("the workspace can be read");
        assert!(current, "{} was stale and is written again: look at its diff", super::PICTURE);
    }
}
