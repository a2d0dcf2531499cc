//! One play of a plot: a controller's rounds over played devices, killed once or never.

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use hemline_model::id::Revision;
use hemline_plan::{
    rollout::{Ledger, Progress},
    simulate::Faults,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{
    Plot,
    history::{History, branches, source},
    played::Played,
    start,
};
use crate::{
    brake,
    last_good::LastGood,
    pass::{Reload, State},
    round::Rounds,
    validate::Good,
};

pub(super) struct World<'a> {
    plot: Plot,
    history: &'a History,
    folder: PathBuf,
    hub: Played,
    /// Its tasks end with it, as those of a process do.
    runtime: Runtime,
    rounds: Rounds<Played, Played>,
    pub(super) state: State,
    /// The commit that the source holds.
    head: &'static str,
    /// It was not read yet.
    news: bool,
    /// Nothing was done since the start.
    fresh: bool,
    moments: usize,
    /// How often it was killed.
    pub(super) restarts: usize,
    /// Orders that were answered.
    pub(super) said: usize,
    /// Orders that made no sense when they were given.
    pub(super) refused: Vec<String>,
}

impl<'a> World<'a> {
    pub(super) fn new(plot: Plot, history: &'a History, folder: &Path) -> Self {
        let faults =
            Faults { failing: [("broken".to_owned(), 100)].into(), apply_secs: 10, ..Faults::default() };
        history.copy_to(folder);
        let hub = Played::new(faults, start());
        let (runtime, rounds, state) = begin(folder, &hub);
        Self {
            plot,
            history,
            folder: folder.to_owned(),
            hub,
            runtime,
            rounds,
            state,
            head: "",
            news: true,
            fresh: true,
            moments: 0,
            restarts: 0,
            said: 0,
            refused: Vec::new(),
        }
    }

    /// Where what must survive is kept.
    pub(super) fn kept_in(&self) -> PathBuf {
        kept_in(&self.folder)
    }

    /// What the controller's loop does, but for waiting. Did anything move?
    fn round(&mut self) -> bool {
        let before = self.kept();
        // A start goes on with the fleet that it knows, and hears of its source after that.
        let first = std::mem::take(&mut self.fresh) && self.state.good.is_some();
        let reload = if self.news && !first { Reload::Yes } else { Reload::No };
        let said = self.runtime.block_on(self.rounds.one(&mut self.state, reload));
        self.news &= first;
        let proposes = self.rounds.reverts.is_under_way();
        if proposes {
            self.runtime.block_on(self.rounds.reverts.step());
        }
        self.news || proposes || !said.report.done.is_empty() || before != self.kept()
    }

    /// What people say now. Who gets no answer says it again.
    fn orders(&mut self) {
        while let Some((at, command)) = self.plot.orders.get(self.said) {
            if start() + SignedDuration::from_secs(*at) > self.hub.now() {
                return;
            }
            let done = self.runtime.block_on(self.rounds.order(&mut self.state, *command, None, "ann"));
            if let Err(refused) = done {
                self.refused.push(refused.to_string());
            }
            self.said += 1;
        }
    }

    /// What somebody pushed meanwhile.
    fn look(&mut self) {
        let passed = self.hub.now().duration_since(start()).as_secs();
        let commit = self.plot.commits.iter().rev().find(|commit| commit.at <= passed).unwrap();
        if self.head != commit.revision {
            self.history.push(&self.folder, commit.revision);
            self.head = commit.revision;
            self.news = true;
        }
    }

    /// What a round may have moved on.
    fn kept(&self) -> (Ledger, Option<Revision>) {
        let complete = self.state.applied.as_ref().map(|applied| applied.good.revision.clone());
        (self.state.rollouts.ledger.clone(), complete)
    }

    /// The moment at which something happens next; `None` when the story is over.
    fn next(&self) -> Option<Timestamp> {
        let commits = self.plot.commits.iter().map(|commit| commit.at);
        let orders = self.plot.orders.iter().map(|(at, _)| *at);
        let moments = commits.chain(orders).map(|at| start() + SignedDuration::from_secs(at));
        let now = self.hub.now();
        let commit = moments.filter(|at| *at > now).min();
        let over = self.state.rollouts.ledger.rollouts.values().all(|record| record.state.is_over());
        let devices = self.hub.next().filter(|_| !over || commit.is_some());
        [commit, devices, self.state.wakes(now)].into_iter().flatten().min()
    }

    /// Everything that happens now.
    fn settle(&mut self) {
        loop {
            let step = AssertUnwindSafe(|| {
                self.look();
                self.orders();
                self.round()
            });
            match std::panic::catch_unwind(step) {
                Ok(true) => {}
                Ok(false) => return,
                Err(cause) if cause.is::<brake::Killed>() => self.restart(),
                Err(cause) => std::panic::resume_unwind(cause),
            }
        }
    }

