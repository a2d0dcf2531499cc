//! Start and stop of a hub. One path down: heads close, the task answers who still waits, the writer commits what is
//! queued, and only then `join` returns.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::Router;
use hemline_hub_core::{
    core::{Core, CoreConfig},
    event::Entropy,
    upstream::Parent,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::HubConfig,
    device_ca,
    door::Door,
    error::HubError,
    files::{self, FileStore},
    handle::{HubHandle, entropy},
    head::{
        HeadCounters,
        http::{self, Rest},
        https::{self, HttpsHead},
        mqtt::{self, MqttHead, listener::Greeting},
        refusals::Refusals,
        websocket::WebSockets,
    },
    mailbox::Mailbox,
    outbox::Outbox,
    store::{SqliteStore, Store},
    task::{Clock, Task},
    tls::Handshakes,
    upstream::Upstream,
    writer::{self, Job, Writer},
    x509::DeviceAuthorities,
};

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    handle: HubHandle,
    mqtt: Vec<SocketAddr>,
    plain_mqtt: Option<SocketAddr>,
    https: Vec<SocketAddr>,
    ended: CancellationToken,
    stopped: JoinHandle<Result<(), HubError>>,
}

impl Hub {
    /// Opens the store in the data directory, listens and serves until `shutdown`. `extra` makes the router for paths
    /// that are not IoT Hub's.
    ///
    /// # Errors
    /// When the store cannot be opened or an address is taken; nothing is left running then.
    pub async fn start(
        config: HubConfig,
        extra: impl FnOnce(HubHandle) -> Router,
        shutdown: CancellationToken,
    ) -> Result<Self, HubError> {
        let path = config.data_dir.join(SqliteStore::FILE);
        let store = spawn_blocking(move || SqliteStore::open(&path)).await;
        let store = store.map_err(|_| HubError::Defect("store"))??;
        Self::start_on(Box::new(store), config, extra, shutdown).await
    }

