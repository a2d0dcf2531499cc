//! The `hem` binary: parse, run, exit code. Everything else is in the modules below or in the crates.

mod args;
mod client;
mod commands;
mod data_dir;
mod error;
mod load;
mod open_files;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

/// Documents are many small values, made on all cores, which the allocator of the C library is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use crate::{
    args::{Args, Command},
    error::CommandError,
};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return error::usage(&error),
    };
    // The shim supervises one process module for as long as that lives: it must stay small, so no runtime is started.
    if let Command::Shim { spec } = &args.command {
        return hemline_agent::shim::run(spec);
    }
    start_log(&args);
    // A load generator with one thread knows when it is the limit, and leaves the other cores to the server.
    let mut builder = if matches!(args.command, Command::Bench(_)) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match builder.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::report(&CommandError::Runtime(error)),
    };
    match runtime.block_on(commands::run(args)) {
        Ok(code) => code,
        Err(error) => error::report(&error),
    }
}

/// Log lines go to standard error: results on standard output stay parsable.
fn start_log(args: &Args) {
    let default = match args.verbose {
        0 => "warn",
        1 => "info,hyper=warn,rustls=warn",
        _ => "debug,hyper=info,rustls=info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(
            std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none(),
        )
        .init();
}
