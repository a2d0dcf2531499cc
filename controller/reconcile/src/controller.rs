//! The loop: when a pass runs, and who hears of it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hemline_hub::HubHandle;
use hemline_hub_core::effect::Notice;
use hemline_model::id::DeviceId;
use hemline_plan::{
    DeviceDiff, FleetState,
    rollout::{Command, RolloutRecord},
};
use hemline_sources::{AnySource, News, Nudge, Source as _, chain};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, broadcast, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    approve::{ApplyError, ApplyReply, ApplyRequest},
    clock::Machine,
    drift::{Writers, diff},
    facsimile::Facsimile,
    last_good::LastGood,
    pass::{Reload, State},
    report::PassReport,
    round::{Rounds, Said},
};

/// When passes run, and where the controller keeps what must survive a restart.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the last good revision.
    pub last_good: PathBuf,
    /// A pass runs at least this often.
    pub every: Duration,
    /// Quiet time after the hub said that something moved; many notices make one pass.
    pub debounce: Duration,
    /// Are status files written to the source?
    pub write_status: bool,
    /// Do new revisions wait until somebody applies them? Drift from the one in force is healed all the same.
    pub hold: bool,
}

impl Options {
    /// Every 30 s at least, 100 ms after the hub moved, with status files.
    #[must_use]
    pub fn new(last_good: impl Into<PathBuf>) -> Self {
        Self {
            last_good: last_good.into(),
            every: Duration::from_secs(30),
            debounce: Duration::from_millis(100),
            write_status: true,
            hold: false,
        }
    }
}

/// A running controller. Dropping it does not stop it; the token does.
#[derive(Debug)]
pub struct ControllerHandle {
    view: ControllerView,
    task: JoinHandle<()>,
}

/// The controller for onlookers: its newest report, and a nudge. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControllerView {
    reports: watch::Receiver<Option<Arc<PassReport>>>,
    nudge: Nudge,
    asks: mpsc::Sender<Ask>,
}

/// An order to rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutOrder {
    /// What to do.
    pub command: Command,
    /// The deployment whose rollout is meant; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Who says so, for the story; not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What onlookers may ask of the one task that knows and acts.
#[derive(Debug)]
enum Ask {
    State(oneshot::Sender<Result<Facsimile, ApplyError>>),
    Apply(ApplyRequest, oneshot::Sender<Result<ApplyReply, ApplyError>>),
    Rollout(RolloutOrder, oneshot::Sender<Result<(), ApplyError>>),
    Diff(DeviceId, oneshot::Sender<Result<Option<DeviceDiff>, ApplyError>>),
    Record(String, oneshot::Sender<Result<Option<RolloutRecord>, ApplyError>>),
}

/// Questions that may wait for the end of a pass.
const ASKS: usize = 16;

/// Starts the controller. The first pass runs at once.
#[must_use]
pub fn start(
    source: AnySource,
    hub: HubHandle,
    options: Options,
    shutdown: CancellationToken,
) -> ControllerHandle {
    let (sender, reports) = watch::channel(None);
    let (asker, asks) = mpsc::channel(ASKS);
    let view = ControllerView { reports, nudge: source.nudge(), asks: asker };
    let kept = LastGood::new(options.last_good.clone());
    let rounds = Rounds::new(source, hub, Machine, kept.clone(), options.write_status);
    let controller = Controller { rounds, kept, options, reports: sender, asks };
    ControllerHandle { view, task: tokio::spawn(controller.run(shutdown)) }
}

struct Controller {
    rounds: Rounds<HubHandle, Machine>,
    kept: LastGood,
    options: Options,
    reports: watch::Sender<Option<Arc<PassReport>>>,
    asks: mpsc::Receiver<Ask>,
}

// === impl Controller ===

