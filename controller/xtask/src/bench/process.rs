//! One command as a whole process: its time, and the most memory that it held, as the system accounts for it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

/// Runs a command and writes what it took; the system tells that only to the parent.
const TIMER: &str = "/usr/bin/time";
/// A command that takes longer is not run again and again.
const SLOW: f64 = 5.0;

/// A command to measure.
pub(super) struct Command {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    code: i32,
}

/// Medians over all runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// From start to end.
    pub(super) seconds: f64,
    /// Of processors.
    pub(super) cpu: f64,
    /// Most bytes resident.
    pub(super) peak: u64,
}

impl Command {
    pub(super) fn new(name: &str, program: &Path) -> Self {
        Self { name: name.to_owned(), program: program.to_owned(), arguments: Vec::new(), code: 0 }
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The exit code that shows that it did its work.
    pub(super) fn ends_with(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    fn run(&self, note: &Path) -> Result<Measured> {
        let begin = Instant::now();
        let status = std::process::Command::new(TIMER)
            .args(["-f", "%U %S %M", "-o"])
            .arg(note)
            .arg(&self.program)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("{TIMER} is missing; on Debian it is the package `time`"))?;
        let seconds = begin.elapsed().as_secs_f64();
        ensure!(
            status.code() == Some(self.code),
            "{} ended with {status}, not with code {}",
            self.name,
            self.code
        );
        let told = fs::read_to_string(note)?;
        let line = told.lines().last().unwrap_or_default();
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [user, system, peak] = numbers.as_slice() else { anyhow::bail!("{TIMER} said {told:?}") };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole kilobytes")]
        let peak = *peak as u64 * 1024;
        Ok(Measured { seconds, cpu: user + system, peak })
    }
}

/// Our command and those of others, run one after the other, again and again: what slows the machine down slows all.
pub(super) struct Turns {
    commands: Vec<(Command, Vec<Measured>)>,
}

impl Turns {
    pub(super) fn new(ours: Command, others: impl IntoIterator<Item = Command>) -> Self {
        let all = std::iter::once(ours).chain(others);
        Self { commands: all.map(|command| (command, Vec::new())).collect() }
    }

    /// Ours, and the others by name.
    pub(super) fn run(mut self, rounds: usize) -> Result<(Measured, Vec<(String, Measured)>)> {
        let note = std::env::temp_dir().join(format!("hemline-bench-{}", std::process::id()));
        for round in 0..=rounds {
            for (command, runs) in &mut self.commands {
                if runs.iter().any(|run| run.seconds > SLOW) {
                    continue;
                }
                let run = command.run(&note)?;
                // The first round fills caches; only of a slow command it is all there is.
                if round > 0 || run.seconds > SLOW {
                    runs.push(run);
                }
            }
        }
        drop(fs::remove_file(&note));
        let mut medians = self.commands.into_iter().map(|(command, runs)| (command.name, median(&runs)));
        let (_, ours) = medians.next().context("nothing was measured")?;
        Ok((ours, medians.collect()))
    }
}

fn median(runs: &[Measured]) -> Measured {
    let middle = |pick: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let peak = runs.iter().map(|run| run.peak).max().unwrap_or_default();
    Measured { seconds: middle(|run| run.seconds), cpu: middle(|run| run.cpu), peak }
}
