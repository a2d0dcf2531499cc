//! `hem bench`: puts a load on a hub or a broker and says what was measured, and whose limit it was.
//!
//! What a load is stands in `load.rs`; here it is put together from what was typed, broken off in time, and cleaned up after.

mod broker;
mod hub;

use std::{future::Future, process::ExitCode, sync::Arc};

use crate::{
    args::{Args, Bench, LoadFlags, LoadKind},
    error::{CommandError, exit},
    load::{
        self, Actor, HEADER, Histogram, Lanes, LoadError, Meter, Report, Row, Sessions, Target, Telemetry,
    },
    output,
};

/// Loads, prints, and says by the exit code whether all counts add up.
pub(crate) async fn run(args: &Args, typed: &Bench) -> Result<ExitCode, CommandError> {
    let report = match typed {
        Bench::Hub(typed) if typed.remove_leftovers => {
            let removed = hub::remove_leftovers(args).await?;
            output::value(&removed, args.output, |removed| {
                format!("{} removed, {} left\n", removed.removed, removed.left)
            })?;
            return Ok(ExitCode::from(if removed.left == 0 { exit::SUCCESS } else { exit::FAILURE }));
        }
        Bench::Hub(typed) => hub::run(args, typed).await?,
        Bench::Broker(typed) => broker::run(args, typed).await?,
    };
    output::value(&report, args.output, |report| {
        let rows = output::table(&HEADER, report.rows.iter().map(Row::cells));
        format!("{}\n\n{rows}\n{}", report.target, report.words())
    })?;
    let whole = report.missing == 0 && report.identities.is_none_or(|identities| identities.left == 0);
    Ok(ExitCode::from(if whole { exit::SUCCESS } else { exit::FAILURE }))
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        Self::part("the load", error)
    }
}

/// Works until it is done, somebody presses Ctrl-C, or time is up.
async fn bounded<T>(
    load: &LoadFlags,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    // Dropping the work closes its connections; what it made elsewhere is removed by whoever called this.
    tokio::select! {
        done = work => done,
        () = tokio::time::sleep(load.time_limit) => {
            Err(LoadError::Late { what: "the end of all loads".to_owned(), limit: load.time_limit }.into())
        }
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(LoadError::Interrupted.into()),
            Err(error) => Err(CommandError::Runtime(error)),
        }
    }
}

/// The loads that a hub and a broker have in common.
struct Common<'a> {
    load: &'a LoadFlags,
    target: Arc<Target>,
    server: Option<u32>,
    report: Report,
}

impl<'a> Common<'a> {
    fn new(load: &'a LoadFlags, target: Target, server: Option<u32>) -> Result<Self, CommandError> {
        // Those that come back leave in the background, so twice the lanes are open beside the sessions.
        load::files_for((load.sessions + load.senders + 4 * load.lanes) as usize)?;
        let report = Report::of(format!("{}, {}", target.address(), target.word()));
        Ok(Self { load, target: Arc::new(target), server, report })
    }

    fn lanes(&self) -> Lanes {
        Lanes(self.load.lanes as usize)
    }

    /// Lets the clients in and leaves them there.
    async fn idle(&mut self, actors: &Arc<[Actor]>) -> Result<Sessions, CommandError> {
        let before = self.memory().await;
        let meter = Meter::start(self.server);
        let sessions = Sessions::open(&self.target, actors, self.lanes()).await?;
        let shares = meter.shares();
        let count = sessions.opened() as u64;
        if self.load.wants(LoadKind::Idle) {
            let what = "connect and subscribe, and stay".to_owned();
            self.report.rows.push(Row::rate(
                "arrivals",
                what,
                count,
                sessions.took,
                shares,
                &sessions.latency,
            ));
            match (before, self.memory().await) {
                (Some(before), Some(with)) => {
                    self.report.rows.push(Row::memory(
                        "idle",
                        "idle session".to_owned(),
                        count,
                        before,
                        with,
                    ));
                }
                (None, _) | (_, None) => self.report.notes.push(
                    "memory was not measured: name the process of the server with --server-pid".to_owned(),
                ),
            }
        }
        Ok(sessions)
    }

    async fn memory(&self) -> Option<u64> {
        match self.server {
            Some(pid) => load::settled_memory(pid).await,
            None => None,
        }
    }

    /// Says goodbye, and whether anybody was lost meanwhile.
    async fn close(&mut self, sessions: Sessions) {
        let lost = sessions.lost();
        if lost > 0 {
            self.report.missing += lost;
            self.report.notes.push(format!("{lost} of {} sessions were lost", sessions.opened()));
        }
        sessions.close().await;
    }

    /// Lets clients in that were there before.
    async fn connects(&mut self, actors: &Arc<[Actor]>) -> Result<(), CommandError> {
        let times = self.load.connects as usize;
        let meter = Meter::start(self.server);
        let (took, latency) = load::come_back(&self.target, actors, times, self.lanes()).await?;
        let what = "connect again, subscribe and go".to_owned();
        self.report.rows.push(Row::rate("connects", what, latency.total(), took, meter.shares(), &latency));
        Ok(())
    }

    /// Sends messages.
    async fn telemetry(
        &mut self,
        senders: Vec<(Actor, String)>,
        receiver: &Actor,
        to: &str,
    ) -> Result<(), CommandError> {
        let plan = Telemetry {
            messages: self.load.messages.into(),
            body: self.load.body as usize,
            window: self.load.window,
            limit: self.load.time_limit / 4,
        };
        let meter = Meter::start(self.server);
        let sent = load::telemetry(&self.target, senders, receiver, plan).await?;
        let shares = meter.shares();
        let row = |load, what: String, count, latency: &Histogram| {
            Row::rate(load, what, count, sent.took, shares, latency)
        };
        let what = "QoS 1 message to its acknowledgement".to_owned();
        self.report.rows.push(row("telemetry", what, sent.acknowledged, &sent.acknowledging));
        let what = format!("the same, to {to}");
        self.report.rows.push(row("delivery", what, sent.received, &sent.delivering));
        if sent.received < sent.acknowledged {
            let lost = sent.acknowledged - sent.received;
            self.report.missing += usize::try_from(lost).unwrap_or(usize::MAX);
            self.report.notes.push(format!("{lost} messages were acknowledged and did not arrive"));
        }
        if sent.repeated > 0 {
            self.report.notes.push(format!("{} messages arrived more than once", sent.repeated));
        }
        Ok(())
    }
}
