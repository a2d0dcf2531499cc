//! A module's client, as any IoT Edge module has one: environment, workload API, MQTT; outputs, inputs, twin.
//!
//! One task owns the connection and keeps it (`session.rs`). Nothing is lost on the way: an output counts as sent when the
//! hub has acknowledged it, an input is acknowledged when its handler is done with it. Not here: direct methods, and the
//! agent's own connection (`uplink.rs`).

mod environment;
mod token;
mod workload;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hemline_protocol::{
    properties::{Properties, SystemProperties},
    topic,
};
use serde_json::{Map, Value};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::session::{Desired, InputMessage, Inputs};
pub use environment::{Environment, EnvironmentError, WorkloadAddress};
pub use workload::WorkloadCallError;

use crate::{
    session::{self, Ends, LinkState, Messages, Output, Refused, Report, Session, SessionConfig, Timing},
    tls::TlsError,
};
use token::WorkloadCredentials;

/// Largest body of a message, in bytes (reference device-protocol §4.1).
pub const LARGEST_BODY: usize = 256 * 1024;

/// Longest topic: MQTT has two bytes for its length.
const LONGEST_TOPIC: usize = 65_535;

/// How long the hub may take to acknowledge or to answer, reconnects included.
const DEADLINE: Duration = Duration::from_secs(60);

/// Outputs that wait for the connection; a sender waits when it is full.
const OUTPUTS: usize = 64;

/// Reports that wait for the connection.
const REPORTS: usize = 8;

