//! The agent's link to its hub: `{device}/$edgeAgent` over MQTT, module identities over HTTPS.
//!
//! Everything goes through values that are watched: the desired configuration and the identities come out, the reported
//! document goes in, and the newest one is what counts. Not here: the connection (`session.rs`), what a configuration means
//! (`reconcile.rs`).

mod identities;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hemline_model::{
    id::{ClientId, DeviceId, ModuleId},
    secret::Secret,
    twin,
};
use hemline_protocol::sas::{SasToken, SymmetricKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub use crate::session::{LinkState, MethodCall};
use crate::{
    module::Identities,
    session::{
        CredentialSource, Credentials, Desired, Ends, Methods, Refused, Report, Reported, Session,
        SessionConfig, Timing,
    },
};
pub use identities::{IdentityClient, IdentityError};

/// How long the answer to a report may take. More than the session's patience, which ends the connection: so no answer comes
/// that is not waited for, and what the hub has is never in doubt on a connection that stands.
const REPORT_DEADLINE: Duration = Duration::from_secs(30);

/// A reported document that the hub did not take is offered again after that long.
const REPORT_AGAIN: Duration = Duration::from_secs(10);

/// Identities that are missing are asked for again after that long, doubling up to the second.
const IDENTITIES_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The desired properties of `$edgeAgent`.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredDocument {
    /// `$version`
    pub version: u64,
    /// Without `$version`.
    pub properties: Map<String, Value>,
}

/// The ends that the uplink works on.
pub struct UplinkEnds {
    /// The newest desired configuration.
    pub desired: watch::Sender<Option<Arc<DesiredDocument>>>,
    /// The newest identities.
    pub identities: watch::Sender<Arc<Identities>>,
    /// What to report.
    pub report: watch::Receiver<Option<Map<String, Value>>>,
    /// What the hub has.
    pub acknowledged: watch::Sender<Option<Map<String, Value>>>,
    /// Direct methods.
    pub methods: mpsc::Sender<MethodCall>,
    /// Is there a connection?
    pub link: watch::Sender<LinkState>,
}

/// Who and where.
#[derive(Clone)]
pub struct UplinkConfig {
    /// The device.
    pub device: DeviceId,
    /// Its key.
    pub key: SymmetricKey,
    /// Name of the hub.
    pub hub_name: String,
    /// Host that is dialled.
    pub host: String,
    /// MQTT port.
    pub mqtt_port: u16,
    /// Trust.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Signs tokens with the device key; they hold for the device and its modules.
pub struct DeviceTokens {
    resource: String,
    key: SymmetricKey,
}

impl DeviceTokens {
    /// For one device of one hub.
    #[must_use]
    pub fn new(hub_name: &str, device: &DeviceId, key: SymmetricKey) -> Self {
        Self { resource: format!("{hub_name}/devices/{device}"), key }
    }

    /// A token that ends at that time.
    #[must_use]
    pub fn sign(&self, expiry: Timestamp) -> String {
        SasToken::sign(&self.key, &self.resource, expiry, None)
    }
}

/// What the agent connects with.
struct DeviceCredentials {
    tokens: DeviceTokens,
    trust: Arc<rustls::ClientConfig>,
}

impl CredentialSource for DeviceCredentials {
    fn fresh(&mut self, life: Duration) -> BoxFuture<'_, Result<Credentials, String>> {
        let now = Timestamp::now();
        let life = SignedDuration::try_from(life).unwrap_or(SignedDuration::ZERO);
        let token = Secret::new(self.tokens.sign(now.saturating_add(life).unwrap_or(now)));
        let trust = Arc::clone(&self.trust);
        Box::pin(async move { Ok(Credentials { token, trust }) })
    }
}

/// Why the hub does not have what was to be reported.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the connection broke before the hub answered")]
    Lost,
    #[error("the hub did not answer within {} s", REPORT_DEADLINE.as_secs())]
    TimedOut,
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Runs the link until `stop`.
pub async fn run(
    config: UplinkConfig,
    identities: IdentityClient,
    ends: UplinkEnds,
    stop: CancellationToken,
) {
    let tokens = DeviceTokens::new(&config.hub_name, &config.device, config.key);
    let session_config = SessionConfig {
        client: ClientId::module(config.device, ModuleId::edge_agent()),
        hub_name: config.hub_name,
        host: config.host,
        port: config.mqtt_port,
        client_type: concat!("hemline-agent/", env!("CARGO_PKG_VERSION")),
        timing: Timing::default(),
    };
    let (told_desired, hub_desired) = watch::channel(Desired::default());
    let (told_reported, hub_reported) = watch::channel(None);
    let (reports, reports_receiver) = mpsc::channel(1);
    let session_ends = Ends {
        link: ends.link,
        desired: told_desired,
        reported: Some(told_reported),
        reports: reports_receiver,
        methods: Some(Methods::new(ends.methods)),
        messages: None,
        stop: stop.clone(),
    };
    let credentials = DeviceCredentials { tokens, trust: config.tls };
    let session = Session::new(session_config, Box::new(credentials), session_ends);
    let uplink = Uplink {
        hub_desired,
        hub_reported,
        reports,
        identity_client: identities,
        desired: ends.desired,
        identities: ends.identities,
        report: ends.report,
        acknowledged: ends.acknowledged,
        reported: None,
        missing_since: None,
    };
    tokio::join!(session.run(), uplink.serve(stop));
}

struct Uplink {
    /// What the session tells.
    hub_desired: watch::Receiver<Desired>,
    hub_reported: watch::Receiver<Option<Reported>>,
    reports: mpsc::Sender<Report>,
    identity_client: IdentityClient,
    desired: watch::Sender<Option<Arc<DesiredDocument>>>,
    identities: watch::Sender<Arc<Identities>>,
    report: watch::Receiver<Option<Map<String, Value>>>,
    acknowledged: watch::Sender<Option<Map<String, Value>>>,
    /// What the hub has; none while that is not known.
    reported: Option<Reported>,
    /// Desired modules without identity: when to ask again, and the pause after that.
    missing_since: Option<(Instant, Duration)>,
}

impl Uplink {
    async fn serve(mut self, stop: CancellationToken) {
        // Whatever is being waited for when the end comes is not worth finishing.
        tokio::select! {
            () = self.listen() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn listen(&mut self) {
        let mut report_again = tokio::time::interval(REPORT_AGAIN);
        report_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ask_identities = self.missing_since.map(|(at, _)| at);
            // Every arm waits for one change and loses nothing when another wins; the work is done after the choice.
            tokio::select! {
                // The first twin of a connection is told by both of the first two: it is taken once.
                biased;
                told = self.hub_reported.changed() => match told {
                    Ok(()) => self.take_twin().await,
                    Err(_) => return,
                },
                told = self.hub_desired.changed() => match told {
                    Ok(()) => self.take_desired().await,
                    Err(_) => return,
                },
                () = at(ask_identities) => self.refresh_identities().await,
                changed = self.report.changed() => match changed {
                    Ok(()) => self.report().await,
                    Err(_) => return,
                },
                _ = report_again.tick() => self.report().await,
            }
        }
    }

    /// A connection is new, and its twin is here, or it is gone. With a new one the identities are asked for again too.
    async fn take_twin(&mut self) {
        self.reported.clone_from(&self.hub_reported.borrow_and_update());
        if self.reported.is_some() {
            self.take_desired().await;
            self.report().await;
        }
    }

    /// Identities first: a new module should find its own when the configuration arrives.
    async fn take_desired(&mut self) {
        let Desired { version, properties } = self.hub_desired.borrow_and_update().clone();
        let Some(version) = version else { return };
        self.missing_since = None;
        let names = module_names(&properties);
        let document = DesiredDocument { version, properties };
        self.desired.send_if_modified(|desired| {
            if desired.as_deref() != Some(&document) {
                *desired = Some(Arc::new(document));
            }
            // Told below, when the identities are here too.
            false
        });
        self.fetch_identities(&names).await;
        self.desired.send_modify(|_| {});
    }

    async fn refresh_identities(&mut self) {
        let names = self.desired.borrow().as_ref().map(|desired| module_names(&desired.properties));
        self.fetch_identities(&names.unwrap_or_default()).await;
    }

    async fn fetch_identities(&mut self, wanted: &[String]) {
        let fetched = self.identity_client.fetch().await;
        if let Ok(identities) = fetched {
            self.identities.send_if_modified(|known| {
                let changed = **known != identities;
                if changed {
                    *known = Arc::new(identities);
                }
                changed
            });
        } else if let Err(error) = fetched {
            tracing::warn!(
                error = crate::causes(&error),
                "cannot fetch module identities; using the known ones"
            );
        }
        let known = self.identities.borrow();
        let complete = wanted.iter().all(|name| known.contains_key(name));
        self.missing_since = if complete {
            None
        } else {
            let pause = self.missing_since.map_or(IDENTITIES_AGAIN.0, |(_, pause)| pause);
            Some((Instant::now() + pause, (pause * 2).min(IDENTITIES_AGAIN.1)))
        };
    }

    /// Sends the difference between what the hub has and what should be there.
    async fn report(&mut self) {
        let wanted = self.report.borrow_and_update().clone();
        let (Some(reported), Some(wanted)) = (&mut self.reported, wanted) else {
            return;
        };
        let patch = twin::diff(&reported.properties, &wanted);
        if !patch.is_empty()
            && let Err(error) = send(&self.reports, reported.connection, patch).await
        {
            tracing::warn!(%error, "the hub did not take the reported properties; trying again");
            return;
        }
        reported.properties.clone_from(&wanted);
        self.acknowledged.send_replace(Some(wanted));
    }
}

async fn send(
    reports: &mpsc::Sender<Report>,
    connection: u64,
    patch: Map<String, Value>,
) -> Result<(), ReportError> {
    let body = Value::Object(patch).to_string().into();
    let (done, answered) = oneshot::channel();
    let sent = async {
        let report = Report { body, connection: Some(connection), done };
        reports.send(report).await.map_err(|_| ReportError::Lost)?;
        Ok(answered.await.map_err(|_| ReportError::Lost)??)
    };
    timeout(REPORT_DEADLINE, sent).await.unwrap_or(Err(ReportError::TimedOut))
}

fn module_names(properties: &Map<String, Value>) -> Vec<String> {
    let modules = properties.get("modules").and_then(Value::as_object);
    modules.into_iter().flat_map(|modules| modules.keys().cloned()).collect()
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
