//! One pass: every stage in order, each in its own file. What a pass needs to remember is in [`State`].

use std::{borrow::Cow, collections::BTreeSet, io, sync::Arc, time::Instant};

use hemline_model::{Finding, id::Revision};
use hemline_plan::{Documents, Plan, Resolution, drift::DriftLedger, rollout::RevertProposal};
use hemline_sources::{AnySource, chain};
use jiff::SignedDuration;

use crate::{
    apply::{Applied, apply},
    brake,
    clock::{Clock, Clocks},
    drift::{self, Writers},
    facsimile::documents,
    last_good::{self, LastGood, Which},
    load::load,
    observe::{Picture, Scope},
    plan::plan,
    registry::Registry,
    report::{PassReport, Sight, Statuses, report},
    roll::{Rolled, Rollouts},
    settled::Settled,
    validate::{Attempt, Good, validate},
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
    pub(crate) good: Arc<Good>,
    pub(crate) documents: Documents,
    pub(crate) resolution: Arc<Resolution>,
}

/// What passes remember.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kept: LastGood,
    /// The revision in force.
    pub(crate) good: Option<Arc<Good>>,
    /// What the hub was brought to completely, and from which revision.
    pub(crate) applied: Option<AppliedLast>,
    /// How revisions reach the devices.
    pub(crate) rollouts: Rollouts,
    /// Whether the clock on the wall goes on as it should.
    pub(crate) clock: Clock,
    /// The newest revision went back, and is not rolled out again.
    pub(crate) quarantined: Option<RevertProposal>,
    /// New revisions wait until somebody applies them.
    pub(crate) hold: bool,
    /// The one that waits.
    pub(crate) waiting: Option<Arc<Good>>,
    /// What the hub holds, as it was looked at last.
    pub(crate) picture: Picture,
    /// What a pass need not look at.
    pub(crate) settled: Settled,
    /// The newest revision that was read, good or not.
    pub(crate) attempted: Option<Revision>,
    /// About the attempted revision.
    pub(crate) findings: Vec<Finding>,
    /// Why the source could not be read.
    pub(crate) unreadable: Option<String>,
    /// What was ever found not to be as the documents say.
    pub(crate) drift: Arc<DriftLedger>,
    /// Who wrote to the hub past this controller.
    pub(crate) writers: Writers,
    /// Why nothing is done: what was decided could not be kept.
    pub(crate) unkept: Option<String>,
    /// Why the newest revision is not in force though it may be: it could not be kept.
    pub(crate) not_in_force: Option<String>,
    /// When the clock on the wall was set, and how far.
    pub(crate) clock_set: Option<(Instant, SignedDuration)>,
    /// The statuses of the last report; conditions remember since when they hold.
    pub(crate) statuses: Statuses,
}

/// Runs one pass: decides, keeps the decision, does it, keeps what was done. What follows from it is told by the round around it.
pub(crate) async fn pass(
    source: &mut AnySource,
    hub: &impl Registry,
    clocks: &impl Clocks,
    state: &mut State,
    reload: Reload,
) -> PassReport {
    state.keep_again();
    let mut sight = Sight::new(source);
    if let Err(error) = state.picture.follow(hub).await {
        return report(state, sight.failed(chain(&error)), clocks.wall());
    }
    if reload == Reload::Yes {
        let running = state.good.as_ref().map_or(0, |good| good.fleet.devices.len());
        let attempt = validate(load(source).await, || state.picture.facts(), running);
        state.take(attempt);
    }
    let Some(good) = state.good.clone() else {
        return report(state, sight, clocks.wall());
    };

    let facts = state.facts();
    if let Some(by) = state.clock.set_by(clocks.steady(), clocks.wall()) {
        state.clock_was_set(by);
    }
    let resolution = state.resolved(&good, &facts);
    let mut scope = state.scope(&good, &resolution);
    let mut observed = state.picture.open(&scope);
    let rolled = match state.roll(resolution, &facts, &observed, clocks.wall()) {
        Ok(Some(rolled)) => rolled,
        Ok(None) => return report(state, sight, clocks.wall()),
        // Nothing is done that would be forgotten.
        Err(error) => {
            let what = format!("cannot keep how far the rollout is, so nothing is done: {error}");
            state.unkept = Some(what);
            return report(state, sight, clocks.wall());
        }
    };
    state.unkept = None;
    let (plan, found) = {
        let desired = part(&rolled.desired, &scope);
        let said = state.said().map(|said| part(said, &scope));
        let mut plan = plan(&good.revision, &desired, said.as_deref(), &observed);
        plan.summary.unchanged += rolled.desired.devices.len() - desired.devices.len();
        drift::find(plan, &desired, said.as_deref(), &mut observed)
    };
    let drifted = state.note_drift(found, &rolled.desired, &observed, clocks.wall());
    let off = drifted.devices();
    let applied = apply(hub, &plan).await;
    state.note_healed(drifted, &applied, clocks.wall());
    if !plan.is_empty() {
        match state.picture.follow(hub).await {
            Ok(()) => {
                scope = scope.and(state.picture.moved());
                // Not both at once.
                drop(observed);
                observed = state.picture.open(&scope);
            }
            Err(error) => sight = sight.failed(chain(&error)),
        }
    }
    let held = rolled.held.clone();
    let desired = Arc::clone(&rolled.desired);
    let sight = sight.seen(scope, observed).done(&plan, &applied, Arc::clone(&desired)).holding(held);
    state.finish(rolled, &plan, &applied);
    state.settle(&good, &desired, &plan, off, &applied);
    report(state, sight, clocks.wall())
}

