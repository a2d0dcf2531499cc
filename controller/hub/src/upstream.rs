//! The link to the parent hub: dials, keeps one MQTT connection as long as it lasts, dials again.
//!
//! Reading order: this file (who the parent is, when to dial), `upstream/line.rs` (one connection), `upstream/words.rs`
//! (topics). What is sent, kept and given up is decided in hub-core (`core/upstream.rs`); nothing here remembers a message.

mod line;
mod trust;
mod words;

use std::{fmt, sync::Arc, time::Duration};

use hemline_hub_core::{
    event::Event,
    upstream::{Dialect, FromParent, LinkId},
};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{
    sas::{SasToken, SymmetricKey},
    username::{API_VERSION, Username},
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::trust::{TrustError, trust};

use self::line::{End, Line};
use crate::{head::mqtt::codec::parent::Login, mailbox::Mailbox, outbox::Outbox};

/// Who the parent is, and as whom this hub comes to it.
#[derive(Clone)]
pub struct UpstreamConfig {
    /// Name of the parent: stands in the user name and in tokens.
    pub hub_name: String,
    /// Host that is dialled; its certificate is checked for this name.
    pub host: String,
    /// MQTT port.
    pub port: u16,
    /// The edge device that this hub is the hub of.
    pub device: DeviceId,
    /// Key of the device or of its `$edgeHub`.
    pub key: SymmetricKey,
    /// Authorities that may vouch for the parent, see [`trust`].
    pub trust: Arc<rustls::ClientConfig>,
    /// What the parent understands.
    pub dialect: Dialect,
    /// How long things take.
    pub timing: Timing,
}

impl fmt::Debug for UpstreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamConfig")
            .field("hub_name", &self.hub_name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("device", &self.device)
            .field("dialect", &self.dialect)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// How long things take; tests take less.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Life of a token.
    pub token_life: Duration,
    /// How long before its end the connection is made anew.
    pub renew_before: Duration,
    /// Pause before the second attempt; it doubles with each.
    pub first_pause: Duration,
    /// It does not grow beyond.
    pub longest_pause: Duration,
    /// TCP, TLS, CONNECT and SUBSCRIBE take at most that long together.
    pub dial: Duration,
    /// After so long without a sign of life the parent is asked for one.
    pub quiet: Duration,
    /// A parent that owes an answer for so long is given up.
    pub patience: Duration,
    /// Before a planned end: how long acknowledgements are waited for.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            token_life: Duration::from_secs(3_600),
            renew_before: Duration::from_secs(120),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(20),
            dial: Duration::from_secs(20),
            quiet: Duration::from_secs(30),
            patience: Duration::from_secs(20),
            drain: Duration::from_secs(2),
        }
    }
}

impl UpstreamConfig {
    /// The identity that connects: the hub of the edge device.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId::module(self.device.clone(), ModuleId::edge_hub())
    }

    fn login(&self, now: Timestamp) -> Login {
        let client = self.client();
        let life = SignedDuration::try_from(self.timing.token_life).unwrap_or(SignedDuration::from_hours(1));
        let expiry = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let resource = format!("{}/devices/{}/modules/{}", self.hub_name, self.device, ModuleId::edge_hub());
        let username = Username {
            host: self.hub_name.clone(),
            client: client.clone(),
            api_version: Some(API_VERSION.to_owned()),
            model_id: None,
            client_type: Some(concat!("hemline/", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        let quiet = u16::try_from(self.timing.quiet.as_secs()).unwrap_or(u16::MAX);
        Login {
            client_id: client.to_string(),
            username: username.to_string(),
            password: SasToken::sign(&self.key, &resource, expiry, None),
            // Twice the silence after which this side asks for a sign of life.
            keep_alive: quiet.saturating_mul(2).max(10),
            clean: match self.dialect {
                Dialect::Nested => false,
                Dialect::Plain => true,
            },
        }
    }
}

/// The task that keeps the link.
pub(crate) struct Upstream {
    pub(crate) config: UpstreamConfig,
    pub(crate) mailbox: Mailbox,
    pub(crate) outbox: Arc<Outbox>,
    /// Largest packet of the parent.
    pub(crate) packet_bytes: usize,
}

/// A refused identity is not shown again every few moments.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

impl Upstream {
    /// Keeps the link until `stop`.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let timing = &self.config.timing;
        let mut pause = timing.first_pause;
        let mut told = String::new();
        for number in 1.. {
            let begun = Instant::now();
            let end = self.once(LinkId(number), &stop, &mut told).await;
            let (reason, shortest) = match end {
                End::Stopped => return,
                End::Renewal => {
                    pause = timing.first_pause;
                    continue;
                }
                End::Refused(reason) => (reason, REFUSED_PAUSE),
                End::Broken(reason) => (reason, Duration::ZERO),
            };
            if told != reason {
                let (parent, host) = (&self.config.hub_name, &self.config.host);
                tracing::warn!(parent, host, reason, "no link to the parent hub; trying again");
                told = reason;
            }
            // Only a link that lasted starts the pauses anew, else two hubs with one identity race each other.
            if begun.elapsed() > timing.longest_pause {
                pause = timing.first_pause;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(jittered(pause.max(shortest))) => {}
            }
            pause = (pause * 2).min(timing.longest_pause);
        }
    }

    /// One connection, from the first byte to the last. The core hears of its end in any case.
    async fn once(&self, link: LinkId, stop: &CancellationToken, told: &mut String) -> End {
        let renew_at =
            Instant::now() + self.config.timing.token_life.saturating_sub(self.config.timing.renew_before);
        // Cancelling drops a connection that nobody knows yet.
        let dialled = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            dialled = Line::dial(&self.config, self.packet_bytes) => dialled,
        };
        let mut line = match dialled {
            Ok(line) => line,
            Err(end) => return end,
        };
        // In the table before the core hears of it: nothing that it sends is missed.
        let from_core = self.outbox.link(link);
        if self.tell(link, FromParent::Linked).await.is_err() {
            return End::Stopped;
        }
        told.clear();
        tracing::info!(parent = self.config.hub_name, link = link.0, "linked to the parent hub");
        let end = line.serve(self, link, from_core, renew_at, stop).await;
        drop(self.tell(link, FromParent::Lost).await);
        line.finish().await;
        end
    }

    /// Tells the core. An error means that the hub has stopped.
    async fn tell(&self, link: LinkId, happened: FromParent) -> Result<(), End> {
        let event = Event::Upstream { link, happened };
        self.mailbox.event(event).await.map_err(|_| End::Stopped)
    }
}

/// Between three quarters and five quarters, so that a fleet does not come back in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128u8];
    // Without randomness the pause is merely exact.
    let spread = getrandom::fill(&mut byte).map_or(128, |()| u32::from(byte[0]));
    pause * (192 + spread / 2) / 256
}
