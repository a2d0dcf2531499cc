//! `cargo xtask test`: prepares what tests use, runs them all, adds up, and names what was skipped.
//!
//! The last line is `N passed, N failed, N skipped`. A test that skipped itself for want of a part
//! (`hemline_testkit::require`) counts as skipped, not as passed.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{cargo, target_folder, workspace_root};

mod java;
mod npm;
mod recipes;
mod sdk;

/// Runs the whole suite with further arguments for `cargo test`; true when everything passed.
///
/// # Errors
/// When cargo cannot be started or its output cannot be read.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let root = workspace_root()?;
    let target = target_folder(&root);
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let started = Instant::now();
    let python = sdk::prepare(&target);
    match &python {
        Ok(python) => println!("parts: azure sdk for python at {}", python.display()),
        Err(reason) => println!("parts: no azure sdk for python: {reason:#}"),
    }
    let judges = [
        ("check-jsonschema", "HEM_TEST_CHECK_JSONSCHEMA", recipes::check_jsonschema(&target)),
        ("actionlint", "HEM_TEST_ACTIONLINT", recipes::actionlint(&target)),
        ("programs from npm", "HEM_TEST_NPM", npm::prepare(&root, &target)),
        ("paho-mqtt", "HEM_TEST_PAHO", sdk::paho(&target)),
        ("azure sdk for java", "HEM_TEST_JAVA", java::prepare(&root, &target)),
    ];
    for (name, _, judge) in &judges {
        match judge {
            Ok(program) => println!("parts: {name} at {}", program.display()),
            Err(reason) => println!("parts: no {name}: {reason:#}"),
        }
    }
    let skips = target.join("test-skips.txt");
    fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;

    let mut command = cargo();
    command.current_dir(&root).arg("test");
    if !arguments.iter().any(|argument| argument == "-p" || argument == "--package") {
        command.arg("--workspace");
    }
    command.args(["--no-fail-fast", "--color", "never"]).args(arguments);
    command.env("HEM_TEST_SKIPS", &skips).stdout(Stdio::piped());
    if let Ok(python) = &python {
        command.env("HEM_TEST_PYTHON", python);
    }
    for (_, variable, judge) in &judges {
        if let Ok(program) = judge {
            command.env(variable, program);
        }
    }
    let mut child = command.spawn().context("cargo test could not be started")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut totals = Totals::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading the output of cargo test")?;
        let line = String::from_utf8_lossy(&line);
        totals.read(&line);
        println!("{line}");
    }
    let status = child.wait().context("waiting for cargo test")?;
    let skipped = skipped_tests(&skips)?;
    report(&totals, &skipped, started);
    Ok(status.success() && totals.failed == 0)
}

fn report(totals: &Totals, skipped: &BTreeSet<String>, started: Instant) {
    println!("\ntests took {:.0} s", started.elapsed().as_secs_f64());
    if !skipped.is_empty() {
        println!("for want of a part:");
        for line in skipped {
            println!("  {line}");
        }
    }
    let for_want = skipped.len();
    println!(
        "{} passed, {} failed, {} skipped",
        totals.passed.saturating_sub(for_want),
        totals.failed,
        totals.ignored + for_want
    );
    drop(std::io::stdout().flush());
}

/// One line per test that skipped itself; a test that asks for two parts stops at the first.
fn skipped_tests(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The sum of all `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Totals {
    /// The totals of a whole output.
    pub(crate) fn of(output: &str) -> Self {
        let mut totals = Self::default();
        for line in output.lines() {
            totals.read(line);
        }
        totals
    }

    /// How many tests were run.
    pub(crate) fn executed(&self) -> usize {
        self.passed + self.failed
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:") else { return };
        let Some((_, counts)) = counts.split_once(". ") else { return };
        for part in counts.split("; ") {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn result_lines_are_added_up() {
        let totals = Totals::of(
            "running 3 tests
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s
test passed ... ok
",
        );
        assert_eq!(totals, Totals { passed: 13, failed: 2, ignored: 1 });
    }
}
