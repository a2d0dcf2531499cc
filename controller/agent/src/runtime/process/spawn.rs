//! Starting a supervisor and learning whether the module really came up.
//!
//! Not here: what the supervisor does (`shim.rs`).

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

use super::super::{RuntimeError, Verdict, probe};
use crate::shim::records::{ModuleDir, RunRecord, ShimSpec};

/// What a module inherits from the agent's environment; everything else could be a secret of the host.
const INHERITED: &[&str] = &["HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"];

const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a supervisor in a process group of its own: Ctrl-C in the agent's terminal must not reach it.
pub(super) fn shim(program: &Path, dir: &ModuleDir) -> io::Result<Child> {
    Command::new(program)
        .arg("shim")
        .arg(dir.spec_file())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Runs a health check beside the module: same folder, same environment. It ends with whoever waits for it.
pub(super) async fn check(command: &[String], module: &ShimSpec, dir: &ModuleDir) -> io::Result<Verdict> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Verdict::Failed("the check names no program".to_owned()));
    };
    let folder = module.working_directory.as_deref().unwrap_or_else(|| dir.path());
    let mut check = tokio::process::Command::new(program);
    check.args(arguments).env_clear().envs(module.env.iter().map(|(name, value)| (name, value)));
    check.current_dir(folder).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    match check.output().await {
        Ok(ended) => {
            let said = if ended.stderr.is_empty() { ended.stdout } else { ended.stderr };
            Ok(probe::command(ended.status.code().map(i64::from), &said))
        }
        Err(error) => Ok(Verdict::Failed(format!("cannot run {program:?}: {error}"))),
    }
}

/// The whole environment of a module: a small base, then what the spec says.
pub(super) fn environment(search_path: Option<&Path>, env: &[(String, String)]) -> Vec<(String, String)> {
    let mut whole = BTreeMap::new();
    for name in INHERITED {
        if let Ok(value) = std::env::var(name) {
            whole.insert((*name).to_owned(), value);
        }
    }
    let path = std::env::var("PATH").unwrap_or_else(|_| FALLBACK_PATH.to_owned());
    let path = match search_path {
        Some(first) => format!("{}:{path}", first.display()),
        None => path,
    };
    whole.insert("PATH".to_owned(), path);
    whole.extend(env.iter().cloned());
    whole.into_iter().collect()
}

/// Waits until the module runs its own program.
///
/// # Errors
/// When it could not be run, with the reason, or when nothing happened in time.
pub(super) async fn until_started(dir: &ModuleDir, name: &str, limit: Duration) -> Result<(), RuntimeError> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        let unreadable = |source| RuntimeError::Files { what: "start", name: name.to_owned(), source };
        if let Some(exit) = dir.read_exit().map_err(unreadable)? {
            return match exit.error {
                Some(reason) => Err(RuntimeError::Refused { what: "start", name: name.to_owned(), reason }),
                None => Ok(()),
            };
        }
        let run = dir.read_run().map_err(unreadable)?;
        if run.is_some_and(|run| is_the_module(&run, dir)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(RuntimeError::TimedOut {
                what: "start",
                name: name.to_owned(),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Between fork and exec the process still carries the supervisor's command line.
fn is_the_module(run: &RunRecord, dir: &ModuleDir) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", run.child.pid)) else {
        return false;
    };
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let spec = dir.spec_file();
    let still_shim =
        words.get(1) == Some(&b"shim".as_slice()) && words.get(2) == Some(&spec.as_os_str().as_bytes());
    !line.is_empty() && !still_shim
}
