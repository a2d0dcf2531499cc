//! The session of one client with its hub: dials, keeps a connection as long as it lasts, dials again.
//!
//! One for the agent's own link (`uplink.rs`) and for modules (`edge_client.rs`): they differ in who signs for them
//! ([`CredentialSource`]) and in what they take part in ([`Ends`]). What outlives a connection is kept here:
//! unacknowledged outputs, the report under way, the desired properties, methods being answered. Not here: what happens
//! on one connection (`connection.rs`).

mod connection;
mod desired;
mod inputs;
mod methods;
mod outbox;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hemline_model::{id::ClientId, secret::Secret};
use hemline_protocol::username::{API_VERSION, Username};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, EventLoop, MqttOptions, NetworkOptions,
    TlsConfiguration, Transport,
};
use serde_json::{Map, Value};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

pub use desired::Desired;
pub use inputs::{InputMessage, Inputs};
pub use methods::MethodCall;

pub(crate) use inputs::channel as input_channel;
pub(crate) use methods::Methods;
pub(crate) use outbox::Output;

use crate::causes;
use connection::End;
use desired::Follower;
use inputs::InputSink;
use outbox::Outbox;

/// As the Python client (reference device-protocol §3.3).
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Seconds for TCP, TLS and the hub's answer to CONNECT together.
const DIAL_SECONDS: u64 = 10;

/// Largest packet either way: 256 KiB of body, a topic, a header.
const LARGEST_PACKET: usize = 336 * 1024;

/// Requests that may wait for the socket: the window of outputs, acknowledgements of inputs, answers to methods, twin
/// requests.
const REQUESTS: usize = 128;

/// Packet ids in use at once at the most; they go round after that many.
const PACKET_IDS: u16 = 64;

/// A refused identity is not asked about every few moments.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// How long things take; tests take less.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Life of a token (reference device-protocol §3.1).
    pub(crate) token_life: Duration,
    /// How long before its end a token is replaced (reference device-protocol §3.6).
    pub(crate) renew_before: Duration,
    /// Pause before the second attempt to connect; it doubles with each.
    pub(crate) first_pause: Duration,
    /// It does not grow beyond.
    pub(crate) longest_pause: Duration,
    /// A connection on which the hub owes an answer for so long is given up.
    pub(crate) patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            token_life: Duration::from_secs(3600),
            renew_before: Duration::from_secs(120),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            patience: Duration::from_secs(20),
        }
    }
}

/// Where and as whom to connect.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    /// Who connects.
    pub(crate) client: ClientId,
    /// Name of the hub: stands in the user name.
    pub(crate) hub_name: String,
    /// Host that is dialled.
    pub(crate) host: String,
    /// MQTT port.
    pub(crate) port: u16,
    /// What the client tells about itself.
    pub(crate) client_type: &'static str,
    /// How long things take.
    pub(crate) timing: Timing,
}

/// What one connection is made with.
pub(crate) struct Credentials {
    /// Proves to the hub who the client is.
    pub(crate) token: Secret,
    /// Proves to the client who the hub is.
    pub(crate) trust: Arc<rustls::ClientConfig>,
}

/// Gives what connections are made with.
pub(crate) trait CredentialSource: Send {
    /// Fresh ones, with a token that is valid from now on for `life`; or in words why there are none.
    fn fresh(&mut self, life: Duration) -> BoxFuture<'_, Result<Credentials, String>>;
}

/// State of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Connected and subscribed.
    pub connected: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Reported properties as the hub had them when the twin was read.
#[derive(Debug, Clone)]
pub(crate) struct Reported {
    /// On which connection that was.
    pub(crate) connection: u64,
    /// Without `$version`.
    pub(crate) properties: Map<String, Value>,
}

/// A patch of reported properties on its way.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) body: Bytes,
    /// A patch made for what was [`Reported`] on one connection is good on no other. Without it, it goes on any.
    pub(crate) connection: Option<u64>,
    /// Dropped when its connection is gone.
    pub(crate) done: oneshot::Sender<Result<(), Refused>>,
}

