//! The workload API: one unix socket per module, on which it signs and learns whom to trust
//! (reference edge-runtime §4.3, device-protocol §11.3).
//!
//! The socket tells who asks: each module sees its own only, and can have signed for itself only.
//! Not here: where sockets are (`workload/place.rs`), answers (`workload/answer.rs`).

mod answer;
mod place;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::module::{Identities, Identity};
pub use place::RunDir;

/// Connections per module at once; further ones wait.
const CONNECTIONS: usize = 10;

/// For the next request of a connection, and for a request to arrive whole.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// After a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// All workload sockets of a device.
pub struct Workload {
    place: RunDir,
    shared: Arc<Shared>,
    served: BTreeMap<String, CancellationToken>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// What every answer is made from.
struct Shared {
    identities: RwLock<Identities>,
    /// Names and states for `GET /modules`.
    modules: RwLock<Vec<serde_json::Value>>,
    ca_pem: String,
}

/// Why a socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the workload socket {}", path.display())]
pub struct WorkloadSocketError {
    path: PathBuf,
    source: io::Error,
}

impl Workload {
    /// Prepares to serve; no socket is made yet.
    #[must_use]
    pub fn new(place: RunDir, ca_pem: String, stop: CancellationToken) -> Self {
        let shared = Shared { identities: RwLock::default(), modules: RwLock::default(), ca_pem };
        Self { place, shared: Arc::new(shared), served: BTreeMap::new(), tasks: JoinSet::new(), stop }
    }

    /// Where the socket of a module is.
    #[must_use]
    pub fn socket(&self, module: &str) -> PathBuf {
        self.place.socket(module)
    }

    /// Takes over new keys; sockets need not be made anew.
    pub fn set_identities(&self, identities: Identities) {
        if let Ok(mut known) = self.shared.identities.write() {
            *known = identities;
        }
    }

    /// What `GET /modules` answers.
    pub fn set_modules(&self, modules: Vec<serde_json::Value>) {
        if let Ok(mut known) = self.shared.modules.write() {
            *known = modules;
        }
    }

    /// Serves the socket of a module, if it is not served yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn serve(&mut self, module: &str) -> Result<(), WorkloadSocketError> {
        if self.served.contains_key(module) {
            return Ok(());
        }
        let path = self.socket(module);
        let listener = bind(&path).map_err(|source| WorkloadSocketError { path: path.clone(), source })?;
        let stop = self.stop.child_token();
        let caller = Arc::new(Caller { module: module.to_owned(), shared: Arc::clone(&self.shared) });
        self.tasks.spawn(accept(listener, caller, stop.clone()));
        self.served.insert(module.to_owned(), stop);
        Ok(())
    }

    /// Stops serving modules that are not kept.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.served.retain(|module, stop| {
            let kept = keep(module);
            if !kept {
                stop.cancel();
                drop(fs::remove_file(self.place.socket(module)));
            }
            kept
        });
        while self.tasks.try_join_next().is_some() {}
    }

    /// Stops serving at all. The sockets stay where they are: modules that go on running find them again.
    pub async fn close(mut self) {
        for stop in self.served.values() {
            stop.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The module behind a socket.
struct Caller {
    module: String,
    shared: Arc<Shared>,
}

impl Caller {
    fn identity(&self) -> Option<Identity> {
        self.shared.identities.read().ok()?.get(&self.module).cloned()
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // A container may run under any user; what protects the socket is the folder above, which is the agent's own.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, caller: Arc<Caller>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // A permit first: the eleventh caller waits in the backlog instead of being turned away.
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        // Cancelling gives back the permit; an accepted connection is never dropped by it.
        let (permit, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match (permit, stream) {
            (Ok(permit), Ok((stream, _))) => {
                let caller = Arc::clone(&caller);
                connections.spawn(async move {
                    talk(stream, caller).await;
                    drop(permit);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(module = caller.module, %error, "cannot accept on a workload socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The semaphore is never closed.
            (Err(_), Ok(_)) => {}
        }
    }
    connections.shutdown().await;
}

async fn talk(stream: UnixStream, caller: Arc<Caller>) {
    let service = hyper::service::service_fn(|request| {
        let caller = Arc::clone(&caller);
        async move { Ok::<_, std::convert::Infallible>(answer::answer(request, &caller).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_DEADLINE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // A caller that breaks off has nobody to tell.
    drop(connection.await);
}
