//! A round: one pass and everything that follows from it, in the one order that there is.
//!
//! ```text
//! pass.rs     decide → keep the decision (rollouts.json) → steps to the hub → drift.json → what was done (rollouts.json)
//!             → applied.json when a revision is complete → statuses
//! here        → the way back is proposed → trouble → statuses.json, status files, forges → the report is out
//! ```
//!
//! Whatever starts a round, controller and tests run this one. It may die between any two of these: `round/tests.rs` kills it at
//! every point of several stories, with real files and a real repository, and a hub and clocks that are played.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hemline_plan::rollout::Command;
use hemline_sources::{AnySource, Reason, Source as _, Trouble};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    approve::{ApplyError, ApplyReply, ApplyRequest, approve},
    clock::Clocks,
    last_good::LastGood,
    pass::{Reload, State, pass},
    registry::Registry,
    report::{PassReport, Passes},
    revert::Reverts,
    tell::Teller,
    trouble::{Troubles, found},
};

/// What rounds need, beside what they remember of the fleet ([`State`]).
pub(crate) struct Rounds<H, C> {
    pub(crate) source: AnySource,
    pub(crate) hub: H,
    clocks: C,
    pub(crate) teller: Teller,
    /// The ways back that people are offered.
    pub(crate) reverts: Reverts,
    troubles: Troubles,
    /// The trouble of the source that the last report knows.
    heard: Vec<(String, Reason)>,
    passes: Passes,
    /// Are status files written to the source?
    files: bool,
    last: Option<Arc<PassReport>>,
}

/// What a round has to say.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) report: Arc<PassReport>,
    /// It is something else than the round before said.
    pub(crate) news: bool,
}

impl<H: Registry, C: Clocks> Rounds<H, C> {
    pub(crate) fn new(source: AnySource, hub: H, clocks: C, kept: LastGood, files: bool) -> Self {
        Self {
            source,
            hub,
            clocks,
            teller: Teller::default(),
            reverts: Reverts::restore(kept),
            troubles: Troubles::default(),
            heard: Vec::new(),
            passes: Passes::default(),
            files,
            last: None,
        }
    }

    /// The clock on the wall.
    pub(crate) fn now(&self) -> Timestamp {
        self.clocks.wall()
    }

    /// One round.
    pub(crate) async fn one(&mut self, state: &mut State, reload: Reload) -> Said {
        let begin = Instant::now();
        let report = pass(&mut self.source, &self.hub, &self.clocks, state, reload).await;
        self.follow(state, report, begin.elapsed()).await
    }

    /// A round with an order of somebody to rollouts before it. Refused, there is none.
    pub(crate) async fn order(
        &mut self,
        state: &mut State,
        command: Command,
        deployment: Option<&str>,
        by: &str,
    ) -> Result<Said, ApplyError> {
        let done = state.order(command, deployment, by, self.now());
        done.map_err(|refused| ApplyError::Refused(refused.0))?;
        Ok(self.one(state, Reload::No).await)
    }

    /// A round that puts in force what somebody applies. Refused, there is none.
    pub(crate) async fn apply(
        &mut self,
        state: &mut State,
        request: &ApplyRequest,
    ) -> Result<(ApplyReply, Said), ApplyError> {
        let begin = Instant::now();
        let (reply, report) = approve(&mut self.source, &self.hub, &self.clocks, state, request).await?;
        Ok((reply, self.follow(state, report, begin.elapsed()).await))
    }

    /// Did trouble of the source come or go since the last report? Whoever reads that must not wait for it.
    pub(crate) fn is_in_other_trouble(&self) -> bool {
        kinds(&self.source.trouble()) != self.heard
    }

    /// What follows from a pass.
    async fn follow(&mut self, state: &State, mut report: PassReport, took: Duration) -> Said {
        self.passes.count += 1;
        self.passes.took += took;
        report.looked = self.source.looked();
        report.passes = Passes { told: self.teller.took(), ..self.passes };
        self.reverts.want(&self.source, report.revert.as_ref());
        if let Some(bad) = &report.revert {
            report.ways_back = self.reverts.ways(&bad.quarantined).to_vec();
        }
        let told = self.source.trouble();
        self.heard = kinds(&told);
        let found = found(state, &report, told.iter().chain(self.reverts.trouble()));
        report.trouble = self.troubles.look(found, report.at);
        let report = Arc::new(report);
        let news = self.last.as_ref().is_none_or(|last| !last.says_the_same(&report));
        self.teller.tell(&mut self.source, state, &report, news, self.files).await;
        self.last = Some(Arc::clone(&report));
        Said { report, news }
    }
}

/// What does not work at the source, without its words: these may be others each time.
fn kinds(trouble: &[Trouble]) -> Vec<(String, Reason)> {
    trouble.iter().map(|trouble| (trouble.source.clone(), trouble.reason)).collect()
}
