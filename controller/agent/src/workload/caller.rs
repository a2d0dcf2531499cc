//! Who is at the other end of a workload socket: is it the module that the socket belongs to (reference edge-runtime §4.1)?
//!
//! A container finds its own socket only, because nothing else is mounted into it. Processes all run as the agent's user and
//! could open any of the sockets, so the kernel's word on the peer decides: it has to be the module's process or one that
//! descends from it. That is a fence against mistakes and nosy modules; against a user of the same name there is none.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tokio::net::UnixStream;

use crate::{
    module::{ModuleKey, ModuleKind},
    shim::records::{ModuleDir, RunRecord, parent},
};

/// A module may ask before its supervisor has written down who it is; so long is waited for that.
const RECORD_WAIT: Duration = Duration::from_secs(2);

const RECORD_PAUSE: Duration = Duration::from_millis(10);

/// Deeper than any tree of processes of a module.
const DEEPEST: usize = 100;

/// The process that opened a connection, as the kernel noted it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// None when it lives where this process cannot see it.
    pub(super) pid: Option<u32>,
    pub(super) uid: u32,
}

/// Somebody else than the module asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error(
        "only processes of module {module:?} may ask this, and the system does not tell which process asks"
    )]
    Unknown { module: String },
    #[error("only processes of module {module:?} may ask this; process {pid} is none")]
    Process { module: String, pid: u32 },
    #[error("only processes of module {module:?} may ask this; user {uid} runs none")]
    User { module: String, uid: u32 },
    #[error("the processes of module {module:?} are not known: {reason}")]
    NoRecord { module: String, reason: String },
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        // 0 stands for a process of a namespace that is not ours.
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        Ok(Self { pid, uid: credentials.uid() })
    }

    /// May it ask in the name of the module? `processes` is the folder with the records of process modules. Takes as long
    /// as a few small files are read, and up to two seconds where a module has only just been started.
    pub(super) fn check(self, module: &ModuleKey, processes: &Path) -> Result<(), Stranger> {
        match module.kind {
            ModuleKind::Process => self.is_process_of(&module.name, processes),
            ModuleKind::Docker => self.is_no_process_module(&module.name, processes),
        }
    }

    fn is_process_of(self, module: &str, processes: &Path) -> Result<(), Stranger> {
        let name = || module.to_owned();
        let pid = self.pid.ok_or_else(|| Stranger::Unknown { module: name() })?;
        // Whoever became root is no stranger in this respect.
        if self.uid != 0 && self.uid != rustix::process::geteuid().as_raw() {
            return Err(Stranger::User { module: name(), uid: self.uid });
        }
        let unreadable = |error: io::Error| Stranger::NoRecord { module: name(), reason: error.to_string() };
        let run = record(&ModuleDir::new(processes.join(module))).map_err(unreadable)?;
        let own = run.is_some_and(|run| run.child.is_alive() && ancestry(pid).contains(&run.child.pid));
        if own { Ok(()) } else { Err(Stranger::Process { module: name(), pid }) }
    }

    /// A container's process is not in the tree of any process module.
    fn is_no_process_module(self, module: &str, processes: &Path) -> Result<(), Stranger> {
        let Some(pid) = self.pid else { return Ok(()) };
        let line = ancestry(pid);
        let folders = match fs::read_dir(processes) {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(Stranger::NoRecord { module: module.to_owned(), reason: error.to_string() });
            }
        };
        let mut runs = folders.filter_map(|folder| ModuleDir::new(folder.ok()?.path()).read_run().ok()?);
        if runs.any(|run| line.contains(&run.child.pid) && run.child.is_alive()) {
            return Err(Stranger::Process { module: module.to_owned(), pid });
        }
        Ok(())
    }
}

/// Who runs the module. The supervisor writes it right after it has started the module.
fn record(dir: &ModuleDir) -> io::Result<Option<RunRecord>> {
    let deadline = Instant::now() + RECORD_WAIT;
    loop {
        let run = dir.read_run()?;
        if run.is_some() || Instant::now() >= deadline {
            return Ok(run);
        }
        thread::sleep(RECORD_PAUSE);
    }
}