impl Controller {
    async fn run(mut self, shutdown: CancellationToken) {
        let moved = Arc::new(Notify::new());
        let writers = Writers::default();
        let heard = listen(self.rounds.hub.notices(), Arc::clone(&moved), writers.clone(), shutdown.clone());
        let listener = tokio::spawn(heard);
        let kept = self.kept.clone();
        // Reading and judging files blocks.
        let hold = self.options.hold;
        let mut state = match tokio::task::spawn_blocking(move || State::restore(kept, hold)).await {
            Ok(state) => state,
            Err(error) => {
                // A bug that would show again on every start. Whoever asks hears that the controller has ended.
                tracing::error!(%error, "what was kept from before cannot be taken up; the controller ends");
                listener.abort();
                return;
            }
        };
        state.writers = writers;
        tokio::select! {
            // Cancel-safe: every step of a pass may be done twice, and the next start does it again.
            () = shutdown.cancelled() => {}
            () = self.passes(&mut state, &moved) => {}
        }
        self.rounds.teller.stop(&state).await;
        drop(listener.await);
    }

    async fn passes(&mut self, state: &mut State, moved: &Notify) {
        let mut timer = tokio::time::interval(self.options.every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A fleet that is known goes on at once; its source may be silent for long.
        let mut reload = Reload::Yes;
        if state.good.is_some() {
            reload = Reload::No;
            self.rounds.source.nudge().nudge();
        }
        loop {
            let said = self.rounds.one(state, reload).await;
            self.publish(said);
            if self.rounds.is_in_other_trouble() {
                // It came or went while the report was made.
                reload = Reload::No;
                continue;
            }
            let now = self.rounds.now();
            let wakes = state.wakes(now).and_then(|at| Duration::try_from(at.duration_since(now)).ok());
            reload = tokio::select! {
                // Cancel-safe: the next round asks again when that is.
                () = sleep_for(wakes) => Reload::No,
                // Cancel-safe: it says so.
                told = self.rounds.teller.ready() => {
                    if let Some(told) = told {
                        self.rounds.teller.hand_over(&mut self.rounds.source, told).await;
                    }
                    Reload::No
                }
                // Cancel-safe: what is on its way stays in `reverts`.
                () = self.rounds.reverts.step() => Reload::No,
                // Cancel-safe: a source remembers what it has not said yet, and is asked for its trouble in each round.
                news = self.rounds.source.changed() => match news {
                    News::Documents => Reload::Yes,
                    News::Trouble => Reload::No,
                },
                // Cancel-safe: the permit stays until taken; the quiet time only delays a pass.
                () = quiet(moved, self.options.debounce) => Reload::No,
                // Cancel-safe: a tick that is not taken comes again.
                _ = timer.tick() => {
                    let again = state.unreadable.is_some() || state.not_in_force.is_some();
                    if again { Reload::Yes } else { Reload::No }
                }
                // Cancel-safe: a question that is not taken stays in the channel. A pass follows, because a notice that
                // was taken while this waited must not be forgotten.
                Some(ask) = self.asks.recv() => self.answer(ask, state).await,
            };
        }
    }

    /// Answers. Is the source to be read again? A look at it that led to nothing is not to be forgotten.
    async fn answer(&mut self, ask: Ask, state: &mut State) -> Reload {
        let mut reload = Reload::No;
        // Nobody waits any more when the caller went away; what was done stays done.
        match ask {
            Ask::State(answer) => {
                let looked = state.picture.follow(&self.rounds.hub).await;
                let looked = looked.map_err(|error| ApplyError::Unavailable(chain(&error)));
                drop(answer.send(looked.map(|()| state.facsimile())));
            }
            Ask::Diff(device, answer) => drop(answer.send(diff(&self.rounds.hub, state, &device).await)),
            Ask::Apply(request, answer) => {
                let outcome = self.rounds.apply(state, &request).await;
                let outcome = outcome.map(|(reply, said)| {
                    self.publish(said);
                    reply
                });
                if outcome.is_err() {
                    reload = Reload::Yes;
                }
                drop(answer.send(outcome));
            }
            Ask::Rollout(RolloutOrder { command, deployment, by }, answer) => {
                let by = by.as_deref().unwrap_or("somebody");
                let outcome = self.rounds.order(state, command, deployment.as_deref(), by).await;
                drop(answer.send(outcome.map(|said| self.publish(said))));
            }
            Ask::Record(deployment, answer) => {
                drop(answer.send(Ok(state.rollouts.ledger.rollouts.get(deployment.as_str()).cloned())));
            }
        }
        reload
    }

    /// The newest report is kept, and onlookers wake when it says something new.
    fn publish(&self, Said { report, news }: Said) {
        self.reports.send_if_modified(|last| {
            *last = Some(report);
            news
        });
    }
}

/// Turns notices into "something moved", always reading, so that a flood of messages never makes the hub wait.
async fn listen(
    mut notices: broadcast::Receiver<Notice>,
    moved: Arc<Notify>,
    writers: Writers,
    shutdown: CancellationToken,
) {
    loop {
        let notice = tokio::select! {
            () = shutdown.cancelled() => return,
            // Cancel-safe: a notice that is not taken stays in the channel.
            notice = notices.recv() => notice,
        };
        if let Ok(Notice::Registry { client, by: Some(by) }) = &notice {
            writers.noted(&client.device, Arc::clone(by));
        }
        match notice {
            Ok(Notice::Message(_) | Notice::Change(_) | Notice::Upstream { .. }) => {}
            Ok(Notice::Connection { .. } | Notice::Reported { .. } | Notice::Registry { .. })
            | Err(broadcast::error::RecvError::Lagged(_)) => moved.notify_one(),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Sleeps; for ever when nothing is going to happen by itself.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when something moved and nothing more did for a while, but not much later than the first move.
async fn quiet(moved: &Notify, debounce: Duration) {
    moved.notified().await;
    let at_most = Instant::now() + debounce * 5;
    let mut until = Instant::now() + debounce;
    loop {
        tokio::select! {
            biased;
            () = moved.notified(), if until < at_most => until = (Instant::now() + debounce).min(at_most),
            () = sleep_until(until) => return,
        }
    }
}

// === impl handles ===

impl ControllerHandle {
    /// For onlookers.
    #[must_use]
    pub fn view(&self) -> ControllerView {
        self.view.clone()
    }

    /// Waits until the controller has ended. It ends when its token is cancelled.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the controller ended by a bug");
        }
    }
}

impl ControllerView {
    /// The newest report; `None` before the first pass.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<PassReport>> {
        self.reports.borrow().clone()
    }

    /// Waits for a report that says something new; `None` when the controller has ended. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Arc<PassReport>> {
        self.reports.changed().await.ok()?;
        self.reports.borrow_and_update().clone()
    }

