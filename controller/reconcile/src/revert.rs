//! The way back that is proposed to people: a branch and a pull request for each commit that went back, once, as long as the
//! source holds the commit.
//!
//! Made beside the passes: a remote that hangs holds up no device. What was made is kept and never made again, also when
//! somebody deleted it. Killed between making and keeping, the next start makes it once more, which changes nothing at the
//! remote. What fails is tried again, later each time.

#[cfg(test)]
mod tests;

use std::time::Duration;

use hemline_model::id::Revision;
use hemline_plan::rollout::RevertProposal;
use hemline_sources::{
    AnySource, BACKOFF_AT_MOST, ForgeError, ONLY, Proposed, REFUSED, Reason, Revert, SourceError, Trouble,
    chain,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{brake, last_good::LastGood};

/// The first wait after a failure; the next ones are twice as long each.
const AGAIN: Duration = Duration::from_secs(5);
/// Commits whose way back is remembered.
const KEPT_AT_MOST: usize = 1_000;

/// A branch that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayBack {
    /// `hemline/revert-1234567`.
    pub branch: String,
    /// The commit on it.
    pub commit: Revision,
    /// Address of its pull request, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
}

/// What was made for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    /// The commit that went back.
    of: Revision,
    /// One for each repository that it concerns; none when somebody took it back already.
    ways: Vec<WayBack>,
    /// Is nothing left to do?
    complete: bool,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Reverts {
    kept: LastGood,
    made: Vec<Made>,
    under_way: Option<UnderWay>,
    failed: Option<Failed>,
}

type Outcome = Result<Vec<Proposed>, SourceError>;

#[derive(Debug)]
struct UnderWay {
    of: Revision,
    task: AbortOnDropHandle<Outcome>,
}

#[derive(Debug)]
struct Failed {
    of: Revision,
    times: u32,
    again: Instant,
    trouble: Trouble,
}

impl Reverts {
    /// What is left from before the restart.
    pub(crate) fn restore(kept: LastGood) -> Self {
        let made = kept.read_made().unwrap_or_default();
        Self { kept, made, under_way: None, failed: None }
    }

    /// Starts what is wanted, unless it is there, on its way, or failed a moment ago.
    pub(crate) fn want(&mut self, source: &AnySource, wanted: Option<&RevertProposal>) {
        let Some((bad, good, wanted)) =
            wanted.and_then(|wanted| Some((&wanted.quarantined, wanted.last_good.as_ref()?, wanted)))
        else {
            self.failed = None;
            return;
        };
        if self.failed.as_ref().is_some_and(|failed| failed.of != *bad) {
            self.failed = None;
        }
        let waits = self.failed.as_ref().is_some_and(|failed| failed.again > Instant::now());
        if waits || self.under_way.is_some() || self.made(bad).is_some_and(|made| made.complete) {
            return;
        }
        let revert = Revert { good: good.clone(), bad: bad.clone(), evidence: wanted.evidence_text() };
        let proposal = source.proposal(&revert);
        if proposal.is_empty() {
            self.failed = None;
            return;
        }
        let task = tokio::spawn(async move { proposal.make().await });
        self.under_way = Some(UnderWay { of: bad.clone(), task: AbortOnDropHandle::new(task) });
    }

    /// Waits until something is made, has failed, or is due again. Never returns when nothing is wanted. Cancel-safe.
    pub(crate) async fn step(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            let outcome = (&mut under_way.task).await.unwrap_or(Err(SourceError::Interrupted));
            if let Some(UnderWay { of, .. }) = self.under_way.take() {
                self.finish(of, outcome, Instant::now());
            }
            return;
        }
        match &self.failed {
            Some(failed) => sleep_until(failed.again).await,
            None => std::future::pending().await,
        }
    }

    /// Is one on its way?
    #[cfg(test)]
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The ways back from a commit that are there.
    pub(crate) fn ways(&self, bad: &Revision) -> &[WayBack] {
        self.made(bad).map_or(&[], |made| made.ways.as_slice())
    }

    /// Why there is none, or no pull request.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.failed.as_ref().map(|failed| &failed.trouble)
    }

    fn made(&self, bad: &Revision) -> Option<&Made> {
        self.made.iter().find(|made| made.of == *bad)
    }

    fn finish(&mut self, of: Revision, outcome: Outcome, now: Instant) {
        let proposed = match outcome {
            Ok(proposed) => proposed,
            Err(error) => {
                let wait = error.wants_a_person().then_some(REFUSED);
                return self.fail(of, Reason::Revert, chain(&error), wait, now);
            }
        };
        let (mut ways, mut refused) = (Vec::new(), None);
        for Proposed { branch, commit, pull } in proposed {
            let pull_request = match pull {
                Some(Ok(address)) => Some(address),
                Some(Err(error)) => {
                    refused = refused.or(Some(error));
                    None
                }
                None => None,
            };
            ways.push(WayBack { branch, commit, pull_request });
        }
        let made = Made { of: of.clone(), ways, complete: refused.is_none() };
        if self.made(&of) != Some(&made) {
            let revision = of.short();
            for way in &made.ways {
                let pull_request = way.pull_request.as_deref().unwrap_or("none");
                tracing::warn!(revision, branch = way.branch, pull_request, "going back is proposed");
            }
            brake::point("before a way back is kept");
            self.keep(made);
        }
        match refused {
            None => self.failed = None,
            Some(error) => {
                let wait = match &error {
                    ForgeError::Busy { again, .. } => Some(*again),
                    error => error.wants_a_person().then_some(REFUSED),
                };
                self.fail(of, Reason::PullRequest, chain(&error), wait, now);
            }
        }
    }

    fn keep(&mut self, made: Made) {
        self.made.retain(|old| old.of != made.of);
        self.made.push(made);
        let surplus = self.made.len().saturating_sub(KEPT_AT_MOST);
        self.made.drain(..surplus);
        // What is not kept is made once more after a restart, and found there. It is tried again with the next one.
        self.kept.write_made(&self.made);
    }

    fn fail(&mut self, of: Revision, reason: Reason, message: String, wait: Option<Duration>, now: Instant) {
        let times = self.failed.as_ref().map_or(0, |failed| failed.times);
        let grown = AGAIN.saturating_mul(2_u32.saturating_pow(times.min(16))).min(BACKOFF_AT_MOST);
        let trouble = Trouble { source: ONLY.to_owned(), reason, message };
        self.failed =
            Some(Failed { of, times: times.saturating_add(1), again: now + wait.unwrap_or(grown), trouble });
    }
}
