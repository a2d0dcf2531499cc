//! `cargo xtask bench`: the budgets for reading, judging and planning, measured beside the programs that do part of the same
//! work, on the same made-up fleet, in turns. Prints the tables that the README holds.
//!
//! Not a test: budgets are printed with a verdict, and a loaded machine shows in them; ratios move less than times.

mod backend;
pub(crate) mod hub;
mod peers;
mod process;
pub(crate) mod restart;
mod verdict;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use hemline_testkit::corpus::{Revision, Shape};

use self::{
    peers::Peers,
    process::{Command, Measured, Turns},
};

/// Each pair of commands is run so often, in turns; the median counts.
const ROUNDS: usize = 5;
const MIB: u64 = 1024 * 1024;

/// Sizes of the fleets that show whether time grows faster than they do.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// One in so many devices is changed.
const CHANGED: usize = 5;

/// A row of the table, with what is wanted of it.
struct Row {
    what: String,
    ours: Measured,
    /// Seconds.
    budget: Option<f64>,
    /// Bytes.
    memory: Option<u64>,
    peers: Vec<(String, Measured)>,
}

/// Builds, makes the fleets, measures, prints.
pub(crate) fn run() -> Result<bool> {
    let root = crate::workspace_root()?;
    let hem = crate::release_program()?;
    let place = Place {
        hem,
        schema: root.join("schemas/edge-deployment.json"),
        folder: crate::target_folder(&root).join("bench"),
    };
    let peers = Peers::prepare(&place.folder);
    let rows = [validate(&place, &peers)?, compare(&place)?];
    let sizes = SIZES.iter().map(|devices| Ok((*devices, fleet(&place, *devices)?)));
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    println!("\n| what | ours | budget | peers on the same work, and how much longer they take |");
    println!("|---|---|---|---|");
    rows.iter().for_each(Row::print);
    if let Some((_, last)) = sizes.last() {
        last.print();
    }
    println!(
        "\n| plan of a fleet with 50 deployments, one device in {CHANGED} changed | time | memory | per device |"
    );
    println!("|---|---|---|---|");
    for (devices, row) in &sizes {
        #[expect(clippy::cast_precision_loss, reason = "a figure with one decimal")]
        let each = row.ours.seconds * 1e6 / *devices as f64;
        println!(
            "| {devices} devices | {} | {} | {each:.1} µs |",
            seconds(row.ours.seconds),
            mib(row.ours.peak)
        );
    }
    println!("\n| route evaluation, per message and route | cost |\n|---|---|");
    let routes =
        crate::cargo().args(["bench", "--quiet", "-p", "hemline-query", "--bench", "routes"]).output()?;
    ensure!(routes.status.success(), "{}", String::from_utf8_lossy(&routes.stderr));
    let told = String::from_utf8_lossy(&routes.stdout).into_owned();
    for line in told.lines().filter(|line| line.starts_with("| ")) {
        println!("{}", line.replace("| route evaluation: ", "| "));
    }
    Ok(true)
}

/// A day of status on a status branch; the measuring is done in the crate that writes it.
pub(crate) fn status() -> Result<bool> {
    let done =
        crate::cargo().args(["bench", "--quiet", "-p", "hemline-sources", "--bench", "status"]).status()?;
    Ok(done.success())
}

/// What a pass of the controller costs with nothing to do: a measurement in one process, without `hem`.
pub(crate) fn pass() -> Result<bool> {
    let done =
        crate::cargo().args(["bench", "--quiet", "-p", "hemline-reconcile", "--bench", "pass"]).status()?;
    Ok(done.success())
}

struct Place {
    hem: PathBuf,
    schema: PathBuf,
    folder: PathBuf,
}

/// Two thousand manifests with ten mistakes. Ours also reads two thousand devices and judges all documents together.
fn validate(place: &Place, peers: &Peers) -> Result<Row> {
    let shape = Shape { devices: 2_000, deployments: 2_000, changed: 0, bad: 10, seed: 1 };
    let folder = written(&shape, Revision::Before, &place.folder.join("validate"))?;
    let manifests = folder.join("deployments");
    let ours = Command::new("hem validate", &place.hem).arg("validate").arg(&folder).ends_with(1);
    let ajv = peers.ajv(&place.schema, &manifests);
    let check = peers.check_jsonschema(&place.schema, &manifests)?;
    let (ours, peers) = Turns::new(ours, ajv.into_iter().chain(check)).run(ROUNDS)?;
    Ok(Row {
        what: "validate 2 000 manifests (8 MB, 10 bad)".to_owned(),
        ours,
        budget: Some(0.20),
        memory: Some(60 * MIB),
        peers,
    })
}