    /// Everything that happens now, and on to the moment at which something happens next: the moment that is over; `None` when the
    /// story is.
    pub(super) fn go_on(&mut self) -> Option<Timestamp> {
        self.moments += 1;
        assert!(self.moments < 2_000, "it never ends");
        self.settle();
        let now = self.hub.now();
        let next = self.next()?;
        self.hub.set(next);
        Some(now)
    }

    /// All that its future depends on, as text.
    pub(super) fn stands(&self) -> String {
        let state = &self.state;
        let revision = |good: &Good| good.revision.clone();
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
            (&state.rollouts.ledger, state.said().is_some()),
            state.good.as_deref().map(revision),
            state.applied.as_ref().map(|applied| revision(&applied.good)),
            state.attempted,
            state.quarantined,
            state.drift,
            self.hub.devices(),
            files(&self.kept_in()),
            self.said,
        )
    }

    /// Everything until then.
    pub(super) fn play_until(&mut self, then: Timestamp) {
        loop {
            self.settle();
            match self.next().filter(|next| *next <= then) {
                Some(next) => self.hub.set(next),
                None => return,
            }
        }
    }

    /// The program starts again.
    pub(super) fn restart(&mut self) {
        (self.runtime, self.rounds, self.state) = begin(&self.folder, &self.hub);
        self.hub.forget_who_asked();
        (self.news, self.fresh) = (true, true);
        self.restarts += 1;
        // Nothing was done that is not written down: whoever has the new version was given it on paper.
        let devices = self.hub.devices();
        for record in self.state.rollouts.ledger.rollouts.values() {
            for (id, progress) in record.devices() {
                let waits = matches!(progress, Progress::Waiting | Progress::Skipped);
                let agent = devices.get(id).and_then(|there| there.modules.get("$edgeAgent"));
                let broken = agent.and_then(|agent| agent.desired.get("modules")?.get("broken"));
                let mut bad = self.plot.commits.iter().filter(|commit| commit.bad);
                let bad = bad.any(|commit| self.history.id(commit.revision) == record.revision.as_str());
                let goes = bad && !record.state.goes_back();
                assert!(!(waits && goes && broken.is_some()), "{id} has what nobody gave it");
            }
        }
    }

    /// What counts at the end.
    pub(super) fn end(&self) -> Value {
        let state = &self.state;
        let ledger = &state.rollouts.ledger;
        let devices = self.hub.devices();
        let twins = devices.iter().map(|(id, device)| {
            let modules =
                device.modules.iter().map(|(module, twin)| (module.to_string(), json!(twin.desired)));
            json!([id, device.tags, modules.collect::<serde_json::Map<_, _>>()])
        });
        let quarantined = ledger.quarantined.iter().map(|bad| {
            let evidence: Vec<_> = bad.proposal.evidence.keys().collect();
            json!([bad.proposal.quarantined, bad.proposal.last_good, evidence])
        });
        let rollouts = ledger
            .rollouts
            .values()
            .map(|record| json!([record.revision, record.state.word(), record.counts()]));
        let statuses = state.statuses.devices.iter().map(|(id, status)| json!([id, status.revision]));
        let mut branches = branches(&self.folder);
        branches.sort_by_key(|name| self.history.named(name));
        // Nobody but the controller wrote to the hub.
        let drift = state.drift.rows.iter().map(|row| json!([row.path, row.expected, row.found]));
        let end = json!({
            "twins": twins.collect::<Vec<_>>(),
            "quarantined": quarantined.collect::<Vec<_>>(),
            "rollouts": rollouts.collect::<Vec<_>>(),
            "on": ledger.on, "told": ledger.told,
            "inForce": state.good.as_ref().map(|good| good.revision.clone()),
            "complete": state.applied.as_ref().map(|applied| applied.good.revision.clone()),
            "statuses": statuses.collect::<Vec<_>>(),
            "drift": drift.collect::<Vec<_>>(),
            "branches": branches,
            "files": files(&self.kept_in()),
        });
        serde_json::from_str(&self.history.named(&end.to_string())).unwrap()
    }
}

/// A program that starts on what is in the folder.
fn begin(folder: &Path, hub: &Played) -> (Runtime, Rounds<Played, Played>, State) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let kept = LastGood::new(kept_in(folder));
    let rounds = Rounds::new(source(folder), hub.clone(), hub.clone(), kept.clone(), true);
    (runtime, rounds, State::restore(kept, false))
}

fn kept_in(folder: &Path) -> PathBuf {
    folder.join("last-good")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".tmp")).collect();
    names.sort();
    names
}