/// The hub said no to a patch of reported properties.
#[derive(Debug, thiserror::Error)]
#[error("the hub answered {status}: {message}")]
pub(crate) struct Refused {
    /// 400, 412, 429 …
    pub(crate) status: u16,
    /// Its words.
    pub(crate) message: String,
}

/// The session's ends of its channels.
pub(crate) struct Ends {
    /// Is there a connection?
    pub(crate) link: watch::Sender<LinkState>,
    /// The desired properties.
    pub(crate) desired: watch::Sender<Desired>,
    /// The reported properties when the twin was first read on a connection, told after the desired ones; none before.
    /// What they become from then on the client knows itself.
    pub(crate) reported: Option<watch::Sender<Option<Reported>>>,
    /// What to report.
    pub(crate) reports: mpsc::Receiver<Report>,
    /// Direct methods, for a client that answers them.
    pub(crate) methods: Option<Methods>,
    /// Outputs and inputs, for a module.
    pub(crate) messages: Option<Messages>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
}

/// A module's outputs and inputs.
pub(crate) struct Messages {
    pub(crate) outputs: mpsc::Receiver<Output>,
    pub(crate) inputs: InputSink,
    /// Whether to subscribe to inputs.
    pub(crate) inputs_wanted: watch::Receiver<bool>,
    /// The filter to subscribe then.
    pub(crate) inputs_filter: String,
}

/// What a module wants of the connection.
enum Wish {
    Send(Output),
    /// An input is dealt with: this packet id.
    Acknowledge(u16),
    SubscribeInputs,
}

/// Everything that outlives a connection.
pub(crate) struct Session {
    config: SessionConfig,
    credentials: Box<dyn CredentialSource>,
    ends: Ends,
    outbox: Outbox,
    report: Option<Report>,
    follower: Follower,
    /// Counts connections.
    connection: u64,
}

/// A connection that the hub has accepted.
struct Line {
    requests: AsyncClient,
    events: EventLoop,
    /// When the token has to be replaced.
    renew_at: Instant,
}

impl Report {
    /// Nobody waits for it any more, or it is too late for it.
    fn is_void(&self, connection: u64) -> bool {
        self.done.is_closed() || self.connection.is_some_and(|good_on| good_on != connection)
    }
}

impl Messages {
    /// The next wish; outputs only while there is `room`. Can be cancelled.
    async fn next(&mut self, room: bool) -> Wish {
        tokio::select! {
            packet = self.inputs.next_ack() => Wish::Acknowledge(packet),
            Some(output) = self.outputs.recv(), if room => Wish::Send(output),
            Ok(()) = self.inputs_wanted.changed() => Wish::SubscribeInputs,
        }
    }
}

impl Session {
    /// Makes a session. Does not connect.
    pub(crate) fn new(config: SessionConfig, credentials: Box<dyn CredentialSource>, ends: Ends) -> Self {
        Self {
            config,
            credentials,
            ends,
            outbox: Outbox::default(),
            report: None,
            follower: Follower::default(),
            connection: 0,
        }
    }

    /// Keeps the client connected until it is stopped.
    pub(crate) async fn run(mut self) {
        let stop = self.ends.stop.clone();
        let longest_pause = self.config.timing.longest_pause;
        let mut pause = self.config.timing.first_pause;
        loop {
            let dialled = tokio::select! {
                () = stop.cancelled() => return,
                dialled = self.dial() => dialled,
            };
            let begun = Instant::now();
            let end = match dialled {
                Ok(line) => self.serve(line).await,
                Err(end) => end,
            };
            self.disconnected();
            let (reason, shortest) = match end {
                End::Stopped => return,
                End::Renewal => continue,
                End::Refused(reason) => (reason, REFUSED_PAUSE),
                End::Broken(reason) => (reason, Duration::ZERO),
            };
            self.down(reason);
            // Only a connection that lasted starts the pauses anew, else two clients with one identity race each other.
            if begun.elapsed() > longest_pause {
                pause = self.config.timing.first_pause;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(jittered(pause.max(shortest))) => {}
            }
            pause = (pause * 2).min(longest_pause);
        }
    }

