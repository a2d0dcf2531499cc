//! `cargo xtask bench hub`: our hub, mosquitto and rumqttd's own server under the same load, one after the other, in rounds.
//!
//! The load is `hem bench`, one process on one core of the two; it says itself whether it was the limit, and the table repeats
//! that. Our hub wants a token of every client and has each message on disk before it acknowledges it; the
//! others let everybody in, and keep messages in memory. All are measured with TLS and without. Ratios count, on a quiet machine.

mod compare;
mod servers;

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::{
    compare::Column,
    servers::{FILES, Server},
};

/// Rates are measured so often, all servers in turns; the median counts.
const ROUNDS: usize = 3;
/// Sessions whose memory is measured, where that many connections may be open.
const IDLE: u64 = 20_000;
/// Files that are open beside them.
const SPARE: u64 = 1_000;
/// Devices that hear of a change.
const PATCHED: &str = "10000";
/// How often clients come back in one round.
const CONNECTS: &str = "5000";
/// Messages of one round.
const MESSAGES: &str = "100000";
/// Direct methods.
const CALLS: &str = "10000";

/// Builds, installs, measures, prints. Was every budget kept?
pub(crate) fn run() -> Result<bool> {
    let root = crate::workspace_root()?;
    let hem = crate::release_program()?;
    let folder = crate::target_folder(&root).join("bench").join("hub");
    let place = servers::Place::new(hem.clone(), folder)?;
    let programs = servers::Programs::find(&place);
    let mut columns = Vec::new();
    for kind in programs.kinds() {
        columns.push(Column::new(kind.name()));
    }
    let idle = servers::open_files()?.saturating_sub(SPARE).min(IDLE);
    if idle < IDLE {
        println!("{idle} idle sessions instead of {IDLE}: no more files may be open (`ulimit -Hn`)");
    }
    let bench = Bench { hem: &hem, place: &place, programs: &programs };
    // Memory first, each server just started.
    let idle = idle.to_string();
    for (kind, column) in programs.kinds().into_iter().zip(&mut columns) {
        println!("idle sessions: {}", kind.name());
        bench.measure(kind, column, &["--only", "idle", "--sessions", &idle])?;
    }
    for round in 1..=ROUNDS {
        for (kind, column) in programs.kinds().into_iter().zip(&mut columns) {
            println!("rates, round {round}: {}", kind.name());
            let rates = ["--only", "connects,telemetry", "--connects", CONNECTS, "--messages", MESSAGES];
            bench.measure(kind, column, &rates)?;
        }
    }
    println!("twins and methods: our hub");
    if let Some(ours) = columns.first_mut() {
        let service = ["--sessions", PATCHED, "--patched", PATCHED, "--calls", CALLS];
        let only = ["--only", "patches,methods"];
        bench.measure(servers::Kind::Hub { tls: true }, ours, &[&only[..], &service[..]].concat())?;
    }
    Ok(print(&columns))
}

/// What all measurements need.
struct Bench<'a> {
    hem: &'a Path,
    place: &'a servers::Place,
    programs: &'a servers::Programs,
}

impl Bench<'_> {
    /// Starts a server, loads it, stops it. A peer that fails is said, and its cells stay empty.
    fn measure(&self, kind: servers::Kind, column: &mut Column, arguments: &[&str]) -> Result<()> {
        let measured = self.place.start(self.programs, kind).and_then(|server| {
            let report = load(self.hem, &server, arguments)?;
            server.stop()?;
            Ok(report)
        });
        match measured {
            Ok(report) => column.add(report),
            Err(error) if matches!(kind, servers::Kind::Hub { .. }) => return Err(error),
            Err(error) => println!("without {}: {error:#}", kind.name()),
        }
        Ok(())
    }
}

/// Prints the table and whose limit each figure was.
fn print(columns: &[Column]) -> bool {
    let names: Vec<&str> = columns.iter().map(Column::name).collect();
    println!("\n| what (rates: median of {ROUNDS}) | {} | budget |", names.join(" | "));
    println!("|---|{}---|", "---|".repeat(names.len()));
    let rows = compare::rows();
    let mut kept = true;
    for row in &rows {
        let (line, is_kept) = row.line(columns);
        println!("{line}");
        kept &= is_kept;
    }
    println!();
    let mut told = BTreeSet::new();
    for row in rows.iter().filter(|row| told.insert(row.load)) {
        for line in row.limits(columns) {
            println!("- {line}");
        }
    }
    kept
}

/// Puts a load on a server and reads what was measured.
fn load(hem: &Path, server: &Server, arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new("sh");
    command.args(["-c", FILES, "sh"]).arg(hem).args(server.load()).args(arguments);
    command.args(["--time-limit", "15m", "-o", "json"]);
    let output = command.output().context("cannot start hem bench")?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "hem bench {} ended with {}: {told}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&told).with_context(|| format!("hem bench printed {told:?}"))
}
