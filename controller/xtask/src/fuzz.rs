//! `cargo xtask fuzz [SECONDS] [TARGET…]`: builds the targets of `controller/fuzz` with cargo-fuzz and lets libFuzzer look for
//! inputs that break a law, two targets at a time.
//!
//! The stable compiler will do: coverage needs nothing else, only the sanitizers would, and there is no `unsafe` of ours
//! for them to find. What libFuzzer learned stays in `target/fuzz/corpus`, so that the next run goes on from there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cargo, target_folder, workspace_root};

/// A target and the folders below `controller/` whose files it starts from.
const TARGETS: [(&str, &[&str]); 8] = [
    ("documents", &["fuzz/seeds/documents", "model/tests/cases"]),
    ("queries", &["fuzz/seeds/queries"]),
    ("routes", &["fuzz/seeds/routes"]),
    ("blobs", &["fuzz/seeds/blobs"]),
    ("session", &["fuzz/seeds/session"]),
    ("wire", &["fuzz/seeds/wire"]),
    ("workload", &["fuzz/seeds/workload"]),
    ("manifests", &["fuzz/seeds/manifests", "model/tests/azure"]),
];
/// How many run at once.
const AT_ONCE: usize = 2;
/// Without an argument.
const SECONDS: u64 = 60;
/// Seconds for one input. Every border answers in milliseconds; the rest is for a machine that stands still for a while.
const TIMEOUT: u64 = 30;
/// MiB for one target, what libFuzzer itself remembers included.
const MEMORY: u64 = 1024;
/// Bytes of one input.
const LENGTH: u64 = 16 * 1024;

/// Runs the targets; true when no input broke a law.
///
/// # Errors
/// When the arguments make no sense, or cargo-fuzz is missing or cannot build.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let (seconds, chosen) = choose(arguments)?;
    let root = workspace_root()?;
    let place = target_folder(&root).join("fuzz");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let programs = build(&root, &place)?;
    let mut good = true;
    for some in chosen.chunks(AT_ONCE) {
        let running = some
            .iter()
            .map(|(name, seeds)| Ok((*name, start(&root, &place, &programs, (name, seeds), seconds)?)))
            .collect::<Result<Vec<(&str, Child)>>>()?;
        for (name, mut child) in running {
            let held = child.wait().with_context(|| format!("waiting for {name}"))?.success();
            report(name, &place, &programs, held)?;
            good &= held;
        }
    }
    Ok(good)
}

type Target = (&'static str, &'static [&'static str]);

fn choose(arguments: &[String]) -> Result<(u64, Vec<Target>)> {
    let (seconds, names) = match arguments.split_first() {
        Some((first, rest)) if first.starts_with(|c: char| c.is_ascii_digit()) => {
            (first.parse().with_context(|| format!("{first:?} is no number of seconds"))?, rest)
        }
        _ => (SECONDS, arguments),
    };
    let known = || TARGETS.map(|(name, _)| name).join(", ");
    for name in names {
        ensure!(TARGETS.iter().any(|(known, _)| known == name), "no target {name:?}; there are {}", known());
    }
    let wanted = |target: &Target| names.is_empty() || names.iter().any(|name| name == target.0);
    Ok((seconds, TARGETS.into_iter().filter(wanted).collect()))
}

/// Builds all targets; the folder of their programs.
fn build(root: &Path, place: &Path) -> Result<PathBuf> {
    let there = cargo().args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
    ensure!(there, "cargo-fuzz is not here; `cargo install cargo-fuzz --locked` brings it");
    let built = cargo()
        .current_dir(root)
        .args([
            "fuzz",
            "build",
            "--fuzz-dir",
            "controller/fuzz",
            "--sanitizer",
            "none",
            "--features",
            "targets",
        ])
        .arg("--target-dir")
        .arg(place)
        .env_remove("CARGO_TARGET_DIR")
        // What makes the shipped program small makes this build slow and its stacks nameless.
        .envs([("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_STRIP", "none")])
        // C below us (SQLite, ciphers) is not what is looked at, and takes longest to be made quick.
        .env("CFLAGS", "-O0")
        .status()
        .context("cargo fuzz could not be started")?;
    ensure!(built.success(), "cargo fuzz build failed");
    // cargo-fuzz builds for a named triple, which is a folder of its own.
    for entry in fs::read_dir(place).with_context(|| format!("cannot read {}", place.display()))? {
        let programs = entry?.path().join("release");
        if TARGETS.iter().all(|(name, _)| programs.join(name).exists()) {
            return Ok(programs);
        }
    }
    bail!("cargo fuzz built, but its programs are not below {}", place.display())
}

fn start(root: &Path, place: &Path, programs: &Path, target: (&str, &[&str]), seconds: u64) -> Result<Child> {
    let (name, seeds) = target;
    let corpus = place.join("corpus").join(name);
    let artifacts = place.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let controller = root.join("controller");
    let log = log(place, name);
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    println!("fuzz: {name} for {seconds} s");
    Command::new(programs.join(name))
        .arg(&corpus)
        .args(seeds.iter().map(|seeds| controller.join(seeds)))
        .arg(format!("-dict={}", controller.join(format!("fuzz/dictionaries/{name}.dict")).display()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-max_len={LENGTH}"))
        .args(["-print_final_stats=1", "-reload=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

fn log(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}.log"))
}

fn report(name: &str, place: &Path, programs: &Path, held: bool) -> Result<()> {
    let path = log(place, name);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8_lossy(&text);
    if held {
        let figure = |what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("stat::{what}:")));
            line.map_or("?", str::trim).to_owned()
        };
        println!(
            "fuzz: {name} held: {} inputs, {} per second, at most {} MiB",
            figure("number_of_executed_units"),
            figure("average_exec_per_sec"),
            figure("peak_rss_mb")
        );
        return Ok(());
    }
    // What the law said, without the stack behind it.
    for line in text.lines().skip_while(|line| !line.contains("panicked at")).take(12) {
        println!("  {line}");
    }
    println!("fuzz: {name} broke; all of it is in {}", path.display());
    if let Some(input) = text.lines().find_map(|line| line.split_once("Test unit written to ")) {
        println!("fuzz: once more: {} {}", programs.join(name).display(), input.1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SECONDS, TARGETS, choose};

    #[test]
    fn arguments_choose_time_and_targets() {
        let chosen = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            choose(&arguments).map(|(seconds, targets)| (seconds, targets.len())).ok()
        };
        assert_eq!(chosen(&[]), Some((SECONDS, TARGETS.len())));
        assert_eq!(chosen(&["5", "routes", "queries"]), Some((5, 2)));
        assert_eq!(chosen(&["routes"]), Some((SECONDS, 1)));
        assert_eq!(chosen(&["rotes"]), None);
        assert_eq!(chosen(&["5x"]), None);
    }
}
