//! Starting and ending an agent: what is made in which order, and how the tasks come to their end.
//!
//! Not here: anything that happens in between.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc};

use hemline_model::{id::DeviceId, secret::Secret};
use hemline_protocol::sas::{SasError, SymmetricKey};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    methods,
    module::{ModuleKind, RuntimeStatus},
    reconcile::{self, ReconcileEnds, Runtimes, store::Store},
    runtime::{
        Runtime, RuntimeEvent,
        docker::{DockerRuntime, Owner},
        process::ProcessRuntime,
    },
    spec::Site,
    tls::{self, TlsError},
    uplink::{self, DeviceTokens, IdentityClient, IdentityError, LinkState, UplinkConfig, UplinkEnds},
    workload::{RunDir, Workload, WorkloadConfig},
};

/// Events waiting for the loop; one look answers any number of them.
const EVENTS: usize = 32;

/// Everything an agent has to be told.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Which device this is.
    pub device: DeviceId,
    /// Its symmetric key, base64.
    pub device_key: Secret,
    /// `HostName` of the hub: goes into user names and tokens.
    pub hub_name: String,
    /// Host that the agent and its process modules dial (`IOTEDGE_GATEWAYHOSTNAME`).
    pub gateway: String,
    /// DNS name by which containers reach this host: they get it as `IOTEDGE_GATEWAYHOSTNAME` and in their hosts file.
    /// Absent: they dial `gateway`.
    pub container_gateway: Option<String>,
    /// MQTT port.
    pub mqtt_port: u16,
    /// HTTPS port.
    pub https_port: u16,
    /// CA to trust, PEM.
    pub ca_pem: String,
    /// Folder of this agent alone.
    pub data_dir: PathBuf,
    /// Comes first in the PATH of process modules.
    pub search_path: Option<PathBuf>,
    /// Program that supervises one process module when called as `<shim> shim <spec-file>`.
    pub shim: PathBuf,
    /// Socket of a container engine; looked for when absent.
    pub docker: Option<String>,
    /// File with the age keys that open encrypted secrets; without it the usual places ([`crate::secrets`]).
    pub age_key_file: Option<PathBuf>,
    /// On shutdown, stop the modules. Otherwise they go on running and the next agent finds them again.
    pub stop_modules: bool,
}

/// How the agent and its modules are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentStatus {
    /// Is there a connection to the hub?
    pub connected: bool,
    /// `$version` of the configuration that is kept up.
    pub desired_version: Option<u64>,
    /// `lastDesiredVersion`
    pub reported_version: u64,
    /// Code of `lastDesiredStatus`.
    pub code: u16,
    /// Desired modules by name.
    pub modules: Vec<ModuleState>,
    /// What is wrong at the moment.
    pub last_error: Option<String>,
}

/// One module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleState {
    /// Name.
    pub name: String,
    /// Runtime.
    pub kind: ModuleKind,
    /// What it is doing.
    pub status: RuntimeStatus,
    /// Should it run?
    pub desired_running: bool,
    /// Since when it runs, or when it ended.
    pub since: Option<Timestamp>,
    /// Restarts by policy.
    pub restarts: u32,
    /// The runtime's words, or why a command on it failed.
    pub description: String,
}

/// Why an agent cannot start. Everything that can be repaired by waiting is not here.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A folder cannot be used.
    #[error("cannot use the folder {} of the agent of device {device}", path.display())]
    Folder {
        /// Which device.
        device: DeviceId,
        /// Which folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The device key is none.
    #[error("the key of device {device} cannot be used")]
    Key {
        /// Which device.
        device: DeviceId,
        /// The cause.
        source: SasError,
    },
    /// The CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTPS client cannot be made.
    #[error(transparent)]
    Http(#[from] IdentityError),
}

/// A running agent.
pub struct AgentHandle {
    /// How it is.
    pub status: watch::Receiver<AgentStatus>,
    task: JoinHandle<()>,
}

impl AgentHandle {
    /// Waits for the end, which `shutdown` brings about.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the agent broke off");
        }
    }
}

