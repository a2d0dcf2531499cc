//! Modules as supervised processes of the host: the embedded default, so that a bare machine works.
//!
//! Each module has a folder `<root>/<module>/` (`shim/records.rs`) and a supervisor (`shim.rs`) that outlives the agent;
//! a restarted agent finds both again by pid and start time. Not here: limits, log writing (the shim does them).

mod log_reader;
mod spawn;
mod watch;

use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Discarded, LogLine, LogQuery, Pulled, Removed, Runtime, RuntimeError, RuntimeEvent, Started, Stopped,
    Verdict, probe,
};
use crate::{
    module::{EngineStatus, Health, ModuleKey, ModuleKind, ModuleSpec, Probe, ProcessSpec, Seen, SpecBody},
    shim::records::{ModuleDir, RunRecord, ShimSpec},
};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// After SIGKILL; only a process stuck in the kernel needs longer.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Until a new supervisor has written its first record.
const START_WAIT: Duration = Duration::from_secs(10);

/// Runs modules as processes.
pub struct ProcessRuntime {
    files: Arc<Files>,
    shim: PathBuf,
    search_path: Option<PathBuf>,
    /// One start at a time: two at once would make two supervisors.
    starting: tokio::sync::Mutex<()>,
    started: Notify,
}

struct Files {
    root: PathBuf,
    /// Supervisors started by this process, so that they are waited for when they end.
    children: Mutex<Vec<Child>>,
}

impl ProcessRuntime {
    /// Makes the folder for modules.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: PathBuf, shim: PathBuf, search_path: Option<PathBuf>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let files = Arc::new(Files { root, children: Mutex::new(Vec::new()) });
        Ok(Self { files, shim, search_path, starting: tokio::sync::Mutex::new(()), started: Notify::new() })
    }

    async fn start_module(&self, name: &str) -> Result<Started, RuntimeError> {
        let _one = self.starting.lock().await;
        let dir = self.files.existing(name)?;
        if alive(&dir).map_err(files("start", name))?.is_some() {
            return Ok(Started::Already);
        }
        dir.clear_run().map_err(files("start", name))?;
        let child = spawn::shim(&self.shim, &dir).map_err(|error| RuntimeError::Refused {
            what: "start",
            name: name.to_owned(),
            reason: format!("cannot run its supervisor {}: {error}", self.shim.display()),
        })?;
        self.files.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        spawn::until_started(&dir, name, START_WAIT).await?;
        self.started.notify_waiters();
        Ok(Started::Now)
    }

    async fn stop_module(&self, name: &str) -> Result<Stopped, RuntimeError> {
        let dir = self.files.existing(name)?;
        let Some(run) = alive(&dir).map_err(files("stop", name))? else {
            return Ok(Stopped::Already);
        };
        signal(&run, Signal::TERM);
        if !ended(&dir, &run, GRACE).await {
            tracing::warn!(module = name, "module did not end after SIGTERM and is killed");
            signal(&run, Signal::KILL);
            if !ended(&dir, &run, KILL_WAIT).await {
                let seconds = (GRACE + KILL_WAIT).as_secs();
                return Err(RuntimeError::TimedOut { what: "stop", name: name.to_owned(), seconds });
            }
        }
        Ok(Stopped::Now)
    }

    fn create_module(&self, spec: &ModuleSpec) -> Result<(), RuntimeError> {
        let name = &spec.key.name;
        let SpecBody::Process(process) = &spec.body else {
            return Err(RuntimeError::Refused {
                what: "create",
                name: name.clone(),
                reason: "it is not a process module".to_owned(),
            });
        };
        let dir = self.files.dir(name)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir.path())
            .and_then(|()| dir.clear_run())
            .and_then(|()| dir.write_spec(&self.shim_spec(spec, process)))
            .map_err(files("create", name))
    }

    fn shim_spec(&self, spec: &ModuleSpec, process: &ProcessSpec) -> ShimSpec {
        ShimSpec {
            name: spec.key.name.clone(),
            hash: spec.hash.clone(),
            command: process.command.clone(),
            env: spawn::environment(self.search_path.as_deref(), &spec.whole_env()),
            working_directory: process.working_directory.clone(),
            limits: process.limits,
            log: crate::shim::records::LogLimits::default(),
        }
    }
}

