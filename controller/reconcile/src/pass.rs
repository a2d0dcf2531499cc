//! One pass: every stage in order, each in its own file. What a pass needs to remember is in [`State`].

use hemline_hub::HubHandle;
use hemline_model::{Finding, id::Revision};
use hemline_plan::{Documents, Observed, Plan, Resolution};
use hemline_sources::AnySource;
use jiff::Timestamp;

use crate::{
    apply::{Applied, apply},
    approve::documents,
    last_good::{LastGood, Which},
    load::load,
    observe::{observe, owners},
    plan::plan,
    report::{PassReport, Sight, Statuses, report},
    resolve::{facts, resolve},
    validate::{Attempt, Good, chain, validate},
};

/// Is the source read again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Yes,
    No,
}

/// What the hub was brought to completely.
#[derive(Debug)]
pub(crate) struct AppliedLast {
    revision: Revision,
    pub(crate) documents: Documents,
    resolution: Resolution,
}

/// What passes remember.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kept: LastGood,
    /// The revision in force.
    pub(crate) good: Option<Good>,
    /// What the hub was brought to completely, and from which revision.
    pub(crate) applied: Option<AppliedLast>,
    /// New revisions wait until somebody applies them.
    pub(crate) hold: bool,
    /// The one that waits.
    pub(crate) waiting: Option<Good>,
    /// What the hub held at the end of the last pass.
    pub(crate) seen: Option<Observed>,
    /// The newest revision that was read, good or not.
    pub(crate) attempted: Option<Revision>,
    /// About the attempted revision.
    pub(crate) findings: Vec<Finding>,
    /// Why the source could not be read.
    pub(crate) unreadable: Option<String>,
    /// The statuses of the last report; conditions remember since when they hold.
    pub(crate) statuses: Statuses,
}

/// Runs one pass.
pub(crate) async fn pass(
    source: &mut AnySource,
    hub: &HubHandle,
    state: &mut State,
    reload: Reload,
) -> PassReport {
    let mut sight = Sight::new(source);
    let mut observed = match observe(hub).await {
        Ok(observed) => observed,
        Err(error) => return report(state, sight.failed(chain(&error))),
    };
    if reload == Reload::Yes {
        let running = state.good.as_ref().map_or(0, |good| good.fleet.devices.len());
        let attempt = validate(load(source).await, &facts(&observed), running);
        state.take(attempt);
    }
    let Some(good) = &state.good else { return report(state, sight.seen(observed)) };

    let resolution = resolve(good, &facts(&observed));
    if let Err(error) = owners(hub, &mut observed, &resolution).await {
        return report(state, sight.failed(chain(&error)));
    }
    let plan = plan(&good.revision, &resolution, state.applied(), &observed);
    let applied = apply(hub, &plan).await;
    if !plan.is_empty() {
        match observe(hub).await {
            Ok(after) => observed = after,
            Err(error) => sight = sight.failed(chain(&error)),
        }
    }
    let sight = sight.seen(observed).done(&plan, &applied, resolution.clone());
    state.finish(resolution, &plan, &applied);
    report(state, sight)
}

impl State {
    /// What is left from before the restart.
    pub(crate) fn restore(kept: LastGood, hold: bool) -> Self {
        let resolved = |good: &Good| AppliedLast {
            revision: good.revision.clone(),
            documents: documents(good),
            resolution: hemline_plan::resolve(&good.fleet, &Default::default()),
        };
        Self {
            good: kept.read(Which::InForce),
            applied: kept.read(Which::Applied).as_ref().map(resolved),
            hold,
            waiting: None,
            seen: None,
            attempted: None,
            findings: Vec::new(),
            unreadable: None,
            statuses: kept.read_statuses(),
            kept,
        }
    }

    pub(crate) fn applied(&self) -> Option<&Resolution> {
        self.applied.as_ref().map(|applied| &applied.resolution)
    }

    /// Is this the revision that the controller works towards?
    pub(crate) fn in_force(&self, revision: &Revision) -> bool {
        self.good.as_ref().is_some_and(|good| good.revision == *revision)
    }

    /// From here on the controller works towards this revision, after a restart too.
    pub(crate) fn put_in_force(&mut self, good: Good) {
        self.waiting = None;
        self.attempted = Some(good.revision.clone());
        if !self.in_force(&good.revision) {
            tracing::info!(revision = %good.revision, devices = good.fleet.devices.len(), "a new revision is in force");
            self.kept.write(Which::InForce, &good);
            self.good = Some(good);
        }
    }

    /// A broken revision never replaces a good one.
    fn take(&mut self, attempt: Attempt) {
        self.unreadable = None;
        match attempt {
            Attempt::Unreadable { error } => {
                tracing::warn!(%error, "cannot read the source; the last good revision stays in force");
                self.unreadable = Some(error);
            }
            Attempt::Broken { revision, findings } => {
                if self.attempted.as_ref() != Some(&revision) {
                    let errors = findings.iter().filter(|finding| finding.is_error()).count();
                    tracing::warn!(%revision, errors, "the revision is not usable; the last good one stays in force");
                }
                self.attempted = Some(revision);
                self.findings = findings;
            }
            Attempt::Good { good, findings } => {
                self.findings = findings;
                if self.hold && !self.in_force(&good.revision) {
                    tracing::info!(revision = %good.revision, "a new revision waits for `hem apply`");
                    self.waiting = Some(*good);
                } else {
                    self.put_in_force(*good);
                }
            }
        }
    }

    /// A revision counts as applied when every step of its plan was done: until then its removals are still to do.
    fn finish(&mut self, resolution: Resolution, plan: &Plan, applied: &Applied) {
        if !plan.is_empty() {
            tracing::info!(done = %plan.brief(), failed = applied.failed.len(), "the hub was brought to the documents");
        }
        let Some(good) = &self.good else { return };
        if resolution.is_usable() && applied.failed.is_empty() {
            let documents = match self.applied.take() {
                Some(before) if before.revision == good.revision => before.documents,
                Some(_) | None => {
                    self.kept.write(Which::Applied, good);
                    documents(good)
                }
            };
            self.applied = Some(AppliedLast { revision: good.revision.clone(), documents, resolution });
        }
    }
}

/// The time of a report; the only clock of a pass.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
