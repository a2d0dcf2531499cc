//! Stage 5, pure but for keeping: which device gets which revision in this pass ([`hemline_plan::rollout`] decides).
//!
//! What was decided is on disk before anything is done. Afterwards the disk hears what was done; a kill in between only makes
//! the next pass do again what may be done twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Instant,
};

use hemline_model::{
    id::{DeviceId, DocumentName, Revision},
    valid::RolloutSpec,
};
use hemline_plan::{
    Facts, Observed, Resolution, Side,
    rollout::{Command, Going, Ledger, Refused, Revisions, Transition},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    brake,
    last_good::{self, LastGood, Which},
    pass::State,
    resolve::resolve,
    validate::Good,
};

/// What passes remember of rollouts.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    pub(crate) ledger: Ledger,
    /// Revisions between the last complete one and the one in force that devices have.
    others: BTreeMap<Revision, Other>,
    /// Transitions since the start, by phase: a metric.
    pub(crate) transitions: BTreeMap<&'static str, u64>,
    /// What documents said of each device last, while not all of them have the same revision.
    pub(crate) said: Option<Arc<Resolution>>,
}

#[derive(Debug)]
struct Other {
    good: Arc<Good>,
    resolution: Resolution,
}

/// What one pass brings to the devices.
#[derive(Debug)]
pub(crate) struct Rolled {
    /// What each device should be now.
    pub(crate) desired: Arc<Resolution>,
    /// Devices that keep another revision than the one in force.
    pub(crate) held: BTreeMap<DeviceId, Revision>,
    /// When all of it is done, the revision in force is complete.
    completes: bool,
    /// The revision that the turn was about: where it goes back, not the one in force any more.
    head: Arc<Good>,
    head_resolution: Option<Arc<Resolution>>,
}

impl Rollouts {
    /// What is left from before the restart.
    pub(crate) fn restore(kept: &LastGood) -> Self {
        let ledger = kept.read_ledger().unwrap_or_default();
        let mut rollouts = Self { ledger, ..Self::default() };
        let needed = rollouts.ledger.needs();
        kept.forget_all_between_but(&needed);
        for revision in needed {
            if let Some(good) = kept.read_between(&revision) {
                let resolution = resolve(&good, &Facts::default());
                rollouts.others.insert(revision, Other { good: Arc::new(good), resolution });
            }
        }
        rollouts
    }

    /// Keeps the documents of a revision that another one takes the place of, when devices have it or may have it. While the
    /// program runs it is known whether or not it can be written.
    pub(crate) fn retire(&mut self, good: &Arc<Good>, kept: &LastGood) -> io::Result<()> {
        if !self.ledger.needs().contains(&good.revision) {
            return Ok(());
        }
        let new = !self.others.contains_key(&good.revision);
        if new {
            let resolution = resolve(good, &Facts::default());
            self.others.insert(good.revision.clone(), Other { good: Arc::clone(good), resolution });
        }
        if kept.lacks(last_good::BETWEEN) {
            self.keep_again(kept)
        } else if new {
            kept.write_between([good.as_ref()])
        } else {
            Ok(())
        }
    }

    /// Are the documents of this revision in between known?
    #[cfg(test)]
    pub(crate) fn knows(&self, revision: &Revision) -> bool {
        self.others.contains_key(revision)
    }

    /// Keeps every revision in between once more.
    pub(crate) fn keep_again(&self, kept: &LastGood) -> io::Result<()> {
        kept.write_between(self.others.values().map(|other| other.good.as_ref()))
    }

    /// Does it depend on what devices report which of them the revisions in between mean?
    pub(crate) fn reads_reported(&self) -> bool {
        self.others.values().any(|other| other.good.reads_reported())
    }

    /// The documents of revisions that nobody needs any more go.
    fn tidy(&mut self, kept: &LastGood) {
        let needed = self.ledger.needs();
        let gone: Vec<Revision> =
            self.others.keys().filter(|revision| !needed.contains(*revision)).cloned().collect();
        for revision in gone {
            kept.forget_between(&revision);
            self.others.remove(&revision);
        }
    }

    /// Logs and counts what happened, once.
    fn tell(&mut self, transitions: &[Transition]) {
        for Transition { deployment, revision, from, to, what } in transitions {
            tracing::info!(%deployment, revision = revision.short(), from, to, "rollout: {what}");
            *self.transitions.entry(to).or_default() += 1;
        }
    }
}

