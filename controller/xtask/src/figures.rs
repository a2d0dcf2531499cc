//! `cargo xtask figures`: the numbers of the README, measured on this machine with the release build of the quickstart.
//!
//! One table in Markdown. Not a test: figures have no right or wrong here, and a loaded machine shows in them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Starts and edits are measured so often; the median counts.
const ROUNDS: usize = 5;
/// Nothing measured here takes longer unless something is wrong.
const LIMIT: Duration = Duration::from_secs(30);
/// Memory is read after this much quiet.
const IDLE: Duration = Duration::from_secs(10);
/// An address of its own, so that a fleet on 127.0.0.1 is not disturbed.
const ADDRESS: &str = "127.0.73.1";

/// Builds, measures, prints.
pub(crate) fn run() -> Result<bool> {
    let root = crate::workspace_root()?;
    let hem = crate::release_program()?;

    let mut up = Vec::new();
    let mut edits = Vec::new();
    let mut memory = None;
    for round in 0..ROUNDS {
        let bench = Bench::new(&root, &hem, round)?;
        let (fleet, took) = bench.start()?;
        up.push(took);
        edits.push(bench.edit()?);
        if round == 0 {
            std::thread::sleep(IDLE);
            memory = Some((resident(fleet.child.id())?, family(fleet.child.id())?));
        }
        fleet.stop()?;
    }
    let (hub, all) = memory.context("no round was run")?;
    let size = fs::metadata(&hem)?.len();
    println!("| what | figure |");
    println!("|---|---|");
    println!(
        "| `hem up examples/quickstart`, start to every module running (median of {ROUNDS}) | {} ms |",
        median(&mut up).as_millis()
    );
    println!(
        "| document saved → the running module has the new value (median of {ROUNDS}) | {} ms |",
        median(&mut edits).as_millis()
    );
    println!("| memory of hub + controller + agent, one process (RSS) | {:.1} MiB |", mib(hub));
    println!(
        "| the same plus two modules with their supervisors (PSS, shared pages counted once) | {:.1} MiB |",
        mib(all)
    );
    println!("| the program, stripped | {:.1} MiB |", mib(size));
    Ok(true)
}

/// One copy of the quickstart with a data directory of its own.
struct Bench {
    hem: PathBuf,
    folder: PathBuf,
    data: PathBuf,
}

struct Fleet {
    child: Child,
    /// Kept open: the program goes on writing to it.
    _output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Bench {
    fn new(root: &Path, hem: &Path, round: usize) -> Result<Self> {
        let base = std::env::temp_dir().join(format!("hemline-figures-{}-{round}", std::process::id()));
        let folder = base.join("fleet");
        fs::create_dir_all(&folder)?;
        fs::copy(root.join("examples/quickstart/fleet.yaml"), folder.join("fleet.yaml"))?;
        Ok(Self { hem: hem.to_owned(), data: base.join("data"), folder })
    }

    /// Time from the start of the program to the screen, which comes when every module runs.
    fn start(&self) -> Result<(Fleet, Duration)> {
        let begin = Instant::now();
        let mut child = Command::new(&self.hem)
            .args(["--data-dir".as_ref(), self.data.as_os_str(), "up".as_ref(), self.folder.as_os_str()])
            .args(["--listen", ADDRESS])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.hem.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            if line.contains("modules running") {
                ensure!(line.contains("2 of 2"), "not all modules came up: {line}");
                let took = begin.elapsed();
                return Ok((Fleet { child, _output: lines }, took));
            }
        }
        bail!("hem ended before the fleet was up")
    }

    /// Time from saving a new threshold to the line in the module's own log that names it.
    fn edit(&self) -> Result<Duration> {
        let document = self.folder.join("fleet.yaml");
        let log = self.data.join("agents/press-01/modules/filter/log");
        let text = fs::read_to_string(&document)?;
        ensure!(text.contains("threshold: 21"), "the quickstart has no threshold to change");
        let seen = fs::metadata(&log).map(|meta| meta.len()).unwrap_or_default();
        let begin = Instant::now();
        fs::write(&document, text.replace("threshold: 21", "threshold: 24.5"))?;
        while begin.elapsed() < LIMIT {
            let news = fs::read(&log).unwrap_or_default();
            let news = news.get(usize::try_from(seen)?..).unwrap_or_default();
            if String::from_utf8_lossy(news).contains("24.5") {
                return Ok(begin.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the edit did not reach the module; its log is {}", log.display())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(base) = self.folder.parent() {
            drop(fs::remove_dir_all(base));
        }
    }
}

impl Fleet {
    fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(told.success(), "cannot signal hem");
        ensure!(self.child.wait()?.success(), "hem did not end well");
        Ok(())
    }
}

/// Resident bytes of one process.
fn resident(pid: u32) -> Result<u64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")
}

/// Proportional bytes of a process and everything it started, supervisors and their modules included.
fn family(root: u32) -> Result<u64> {
    let mut members = vec![root];
    let mut at = 0;
    while let Some(pid) = members.get(at).copied() {
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            members.extend(children.split_whitespace().filter_map(|text| text.parse::<u32>().ok()));
        }
        at += 1;
    }
    members.iter().map(|pid| kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?, "Pss:")).sum()
}

fn kib(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    let number = line.split_whitespace().nth(1).context("no number")?;
    Ok(number.parse::<u64>()? * 1024)
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a figure with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