impl Runtime for ProcessRuntime {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Seen>, RuntimeError>> {
        let files = Arc::clone(&self.files);
        Box::pin(blocking("list", "", move || files.list()))
    }

    fn pull<'a>(&'a self, _: &'a ModuleSpec) -> BoxFuture<'a, Result<Pulled, RuntimeError>> {
        Box::pin(async { Ok(Pulled::AlreadyThere) })
    }

    fn create<'a>(&'a self, spec: &'a ModuleSpec) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move { self.create_module(spec) })
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        Box::pin(self.start_module(name))
    }

    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Stopped, RuntimeError>> {
        Box::pin(self.stop_module(name))
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Removed, RuntimeError>> {
        Box::pin(async move {
            match self.stop_module(name).await {
                // Without a spec there may still be a folder.
                Ok(Stopped::Now | Stopped::Already) | Err(RuntimeError::NoSuchModule { .. }) => {}
                Err(error) => return Err(error),
            }
            let dir = self.files.dir(name)?;
            match fs::remove_dir_all(dir.path()) {
                Ok(()) => Ok(Removed::Now),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::Already),
                Err(error) => Err(files("remove", name)(error)),
            }
        })
    }

    fn probe<'a>(
        &'a self,
        spec: &'a ModuleSpec,
        probe: &'a Probe,
    ) -> BoxFuture<'a, Result<Verdict, RuntimeError>> {
        Box::pin(async move {
            let name = &spec.key.name;
            match probe {
                Probe::Tcp { port } => Ok(probe::tcp((Ipv4Addr::LOCALHOST, *port).into()).await),
                Probe::Http { port, path } => {
                    Ok(probe::http((Ipv4Addr::LOCALHOST, *port).into(), path).await)
                }
                Probe::Command(command) => {
                    // The same program, folder and environment as the module itself.
                    let dir = self.files.existing(name)?;
                    let told = dir.read_spec().map_err(files("check the health of", name))?;
                    spawn::check(command, &told, &dir).await.map_err(files("check the health of", name))
                }
            }
        })
    }

    fn discard<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Discarded, RuntimeError>> {
        Box::pin(async { Ok(Discarded::Already) })
    }

    fn logs<'a>(
        &'a self,
        name: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        let dir = self.files.existing(name);
        Box::pin(async move {
            let log = dir?.log_file();
            let owned = name.to_owned();
            blocking("read the log of", name, move || {
                log_reader::read(&log, &query).map_err(files("read the log of", &owned))
            })
            .await
        })
    }

    fn events(&self, sender: mpsc::Sender<RuntimeEvent>, stop: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::select! {
                () = watch::watch(&self.files.root, &self.started, &sender) => {}
                () = stop.cancelled() => {}
            }
        })
    }
}

// === Files ===

impl Files {
    fn dir(&self, name: &str) -> Result<ModuleDir, RuntimeError> {
        // Module names of a manifest match ^[a-zA-Z0-9_-]+$; anything else could leave the folder.
        let safe =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !safe {
            return Err(RuntimeError::Refused {
                what: "find",
                name: name.to_owned(),
                reason: "a process module's name has letters, digits, '_' and '-' only".to_owned(),
            });
        }
        Ok(ModuleDir::new(self.root.join(name)))
    }

    fn existing(&self, name: &str) -> Result<ModuleDir, RuntimeError> {
        let dir = self.dir(name)?;
        if dir.spec_file().exists() {
            Ok(dir)
        } else {
            Err(RuntimeError::NoSuchModule { kind: ModuleKind::Process, name: name.to_owned() })
        }
    }

