//! Paths that README.md and ARCHITECTURE.md name must exist: a map that lies is worse than none.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Pages whose paths are checked, and folders that their paths may be relative to.
const PAGES: [&str; 2] = ["README.md", "controller/ARCHITECTURE.md"];

/// One line for each path that is not there.
pub(super) fn broken_paths(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).with_context(|| format!("cannot read {page}"))?;
        for path in named_paths(&text) {
            if !root.join(path).exists() && !root.join("controller").join(path).exists() {
                broken.push(format!("{page} names {path}, which is not there"));
            }
        }
    }
    Ok(broken)
}

/// Code spans that look like a path of ours: with a slash, without blanks and wildcards.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| {
        let first = span.split('/').next().unwrap_or_default();
        let ours = ["controller", "examples", "schemas", "crds", "manifests", "hub", "agent", "sources"];
        span.contains('/') && ours.contains(&first) && !span.contains([' ', '*', '{', '…', '\n'])
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_paths_of_ours_count() {
        let text = "see `controller/x.rs`, `hem status`, `FROM /messages/*`, `hub/src/` and `devices/{d}`";
        assert_eq!(super::named_paths(text).collect::<Vec<_>>(), ["controller/x.rs", "hub/src/"]);
    }
}