    /// The same on a store of the caller's.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_on(
        mut store: Box<dyn Store>,
        config: HubConfig,
        extra: impl FnOnce(HubHandle) -> Router,
        shutdown: CancellationToken,
    ) -> Result<Self, HubError> {
        if config.names.is_empty() {
            return Err(HubError::Config(
                "the hub has no name; give at least the one that clients connect to",
            ));
        }
        let loaded = spawn_blocking(move || store.load().map(|restored| (store, restored))).await;
        let (store, restored) = loaded.map_err(|_| HubError::Defect("store"))??;
        let (folder, bounds) = (config.data_dir.join("files"), config.files.clone());
        let opened =
            spawn_blocking(move || FileStore::open(&folder, bounds).map_err(|error| (folder, error))).await;
        let opened = opened.map_err(|_| HubError::Defect("files"))?;
        let files = Arc::new(opened.map_err(|(path, source)| HubError::Files { path, source })?);
        let (folder, known) = folder_of_authorities(&config).await?;
        let (known, authorities) = watch::channel(known);
        let mqtt = Listeners::bind("MQTT", &config.mqtt)?;
        let loopback = config.plain_mqtt.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let plain = Listeners::bind("plain MQTT", loopback.as_slice())?;
        let https = Listeners::bind("HTTPS", &config.https)?;
        // A child: when the hub fails it stops itself, and its owner hears of that from `join`.
        let stop = shutdown.child_token();
        let heads = Arc::<HeadCounters>::default();
        let outbox = Outbox::new(&config.limits, heads.clone());
        let parent = config.upstream.as_ref();
        let core_config = CoreConfig {
            names: config.names.clone(),
            limits: config.core.clone(),
            change_events: false,
            calls_from: first_call()?,
            parent: parent.map(|up| Parent { device: up.device.clone(), dialect: up.dialect }),
        };
        let mut core = Core::restore(core_config, restored);
        let first = core.bootstrap(policy_entropy()?);
        let (writer, jobs) = writer::start(store, outbox.clone(), stop.clone())?;
        let (mailbox, mail) = Mailbox::new();
        let (counted, counters) = watch::channel(core.counters().clone());
        let handle = HubHandle {
            mailbox,
            outbox: outbox.clone(),
            jobs: jobs.downgrade(),
            counters,
            heads,
            names: config.names.clone().into(),
            files,
        };
        if !first.is_empty() && jobs.send(Job::Effects(first)).await.is_err() {
            // The very first commit failed; the writer knows why.
            return Err(writer.join().await.err().unwrap_or(HubError::Defect("writer")));
        }
        let finish = CancellationToken::new();
        let task = tokio::spawn(
            Task { core, clock: Clock::start(), mail, jobs, counters: counted, finish: finish.clone() }.run(),
        );
        let tasks = TaskTracker::new();
        tasks.spawn(device_ca::watch(folder, known, stop.clone()));
        let addresses = (mqtt.addresses.clone(), https.addresses.clone());
        let plain_mqtt = plain.addresses.first().copied();
        let entrance = Entrance { mqtt, plain, https, authorities };
        serve(&config, &handle, extra(handle.clone()), entrance, &tasks, &stop);
        tracing::info!(mqtt = ?addresses.0, https = ?addresses.1, "the hub serves");
        let limits = config.limits;
        let ended = stop.clone();
        let stopped = tokio::spawn(async move {
            stop.cancelled().await;
            let parts = Running { finish, task, tasks, writer };
            parts.stop(&limits).await
        });
        Ok(Self { handle, mqtt: addresses.0, plain_mqtt, https: addresses.1, ended, stopped })
    }

    /// For the rest of the process.
    #[must_use]
    pub fn handle(&self) -> HubHandle {
        self.handle.clone()
    }

    /// Waits until the hub begins to stop, by itself or because it was told to. Cancel-safe.
    pub async fn stopped(&self) {
        self.ended.cancelled().await;
    }

    /// Where MQTT is listened to, with real ports.
    #[must_use]
    pub fn mqtt_addr(&self) -> &[SocketAddr] {
        &self.mqtt
    }

    /// Where MQTT without TLS is listened to, if anywhere.
    #[must_use]
    pub fn plain_mqtt_addr(&self) -> Option<SocketAddr> {
        self.plain_mqtt
    }

    /// Where HTTPS is listened to, with real ports.
    #[must_use]
    pub fn https_addr(&self) -> &[SocketAddr] {
        &self.https
    }

    /// Waits until the hub has stopped: after `shutdown`, or by itself when its store failed. Everything accepted is
    /// on disk then and no task is left. Cancel-safe is only the waiting: the hub goes on without it.
    ///
    /// # Errors
    /// Why the hub stopped by itself.
    pub async fn join(self) -> Result<(), HubError> {
        self.stopped.await.unwrap_or(Err(HubError::Defect("supervisor")))
    }
}

/// Connections that wait to be accepted, as many as the kernel commonly grants.
const BACKLOG: u32 = 1024;

/// Sockets of one head.
struct Listeners {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// The first address must be free. A further one may belong to somebody else, then the hub goes on without it, or
    /// to a network that is not up yet.
    fn bind(head: &'static str, wanted: &[SocketAddr]) -> Result<Self, HubError> {
        let mut bound = Self { sockets: Vec::new(), addresses: Vec::new() };
        for (place, address) in wanted.iter().enumerate() {
            let opened = listen(*address, place > 0).and_then(|socket| Ok((socket.local_addr()?, socket)));
            match opened {
                Ok((address, socket)) => {
                    bound.addresses.push(address);
                    bound.sockets.push(socket);
                }
                Err(source) if place == 0 => {
                    return Err(HubError::Listen { head, address: *address, source });
                }
                Err(error) => {
                    tracing::warn!(head, %address, %error, "the hub does not listen on a further address");
                }
            }
        }
        Ok(bound)
    }
}

/// Opens a listener; `early` also on an address that this machine does not have yet, such as that of a container
/// network without containers.
fn listen(address: SocketAddr, early: bool) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if early && address.is_ipv4() {
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn policy_entropy() -> Result<[Entropy; 5], HubError> {
    Ok([drawn()?, drawn()?, drawn()?, drawn()?, drawn()?])
}

fn drawn() -> Result<Entropy, HubError> {
    entropy().map_err(|error| HubError::System { what: "random numbers", source: error.into() })
}

/// Where the numbers of calls begin: 40 random bits, which leaves room for as many calls as ever come, and for a short text.
fn first_call() -> Result<u64, HubError> {
    let Entropy([a, b, c, d, e, ..]) = drawn()?;
    Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, 0]))
}