/// What there is to look at of a resolution.
fn part<'a>(of: &'a Resolution, scope: &Scope) -> Cow<'a, Resolution> {
    match scope {
        Scope::All => Cow::Borrowed(of),
        Scope::These(devices) => Cow::Owned(of.only(devices)),
    }
}

impl State {
    /// What is left from before the restart.
    pub(crate) fn restore(kept: LastGood, hold: bool) -> Self {
        let applied = kept.read(Which::Applied).map(Arc::new);
        let in_force = kept.read(Which::InForce).map(Arc::new);
        let rollouts = Rollouts::restore(&kept);
        // A kill between the decision to go back and its doing: the decision counts.
        let bad = |good: &Arc<Good>| rollouts.ledger.quarantined(good.documents()).is_some();
        let good = match in_force {
            Some(good) if bad(&good) && applied.is_some() => applied.clone(),
            Some(good) => match &applied {
                // The same once, not twice in memory.
                Some(applied) if applied.revision == good.revision => Some(Arc::clone(applied)),
                Some(_) | None => Some(good),
            },
            None => None,
        };
        let resolved = |good: Arc<Good>| AppliedLast {
            documents: documents(&good),
            resolution: Arc::new(hemline_plan::resolve(&good.fleet, &Default::default())),
            good,
        };
        Self {
            good,
            applied: applied.map(resolved),
            rollouts,
            clock: Clock::default(),
            quarantined: None,
            hold,
            waiting: None,
            picture: Picture::default(),
            settled: Settled::default(),
            attempted: None,
            findings: Vec::new(),
            unreadable: None,
            drift: Arc::new(kept.read_drift()),
            writers: Writers::default(),
            unkept: None,
            not_in_force: None,
            clock_set: None,
            statuses: kept.read_statuses(),
            kept,
        }
    }

    /// Keeps what could not be kept before.
    pub(crate) fn keep_again(&mut self) {
        if self.kept.lacks(Which::Applied.file())
            && let Some(applied) = &self.applied
        {
            self.kept.try_to_write(Which::Applied, &applied.good);
        }
        if self.kept.lacks(Which::InForce.file())
            && let Some(good) = &self.good
        {
            self.kept.try_to_write(Which::InForce, good);
        }
        if self.kept.lacks(last_good::DRIFT) {
            self.kept.write_drift(&self.drift);
        }
        if self.kept.lacks(last_good::ROLLOUTS) {
            // Whether it could be is told as trouble.
            drop(self.kept.write_ledger(&self.rollouts.ledger));
        }
        if self.kept.lacks(last_good::BETWEEN) {
            drop(self.rollouts.keep_again(&self.kept));
        }
    }

    pub(crate) fn applied(&self) -> Option<&Resolution> {
        self.applied.as_ref().map(|applied| applied.resolution.as_ref())
    }

    /// What documents said of each device last, also in the middle of a rollout.
    pub(crate) fn said(&self) -> Option<&Resolution> {
        self.rollouts.said.as_deref().or_else(|| self.applied())
    }