    /// What belonged to the connection is over.
    fn disconnected(&mut self) {
        self.connection += 1;
        self.outbox.disconnected();
        self.follower.reconnected();
        self.report.take_if(|report| report.is_void(self.connection));
        if let Some(messages) = &mut self.ends.messages {
            messages.inputs.disconnected();
        }
        if let Some(reported) = &self.ends.reported {
            reported.send_replace(None);
        }
    }

    fn up(&self) {
        tracing::info!(client = %self.config.client, "connected to the hub");
        self.ends.link.send_replace(LinkState { connected: true, reason: None });
    }

    fn down(&self, reason: String) {
        let state = LinkState { connected: false, reason: Some(reason) };
        self.ends.link.send_if_modified(|link| {
            let new = *link != state;
            if new {
                tracing::warn!(
                    client = %self.config.client,
                    host = self.config.host,
                    reason = state.reason,
                    "not connected to the hub; trying again"
                );
                *link = state;
            }
            new
        });
    }

    /// One attempt to connect, with a fresh token.
    async fn dial(&mut self) -> Result<Line, End> {
        let SessionConfig { client, hub_name, host, port, client_type, timing } = &self.config;
        let renew_at = Instant::now() + timing.token_life.saturating_sub(timing.renew_before);
        let credentials = self.credentials.fresh(timing.token_life).await;
        let Credentials { token, trust } = credentials.map_err(End::Broken)?;
        let username = Username {
            host: hub_name.clone(),
            client: client.clone(),
            api_version: Some(API_VERSION.to_owned()),
            model_id: None,
            client_type: Some((*client_type).to_owned()),
        };
        let mut options = MqttOptions::new(client.to_string(), host.clone(), *port);
        options.set_credentials(username.to_string(), token.expose());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(trust)));
        options.set_clean_session(false);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_manual_acks(true);
        options.set_inflight(PACKET_IDS);
        options.set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
        // A library connection per connection: the library's own list of unsent packets is cleared on its terms.
        let (requests, mut events) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(DIAL_SECONDS);
        events.set_network_options(network);
        match events.poll().await {
            Ok(_accepted) => Ok(Line { requests, events, renew_at }),
            Err(ConnectionError::ConnectionRefused(code)) => Err(refusal(code)),
            Err(error) => Err(End::Broken(causes(&error))),
        }
    }
}

fn refusal(code: ConnectReturnCode) -> End {
    match code {
        ConnectReturnCode::ServiceUnavailable => End::Broken("the hub is not ready".to_owned()),
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => End::Refused(
            "the hub refuses this identity: it is disabled or gone, or its key, its token or a clock is wrong"
                .to_owned(),
        ),
        ConnectReturnCode::Success
        | ConnectReturnCode::RefusedProtocolVersion
        | ConnectReturnCode::BadClientId => End::Refused(format!("the hub refuses the connection: {code:?}")),
    }
}

/// Between three quarters and five quarters, so that a fleet does not come back in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128u8];
    // Without randomness the pause is merely exact.
    let spread = getrandom::fill(&mut byte).map_or(128, |()| u32::from(byte[0]));
    pause * (192 + spread / 2) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_goes_on_its_own_connection_only_and_not_when_nobody_waits() {
        for (connection, void) in [(None, false), (Some(3), false), (Some(2), true), (Some(4), true)] {
            let (done, answer) = oneshot::channel();
            let report = Report { body: Bytes::new(), connection, done };
            assert_eq!(report.is_void(3), void, "{connection:?}");
            drop(answer);
            assert!(report.is_void(3), "{connection:?}");
        }
    }
}
