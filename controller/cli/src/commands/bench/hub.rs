//! `hem bench hub`: all loads, on devices that are made for it and removed again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hemline_model::id::ClientId;
use hemline_protocol::{properties::Properties, topic};
use jiff::Timestamp;
use tokio::net::lookup_host;

use super::{Common, bounded};
use crate::{
    args::{Args, BenchHub, LoadKind},
    client::HubClient,
    data_dir,
    error::CommandError,
    load::{
        self, Actor, Identities, Known, Lanes, LoadError, Meter, Removed, Report, Row, Security, Sessions,
        Target,
    },
};

/// Tokens outlive the longest run by far.
const TOKEN_LIFE: Duration = Duration::from_secs(2 * 86_400);
/// Devices whose methods are called in turn.
const CALLED: usize = 100;
/// How often one device comes back: a hub turns away an identity that comes more often than about a hundred times in a row.
const RETURNS: u32 = 50;
/// Where Azure's SDKs dial.
const MQTT: u16 = 8883;

/// Loads the hub, and removes what was made for it whatever came of it.
pub(super) async fn run(args: &Args, typed: &BenchHub) -> Result<Report, CommandError> {
    if typed.load.connects > typed.load.sessions.saturating_mul(RETURNS)
        && typed.load.wants(LoadKind::Connects)
    {
        return Err(CommandError::Usage(format!(
            "--connects is more than {RETURNS} times --sessions; a hub does not let one device in so often"
        )));
    }
    let hub = find(args, typed.load.allow_remote).await?;
    let name = hub.host().rsplit_once(':').map_or(hub.host(), |(name, _)| name).to_owned();
    let local = match &args.server {
        Some(_) => None,
        None => Some(data_dir::discover(&args.data_dir)?.0),
    };
    let port = typed.mqtt_port.or(local.as_ref().map(|endpoint| endpoint.mqtt)).unwrap_or(MQTT);
    let server = typed.load.server_pid.or(local.map(|endpoint| endpoint.pid));
    let (host, port, security) = match typed.plain_mqtt_port {
        // A hub speaks so on loopback only, whatever its name is.
        Some(port) => ("127.0.0.1", port, Security::Plain),
        None => (&*name, port, Security::tls(hub.ca_pem(), &name)?),
    };
    let host = typed.host.as_deref().unwrap_or(host);
    let target = Target::find(host, port, security, typed.load.allow_remote).await?;
    let mut common = Common::new(&typed.load, target, server)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut identities = Identities::new(&hub, since.as_secs());
    let expiry = Timestamp::now() + TOKEN_LIFE;
    let play = Play { hub: &hub, name: &name, expiry, typed };
    let outcome = bounded(&typed.load, play.all(&mut common, &mut identities)).await;
    let removed = identities.remove().await;
    outcome?;
    common.report.identities = Some(removed);
    Ok(common.report)
}

/// Removes devices of runs that were killed.
pub(super) async fn remove_leftovers(args: &Args) -> Result<Removed, CommandError> {
    // Nothing is loaded, so it may be anywhere.
    Identities::remove_leftovers(&HubClient::find(args)?).await
}

/// The hub whose service API is used. That of another machine is not filled with devices by accident either.
async fn find(args: &Args, allow_remote: bool) -> Result<HubClient, CommandError> {
    let hub = HubClient::find(args)?;
    let (host, port) = hub.authority();
    let unknown = |source| LoadError::Unknown { host: host.to_owned(), source };
    for address in lookup_host((host, port)).await.map_err(unknown)? {
        if !allow_remote && !address.ip().to_canonical().is_loopback() {
            return Err(LoadError::Remote { address }.into());
        }
    }
    Ok(hub)
}

/// The loads of one run.
struct Play<'a> {
    hub: &'a HubClient,
    name: &'a str,
    expiry: Timestamp,
    typed: &'a BenchHub,
}

