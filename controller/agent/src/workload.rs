//! The workload API: one unix socket per module, on which it signs, encrypts, gets certificates and learns whom to trust
//! (reference edge-runtime §4.3, device-protocol §11.3).
//!
//! The socket tells for whom is asked: each module is given its own only, and only its own processes are answered on it.
//! Not here: where sockets are (`workload/place.rs`), who asks (`workload/caller.rs`), answers (`workload/answer.rs`),
//! keys (`workload/cipher.rs`), certificates (`workload/authority.rs`).

mod answer;
mod authority;
mod caller;
mod cipher;
mod keep;
mod place;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, RwLock},
    time::Duration,
};

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::module::{Identities, Identity, ModuleKey, ModuleKind};
use authority::Authority;
use caller::{Peer, Stranger};
use cipher::Cipher;
pub use place::RunDir;

/// Connections per module at once; further ones wait.
const CONNECTIONS: usize = 10;

/// The key behind `encrypt` and `decrypt`, in the agent's folder.
const KEY: &str = "workload.key";

/// For the next request of a connection, and for a request to arrive whole.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// SDKs send a handful.
const HEADERS: usize = 64;

/// After a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the workload API of a device is made of.
#[derive(Debug)]
pub struct WorkloadConfig {
    /// Where the sockets are.
    pub place: RunDir,
    /// Folder of the agent, for its keys.
    pub data_dir: PathBuf,
    /// Folder with the records of process modules ([`crate::shim::records`]).
    pub processes: PathBuf,
    /// Name of the hub.
    pub hub: String,
    /// The device's id.
    pub device: String,
    /// Certificates of the hub's authority, PEM.
    pub ca_pem: String,
}

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
    /// Runtimes of the modules that have a socket.
    kinds: RwLock<BTreeMap<String, ModuleKind>>,
    processes: PathBuf,
    ca_pem: String,
    authority: Authority,
    cipher: Cipher,
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
    pub fn new(config: WorkloadConfig, stop: CancellationToken) -> Self {
        let WorkloadConfig { place, data_dir, processes, hub, device, ca_pem } = config;
        let shared = Shared {
            identities: RwLock::default(),
            modules: RwLock::default(),
            kinds: RwLock::default(),
            processes,
            ca_pem,
            cipher: Cipher::new(data_dir.join(KEY)),
            authority: Authority::new(data_dir, hub, device),
        };
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
    pub fn serve(&mut self, module: &ModuleKey) -> Result<(), WorkloadSocketError> {
        if let Ok(mut kinds) = self.shared.kinds.write() {
            kinds.insert(module.name.clone(), module.kind);
        }
        if self.served.contains_key(&module.name) {
            return Ok(());
        }
        let path = self.socket(&module.name);
        let listener = bind(&path).map_err(|source| WorkloadSocketError { path: path.clone(), source })?;
        let stop = self.stop.child_token();
        let socket = Socket { module: module.name.clone(), shared: Arc::clone(&self.shared) };
        self.tasks.spawn(accept(listener, socket, stop.clone()));
        self.served.insert(module.name.clone(), stop);
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
        if let Ok(mut kinds) = self.shared.kinds.write() {
            kinds.retain(|module, _| self.served.contains_key(module));
        }
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

/// What is asked on one socket is asked for one module.
#[derive(Clone)]
struct Socket {
    module: String,
    shared: Arc<Shared>,
}

/// Whoever opened one connection to it.
struct Connection {
    module: String,
    shared: Arc<Shared>,
    peer: Peer,
    checked: OnceLock<Result<(), Stranger>>,
}

impl Connection {
    fn identity(&self) -> Option<Identity> {
        self.shared.identities.read().ok()?.get(&self.module).cloned()
    }

    /// Is it the module that asks? A connection stays with the process that opened it, so it is looked at once.
    fn checked(&self) -> Result<(), Stranger> {
        let check = || {
            // A module that is served has a kind.
            let kinds = self.shared.kinds.read();
            let kind = kinds.ok().and_then(|kinds| kinds.get(&self.module).copied());
            let kind = kind.ok_or_else(|| Stranger::Unknown { module: self.module.clone() })?;
            self.peer.check(&ModuleKey { kind, name: self.module.clone() }, &self.shared.processes)
        };
        self.checked.get_or_init(check).clone()
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

async fn accept(listener: UnixListener, socket: Socket, stop: CancellationToken) {
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
                let socket = socket.clone();
                connections.spawn(async move {
                    talk(stream, socket).await;
                    drop(permit);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(module = socket.module, %error, "cannot accept on a workload socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The semaphore is never closed.
            (Err(_), Ok(_)) => {}
        }
    }
    connections.shutdown().await;
}

async fn talk(stream: UnixStream, socket: Socket) {
    let Socket { module, shared } = socket;
    let peer = match Peer::of(&stream) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(module, %error, "the system does not say who opened a workload socket");
            return;
        }
    };
    let connection = Arc::new(Connection { module, shared, peer, checked: OnceLock::new() });
    let service = hyper::service::service_fn(|request| {
        let connection = Arc::clone(&connection);
        async move { Ok::<_, std::convert::Infallible>(answer::answer(request, connection).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_DEADLINE)
        .max_buf_size(64 * 1024)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // A caller that breaks off has nobody to tell.
    drop(connection.await);
}
