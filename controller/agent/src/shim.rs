//! The supervisor of one process module: `hem shim <spec-file>`. Outlives the agent, so a killed agent stops nothing.
//!
//! Two stages in the same program. The first makes pipe, log and records, spawns the second in a process group of its
//! own, waits for it and writes the exit record. The second sets the limits on itself and becomes the module by exec, so
//! that no limit ever binds the supervisor. No tokio, no threads but three, no unsafe.
//! Not here: when to start or stop (`runtime/process.rs`).

mod become_module;
mod log;
pub mod records;

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

pub(crate) use log::generation as log_generation;
use records::{ExitRecord, ModuleDir, ProcessMark, RunRecord, ShimSpec};

/// Set for the second stage.
const STAGE: &str = "HEMLINE_SHIM_STAGE";

/// After the module has ended, its output is read at most that long: a stray grandchild may keep the pipe open.
const DRAIN: Duration = Duration::from_millis(500);

/// Runs the shim for a spec file and returns when the module has ended. Exit code 0 means that the exit record is written.
#[must_use]
pub fn run(spec_file: &Path) -> ExitCode {
    let Some(folder) = spec_file.parent() else {
        return ExitCode::from(64);
    };
    let dir = ModuleDir::new(folder);
    let spec = match dir.read_spec() {
        Ok(spec) => spec,
        Err(error) => return give_up(&dir, &format!("cannot read {}: {error}", spec_file.display())),
    };
    if std::env::var_os(STAGE).is_some() {
        // Only returns when the module could not be started.
        return become_module::become_module(&spec, &dir);
    }
    match supervise(&spec, &dir, spec_file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&dir, &format!("cannot supervise: {error}")),
    }
}

fn give_up(dir: &ModuleDir, message: &str) -> ExitCode {
    let now = Timestamp::now();
    let record = ExitRecord {
        exit_code: 125,
        signal: None,
        started: now,
        exited: now,
        error: Some(message.to_owned()),
    };
    match dir.write_exit(&record) {
        Ok(()) => ExitCode::from(1),
        Err(_) => ExitCode::from(2),
    }
}

fn supervise(spec: &ShimSpec, dir: &ModuleDir, spec_file: &Path) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT])?;
    let (reader, writer) = io::pipe()?;
    let log = log::RotatingLog::open(dir.log_file(), spec.log)?;
    let started = Timestamp::now();
    // Not the path of the program: that file may have been replaced by a newer one meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .arg("shim")
        .arg(spec_file)
        .env(STAGE, "exec")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    let group = Pid::from_child(&child);
    let record = RunRecord { shim: ProcessMark::own()?, child: ProcessMark::of(child.id())?, started };
    if let Err(error) = dir.write_run(&record) {
        // Without the record nobody could find the module again.
        end_group(group);
        drop(child.wait());
        return Err(error);
    }
    let handle = signals.handle();
    let forward = thread::spawn(move || {
        for signal in signals.forever() {
            forward_signal(group, signal);
        }
    });
    let (done, drained) = mpsc::channel();
    // Not joined when a grandchild keeps the pipe open: the process ends right after.
    let copy = thread::spawn(move || {
        log::copy(reader, log);
        done.send(()).ok();
    });
    let status = wait(&mut child)?;
    end_group(group);
    handle.close();
    drop(forward.join());
    if drained.recv_timeout(DRAIN).is_ok() {
        drop(copy.join());
    }
    let error = dir.take_exec_error();
    let exited = Timestamp::now();
    let record = ExitRecord { exit_code: exit_code(status), signal: status.signal(), started, exited, error };
    dir.write_exit(&record)
}

fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    loop {
        match child.wait() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Shells' convention: 128 + signal.
fn exit_code(status: ExitStatus) -> i64 {
    match (status.code(), status.signal()) {
        (Some(code), _) => i64::from(code),
        (None, Some(signal)) => 128 + i64::from(signal),
        (None, None) => -1,
    }
}

fn forward_signal(group: Pid, signal: i32) {
    let signal = match signal {
        SIGINT => Signal::INT,
        SIGHUP => Signal::HUP,
        SIGQUIT => Signal::QUIT,
        _ => Signal::TERM,
    };
    // The group may have ended meanwhile, which is what the signal wanted.
    kill_process_group(group, signal).ok();
}

/// What the module left behind in its group ends with it, as in a container.
fn end_group(group: Pid) {
    kill_process_group(group, Signal::KILL).ok();
}