/// The folder of authorities, and what is in it now: a device that comes first must not be the one that is refused.
async fn folder_of_authorities(
    config: &HubConfig,
) -> Result<(device_ca::Folder, Arc<DeviceAuthorities>), HubError> {
    let mut folder = device_ca::Folder::new(config.device_ca.clone());
    let looked = spawn_blocking(move || {
        let known = folder.look().unwrap_or_default();
        (folder, Arc::new(known))
    });
    looked.await.map_err(|_| HubError::Defect("device authorities"))
}

/// Where clients come in, and by what certificates are judged.
struct Entrance {
    mqtt: Listeners,
    plain: Listeners,
    https: Listeners,
    authorities: watch::Receiver<Arc<DeviceAuthorities>>,
}

/// Starts the accept loops.
fn serve(
    config: &HubConfig,
    handle: &HubHandle,
    extra: Router,
    entrance: Entrance,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let Entrance { mqtt, plain, https, authorities } = entrance;
    let limits = Arc::new(config.limits.clone());
    let mqtt_head = Arc::new(MqttHead {
        mailbox: handle.mailbox.clone(),
        outbox: handle.outbox.clone(),
        limits: config.limits.clone(),
        counters: handle.heads.clone(),
        refusals: Refusals::default(),
        door: Door::new(limits.door.clone()),
    });
    let places = Arc::new(Semaphore::new(limits.mqtt_connections));
    let shaken = mqtt.sockets.into_iter().map(|socket| {
        (socket, Greeting::Tls(Handshakes::new(config.tls.clone(), &limits, authorities.clone())))
    });
    let bare = plain.sockets.into_iter().map(|socket| (socket, Greeting::Plain(authorities.clone())));
    for (socket, greeting) in shaken.chain(bare) {
        let (head, places) = (mqtt_head.clone(), places.clone());
        tasks.spawn(mqtt::listener::serve(socket, head, greeting, places, tasks.clone(), stop.clone()));
    }
    let websockets = WebSockets { mqtt: mqtt_head, places, tasks: tasks.clone(), stop: stop.clone() };
    tasks.spawn(files::sweep(handle.files.clone(), stop.clone()));
    if let Some(upstream) = config.upstream.clone() {
        let link = Upstream {
            config: upstream,
            mailbox: handle.mailbox.clone(),
            outbox: handle.outbox.clone(),
            packet_bytes: limits.packet_bytes,
        };
        tasks.spawn(link.keep(stop.clone()));
    }
    let rest = Rest {
        hub: handle.clone(),
        limits: limits.clone(),
        message_bytes: config.core.message_bytes,
        counters: handle.heads.clone(),
        https_port: https.addresses.first().map_or(443, SocketAddr::port),
    };
    let router = http::router(rest, extra);
    let places = Arc::new(Semaphore::new(limits.https_connections));
    for socket in https.sockets {
        let head = HttpsHead {
            router: router.clone(),
            hub: handle.clone(),
            handshakes: Handshakes::new(config.tls.clone(), &limits, authorities.clone()),
            limits: limits.clone(),
            counters: handle.heads.clone(),
            websockets: websockets.clone(),
        };
        tasks.spawn(https::serve(socket, head, places.clone(), tasks.clone(), stop.clone()));
    }
}

/// Everything that has to end.
struct Running {
    finish: CancellationToken,
    task: JoinHandle<()>,
    tasks: TaskTracker,
    writer: Writer,
}

impl Running {
    async fn stop(self, limits: &crate::config::Limits) -> Result<(), HubError> {
        self.tasks.close();
        // Every connection has its own, shorter deadlines; this one only guards against a defect.
        let patience = limits.drain * 2;
        if timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = self.tasks.len(),
                "connections did not end in time, the hub stops without them"
            );
        }
        self.finish.cancel();
        let task = self.task.await;
        let written = self.writer.join().await;
        if timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::error!(connections = self.tasks.len(), "connections outlive the hub");
        }
        written?;
        task.map_err(|_| HubError::Defect("task"))
    }
}
