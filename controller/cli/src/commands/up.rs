//! `hem up PATH`: hub, controller, agents and modules in one process, until Ctrl-C.
//!
//! Start order: data directory, certificates, hub, controller, agents. Stop order: agents (with their modules),
//! controller, hub. Each part gets its own cancellation token, so that order is kept.

mod agents;
mod names;
mod progress;
mod screen;
mod source;
mod sources;
mod upstream;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use hemline_api::ApiState;
use hemline_hub::{Hub, HubConfig, HubHandle, pki, upstream::UpstreamConfig};
use hemline_hub_core::service::{ServiceReply, ServiceRequest};
use hemline_reconcile::ControllerHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::names::CONTAINER_GATEWAY;
use self::{agents::Agents, names::Names, progress::Progress};
use crate::{
    args::{Args, Up},
    data_dir::{DataDir, EndpointFile},
    error::CommandError,
};

/// Longest wait for modules before the screen is shown all the same: it then says what does not run.
const SETTLE: Duration = Duration::from_secs(20);

/// Brings everything up, waits for Ctrl-C, takes everything down.
pub(crate) async fn run(args: &Args, up: &Up) -> Result<(), CommandError> {
    let signals = Signals::install()?;
    let data_dir = DataDir::open(&args.data_dir)?;
    let parent = upstream::parent(&up.upstream)?;
    let names = Names::choose(up, parent.as_ref()).await?;
    let progress = Progress::start();

    progress.step("hub");
    let mut fleet = Running::start(up, parent, &data_dir, &names).await?;
    let outcome = fleet.settle_and_watch(&data_dir, &names, progress, signals).await;
    data_dir.withdraw();
    let stopped = fleet.stop().await;
    outcome.and(stopped)
}

/// The parts that run, in start order.
struct Running {
    hub: Hub,
    hub_stop: CancellationToken,
    controller: ControllerHandle,
    controller_stop: CancellationToken,
    agents: Option<Agents>,
}

impl Running {
    async fn start(
        up: &Up,
        parent: Option<UpstreamConfig>,
        data_dir: &DataDir,
        names: &Names,
    ) -> Result<Self, CommandError> {
        crate::open_files::ask_for_all();
        let source = source::open(&up.source, data_dir)?;
        let hooks = source::hooks(&up.source)?;
        let pki = pki::open(data_dir.path(), &names.certificate, jiff::Timestamp::now())
            .map_err(|error| CommandError::part("the certificate authority", error))?;
        let hub_stop = CancellationToken::new();
        let controller_cell = Arc::new(OnceLock::new());
        let only = parent.as_ref().map(|parent| parent.device.clone());
        let config = HubConfig {
            mqtt: names.mqtt_addresses(),
            plain_mqtt: names.plain_mqtt_port,
            https: names.https_addresses(),
            core: hemline_hub_core::limits::Limits {
                token_grace_seconds: i64::from(up.token_grace),
                ..hemline_hub_core::limits::Limits::default()
            },
            upstream: parent,
            ..HubConfig::new(data_dir.path(), names.hub.clone(), pki.server_config())
        };
        let api_cell = Arc::clone(&controller_cell);
        let api = move |hub: HubHandle| {
            hemline_api::router(ApiState { hub, controller: api_cell, hooks: Arc::new(hooks) })
        };
        let hub = Hub::start(config, api, hub_stop.clone())
            .await
            .map_err(|error| CommandError::part("the hub", error))?;

        let controller_stop = CancellationToken::new();
        let options = hemline_reconcile::Options {
            hold: up.hold,
            ..hemline_reconcile::Options::new(data_dir.path().join("last-good"))
        };
        let controller = hemline_reconcile::start(source, hub.handle(), options, controller_stop.clone());
        // The cell is ours alone and set once, here.
        drop(controller_cell.set(controller.view()));

        let agents = (!up.no_agents).then(|| {
            let ca_pem = pki.ca_pem.clone();
            Agents::start(hub.handle(), agents::Template::new(up, data_dir, names, ca_pem, only))
        });
        Ok(Self { hub, hub_stop, controller, controller_stop, agents })
    }

    /// Shows progress until the modules run, then the screen, then one line per change until Ctrl-C.
    async fn settle_and_watch(
        &mut self,
        data_dir: &DataDir,
        names: &Names,
        progress: Progress,
        mut signals: Signals,
    ) -> Result<(), CommandError> {
        let hub = self.hub.handle();
        let owner = owner_connection_string(&hub, names).await?;
        let endpoint = EndpointFile {
            host_name: names.advertised.clone(),
            mqtt: names.mqtt_port,
            https: names.https_port,
            pid: std::process::id(),
        };
        data_dir.announce(&endpoint, &owner)?;

        let mut view = self.controller.view();
        let settled = tokio::select! {
            // Cancel-safe: only reads.
            rows = progress.until_settled(&hub, &view, SETTLE) => Some(rows),
            () = signals.stop() => None,
            // Cancel-safe: waits for the hub to end by itself.
            () = self.hub.stopped() => None,
        };
        progress.finish();
        let Some(settled) = settled else { return Ok(()) };
        screen::show(&screen::Facts {
            names,
            data_dir: data_dir.path(),
            owner: &owner,
            report: view.latest(),
            settled: &settled,
            hub: &hub,
        })
        .await?;
        tokio::select! {
            // Cancel-safe: prints whole lines.
            outcome = screen::follow(&mut view) => outcome,
            () = signals.stop() => Ok(()),
            () = self.hub.stopped() => Ok(()),
        }
    }

    /// Agents first, so that their last report reaches the hub; the hub last.
    async fn stop(self) -> Result<(), CommandError> {
        if let Some(agents) = self.agents {
            agents.stop().await;
        }
        self.controller_stop.cancel();
        self.controller.join().await;
        self.hub_stop.cancel();
        self.hub.join().await.map_err(|error| CommandError::part("the hub", error))
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> Result<Self, CommandError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(CommandError::Runtime)?,
            terminate: signal(SignalKind::terminate()).map_err(CommandError::Runtime)?,
        })
    }

    /// Cancel-safe: a signal that came stays noted.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What tools and back ends connect with. Service SDKs take a port in the host name, so it stands there when it is not 443.
async fn owner_connection_string(hub: &HubHandle, names: &Names) -> Result<String, CommandError> {
    match hub.call(ServiceRequest::GetPolicy("iothubowner".to_owned())).await {
        Ok(ServiceReply::Policy(policy)) => Ok(format!(
            "HostName={};SharedAccessKeyName=iothubowner;SharedAccessKey={}",
            crate::client::with_port(&names.advertised, names.https_port),
            policy.primary_key
        )),
        Ok(_) => Err(CommandError::BadAnswer { url: names.advertised.clone(), what: "no policy".to_owned() }),
        Err(error) => Err(CommandError::part("the hub", error)),
    }
}
