//! All rollouts of one commit, which device has which revision, and which commits are never rolled out again.
//!
//! One commit is one decision. Its rollouts run side by side, each over the devices that it leads; the commit is complete
//! when all of them are. When one goes back, the whole commit does, for a device takes a commit as a whole and Git reverts
//! it as a whole.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    id::{DeviceId, DocumentName, Revision},
    valid::RolloutSpec,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    advance::{Transition, enter},
    command::{Command, Refused},
    lead::{led, runs_the_same},
    mixed,
    quarantine::Quarantined,
    record::RolloutRecord,
    sight::sight,
    start,
    state::{HaltReason, State},
};
use crate::{Observed, Resolution, forecast::Side};

/// What is kept between passes and restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// The revision that the rollouts bring.
    #[schemars(with = "Option<String>")]
    pub head: Option<Revision>,
    /// The revision whose identities, tags and device twins were applied last; the last complete one when absent.
    #[schemars(with = "Option<String>")]
    pub told: Option<Revision>,
    /// By the deployment that leads.
    #[schemars(with = "BTreeMap<String, RolloutRecord>")]
    pub rollouts: BTreeMap<DocumentName, RolloutRecord>,
    /// Devices that were given another revision than the last complete one, completely; oldest first.
    pub on: Vec<Taken>,
    /// Commits that went back.
    pub quarantined: Vec<Quarantined>,
}

/// The devices on one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Which.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// Who.
    #[schemars(with = "BTreeSet<String>")]
    pub devices: BTreeSet<DeviceId>,
}

/// The revision that is worked towards, with what it says.
#[derive(Debug, Clone, Copy)]
pub struct Going<'a> {
    /// Which.
    pub revision: &'a Revision,
    /// Digest of its documents.
    pub documents: &'a str,
    /// Its documents and what they come to.
    pub side: Side<'a>,
}

/// All that the rollouts of a commit look at.
#[derive(Debug, Clone, Copy)]
pub struct Revisions<'a> {
    /// Where it goes.
    pub head: Going<'a>,
    /// The last complete revision.
    pub base: Option<Going<'a>>,
    /// Others that devices have, or that the ledger names.
    pub others: &'a BTreeMap<Revision, Resolution>,
    /// What devices that are new in `head` would have of the last complete revision.
    pub newcomers: Option<&'a Resolution>,
}

/// What one turn comes to.
#[derive(Debug, Clone)]
pub struct Turn {
    /// To be kept before anything is done.
    pub ledger: Ledger,
    /// For logs and metrics.
    pub transitions: Vec<Transition>,
    /// What each device should be now, some still as in earlier revisions.
    pub desired: Resolution,
    /// What documents said of each device last.
    pub said: Option<Resolution>,
    /// When everything of `desired` is done, `head` is complete.
    pub completes: bool,
    /// The rollouts go back: the last complete revision is the one to work towards.
    pub goes_back: bool,
}

impl Ledger {
    /// One turn: starts the rollouts of a new commit, advances those that run, and says what each device should be.
    #[must_use]
    pub fn turn(&self, revisions: &Revisions<'_>, observed: &Observed, now: Timestamp) -> Turn {
        let mut ledger = self.clone();
        let mut transitions = Vec::new();
        let head = revisions.head.revision;
        let at_base = revisions.base.is_some_and(|base| base.revision == head);
        if at_base && !ledger.rollouts.values().any(|record| record.state.goes_back()) {
            ledger.settle_at(head);
        } else if !at_base && ledger.head.as_ref() != Some(head) {
            start::start(&mut ledger, revisions, now, &mut transitions);
        }
        let pools = ledger.pools(revisions, at_base);
        if !at_base {
            start::join(&mut ledger, revisions, &pools, now, &mut transitions);
        }
        ledger.advance(revisions, &pools, observed, now, &mut transitions);
        let goes_back = ledger.rollouts.values().any(|record| record.state.goes_back());
        if goes_back && !at_base {
            ledger.quarantine(revisions, now, &mut transitions);
        }
        let completes = !goes_back
            && ledger.rollouts.values().all(|record| matches!(record.state, State::Complete { .. }));
        let (desired, said) = mixed::mixed(&ledger, revisions, goes_back);
        Turn { ledger, transitions, desired, said, completes, goes_back }
    }

    /// What was done: devices without a failure have what they should have now. `all` when nothing failed.
    pub fn done(
        &mut self,
        revisions: &Revisions<'_>,
        desired: &Resolution,
        failed: &dyn Fn(&DeviceId) -> bool,
    ) {
        let base = revisions.base.map(|base| base.side.resolution);
        let head = revisions.head;
        let goes_back = self.rollouts.values().any(|record| record.state.goes_back());
        let mut all = true;
        for (id, effective) in &desired.devices {
            if failed(id) {
                all = false;
                continue;
            }
            let was = base.and_then(|base| base.devices.get(id));
            let has_head =
                head.side.resolution.devices.get(id).is_some_and(|new| runs_the_same(Some(new), effective));
            if runs_the_same(was, effective) {
                self.forget(id);
            } else if has_head && !goes_back && self.revision_of(id) != Some(head.revision) {
                self.forget(id);
                self.take(head.revision, id);
            }
        }
        // One that left the documents left with what it had: under the same name it comes back as a new one.
        for taken in &mut self.on {
            taken.devices.retain(|id| desired.devices.contains_key(id) || failed(id));
        }
        self.on.retain(|taken| !taken.devices.is_empty());
        if all {
            let at_base = revisions.base.is_some_and(|base| base.revision == head.revision);
            self.told = (!at_base && !goes_back).then(|| head.revision.clone());
        }
    }