/// Two thousand devices with a manifest each, four hundred changed.
fn compare(place: &Place) -> Result<Row> {
    let shape = Shape { devices: 2_000, deployments: 2_000, changed: 400, bad: 0, seed: 1 };
    let (repository, before) = repository(&shape, &place.folder.join("compare"))?;
    let ours = plan(place, &repository);
    let diff = Command::new("git diff --no-index (text only)", Path::new("git"))
        .arg("diff")
        .arg("--no-index")
        .arg(&before)
        .arg(repository.join("fleet"))
        .ends_with(1);
    let (ours, peers) = Turns::new(ours, [diff]).run(ROUNDS)?;
    let what = "validate, resolve and plan 2 000 devices with a manifest each, 400 changed".to_owned();
    Ok(Row { what, ours, budget: Some(0.35), memory: None, peers })
}

fn fleet(place: &Place, devices: usize) -> Result<Row> {
    let shape = Shape { devices, deployments: 50, changed: devices / CHANGED, bad: 0, seed: 1 };
    let (repository, _) = repository(&shape, &place.folder.join(format!("fleet-{devices}")))?;
    let (ours, peers) = Turns::new(plan(place, &repository), []).run(ROUNDS)?;
    let what = format!("plan {devices} devices, 50 deployments, {} changed", shape.changed);
    Ok(Row { what, ours, budget: Some(1.5), memory: Some(600 * MIB), peers })
}

fn plan(place: &Place, repository: &Path) -> Command {
    let command = Command::new("hem plan", &place.hem).arg("plan").arg(repository.join("fleet"));
    command.arg("--base").arg("HEAD")
}

/// The folder with the files of a revision; written once, because the same shape gives the same bytes.
fn written(shape: &Shape, revision: Revision, folder: &Path) -> Result<PathBuf> {
    // What another version of the generator wrote is of no use.
    let mark = format!("{shape:?} {revision:?} {:?}", fs::metadata(std::env::current_exe()?)?.modified()?);
    let noted = folder.with_extension("shape");
    if !fs::read_to_string(&noted).is_ok_and(|noted| noted == mark) {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        shape.write(revision, folder).with_context(|| format!("cannot write {}", folder.display()))?;
        fs::write(&noted, mark)?;
    }
    Ok(folder.to_owned())
}

/// A repository with the first revision committed and the second on disk, and a folder with the first.
fn repository(shape: &Shape, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let before = written(shape, Revision::Before, &folder.join("before"))?;
    let repository = folder.join("repository");
    if repository.exists() {
        fs::remove_dir_all(&repository)?;
    }
    shape.write(Revision::Before, &repository.join("fleet"))?;
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "-m", "before"],
    ] {
        let status = std::process::Command::new("git").arg("-C").arg(&repository).args(arguments).status()?;
        ensure!(status.success(), "git {} failed", arguments.join(" "));
    }
    shape.write(Revision::After, &repository.join("fleet"))?;
    Ok((repository, before))
}

impl Row {
    fn print(&self) {
        let Self { what, ours, budget, memory, peers } = self;
        let verdict = |good: bool| if good { "kept" } else { "missed" };
        let budget = budget.map(|budget| format!("≤ {budget:.2} s {}", verdict(ours.seconds <= budget)));
        let memory = memory.map(|memory| format!("≤ {} {}", mib(memory), verdict(ours.peak <= memory)));
        let budget: Vec<String> = budget.into_iter().chain(memory).collect();
        let peer = |(name, peer): &(String, Measured)| {
            let ratio = peer.seconds / ours.seconds;
            format!("{name} {}, {} ({ratio:.1} ×)", seconds(peer.seconds), mib(peer.peak))
        };
        let peers: Vec<String> = peers.iter().map(peer).collect();
        let peers = if peers.is_empty() { "none".to_owned() } else { peers.join(" · ") };
        let (time, cpu) = (seconds(ours.seconds), seconds(ours.cpu));
        println!("| {what} | {time} ({cpu} CPU), {} | {} | {peers} |", mib(ours.peak), budget.join(", "));
    }
}

fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.0} s") }
}

#[expect(clippy::cast_precision_loss, reason = "a figure without decimals")]
fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / MIB as f64)
}
