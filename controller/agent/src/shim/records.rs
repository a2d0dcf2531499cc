//! The files of one process module, shared by shim and runtime: `spec.json`, `run.json`, `exit.json`, `log`.
//!
//! Every record is replaced as a whole (write beside, rename), so a reader sees the old or the new one. A process is
//! known by pid, start time and boot id, so a reused pid is never taken for it.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::module::Limits;

/// Everything the shim needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShimSpec {
    /// Module name.
    pub name: String,
    /// Spec hash, for the agent.
    pub hash: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Absent: the module's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<PathBuf>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Log rotation.
    #[serde(default)]
    pub log: LogLimits,
}

/// How much log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLimits {
    /// Bytes per file.
    pub max_bytes: u64,
    /// Files, the current one included.
    pub files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { max_bytes: 10 * 1024 * 1024, files: 3 }
    }
}

/// Written when the module has been started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// The supervisor.
    pub shim: ProcessMark,
    /// The module; its process group has the same number.
    pub child: ProcessMark,
    /// When.
    pub started: Timestamp,
}

/// Written when the module has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    /// 128 + signal when a signal ended it; 127 when it could not be run.
    pub exit_code: i64,
    /// The signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended.
    pub exited: Timestamp,
    /// Why it could not be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One process, beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessMark {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (proc(5), field 22 of stat).
    pub start_ticks: u64,
    /// Which boot that was.
    pub boot: String,
}

impl ProcessMark {
    /// Marks this process.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Marks a running process, or one that nobody has waited for yet.
    ///
    /// # Errors
    /// When there is no such process or /proc cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let Stat { start_ticks, .. } = stat(pid)?;
        Ok(Self { pid, start_ticks, boot: boot_id()? })
    }

    /// Is that very process still running? A zombie is not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let alive = |now: Stat| now.start_ticks == self.start_ticks && !matches!(now.state, b'Z' | b'X');
        stat(self.pid).is_ok_and(alive) && boot_id().is_ok_and(|boot| boot == self.boot)
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The process that a process was started by, or that took it over; 0 for the first of all.
///
/// # Errors
/// When there is no such process or /proc cannot be read.
pub(crate) fn parent(pid: u32) -> io::Result<u32> {
    Ok(stat(pid)?.parent)
}

/// What /proc says of a process.
struct Stat {
    state: u8,
    parent: u32,
    start_ticks: u64,
}

/// The command name in parentheses may hold anything, so fields are counted after the last one.
fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is malformed"));
    let (_, rest) = text.rsplit_once(')').ok_or_else(malformed)?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next().and_then(|state| state.bytes().next()).ok_or_else(malformed)?;
    // State is field 3, the parent is field 4, the start time is field 22.
    let parent = fields.next().and_then(|parent| parent.parse().ok()).ok_or_else(malformed)?;
    let start_ticks = fields.nth(17).and_then(|ticks| ticks.parse().ok()).ok_or_else(malformed)?;
    Ok(Stat { state, parent, start_ticks })
}

/// The folder of one process module.
#[derive(Debug, Clone)]
pub struct ModuleDir {
    path: PathBuf,
}

impl ModuleDir {
    /// Names the folder; it need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the spec is.
    #[must_use]
    pub fn spec_file(&self) -> PathBuf {
        self.path.join("spec.json")
    }

    /// Where the log is.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Reads the spec.
    ///
    /// # Errors
    /// When it is not there or not readable.
    pub fn read_spec(&self) -> io::Result<ShimSpec> {
        read(&self.spec_file())
    }

    /// Writes the spec, for its owner only: the environment may hold secrets.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_spec(&self, spec: &ShimSpec) -> io::Result<()> {
        write(&self.spec_file(), spec)
    }

    /// Reads who runs it; none when it never ran.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn read_run(&self) -> io::Result<Option<RunRecord>> {
        optional(read(&self.path.join("run.json")))
    }

    /// Writes who runs it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_run(&self, record: &RunRecord) -> io::Result<()> {
        write(&self.path.join("run.json"), record)
    }

    /// Reads how it ended; none when it has not.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn read_exit(&self) -> io::Result<Option<ExitRecord>> {
        optional(read(&self.path.join("exit.json")))
    }

    /// Writes how it ended.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_exit(&self, record: &ExitRecord) -> io::Result<()> {
        write(&self.path.join("exit.json"), record)
    }

    /// Forgets the last run before the next one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn clear_run(&self) -> io::Result<()> {
        for name in ["exit.json", "run.json", "exec-error"] {
            optional(fs::remove_file(self.path.join(name)))?;
        }
        Ok(())
    }

    /// Leaves the reason why the program could not be run. Best effort: the exit code 127 says it too.
    pub(super) fn leave_exec_error(&self, message: &str) {
        drop(fs::write(self.path.join("exec-error"), message));
    }

    /// Takes that reason.
    pub(super) fn take_exec_error(&self) -> Option<String> {
        let path = self.path.join("exec-error");
        let message = fs::read_to_string(&path).ok()?;
        drop(fs::remove_file(path));
        Some(message)
    }
}

fn optional<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = fs::read(path)?;
    serde_json::from_slice(&text).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {error}", path.display()))
    })
}

/// Replaces a file as a whole, readable by its owner only.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    let beside = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_data()?;
    drop(file);
    fs::rename(&beside, path)
}