    /// Does an order to the rollout of a deployment; to all when none is named.
    ///
    /// # Errors
    /// When there is no such rollout, or the order makes no sense now.
    pub fn command(
        &self,
        command: Command,
        deployment: Option<&str>,
        by: &str,
        spec: &dyn Fn(&DocumentName) -> Option<RolloutSpec>,
        now: Timestamp,
    ) -> Result<(Self, Vec<Transition>), Refused> {
        let mut ledger = self.clone();
        let mut transitions = Vec::new();
        let mut refused = None;
        let mut done = false;
        let wanted = |name: &DocumentName| deployment.is_none_or(|wanted| wanted == name.as_str());
        for (name, record) in self.rollouts.iter().filter(|(name, _)| wanted(name)) {
            let Some(spec) = spec(name) else { continue };
            match record.command(command, by, &spec, now) {
                Ok((record, more)) => {
                    done = true;
                    transitions.extend(more);
                    ledger.rollouts.insert(name.clone(), record);
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            _ if done => Ok((ledger, transitions)),
            Some(error) => Err(error),
            None => {
                let known: Vec<&str> = self.rollouts.keys().map(DocumentName::as_str).collect();
                let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
                let of = deployment.map_or_else(String::new, |name| format!(" of {name}"));
                Err(Refused(format!("there is no rollout{of}; rollouts now: {known}")))
            }
        }
    }

    /// Revisions whose documents are still needed.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Revision> {
        let named = self.head.iter().chain(&self.told).cloned();
        named.chain(self.on.iter().map(|taken| taken.revision.clone())).collect()
    }

    /// When something happens by itself at the latest.
    #[must_use]
    pub fn wakes(
        &self,
        spec: &dyn Fn(&DocumentName) -> Option<RolloutSpec>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let times = self.rollouts.iter().filter_map(|(name, record)| record.wakes(&spec(name)?, now));
        times.min()
    }

    /// The revision that a device was given completely, when it is not the last complete one.
    pub(super) fn revision_of(&self, device: &DeviceId) -> Option<&Revision> {
        self.on.iter().find(|taken| taken.devices.contains(device)).map(|taken| &taken.revision)
    }

    fn forget(&mut self, device: &DeviceId) {
        for taken in &mut self.on {
            taken.devices.remove(device);
        }
    }

    fn take(&mut self, revision: &Revision, device: &DeviceId) {
        match self.on.iter_mut().find(|taken| taken.revision == *revision) {
            Some(taken) => {
                taken.devices.insert(device.clone());
            }
            None => {
                self.on.push(Taken { revision: revision.clone(), devices: BTreeSet::from([device.clone()]) });
            }
        }
    }

    /// The head is complete: nothing but the story is left of its rollouts.
    fn settle_at(&mut self, head: &Revision) {
        self.rollouts.retain(|_, record| record.revision == *head && record.state.is_over());
        self.head = Some(head.clone());
        self.told = None;
    }

    /// The devices of each rollout now. While it goes back, those that it has.
    fn pools(&self, revisions: &Revisions<'_>, at_base: bool) -> BTreeMap<DocumentName, Vec<DeviceId>> {
        if at_base {
            let own = |record: &RolloutRecord| record.devices().map(|(id, _)| id.clone()).collect();
            return self.rollouts.iter().map(|(name, record)| (name.clone(), own(record))).collect();
        }
        led(revisions.base.map(|base| base.side), revisions.head.side)
    }

    fn advance(
        &mut self,
        revisions: &Revisions<'_>,
        pools: &BTreeMap<DocumentName, Vec<DeviceId>>,
        observed: &Observed,
        now: Timestamp,
        transitions: &mut Vec<Transition>,
    ) {
        for (name, record) in &mut self.rollouts {
            let Some(spec) = spec_of(revisions, name) else { continue };
            let pool = pools.get(name).map(Vec::as_slice).unwrap_or_default();
            let sight =
                pool.iter().map(|id| (id.clone(), sight(id, record, spec, revisions, observed))).collect();
            let (next, more) = record.advance(spec, &sight, now);
            *record = next;
            transitions.extend(more);
        }
        let first = self.rollouts.values().find(|record| record.state.goes_back());
        let Some(first) = first.map(|record| record.deployment.clone()) else { return };
        for (name, record) in &mut self.rollouts {
            let Some(spec) = spec_of(revisions, name).filter(|_| !record.state.goes_back()) else { continue };
            let state = record.reverting(HaltReason::With { deployment: first.clone() }, spec, now);
            enter(record, state, now, transitions);
        }
    }
}

/// The rollout of a deployment: as the head says, else as the last complete revision did.
fn spec_of<'a>(revisions: &Revisions<'a>, name: &DocumentName) -> Option<&'a RolloutSpec> {
    let of = |side: Side<'a>| side.fleet.deployments.get(name)?.spec.rollout.as_ref();
    of(revisions.head.side).or_else(|| revisions.base.and_then(|base| of(base.side)))
}
