//! The chores of this repository: `cargo xtask test | bench | codegen | corpus | figures | fuzz | tidy`.
//!
//! Holds no logic of the product; it only runs cargo, reads its output, and checks rules that no lint can express.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a development tool that talks to a terminal")]

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

mod bench;
mod codegen;
mod corpus;
mod figures;
mod fuzz;
mod suite;
mod tidy;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS…]   prepare the parts that tests use, run every test, say what was skipped for want of a part;
                 ARGS go to `cargo test` (for example: -p hemline-plan, or -- some_test)
  bench          measure reading, judging and planning beside the programs that do part of the same work
  bench restart  measure killed → running, saved → running and pushed → running beside the engine's own; needs Docker
  bench status   measure a day of status of ten thousand devices on a status branch: size of the repository, time of a push
  bench hub      measure the hub beside mosquitto and rumqttd: memory of idle sessions, connects, QoS 1 messages; and twins, methods
  bench pass     measure a pass of the controller over ten thousand devices with nothing to do
  codegen        write crds/, schemas/ and controller/RULES.md again from the Rust types and the catalogue of rules
  corpus --out DIR [--devices N] [--deployments M] [--changed K] [--bad B] [--seed S]
                 write a made-up fleet and its next revision, the same bytes on every machine
  figures        measure what the README states, with the release build of the quickstart
  fuzz [SECONDS] [TARGET…]
                 let libFuzzer look for inputs that break a law of controller/fuzz, a minute each unless said otherwise;
                 needs cargo-fuzz (`cargo install cargo-fuzz --locked`)
  tidy           check the layering of the crates and the rules for files (also a test of this crate)

HEM_TEST_REQUIRE=all makes a missing part a failure.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match (command.as_str(), rest.as_slice()) {
        ("test", _) => suite::run(&rest),
        ("bench", []) => bench::run(),
        ("bench", [only]) if only == "restart" => bench::restart::run(),
        ("bench", [what]) if what == "hub" => bench::hub::run(),
        ("bench", [what]) if what == "status" => bench::status(),
        ("bench", [what]) if what == "pass" => bench::pass(),
        ("codegen", []) => codegen::run(),
        ("corpus", _) => corpus::run(&rest),
        ("figures", []) => figures::run(),
        ("fuzz", _) => fuzz::run(&rest),
        ("tidy", []) => tidy::run(),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the root `Cargo.toml`.
fn workspace_root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("xtask is not at controller/xtask")?;
    Ok(root.to_path_buf())
}

/// Where cargo puts what it builds.
fn target_folder(root: &std::path::Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |path| root.join(path))
}

/// Builds `hem` as it is shipped; where it is.
fn release_program() -> Result<PathBuf> {
    let built = cargo().args(["build", "--release", "--quiet", "--package", "hemline-cli"]).status()?;
    anyhow::ensure!(built.success(), "the release build failed");
    Ok(target_folder(&workspace_root()?).join("release/hem"))
}

/// The cargo that runs this program, so that a chosen toolchain stays chosen.
fn cargo() -> std::process::Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    std::process::Command::new(cargo)
}