/// A process, the one that started it, and so on to the first. Shorter when one of them ends meanwhile.
fn ancestry(pid: u32) -> Vec<u32> {
    let above = |pid: &u32| parent(*pid).ok().filter(|parent| *parent != 0);
    std::iter::successors(Some(pid), above).take(DEEPEST).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use jiff::Timestamp;

    use super::*;
    use crate::shim::records::ProcessMark;

    /// A process that does nothing until the end of the test.
    struct Idle(Child);

    impl Idle {
        fn new() -> Self {
            Self(Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn mark(&self) -> ProcessMark {
            ProcessMark::of(self.0.id()).unwrap()
        }

        fn peer(&self) -> Peer {
            Peer { pid: Some(self.0.id()), uid: rustix::process::geteuid().as_raw() }
        }
    }

    impl Drop for Idle {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    fn runs(processes: &Path, module: &str, child: ProcessMark) {
        let folder = processes.join(module);
        fs::create_dir_all(&folder).unwrap();
        let record = RunRecord { shim: ProcessMark::own().unwrap(), child, started: Timestamp::now() };
        ModuleDir::new(folder).write_run(&record).unwrap();
    }

    fn module(kind: ModuleKind, name: &str) -> ModuleKey {
        ModuleKey { kind, name: name.to_owned() }
    }

    #[test]
    fn a_process_module_is_itself_and_what_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let (sensor, filter) = (Idle::new(), Idle::new());
        runs(folder.path(), "sensor", sensor.mark());
        runs(folder.path(), "filter", filter.mark());
        // The test itself is the parent of both.
        runs(folder.path(), "parent", ProcessMark::own().unwrap());
        let check = |module: &ModuleKey, peer: Peer| peer.check(module, folder.path());
        let process = |name| module(ModuleKind::Process, name);
        assert_eq!(check(&process("sensor"), sensor.peer()), Ok(()));
        assert_eq!(check(&process("parent"), sensor.peer()), Ok(()), "a child of the module");
        let stranger = |pid| Stranger::Process { module: "sensor".to_owned(), pid };
        assert_eq!(check(&process("sensor"), filter.peer()), Err(stranger(filter.0.id())));
        let own = Peer { pid: Some(std::process::id()), ..sensor.peer() };
        assert_eq!(
            check(&process("sensor"), own),
            Err(stranger(std::process::id())),
            "a parent of the module"
        );
        let unseen = Peer { pid: None, ..sensor.peer() };
        assert_eq!(check(&process("sensor"), unseen), Err(Stranger::Unknown { module: "sensor".to_owned() }));
        let other = Peer { uid: sensor.peer().uid + 1, ..sensor.peer() };
        assert_eq!(
            check(&process("sensor"), other),
            Err(Stranger::User { module: "sensor".to_owned(), uid: other.uid })
        );
    }

    #[test]
    fn a_process_that_took_over_a_number_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let sensor = Idle::new();
        let older = ProcessMark { start_ticks: sensor.mark().start_ticks - 1, ..sensor.mark() };
        runs(folder.path(), "sensor", older);
        let refused = sensor.peer().check(&module(ModuleKind::Process, "sensor"), folder.path());
        assert!(matches!(refused, Err(Stranger::Process { .. })), "{refused:?}");
    }

    #[test]
    fn a_module_that_asks_at_once_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let sensor = Idle::new();
        let (peer, path) = (sensor.peer(), folder.path().to_owned());
        let asking = thread::spawn(move || peer.check(&module(ModuleKind::Process, "sensor"), &path));
        runs(folder.path(), "sensor", sensor.mark());
        assert_eq!(asking.join().unwrap(), Ok(()));
    }

    #[test]
    fn the_socket_of_a_container_is_not_for_process_modules() {
        let folder = tempfile::tempdir().unwrap();
        let (sensor, elsewhere) = (Idle::new(), Idle::new());
        let camera = module(ModuleKind::Docker, "camera");
        assert_eq!(sensor.peer().check(&camera, &folder.path().join("none")), Ok(()));
        runs(folder.path(), "sensor", sensor.mark());
        let stranger = Stranger::Process { module: "camera".to_owned(), pid: sensor.0.id() };
        assert_eq!(sensor.peer().check(&camera, folder.path()), Err(stranger));
        assert_eq!(elsewhere.peer().check(&camera, folder.path()), Ok(()));
        let unseen = Peer { pid: None, uid: 100_000 };
        assert_eq!(unseen.check(&camera, folder.path()), Ok(()), "in another namespace");
    }
}