/// Starts an agent. It needs no hub to start: the last good configuration is kept up until there is one.
///
/// # Errors
/// When its folder, key or CA cannot be used.
pub fn start(config: AgentConfig, shutdown: CancellationToken) -> Result<AgentHandle, AgentError> {
    let folder = |path: &PathBuf| {
        let (device, path) = (config.device.clone(), path.clone());
        move |source| AgentError::Folder { device, path, source }
    };
    let data_dir = std::path::absolute(&config.data_dir).map_err(folder(&config.data_dir))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).map_err(folder(&data_dir))?;
    let place = RunDir::open(&data_dir).map_err(folder(&data_dir))?;
    let key = SymmetricKey::from_base64(config.device_key.expose())
        .map_err(|source| AgentError::Key { device: config.device.clone(), source })?;
    let tls = tls::client_config(&config.ca_pem)?;
    let tokens = DeviceTokens::new(&config.hub_name, &config.device, key.clone());
    let identities = IdentityClient::new(&tls, &config.gateway, config.https_port, &config.device, tokens)?;
    let modules = data_dir.join("modules");
    let process = ProcessRuntime::open(modules.clone(), config.shim.clone(), config.search_path.clone())
        .map_err(folder(&modules))?;
    let owner = Owner { device: config.device.to_string(), hub: config.hub_name.clone() };
    let docker = DockerRuntime::new(owner, config.docker.clone());
    let runtimes: Runtimes = [
        (ModuleKind::Docker, Arc::new(docker) as Arc<dyn Runtime>),
        (ModuleKind::Process, Arc::new(process) as Arc<dyn Runtime>),
    ]
    .into();
    let uplink = UplinkConfig {
        device: config.device.clone(),
        key,
        hub_name: config.hub_name.clone(),
        host: config.gateway.clone(),
        mqtt_port: config.mqtt_port,
        tls,
    };
    let (status, status_reader) = watch::channel(AgentStatus::default());
    let site = Site {
        device: config.device.to_string(),
        hub: config.hub_name.clone(),
        gateway: config.gateway.clone(),
        container_gateway: config.container_gateway.clone().unwrap_or_else(|| config.gateway.clone()),
        mqtt_port: config.mqtt_port,
    };
    let parts = Parts {
        site,
        runtimes,
        uplink,
        identities,
        workload: WorkloadConfig {
            place,
            data_dir: data_dir.clone(),
            processes: modules,
            hub: config.hub_name,
            device: config.device.to_string(),
            ca_pem: config.ca_pem,
        },
        store: Store::new(data_dir).with_age_keys(config.age_key_file),
    };
    let task = tokio::spawn(run(parts, status, config.stop_modules, shutdown));
    Ok(AgentHandle { status: status_reader, task })
}

struct Parts {
    site: Site,
    runtimes: Runtimes,
    uplink: UplinkConfig,
    identities: IdentityClient,
    workload: WorkloadConfig,
    store: Store,
}

async fn run(
    parts: Parts,
    status: watch::Sender<AgentStatus>,
    stop_modules: bool,
    shutdown: CancellationToken,
) {
    let Parts { site, runtimes, uplink, identities, workload, store } = parts;
    // What the loop needs to say goodbye ends after it.
    let later = CancellationToken::new();
    let (desired_in, desired) = watch::channel(store.load_config().map(Arc::new));
    let (identities_in, known_identities) = watch::channel(Arc::new(store.load_identities()));
    let (report, report_out) = watch::channel(None);
    let (acknowledged_in, acknowledged) = watch::channel(None);
    let (link_in, link) = watch::channel(LinkState::default());
    let (methods_in, calls) = mpsc::channel(EVENTS);
    let (events_in, events) = mpsc::channel(EVENTS);
    let ends = UplinkEnds {
        desired: desired_in,
        identities: identities_in,
        report: report_out,
        acknowledged: acknowledged_in,
        methods: methods_in,
        link: link_in,
    };
    let (hub, device) = (site.hub.clone(), site.device.clone());
    let workload = Workload::new(workload, later.clone());
    let ends_of_loop =
        ReconcileEnds { desired, identities: known_identities, link, events, report, acknowledged, status };
    let reconciler = reconcile::prepare(site, runtimes.clone(), workload, store, ends_of_loop);
    let looping = async {
        reconciler.run(shutdown, stop_modules).await;
        later.cancel();
    };
    tokio::join!(
        looping,
        uplink::run(uplink, identities, ends, later.clone()),
        methods::serve(runtimes.clone(), hub, device, calls, later.clone()),
        watch_runtimes(&runtimes, events_in, &later),
    );
}

async fn watch_runtimes(runtimes: &Runtimes, sender: mpsc::Sender<RuntimeEvent>, stop: &CancellationToken) {
    let watches = runtimes.values().map(|runtime| runtime.events(sender.clone(), stop.clone()));
    futures_util::future::join_all(watches).await;
}
