//! `hemline-shim shim <spec-file>`: the supervisor of one process module as a program of its own.

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    // The word `shim` comes first, so that this program and `hem` are called the same way.
    match std::env::args_os().nth(2).map(PathBuf::from) {
        Some(spec_file) => hemline_agent::shim::run(&spec_file),
        None => ExitCode::from(64),
    }
}