impl Play<'_> {
    async fn all(
        &self,
        common: &mut Common<'_>,
        identities: &mut Identities<'_>,
    ) -> Result<(), CommandError> {
        let load = &self.typed.load;
        let listening = [LoadKind::Idle, LoadKind::Patches, LoadKind::Methods].map(|kind| load.wants(kind));
        if listening.contains(&true) || load.wants(LoadKind::Connects) {
            let begun = Meter::start(None);
            let devices = identities.make_devices(load.sessions as usize).await?;
            tracing::info!(devices = devices.len(), took = ?begun.elapsed(), "the devices of the load are made");
            let actors: Arc<[Actor]> = devices
                .iter()
                .map(|(client, key)| {
                    let actor = Actor::of_hub(self.name, client, key, self.expiry);
                    actor.listening_to(load::device_filters())
                })
                .collect();
            if listening.contains(&true) {
                let mut sessions = common.idle(&actors).await?;
                self.service(common, &mut sessions, &devices).await?;
                common.close(sessions).await;
            }
            if load.wants(LoadKind::Connects) {
                common.connects(&actors).await?;
            }
        }
        if load.wants(LoadKind::Telemetry) {
            self.telemetry(common, identities).await?;
        }
        Ok(())
    }

    /// What the service side asks of devices that are there.
    async fn service(
        &self,
        common: &mut Common<'_>,
        sessions: &mut Sessions,
        devices: &[Known],
    ) -> Result<(), CommandError> {
        let names: Vec<&str> = devices.iter().map(|(client, _)| client.device.as_str()).collect();
        if common.load.wants(LoadKind::Patches) {
            let names = &names[..names.len().min(self.typed.patched as usize)];
            let meter = Meter::start(common.server);
            let patched = load::patches(self.hub, sessions, names, 1, common.lanes()).await?;
            let (what, count) = ("twin changed, to the device".to_owned(), patched.reached as u64);
            let shares = meter.shares();
            common.report.rows.push(Row::rate(
                "patches",
                what,
                count,
                patched.took,
                shares,
                &patched.latency,
            ));
            if patched.reached < names.len() {
                let deaf = names.len() - patched.reached;
                common.report.missing += deaf;
                common.report.notes.push(format!("{deaf} devices did not hear of their change"));
            }
        }
        if common.load.wants(LoadKind::Methods) {
            let names = &names[..names.len().min(CALLED)];
            let meter = Meter::start(common.server);
            let lanes = Lanes(self.typed.callers as usize);
            let calls = load::calls(self.hub, names, self.typed.calls as usize, lanes).await?;
            let (what, count) = ("direct method and its answer".to_owned(), calls.latency.total());
            let shares = meter.shares();
            common.report.rows.push(Row::rate("methods", what, count, calls.took, shares, &calls.latency));
        }
        Ok(())
    }

    /// Modules of an edge device send, a route leads to another module.
    async fn telemetry(
        &self,
        common: &mut Common<'_>,
        identities: &mut Identities<'_>,
    ) -> Result<(), CommandError> {
        let mut modules = identities.make_edge(common.load.senders as usize).await?;
        let actor = |(client, key): &Known| Actor::of_hub(self.name, client, key, self.expiry);
        let Some(sink) = modules.pop() else { return Ok(()) };
        let receiver = actor(&sink).listening_to([inputs_of(&sink.0)]);
        let output = |client: &ClientId| {
            let mut properties = Properties::default();
            properties.system.output_name = Some("load".to_owned());
            topic::telemetry(client, &properties)
        };
        let senders = modules.iter().map(|known| (actor(known), output(&known.0))).collect();
        common.telemetry(senders, &receiver, "the module that a route leads to").await
    }
}

/// The filter of all inputs of a module.
fn inputs_of(client: &ClientId) -> String {
    let module = client.module.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("devices/{}/modules/{module}/inputs/#", client.device)
}
