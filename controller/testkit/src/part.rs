//! A test that needs a part of the machine (an engine, an SDK, a server) says so here, so that a skip is never silent.

use std::io::Write as _;

/// May the test go on? Prints a line and records the skip when `available` is false.
///
/// The record goes to the file named by `HEM_TEST_SKIPS`, which `cargo xtask test` sets and prints at the end.
///
/// # Panics
/// When the part is missing and `HEM_TEST_REQUIRE` is `all`: a missing part is then a failure.
#[must_use]
pub fn require(part: &str, available: bool, how: &str) -> bool {
    if available {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    assert!(
        std::env::var("HEM_TEST_REQUIRE").as_deref() != Ok("all"),
        "{test} needs {part}, which is not here; {how}"
    );
    let line = format!("skipped {test}: no {part}; {how}\n");
    // Not eprintln!: the test harness captures that, and a skip must be seen.
    drop(std::io::stderr().write_all(line.as_bytes()));
    if let Ok(path) = std::env::var("HEM_TEST_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        drop(file.write_all(line.as_bytes()));
    }
    false
}
