//! `cargo xtask codegen`: writes `schemas/`, `crds/` and the page of rules again.
//!
//! The writing itself is done by the tests that guard them: each rewrites its files and fails when they were
//! stale. So this runs them once to write and once more to see that they agree now.

use anyhow::{Context as _, Result, bail};

use crate::{cargo, suite::Totals, workspace_root};

/// The crates whose tests write generated files.
const GENERATORS: [&str; 3] = ["hemline-model", "hemline-plan", "hemline-crd"];
/// What they write.
const GENERATED: [&str; 3] = ["schemas/", "crds/", "controller/RULES.md"];
/// Every such test has this word in its name.
const TEST_FILTER: &str = "committed";

/// Writes the generated files; true when they are current afterwards.
///
/// # Errors
/// When cargo cannot be started, or the tests still fail after they rewrote the files.
pub(crate) fn run() -> Result<bool> {
    let root = workspace_root()?;
    let generate = || -> Result<bool> {
        let mut command = cargo();
        command.current_dir(&root).arg("test");
        for generator in GENERATORS {
            command.args(["-p", generator]);
        }
        command.args(["--no-fail-fast", "--", TEST_FILTER]);
        let output = command.output().context("cargo test could not be started")?;
        let totals = Totals::of(&String::from_utf8_lossy(&output.stdout));
        if totals.executed() < GENERATORS.len() {
            bail!(
                "not every one of {} has a test named *{TEST_FILTER}* that runs:\n{}",
                GENERATORS.join(", "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output.status.success())
    };
    let was_current = generate()?;
    if !was_current && !generate()? {
        bail!(
            "the tests named *{TEST_FILTER}* of {} fail twice in a row; run them to see why",
            GENERATORS.join(", ")
        );
    }
    let written = GENERATED.join(", ");
    println!("{written} {}", if was_current { "were current" } else { "written again" });
    Ok(true)
}