impl State {
    /// Decides, and keeps the decision.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing may be done.
    pub(crate) fn roll(
        &mut self,
        resolution: Arc<Resolution>,
        facts: &Facts,
        observed: &Observed,
        now: Timestamp,
    ) -> io::Result<Option<Rolled>> {
        let Some(head) = self.good.clone() else { return Ok(None) };
        if self.is_quiet(&head) || !resolution.is_usable() {
            self.rollouts.said = None;
            let held = BTreeMap::new();
            let completes = true;
            return Ok(Some(Rolled { desired: resolution, held, completes, head, head_resolution: None }));
        }
        self.refresh(facts);
        let newcomers = self.newcomers(&head, &resolution, facts);
        let others = self.other_resolutions();
        let turn = {
            let revisions = self.revisions(&head, &resolution, &others, newcomers.as_ref());
            self.rollouts.ledger.turn(&revisions, observed, now)
        };
        if turn.goes_back && !self.is_complete(&head) {
            // What it said must be known to be taken back, also after a kill.
            let kept = self.kept.clone();
            self.rollouts.retire(&head, &kept)?;
        }
        if turn.ledger != self.rollouts.ledger {
            brake::point("before the decision is kept");
            self.kept.write_ledger(&turn.ledger)?;
            brake::point("after the decision was kept");
            self.rollouts.ledger = turn.ledger;
        }
        self.rollouts.tell(&turn.transitions);
        let held = self.held(&head, &turn.desired, &resolution);
        if turn.goes_back {
            self.go_back();
        }
        self.rollouts.said = turn.said.map(Arc::new);
        Ok(Some(Rolled {
            desired: Arc::new(turn.desired),
            held,
            completes: turn.completes,
            head,
            head_resolution: Some(resolution),
        }))
    }

    /// The clock on the wall was set while we ran: what is under way took no longer, and no less, for it.
    pub(crate) fn clock_was_set(&mut self, by: SignedDuration) {
        self.clock_set = Some((Instant::now(), by));
        let ledger = self.rollouts.ledger.shifted(by);
        if ledger != self.rollouts.ledger {
            // What is not kept is trouble that is told; a restart counts by the clock alone then.
            drop(self.kept.write_ledger(&ledger));
            self.rollouts.ledger = ledger;
        }
    }

    /// Says what was done: `failed` are the devices on which it was not. Is the revision in force complete now?
    pub(crate) fn rolled(&mut self, rolled: &Rolled, failed: &BTreeSet<&DeviceId>) -> bool {
        let Some(resolution) = &rolled.head_resolution else { return failed.is_empty() };
        let others = self.other_resolutions();
        let mut ledger = self.rollouts.ledger.clone();
        let revisions = self.revisions(&rolled.head, resolution, &others, None);
        ledger.done(&revisions, &rolled.desired, &|id| failed.contains(id));
        if ledger != self.rollouts.ledger {
            brake::point("before what was done is kept");
            // What is not kept is trouble that is told, and done once more after a restart.
            drop(self.kept.write_ledger(&ledger));
            brake::point("after what was done was kept");
            self.rollouts.ledger = ledger;
        }
        let kept = self.kept.clone();
        self.rollouts.tidy(&kept);
        rolled.completes && failed.is_empty()
    }

    /// Does an order to rollouts, and keeps what comes of it.
    pub(crate) fn order(
        &mut self,
        command: Command,
        deployment: Option<&str>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let (ledger, transitions) =
            self.rollouts.ledger.command(command, deployment, by, &|name| self.spec(name), now)?;
        brake::point("before the order is kept");
        self.kept
            .write_ledger(&ledger)
            .map_err(|error| Refused(format!("the order could not be kept, so it was not done: {error}")))?;
        brake::point("after the order was kept");
        self.rollouts.ledger = ledger;
        self.rollouts.tell(&transitions);
        self.unsettle();
        Ok(())
    }

    /// When a rollout goes on by itself.
    pub(crate) fn wakes(&self, now: Timestamp) -> Option<Timestamp> {
        self.rollouts.ledger.wakes(&|name| self.spec(name), now)
    }

    fn spec(&self, name: &DocumentName) -> Option<RolloutSpec> {
        let applied = self.applied.as_ref().map(|applied| &applied.good);
        let both = self.good.iter().chain(applied);
        both.filter_map(|good| good.fleet.deployments.get(name)?.spec.rollout.clone()).next()
    }

