//! Clients that come, subscribe and stay; and clients that come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hemline_protocol::topic::{self, HubTopic};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    cast::{Actor, Role},
    connection::Connection,
    error::LoadError,
    histogram::Histogram,
    packet::Received,
    target::Target,
};

/// A device has new desired properties.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    /// Which of the actors.
    pub(crate) actor: usize,
    /// When they were there.
    pub(crate) at: Instant,
}

/// Clients that are in and listen.
pub(crate) struct Sessions {
    tasks: TaskTracker,
    stop: CancellationToken,
    lost: Arc<AtomicUsize>,
    opened: usize,
    changes: mpsc::Receiver<Changed>,
    /// From the first connection to the last subscription.
    pub(crate) took: Duration,
    /// Of each: from dialling to SUBACK.
    pub(crate) latency: Histogram,
}

/// How many clients come in at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes(pub(crate) usize);

impl Sessions {
    /// Lets all of them in.
    pub(crate) async fn open(
        target: &Arc<Target>,
        actors: &Arc<[Actor]>,
        lanes: Lanes,
    ) -> Result<Self, LoadError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let lost = Arc::<AtomicUsize>::default();
        // One change of each is asked for at a time; what was asked before may come late.
        let (changed, changes) = mpsc::channel(actors.len().saturating_mul(2).max(1));
        let begun = Instant::now();
        let entered = {
            let (tasks, stop, lost) = (tasks.clone(), stop.clone(), lost.clone());
            move |place: usize, connection: Connection, role: &Role| {
                let listener = Listener { connection, role: role.clone(), place, changed: changed.clone() };
                tasks.spawn(listener.run(stop.clone(), lost.clone()));
            }
        };
        let latency = enter_all(target, actors, actors.len(), lanes, entered).await;
        let took = begun.elapsed();
        let latency = match latency {
            Ok(latency) => latency,
            Err(error) => {
                stop.cancel();
                tasks.close();
                tasks.wait().await;
                return Err(error);
            }
        };
        Ok(Self { tasks, stop, lost, opened: actors.len(), changes, took, latency })
    }

    /// How many were let in.
    pub(crate) fn opened(&self) -> usize {
        self.opened
    }

    /// How many ended without having been told to.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// The next device that has new desired properties.
    pub(crate) async fn changed(&mut self) -> Option<Changed> {
        self.changes.recv().await
    }

    /// Says goodbye for all of them.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Sessions {
    /// A run that is broken off leaves nobody behind either.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Clients that come in, subscribe and go, again and again: how long that took, and each of them to its subscription.
pub(crate) async fn come_back(
    target: &Arc<Target>,
    actors: &Arc<[Actor]>,
    times: usize,
    lanes: Lanes,
) -> Result<(Duration, Histogram), LoadError> {
    let begun = Instant::now();
    let leaving = TaskTracker::new();
    let leave = {
        let leaving = leaving.clone();
        move |_: usize, connection: Connection, _: &Role| {
            leaving.spawn(connection.leave());
        }
    };
    let latency = enter_all(target, actors, times, lanes, leave).await;
    let took = begun.elapsed();
    leaving.close();
    leaving.wait().await;
    Ok((took, latency?))
}

/// Lets clients in, a few at a time. Each lane has clients of its own, so that nobody takes the place of itself.
async fn enter_all(
    target: &Arc<Target>,
    actors: &Arc<[Actor]>,
    times: usize,
    lanes: Lanes,
    entered: impl Fn(usize, Connection, &Role) + Clone + Send + 'static,
) -> Result<Histogram, LoadError> {
    let lanes = lanes.0.clamp(1, actors.len().max(1));
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let (target, actors, entered) = (target.clone(), actors.clone(), entered.clone());
        running.spawn(async move {
            let mut latency = Histogram::default();
            let own = actors.len().saturating_sub(lane).div_ceil(lanes);
            for turn in 0..times.saturating_sub(lane).div_ceil(lanes) {
                let place = lane + turn % own.max(1) * lanes;
                let Some(actor) = actors.get(place) else { break };
                let begun = Instant::now();
                let connection = Connection::enter(&target, actor).await?;
                latency.record(begun.elapsed());
                entered(place, connection, &actor.role);
            }
            Ok::<_, LoadError>(latency)
        });
    }
    let mut all = Histogram::default();
    // The first failure drops the set, which ends the other lanes.
    while let Some(lane) = running.join_next().await {
        all.merge(&lane??);
    }
    Ok(all)
}

/// One client that listens.
struct Listener {
    connection: Connection,
    role: Role,
    place: usize,
    changed: mpsc::Sender<Changed>,
}

impl Listener {
    async fn run(mut self, stop: CancellationToken, lost: Arc<AtomicUsize>) {
        loop {
            // Cancel-safe: `receive` keeps what was read, the token has no state.
            let received = tokio::select! {
                received = self.connection.receive() => received,
                () = stop.cancelled() => return self.connection.leave().await,
            };
            let done = match received {
                Ok(Received::Message { topic, id, body: _ }) => self.message(&topic, id).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::debug!(place = self.place, %error, "a client of the load ended");
                lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    async fn message(&mut self, topic: &str, id: Option<u16>) -> Result<(), LoadError> {
        self.connection.acknowledge(id)?;
        match &self.role {
            Role::Hub(client) => match HubTopic::parse(topic, client) {
                Ok(HubTopic::DesiredPatch { .. }) => {
                    match self.changed.try_send(Changed { actor: self.place, at: Instant::now() }) {
                        // Nobody may be listening any more.
                        Ok(()) | Err(TrySendError::Closed(_)) => {}
                        Err(TrySendError::Full(_)) => {
                            let text = "more changes of desired properties than were asked for".to_owned();
                            return Err(LoadError::Unexpected(text));
                        }
                    }
                }
                Ok(HubTopic::MethodCall { name: _, rid }) => {
                    let topic = topic::method_result(200, &rid);
                    self.connection.publish(&topic, None, Bytes::from_static(b"{}"))?;
                }
                Ok(
                    HubTopic::TwinResponse { .. } | HubTopic::Input { .. } | HubTopic::CloudToDevice { .. },
                ) => {}
                Err(error) => return Err(LoadError::Unexpected(error.to_string())),
            },
            Role::Broker => {}
        }
        self.connection.flush().await
    }
}