    /// What is known of the fleet now, without secrets.
    ///
    /// # Errors
    /// When the hub cannot be asked or the controller has ended.
    pub async fn state(&self) -> Result<FleetState, ApplyError> {
        let known = self.ask(Ask::State).await?;
        let written = tokio::task::spawn_blocking(move || known.write()).await;
        written.map_err(|error| ApplyError::Unavailable(format!(
                "the state cannot be written down, which is a bug that the log of the hub tells more of: {error}"
            )))
    }

    /// What a device should be against what it is; `None` when no document describes it.
    ///
    /// # Errors
    /// When the hub cannot be asked or the controller has ended.
    pub async fn diff(&self, device: DeviceId) -> Result<Option<DeviceDiff>, ApplyError> {
        self.ask(|answer| Ask::Diff(device, answer)).await
    }

    /// Puts the revision that the source holds in force, if it and the fleet are what the request says.
    ///
    /// # Errors
    /// When something moved, or source or hub cannot be read.
    pub async fn apply(&self, request: ApplyRequest) -> Result<ApplyReply, ApplyError> {
        self.ask(|answer| Ask::Apply(request, answer)).await
    }

    /// Does an order to rollouts, and runs a pass with it.
    ///
    /// # Errors
    /// When there is no such rollout, or the order makes no sense now; the text says which.
    pub async fn rollout(&self, order: RolloutOrder) -> Result<(), ApplyError> {
        self.ask(|answer| Ask::Rollout(order, answer)).await
    }

    /// The rollout of a deployment with all its devices.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn record(&self, deployment: &str) -> Result<Option<RolloutRecord>, ApplyError> {
        self.ask(|answer| Ask::Record(deployment.to_owned(), answer)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, ApplyError>>) -> Ask,
    ) -> Result<T, ApplyError> {
        let ended = || ApplyError::Unavailable("the controller has ended".to_owned());
        let (sender, answer) = oneshot::channel();
        self.asks.send(question(sender)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Makes the controller look at its source now.
    pub fn nudge(&self) {
        self.nudge.nudge();
    }
}