/// Inputs that wait for the handler in its channel.
const INPUTS: usize = 32;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment is not that of a module.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The agent did not give the trust bundle.
    #[error("cannot get the trust bundle from the agent")]
    Workload(#[from] WorkloadCallError),
    /// The trust bundle cannot be used.
    #[error("the agent's trust bundle cannot be used to verify the hub")]
    Trust(#[source] TlsError),
}

/// Why something could not be sent or reported.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client has been closed.
    #[error("the client has been closed; make a new one")]
    Closed,
    /// The hub is away, or too slow. Nothing is sent any more on behalf of the call, but it may have arrived.
    #[error("the hub did not confirm {what} within {} s; it may be away, try again", after.as_secs_f32())]
    Deadline {
        /// What was not confirmed.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// A message that no hub takes.
    #[error("the message has {found} bytes of {part}, at most {limit} are allowed; send less at once")]
    TooLarge {
        /// `body` or `properties`.
        part: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An output without a name cannot be routed.
    #[error("the output has no name; name it as the routes of the deployment do")]
    NoOutput,
    /// The hub said no.
    #[error("the hub refuses the reported properties with {status}: {message}")]
    Refused {
        /// 400, 412, 429 …
        status: u16,
        /// Its words.
        message: String,
    },
}

/// A module's connection with its hub. Drop it to end the connection, [`close`](Self::close) it to end it in order.
#[derive(Debug)]
pub struct ModuleClient {
    environment: Environment,
    outputs: mpsc::Sender<Output>,
    reports: mpsc::Sender<Report>,
    inputs: Mutex<Option<Inputs>>,
    inputs_wanted: watch::Sender<bool>,
    desired: watch::Receiver<Desired>,
    deadline: Duration,
    task: JoinHandle<()>,
    stop: DropGuard,
}

/// Properties of a message whose body is JSON: what routes and back ends need to look into it.
#[must_use]
pub fn json() -> Properties {
    Properties {
        system: SystemProperties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            ..SystemProperties::default()
        },
        application: Vec::new(),
    }
}

impl ModuleClient {
    /// Makes a client from the environment that the agent gives to a module. It connects in the background.
    ///
    /// # Errors
    /// When the environment is not that of a module, or the agent's workload API does not answer.
    pub async fn from_environment() -> Result<Self, StartError> {
        Self::open(Environment::from_process()?).await
    }

    /// Makes a client from a given environment. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the agent's workload API does not answer.
    pub async fn open(environment: Environment) -> Result<Self, StartError> {
        Self::open_with(environment, Timing::default(), DEADLINE).await
    }

    async fn open_with(
        environment: Environment,
        timing: Timing,
        deadline: Duration,
    ) -> Result<Self, StartError> {
        let credentials = WorkloadCredentials::open(environment.clone()).await?;
        let stop = CancellationToken::new();
        let (outputs, outputs_receiver) = mpsc::channel(OUTPUTS);
        let (reports, reports_receiver) = mpsc::channel(REPORTS);
        let (inputs_wanted, inputs_wanted_receiver) = watch::channel(false);
        let (desired_sender, desired) = watch::channel(Desired::default());
        let (input_sink, inputs) = session::input_channel(INPUTS);
        let Environment { client, module, hub, gateway, mqtt_port, .. } = &environment;
        let messages = Messages {
            outputs: outputs_receiver,
            inputs: input_sink,
            inputs_wanted: inputs_wanted_receiver,
            inputs_filter: format!("devices/{}/modules/{module}/inputs/#", client.device),
        };
        let ends = Ends {
            link: watch::Sender::new(LinkState::default()),
            desired: desired_sender,
            reported: None,
            reports: reports_receiver,
            methods: None,
            messages: Some(messages),
            stop: stop.clone(),
        };
        let config = SessionConfig {
            client: client.clone(),
            hub_name: hub.clone(),
            host: gateway.clone(),
            port: *mqtt_port,
            client_type: concat!("hemline/", env!("CARGO_PKG_VERSION")),
            timing,
        };
        let task = tokio::spawn(Session::new(config, Box::new(credentials), ends).run());
        Ok(Self {
            environment,
            outputs,
            reports,
            inputs: Mutex::new(Some(inputs)),
            inputs_wanted,
            desired,
            deadline,
            task,
            stop: stop.drop_guard(),
        })
    }

    /// Who this module is and where its hub is.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Sends a message to an output and returns when the hub has acknowledged it. After a broken connection it is sent
    /// again, so the hub may see it twice.
    ///
    /// # Errors
    /// When the message cannot be sent at all, or is not acknowledged within a minute.
    pub async fn send_output(
        &self,
        output: &str,
        body: impl Into<Bytes>,
        mut properties: Properties,
    ) -> Result<(), ClientError> {
        if output.is_empty() {
            return Err(ClientError::NoOutput);
        }
        let body = body.into();
        properties.system.output_name = Some(output.to_owned());
        let topic = topic::telemetry(&self.environment.client, &properties);
        for (part, found, limit) in
            [("body", body.len(), LARGEST_BODY), ("properties", topic.len(), LONGEST_TOPIC)]
        {
            if found > limit {
                return Err(ClientError::TooLarge { part, found, limit });
            }
        }
        let (done, acknowledged) = oneshot::channel();
        let sent = async {
            let order = Output { topic, body, done };
            self.outputs.send(order).await.map_err(|_| ClientError::Closed)?;
            acknowledged.await.map_err(|_| ClientError::Closed)
        };
        self.in_time("a message", sent).await
    }

    /// Reports properties: a merge patch, in which `null` removes. Returns when the hub has taken it.
    ///
    /// # Errors
    /// When the hub refuses the patch, or does not answer within a minute.
    pub async fn report(&self, patch: &Map<String, Value>) -> Result<(), ClientError> {
        let body = serde_json::to_vec(patch).unwrap_or_default();
        let (done, answered) = oneshot::channel();
        let reported = async {
            let order = Report { body: body.into(), connection: None, done };
            self.reports.send(order).await.map_err(|_| ClientError::Closed)?;
            let outcome = answered.await.map_err(|_| ClientError::Closed)?;
            outcome.map_err(|Refused { status, message }| ClientError::Refused { status, message })
        };
        self.in_time("reported properties", reported).await
    }

    /// The messages for this module's inputs; `None` when somebody has them already. The hub begins to send when this
    /// has been called, and sends a message again until it has been acknowledged.
    #[must_use]
    pub fn inputs(&self) -> Option<Inputs> {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if inputs.is_some() {
            self.inputs_wanted.send_replace(true);
        }
        inputs
    }

    /// The desired properties, whole and up to date while the hub is in reach.
    #[must_use]
    pub fn desired(&self) -> watch::Receiver<Desired> {
        self.desired.clone()
    }

    /// Ends the connection: acknowledgements that are on their way still leave, then the hub is told.
    pub async fn close(self) {
        let Self { task, stop, .. } = self;
        stop.disarm().cancel();
        if let Err(error) = task.await {
            tracing::error!(%error, "the connection task ended badly");
        }
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match timeout(self.deadline, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Deadline { what, after: self.deadline }),
        }
    }
}