    fn list(&self) -> Result<Vec<Seen>, RuntimeError> {
        self.reap();
        let folders = fs::read_dir(&self.root).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let folders = folders.map_err(|error| RuntimeError::Unavailable {
            kind: ModuleKind::Process,
            reason: format!("cannot read {}: {error}", self.root.display()),
        })?;
        let seen = folders.iter().filter(|folder| folder.path().is_dir()).map(|folder| {
            let name = folder.file_name().to_string_lossy().into_owned();
            look(&ModuleDir::new(folder.path()), name)
        });
        Ok(seen.collect())
    }

    fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn look(dir: &ModuleDir, name: String) -> Seen {
    let mut seen = Seen {
        key: ModuleKey { kind: ModuleKind::Process, name },
        id: None,
        traits: BTreeMap::new(),
        by_hand: false,
        paused: false,
        hash: None,
        status: EngineStatus::Stopped,
        health: Health::None,
        exit_code: None,
        started: None,
        exited: None,
        description: "created".to_owned(),
        image_hash: None,
    };
    if let Err(error) = fill(dir, &mut seen) {
        // Damaged records: without a hash it is made anew, and that repairs it.
        seen.hash = None;
        seen.status = EngineStatus::Failed;
        seen.description = error.to_string();
    }
    seen
}

fn fill(dir: &ModuleDir, seen: &mut Seen) -> io::Result<()> {
    seen.hash = Some(dir.read_spec()?.hash);
    if let Some(exit) = dir.read_exit()? {
        seen.status = if exit.exit_code == 0 { EngineStatus::Stopped } else { EngineStatus::Failed };
        seen.exit_code = Some(exit.exit_code);
        seen.started = Some(exit.started);
        seen.exited = Some(exit.exited);
        seen.description = match (exit.error, exit.signal) {
            (Some(error), _) => error,
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => format!("exited with code {}", exit.exit_code),
        };
        return Ok(());
    }
    let Some(run) = dir.read_run()? else {
        return Ok(());
    };
    seen.started = Some(run.started);
    if run.child.is_alive() || run.shim.is_alive() {
        seen.status = EngineStatus::Running;
        seen.description = format!("running, pid {}", run.child.pid);
    } else {
        seen.status = EngineStatus::Failed;
        seen.exit_code = Some(-1);
        // The last output is the best guess for the end of a module whose supervisor was killed with it.
        seen.exited = fs::metadata(dir.log_file())
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| Timestamp::try_from(at).ok());
        seen.description = "ended together with its supervisor; how is not known".to_owned();
    }
    Ok(())
}

/// The record of the current run, when the module or at least its supervisor still runs.
fn alive(dir: &ModuleDir) -> io::Result<Option<RunRecord>> {
    if dir.read_exit()?.is_some() {
        return Ok(None);
    }
    Ok(dir.read_run()?.filter(|run| run.child.is_alive() || run.shim.is_alive()))
}

fn signal(run: &RunRecord, signal: Signal) {
    let group = i32::try_from(run.child.pid).ok().and_then(Pid::from_raw);
    if let Some(group) = group.filter(|_| run.child.is_alive()) {
        // It may end between the check and the signal, which is what the signal wants.
        kill_process_group(group, signal).ok();
    }
}

/// Waits for the end of a module and for its record; another process ends it, so there is nothing to await but time.
async fn ended(dir: &ModuleDir, run: &RunRecord, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        let gone = !run.child.is_alive() && !run.shim.is_alive();
        if gone || matches!(dir.read_exit(), Ok(Some(_))) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn files<'a>(what: &'static str, name: &'a str) -> impl Fn(io::Error) -> RuntimeError + use<'a> {
    let name = name.to_owned();
    move |source| RuntimeError::Files { what, name: name.clone(), source }
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    name: &str,
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(RuntimeError::Refused {
            what,
            name: name.to_owned(),
            reason: format!("interrupted: {error}"),
        }),
    }
}

/// Where the folder of a module is, for tools that look from outside.
#[must_use]
pub fn module_folder(root: &Path, name: &str) -> PathBuf {
    root.join(name)
}
