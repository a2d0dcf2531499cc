//! Learning at once that a module ended: a pidfd per supervisor becomes readable when it does.
//!
//! Not here: what the end means; whoever gets the event looks at the records.

use std::{collections::BTreeSet, fs, io, os::fd::OwnedFd, path::Path, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, mpsc},
};

use super::super::RuntimeEvent;
use crate::{
    module::{ModuleKey, ModuleKind},
    shim::records::ModuleDir,
};

/// Modules that came up without notice (another agent's doing) are found after that long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

type Ended = BoxFuture<'static, (u32, String)>;

/// Sends an event for every module that ends. Runs for ever.
pub(super) async fn watch(root: &Path, started: &Notify, sender: &mpsc::Sender<RuntimeEvent>) {
    let mut watched: BTreeSet<u32> = BTreeSet::new();
    let mut ends: FuturesUnordered<Ended> = FuturesUnordered::new();
    loop {
        // Registered before looking, so that a start in between is not missed.
        let notified = started.notified();
        for (pid, name) in running(root) {
            if watched.contains(&pid) {
                continue;
            }
            if let Ok(fd) = open(pid) {
                watched.insert(pid);
                ends.push(Box::pin(async move {
                    drop(fd.readable().await);
                    (pid, name)
                }));
            }
        }
        // All three arms only wait; nothing is lost when another one wins.
        tokio::select! {
            () = notified => {}
            Some((pid, name)) = ends.next() => {
                watched.remove(&pid);
                let module = Some(ModuleKey { kind: ModuleKind::Process, name });
                drop(sender.try_send(RuntimeEvent { kind: ModuleKind::Process, module }));
            }
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

fn running(root: &Path) -> Vec<(u32, String)> {
    let Ok(folders) = fs::read_dir(root) else {
        return Vec::new();
    };
    let found = folders.flatten().filter_map(|folder| {
        let run = ModuleDir::new(folder.path()).read_run().ok()??;
        let name = folder.file_name().to_string_lossy().into_owned();
        // The supervisor writes the exit record before it ends; the module itself only when that was killed.
        let mark = [run.shim, run.child].into_iter().find(|mark| mark.is_alive())?;
        Some((mark.pid, name))
    });
    found.collect()
}

fn open(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an OwnedFd that AsyncFd owns keeps the promise that it wants"
    )]
    AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::NONBLOCK)?, tokio::io::Interest::READABLE)
}