    /// Is there nothing that a rollout could want? Most passes: nothing is copied then.
    pub(crate) fn is_quiet(&self, head: &Good) -> bool {
        let ledger = &self.rollouts.ledger;
        let at_base = self.is_complete(head);
        let over = ledger.rollouts.values().all(|record| record.state.is_over());
        let back = ledger.rollouts.values().any(|record| record.state.goes_back());
        let settled = ledger.on.is_empty() && ledger.told.is_none();
        at_base
            && over
            && settled
            && (back || ledger.head.as_ref() == Some(&head.revision) || ledger.head.is_none())
    }

    /// Is this the last complete revision?
    pub(crate) fn is_complete(&self, good: &Good) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.good.revision == good.revision)
    }

    /// Where it goes back, the last complete revision is the one in force again, after a restart too.
    fn go_back(&mut self) {
        let Some(applied) = self.applied.as_ref().map(|applied| Arc::clone(&applied.good)) else { return };
        if self.in_force(&applied.revision) {
            return;
        }
        tracing::warn!(revision = %applied.revision, "the last complete revision is in force again");
        self.kept.try_to_write(Which::InForce, &applied);
        self.good = Some(applied);
    }

    /// Resolves again what depends on what devices report.
    fn refresh(&mut self, facts: &Facts) {
        if let Some(applied) = &mut self.applied
            && applied.good.reads_reported()
        {
            applied.resolution = Arc::new(resolve(&applied.good, facts));
        }
        for other in self.rollouts.others.values_mut().filter(|other| other.good.reads_reported()) {
            other.resolution = resolve(&other.good, facts);
        }
    }

    /// Devices that are new get what the last complete revision has for them, until it is their turn.
    fn newcomers(&self, head: &Good, resolution: &Resolution, facts: &Facts) -> Option<Resolution> {
        let applied = self.applied.as_ref()?;
        let rolls = head.fleet.deployments.values().any(|deployment| deployment.spec.rollout.is_some());
        let new = |id: &DeviceId| !applied.resolution.devices.contains_key(id);
        if !rolls || !resolution.devices.iter().any(|(id, effective)| effective.identity.edge && new(id)) {
            return None;
        }
        let mut fleet = applied.good.fleet.clone();
        fleet.devices = head
            .fleet
            .devices
            .iter()
            .filter(|(id, _)| new(id))
            .map(|(id, d)| (id.clone(), d.clone()))
            .collect();
        Some(hemline_plan::resolve(&fleet, facts))
    }

    fn other_resolutions(&self) -> BTreeMap<Revision, Resolution> {
        let others = self.rollouts.others.iter();
        others.map(|(revision, other)| (revision.clone(), other.resolution.clone())).collect()
    }

    fn revisions<'a>(
        &'a self,
        head: &'a Good,
        resolution: &'a Resolution,
        others: &'a BTreeMap<Revision, Resolution>,
        newcomers: Option<&'a Resolution>,
    ) -> Revisions<'a> {
        let going = |good: &'a Good, resolution: &'a Resolution| Going {
            revision: &good.revision,
            documents: good.documents(),
            side: Side { fleet: &good.fleet, resolution },
        };
        let base = self.applied.as_ref().map(|applied| going(&applied.good, &applied.resolution));
        Revisions { head: going(head, resolution), base, others, newcomers }
    }

    /// The devices that keep another revision than the head, and which.
    fn held(
        &self,
        head: &Good,
        desired: &Resolution,
        resolution: &Resolution,
    ) -> BTreeMap<DeviceId, Revision> {
        let base = self.applied.as_ref().map(|applied| &applied.good.revision);
        let mut held = BTreeMap::new();
        for record in self.rollouts.ledger.rollouts.values() {
            for (id, _) in record.devices() {
                let same =
                    desired.devices.get(id).zip(resolution.devices.get(id)).is_some_and(|(one, other)| {
                        Arc::ptr_eq(&one.twins.modules, &other.twins.modules)
                            || one.twins.modules == other.twins.modules
                    });
                let on = self.rollouts.ledger.on.iter().find(|taken| taken.devices.contains(id));
                let revision =
                    on.map(|taken| &taken.revision).filter(|revision| **revision != head.revision).or(base);
                if let (false, Some(revision)) = (same, revision) {
                    held.insert(id.clone(), revision.clone());
                }
            }
        }
        held
    }
}
