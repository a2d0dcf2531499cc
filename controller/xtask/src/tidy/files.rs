//! How files look: a first line that says what they are, a size that fits a head, no left-overs, and third-party names
//! only where they are kept in.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::Sources;

/// More production lines than this are two files.
const LONGEST_FILE: usize = 600;
/// Macros that mark unfinished work. In two halves, so that this file does not break its own rule.
const LEFT_OVERS: [(&str, &str); 3] = [("todo", "!"), ("unimplemented", "!"), ("dbg", "!")];
/// Crates above the I/O line.
const PURE: [&str; 6] = ["query", "model", "plan", "crd", "protocol", "hub-core"];
/// What production code above the I/O line may not name: time, randomness, environment and files enter as arguments.
const WORLD: [&str; 8] = [
    "std::env::",
    "std::fs",
    "std::net::Tcp",
    "std::thread",
    "std::process",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
];
/// A third-party name, and the only paths (files or folders) of production code that may say it.
const KEPT_IN: [(&str, &[&str]); 7] = [
    // The hub and the load generator use only the codec; the agent is a client.
    (
        "rumqttc::",
        &[
            "controller/hub/src/head/mqtt/codec",
            "controller/agent/src/session",
            "controller/cli/src/load/packet.rs",
        ],
    ),
    ("bollard::", &["controller/agent/src/runtime/docker"]),
    ("git2::", &["controller/sources/src/git"]),
    ("russh::", &["controller/sources/src/bridge/", "controller/sources/src/signature/ssh.rs"]),
    ("pgp::", &["controller/sources/src/signature/gpg.rs"]),
    ("rusqlite::", &["controller/hub/src/store/sqlite"]),
    ("kube::", &["controller/crd/"]),
];

/// Reads every Rust file of the workspace's crates.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn read(root: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    collect(root, &root.join("controller"), &mut sources)?;
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, sources: &mut Sources) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let from_root = path.strip_prefix(root).unwrap_or(&path);
            sources.insert(from_root.to_string_lossy().replace('\\', "/"), text);
        }
    }
    Ok(())
}

/// One line for each break of a rule.
pub(crate) fn broken_rules(sources: &Sources) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in sources {
        if !text.starts_with("//!") {
            broken.push(format!("{path}:1 does not open with //! and what the file is"));
        }
        if path.ends_with("/mod.rs") {
            broken.push(format!("{path}: name.rs beside name/ instead of mod.rs"));
        }
        let production = production_lines(path, text);
        if production.len() > LONGEST_FILE {
            broken.push(format!("{path}: {} production lines, more than {LONGEST_FILE}", production.len()));
        }
        check_names(path, text, &production, &mut broken);
    }
    broken
}

fn check_names(path: &str, text: &str, production: &[&str], broken: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let code = without_comment(line);
        for (name, bang) in LEFT_OVERS {
            if says(code, &format!("{name}{bang}")) {
                broken.push(format!("{path}:{number} left-over {name}{bang}"));
            }
        }
    }
    for (number, line) in production.iter().enumerate().map(|(index, line)| (index + 1, line)) {
        let code = without_comment(line);
        for (name, places) in KEPT_IN {
            if says(code, name) && !places.iter().any(|place| path.starts_with(place)) && !is_own(path) {
                broken.push(format!("{path}:{number} names {name} outside {}", places.join(", ")));
            }
        }
    }
    if PURE.iter().any(|name| path.starts_with(&format!("controller/{name}/src/"))) {
        for (number, line) in production.iter().enumerate().map(|(index, line)| (index + 1, line)) {
            for name in WORLD {
                if says(without_comment(line), name) {
                    broken.push(format!("{path}:{number} names {name} above the I/O line"));
                }
            }
        }
    }
}

/// The lines before the tests at the end of a file; none in a file that is all tests.
fn production_lines<'a>(path: &str, text: &'a str) -> Vec<&'a str> {
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].ends_with('{')
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

/// Does the code say that name as a whole word?
fn says(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '"')
    })
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

/// This crate names the names that it forbids.
fn is_own(path: &str) -> bool {
    path.starts_with("controller/xtask/")
}

#[cfg(test)]
mod tests {
    use super::{LEFT_OVERS, Sources, broken_rules};

    fn broken(path: &str, text: &str) -> Vec<String> {
        broken_rules(&Sources::from([(path.to_owned(), text.to_owned())]))
    }

    #[test]
    fn a_clean_file_breaks_nothing() {
        assert_eq!(broken("controller/plan/src/lib.rs", "//! Plans.\nfn plan() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn each_rule_is_seen() {
        let (name, bang) = LEFT_OVERS[0];
        let left_over = format!("//! X.\nfn f() {{ {name}{bang}() }}\n");
        let long = format!("//! X.\n{}", "fn f() {}\n".repeat(700));
        let tests_are_free = format!("//! X.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(700));
        for (path, text, expected) in [
            ("controller/plan/src/lib.rs", "fn plan() {}\n", Some("does not open with")),
            ("controller/plan/src/a/mod.rs", "//! X.\n", Some("instead of mod.rs")),
            ("controller/plan/src/lib.rs", left_over.as_str(), Some("left-over")),
            ("controller/plan/src/lib.rs", long.as_str(), Some("production lines")),
            ("controller/plan/src/lib.rs", tests_are_free.as_str(), None),
            ("controller/plan/src/lib.rs", "//! X.\nuse std::fs;\n", Some("above the I/O line")),
            ("controller/hub/src/lib.rs", "//! X.\nuse std::fs;\n", None),
            ("controller/hub/src/lib.rs", "//! X.\nuse rusqlite::Connection;\n", Some("names rusqlite::")),
            ("controller/hub/src/store/sqlite.rs", "//! X.\nuse rusqlite::Connection;\n", None),
            ("controller/plan/src/lib.rs", "//! X.\n// Not std::fs here.\n", None),
        ] {
            let broken = broken(path, text);
            match expected {
                Some(expected) => {
                    assert_eq!(broken.len(), 1, "{path}: {broken:?}");
                    assert!(broken[0].contains(expected), "{path}: {broken:?}");
                }
                None => assert!(broken.is_empty(), "{path}: {broken:?}"),
            }
        }
    }
}
