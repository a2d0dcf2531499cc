//! Second stage of the shim: set the limits, then become the module by exec.
//!
//! Not here: supervision (`shim.rs`).

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::records::{ModuleDir, ShimSpec};

/// Shells' exit code for a command that could not be run.
const CANNOT_RUN: u8 = 127;

/// Open files of a module whose document says nothing: what systems give to a program. `hem` takes more for itself, which a
/// module must not inherit: `select` knows no larger numbers, and some programs close all numbers up to the limit.
const OPEN_FILES: u64 = 1024;

/// Replaces this process by the module. Returns only when that failed; the reason is left for the first stage.
pub(super) fn become_module(spec: &ShimSpec, dir: &ModuleDir) -> ExitCode {
    let Some((program, arguments)) = spec.command.split_first() else {
        dir.leave_exec_error("the command is empty");
        return ExitCode::from(CANNOT_RUN);
    };
    let folder = spec.working_directory.as_deref().unwrap_or_else(|| dir.path());
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(folder);
    // Last, because a small address space leaves no room for anything but the exec.
    if let Err(message) = limit(spec) {
        dir.leave_exec_error(&message);
        return ExitCode::from(CANNOT_RUN);
    }
    let error = command.exec();
    dir.leave_exec_error(&format!("cannot run {program:?} in {}: {error}", folder.display()));
    ExitCode::from(CANNOT_RUN)
}

fn limit(spec: &ShimSpec) -> Result<(), String> {
    let limits = &spec.limits;
    let wanted = [
        (Resource::Nofile, limits.open_files, "openFiles"),
        (Resource::Cpu, limits.cpu_seconds, "cpuSeconds"),
        (Resource::Fsize, limits.file_bytes, "fileBytes"),
        (Resource::As, limits.memory_bytes, "memoryBytes"),
    ];
    if limits.open_files.is_none() {
        let has = getrlimit(Resource::Nofile);
        let current = has.current.map_or(OPEN_FILES, |current| current.min(OPEN_FILES));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: has.maximum })
            .map_err(|error| format!("cannot set the limit of open files to {current}: {error}"))?;
    }
    for (resource, value, name) in wanted {
        if let Some(value) = value {
            setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
                .map_err(|error| format!("cannot set the limit {name} to {value}: {error}"))?;
        }
    }
    Ok(())
}
