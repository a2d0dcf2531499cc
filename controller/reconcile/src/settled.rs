//! What a pass need not look at: devices that were as they should be, and of which nothing has changed since.
//!
//! A pass over a fleet at rest costs what moved in it, not what there is. Whenever documents, a rollout or what is remembered
//! of them moves, everything is looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::{DeviceId, DocumentName};
use hemline_plan::{Facts, Plan, Resolution, Target};

use crate::{apply::Applied, observe::Scope, pass::State, resolve::resolve, validate::Good};

/// What is known from the passes before.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The revision in force, resolved.
    resolved: Option<(Arc<Good>, Arc<Resolution>)>,
    /// What conditions knew of devices, as long as none of them moved.
    facts: Option<Arc<Facts>>,
    /// What the last pass compared, when no rollout was under way.
    rest: Option<Rest>,
    /// Devices that changed since, or were not as they should be.
    open: BTreeSet<DeviceId>,
    /// Twins that do not hold yet what a twin configuration says.
    pub(crate) lacking: BTreeSet<(DocumentName, Target)>,
    /// Document names of the devices.
    pub(crate) names: Arc<BTreeMap<DeviceId, DocumentName>>,
}

/// Kept whole, so that an address of one of them stays its own.
#[derive(Debug)]
struct Rest {
    desired: Arc<Resolution>,
    said: Option<Arc<Resolution>>,
}

fn same(one: Option<&Arc<Resolution>>, other: Option<&Arc<Resolution>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl State {
    /// What conditions may know of devices; nothing where none of them asks.
    pub(crate) fn facts(&mut self) -> Arc<Facts> {
        let applied = self.applied.as_ref().map(|applied| &applied.good);
        let asks = self.good.iter().chain(applied).any(|good| good.reads_reported());
        if !asks && !self.rollouts.reads_reported() {
            // Devices go on moving while nobody asks.
            self.settled.facts = None;
            return Arc::default();
        }
        match &self.settled.facts {
            Some(facts) if self.picture.moved().is_empty() => Arc::clone(facts),
            Some(_) | None => {
                let facts = Arc::new(self.picture.facts());
                self.settled.facts = Some(Arc::clone(&facts));
                facts
            }
        }
    }

    /// Another revision than the one in force, resolved.
    pub(crate) fn resolve_other(&self, good: &Good) -> Resolution {
        resolve(good, &if good.reads_reported() { self.picture.facts() } else { Facts::default() })
    }

    /// The revision in force, resolved; anew only when that may give something else.
    pub(crate) fn resolved(&mut self, good: &Arc<Good>, facts: &Facts) -> Arc<Resolution> {
        let moved = good.reads_reported() && !self.picture.moved().is_empty();
        match &self.settled.resolved {
            Some((of, resolution)) if Arc::ptr_eq(of, good) && !moved => Arc::clone(resolution),
            Some(_) | None => {
                let resolution = Arc::new(resolve(good, facts));
                self.settled.resolved = Some((Arc::clone(good), Arc::clone(&resolution)));
                resolution
            }
        }
    }

    /// What this pass has to look at.
    pub(crate) fn scope(&mut self, good: &Good, desired: &Arc<Resolution>) -> Scope {
        self.settled.open.extend(self.picture.take_moved());
        let said = self.applied.as_ref().map(|applied| &applied.resolution);
        match &self.settled.rest {
            Some(rest)
                if self.is_quiet(good)
                    && desired.is_usable()
                    && Arc::ptr_eq(&rest.desired, desired)
                    && same(rest.said.as_ref(), said) =>
            {
                Scope::These(self.settled.open.clone())
            }
            Some(_) | None => Scope::All,
        }
    }

    /// Everything is looked at in the next pass.
    pub(crate) fn unsettle(&mut self) {
        self.settled.rest = None;
    }

    /// What this pass compared, and what it found: all other devices are as they should be.
    pub(crate) fn settle(
        &mut self,
        good: &Good,
        desired: &Arc<Resolution>,
        plan: &Plan,
        found: BTreeSet<DeviceId>,
        applied: &Applied,
    ) {
        self.settled.rest = self.is_quiet(good).then(|| Rest {
            desired: Arc::clone(desired),
            said: self.applied.as_ref().map(|applied| Arc::clone(&applied.resolution)),
        });
        self.settled.open = found;
        self.settled.open.extend(plan.devices.iter().map(|device| device.device.clone()));
        self.settled.open.extend(applied.failed.keys().cloned());
        self.settled.open.extend(self.drift.devices().into_iter().cloned());
    }
}

#[cfg(test)]
mod tests;