    /// The same, to be kept.
    pub(crate) fn said_shared(&self) -> Option<Arc<Resolution>> {
        let applied = || self.applied.as_ref().map(|applied| Arc::clone(&applied.resolution));
        self.rollouts.said.clone().or_else(applied)
    }

    /// Is this the revision that the controller works towards?
    pub(crate) fn in_force(&self, revision: &Revision) -> bool {
        self.good.as_ref().is_some_and(|good| good.revision == *revision)
    }

    /// From here on the controller works towards this revision, after a restart too.
    ///
    /// # Errors
    /// When it cannot be kept; then the one before stays in force.
    pub(crate) fn put_in_force(&mut self, good: Good) -> io::Result<()> {
        if self.in_force(&good.revision) {
            self.attempted = Some(good.revision);
            self.waiting = None;
            self.quarantined = None;
            return Ok(());
        }
        if let Some(before) = self.good.clone().filter(|good| !self.is_complete(good)) {
            let kept = self.kept.clone();
            // Devices may have it; without its documents they could not keep it until it is their turn, and would go back to
            // the one before it. So they are on disk before the newer one is. Where they cannot be, it is told as trouble.
            drop(self.rollouts.retire(&before, &kept));
        }
        brake::point("before a revision is in force");
        self.kept.write(Which::InForce, &good)?;
        self.attempted = Some(good.revision.clone());
        self.waiting = None;
        self.quarantined = None;
        tracing::info!(revision = %good.revision, devices = good.fleet.devices.len(), "a new revision is in force");
        self.good = Some(Arc::new(good));
        Ok(())
    }

    /// The source holds something else now than what was said of it before.
    fn moved_on(&mut self) {
        self.quarantined = None;
        self.waiting = None;
        self.not_in_force = None;
    }

    /// A broken revision never replaces a good one.
    pub(crate) fn take(&mut self, attempt: Attempt) {
        self.unreadable = None;
        match attempt {
            Attempt::Unreadable { error } => {
                self.unreadable = Some(error);
            }
            Attempt::Broken { revision, findings } => {
                self.moved_on();
                if self.attempted.as_ref() != Some(&revision) {
                    let errors = findings.iter().filter(|finding| finding.is_error()).count();
                    tracing::warn!(%revision, errors, "the revision is not usable; the last good one stays in force");
                }
                self.attempted = Some(revision);
                self.findings = findings;
            }
            Attempt::Good { good, findings } => {
                self.moved_on();
                self.findings = findings;
                let bad = self.rollouts.ledger.quarantined(good.documents()).map(|bad| bad.proposal.clone());
                if bad.is_some() {
                    if self.attempted.as_ref() != Some(&good.revision) {
                        tracing::warn!(revision = %good.revision, "the revision went back before and is not rolled out again");
                    }
                    self.attempted = Some(good.revision.clone());
                    self.quarantined = bad;
                } else if self.hold && !self.in_force(&good.revision) {
                    tracing::info!(revision = %good.revision, "a new revision waits for `hem apply`");
                    self.waiting = Some(Arc::from(good));
                } else {
                    let revision = good.revision.clone();
                    if let Err(error) = self.put_in_force(*good) {
                        let revision = revision.short();
                        let what = format!(
                            "{revision} could not be kept, so it is not in force: {error}; make room in the data directory, it is tried again"
                        );
                        self.not_in_force = Some(what);
                    }
                }
            }
        }
    }

    /// A revision counts as applied when every step of its plan was done and every rollout of it is complete: until then its
    /// removals are still to do, and it may go back.
    pub(crate) fn finish(&mut self, rolled: Rolled, plan: &Plan, applied: &Applied) {
        if !plan.is_empty() {
            tracing::info!(done = %plan.brief(), failed = applied.failed.len(), "the hub was brought to the documents");
        }
        let failed: BTreeSet<_> = applied.failed.keys().collect();
        let complete = self.rolled(&rolled, &failed);
        let Some(good) = self.good.clone() else { return };
        let again = self.applied.as_ref().is_some_and(|before| before.good.revision == good.revision);
        if !rolled.desired.is_usable() || !failed.is_empty() || !(complete || again) {
            return;
        }
        let documents = match self.applied.take() {
            Some(before) if again => before.documents,
            Some(_) | None => {
                brake::point("before a revision is complete");
                self.kept.try_to_write(Which::Applied, &good);
                documents(&good)
            }
        };
        self.applied = Some(AppliedLast { good, documents, resolution: rolled.desired });
    }
}
