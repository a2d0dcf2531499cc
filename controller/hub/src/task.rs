//! The one owner of the core. Events come in, effects go to the writer in the same order; nothing else happens here,
//! so nothing here can be slow.

mod clock;

use std::time::Duration;

use hemline_hub_core::{core::Core, counters::Counters, effect::Effect, event::Event};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::writer::Job;
pub(crate) use clock::Clock;

/// How often the core hears that time passed.
const TICK: Duration = Duration::from_millis(500);

/// Events whose effects go to the writer as one job.
const BURST: usize = 64;

/// What the task works with.
pub(crate) struct Task {
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    pub(crate) mail: mpsc::Receiver<Event>,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) counters: watch::Sender<Counters>,
    /// Cancelled when the heads are gone: finish what is queued, answer who still waits, end.
    pub(crate) finish: CancellationToken,
}

/// The writer has ended, so no effect can be carried out any more.
struct WriterGone;

impl Task {
    /// Runs until `finish`, or until the writer has failed.
    pub(crate) async fn run(mut self) {
        // `WriterGone` needs no words here: the writer has said why it ended.
        if self.until_finished().await.is_ok() {
            let effects = self.core.stop(Timestamp::now());
            drop(self.hand_over(effects).await);
        }
        self.publish();
    }

    async fn until_finished(&mut self) -> Result<(), WriterGone> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let finish = self.finish.clone();
        loop {
            // All arms are cancel-safe: a channel receive loses nothing, an interval keeps its schedule, a token has
            // no state.
            let effects = tokio::select! {
                mail = self.mail.recv() => match mail {
                    Some(event) => self.burst(event),
                    // No sender is left, or the mailbox was closed below and is empty now.
                    None => return Ok(()),
                },
                _ = tick.tick() => self.handle(Event::Tick),
                () = finish.cancelled(), if !self.mail.is_closed() => {
                    // What is queued is still handled; whoever comes later finds the mailbox closed.
                    self.mail.close();
                    continue;
                }
            };
            self.hand_over(effects).await?;
            if self.mail.is_empty() {
                self.publish();
            }
        }
    }

    /// Handles one event and what is queued behind it, up to a bound, so that they share a commit.
    fn burst(&mut self, first: Event) -> Vec<Effect> {
        let mut effects = self.handle(first);
        for _ in 1..BURST {
            let Ok(event) = self.mail.try_recv() else { break };
            effects.append(&mut self.handle(event));
        }
        effects
    }

    /// One event at the time that it is; before it that the clock was set, if it was.
    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let (now, set) = self.clock.read();
        let Some(by) = set else { return self.core.handle(event, now) };
        tracing::warn!(%now, by = %format_args!("{by:#}"), "the clock of this machine was set");
        let mut effects = self.core.handle(Event::ClockSet { by }, now);
        effects.append(&mut self.core.handle(event, now));
        effects
    }

    async fn hand_over(&mut self, effects: Vec<Effect>) -> Result<(), WriterGone> {
        if effects.is_empty() {
            return Ok(());
        }
        self.jobs.send(Job::Effects(effects)).await.map_err(|_| WriterGone)
    }

    fn publish(&self) {
        let now = self.core.counters();
        self.counters.send_if_modified(|last| {
            let changed = last != now;
            if changed {
                last.clone_from(now);
            }
            changed
        });
    }
}
