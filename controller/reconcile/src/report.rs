//! Stage 7, pure: what was wanted, done and seen → the report of a pass, and the status files beside the documents.
//!
//! Nothing in a status changes without a change of state: no age, no "now", no text of an engine that counts seconds.

mod condition;
mod configuration;
mod deployment;
mod device;
mod drift;
mod files;
mod outcome;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hemline_model::{
    Finding,
    id::{DeviceId, DocumentName, Revision},
    status::{ConfigurationStatus, DeploymentStatus, DeviceStatus},
};
use hemline_plan::{
    Observed, Plan, Resolution, Summary,
    drift::{DriftCounts, DriftLedger},
    rollout::{RevertProposal, RolloutStatus},
};
use hemline_sources::{AnySource, Source as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{apply::Applied, observe::Scope, pass::State, revert::WayBack, trouble::Ongoing};

pub(crate) use self::{files::status_files, outcome::outcomes};

/// What came of one pass. Everything that the API and the CLI know of the controller.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassReport {
    /// The source, for people.
    pub source: String,
    /// The revision in force; `None` before there was a good one.
    pub revision: Option<Revision>,
    /// First line of its commit message.
    pub message: Option<String>,
    /// When the look at the source began that this is about, of several the oldest. Like `at` it changes without a change of
    /// state, and is in no status file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<Timestamp>,
    /// The newest revision that was read; another one than `revision` when it is not usable.
    pub attempted: Option<Revision>,
    /// A usable revision that waits until somebody applies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Revision>,
    /// What is right and wrong with the attempted revision.
    pub findings: Vec<Finding>,
    /// What this pass had to do.
    pub plan: Summary,
    /// What this pass did, in one line; empty when there was nothing to do.
    pub done: String,
    /// What could not be done: the hub does not answer, a device refused.
    pub errors: Vec<String>,
    /// By hub id: the devices of the revision in force.
    pub devices: Arc<BTreeMap<DeviceId, Arc<DeviceStatus>>>,
    /// The deployments of the revision in force.
    pub deployments: Arc<BTreeMap<DocumentName, DeploymentStatus>>,
    /// The twin configurations of the revision in force.
    pub configurations: Arc<BTreeMap<DocumentName, ConfigurationStatus>>,
    /// The rollouts of the revision in force, or of the one that went back last.
    pub rollouts: Vec<RolloutStatus>,
    /// The state of the rollouts in one line, when there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
    /// Steps of rollouts since the start of the program, by the phase they led to.
    pub rollout_transitions: BTreeMap<&'static str, u64>,
    /// The newest revision went back and is not rolled out again: what to propose to people. As long as the source holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertProposal>,
    /// What is not as the documents say, counted.
    pub drift: DriftCounts,
    /// All of it, row by row.
    #[serde(skip)]
    pub drift_ledger: Arc<DriftLedger>,
    /// What was proposed to people for it: a branch in each repository that it concerns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways_back: Vec<WayBack>,
    /// Why the fleet stays on an earlier revision, or why people do not hear of it.
    pub trouble: Vec<Ongoing>,
    /// Document names of the devices.
    #[serde(skip)]
    pub(crate) names: Arc<BTreeMap<DeviceId, DocumentName>>,
    /// When the pass ended. Changes without a change of state; status files do not have it.
    pub at: Timestamp,
    /// The passes before this one.
    #[serde(skip)]
    pub passes: Passes,
}

/// How many passes there were since the start of the program, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passes {
    /// Passes.
    pub count: u64,
    /// All of them together.
    pub took: Duration,
    /// Telling in status files and to forges what they found, which not every pass does.
    pub told: Duration,
}

/// Statuses as kept between passes and restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Statuses {
    pub(crate) devices: Arc<BTreeMap<DeviceId, Arc<DeviceStatus>>>,
    pub(crate) deployments: Arc<BTreeMap<DocumentName, DeploymentStatus>>,
    #[serde(default)]
    pub(crate) configurations: Arc<BTreeMap<DocumentName, ConfigurationStatus>>,
}

/// What a pass has seen and done so far.
#[derive(Debug)]
pub(crate) struct Sight {
    source: String,
    observed: Option<(Scope, Observed)>,
    resolution: Option<Arc<Resolution>>,
    plan: Summary,
    done: String,
    failed: BTreeMap<DeviceId, String>,
    held: BTreeMap<DeviceId, Revision>,
    errors: Vec<String>,
}

impl Sight {
    pub(crate) fn new(source: &AnySource) -> Self {
        Self {
            source: source.describe(),
            observed: None,
            resolution: None,
            plan: Summary::default(),
            done: String::new(),
            failed: BTreeMap::new(),
            held: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    /// Something kept the pass from going on.
    pub(crate) fn failed(mut self, error: String) -> Self {
        self.errors.push(error);
        self
    }

    pub(crate) fn seen(mut self, scope: Scope, observed: Observed) -> Self {
        self.observed = Some((scope, observed));
        self
    }

    /// Devices that keep another revision than the one in force.
    pub(crate) fn holding(mut self, held: BTreeMap<DeviceId, Revision>) -> Self {
        self.held = held;
        self
    }

    pub(crate) fn done(mut self, plan: &Plan, applied: &Applied, resolution: Arc<Resolution>) -> Self {
        self.plan = plan.summary;
        self.done = plan.brief();
        self.failed = applied.failed.clone();
        self.errors.extend(applied.failed.iter().map(|(device, error)| format!("{device}: {error}")));
        self.resolution = Some(resolution);
        self
    }
}

/// Puts the report together, and keeps the statuses for the next pass. `at` is when the pass ends.
pub(crate) fn report(state: &mut State, sight: Sight, at: Timestamp) -> PassReport {
    let Sight { source, observed, resolution, plan, done, failed, held, errors } = sight;
    let good = state.good.as_ref();
    let mut findings = state.findings.clone();
    // Without a look at the hub, what was known stays known.
    if let (Some((scope, observed)), Some(resolution)) = (&observed, &resolution) {
        let revision = good.map(|good| good.revision.as_str());
        let drift = drift::states(&state.drift);
        let scene = device::Scene {
            revision,
            scope,
            resolution,
            observed,
            failed: &failed,
            held: &held,
            ledger: &state.rollouts.ledger,
            drift: &drift,
            at,
        };
        // Where nothing moved, deployments and twin configurations stand as they stood.
        if !matches!(scope, Scope::These(devices) if devices.is_empty()) {
            let before = &state.statuses;
            let devices = device::statuses(&scene, &before.devices);
            let deployments = deployment::statuses(&scene, &devices, &before.deployments);
            let lacking = &mut state.settled.lacking;
            let configurations = configuration::statuses(&scene, &before.configurations, lacking);
            if *scope == Scope::All {
                let named = resolution.devices.iter().map(|(id, device)| (id.clone(), device.name.clone()));
                state.settled.names = kept(&state.settled.names, named.collect());
            }
            state.statuses = Statuses {
                devices,
                deployments: kept(&before.deployments, deployments),
                configurations: kept(&before.configurations, configurations),
            };
        }
        if !resolution.is_usable() {
            findings.extend(resolution.findings.iter().filter(|finding| finding.is_error()).cloned());
        }
    }
    PassReport {
        source,
        revision: good.map(|good| good.revision.clone()),
        message: good.and_then(|good| good.message.clone()),
        looked: None,
        attempted: state.attempted.clone(),
        waiting: state.waiting.as_ref().map(|good| good.revision.clone()),
        findings,
        plan,
        done,
        errors,
        devices: Arc::clone(&state.statuses.devices),
        deployments: Arc::clone(&state.statuses.deployments),
        configurations: Arc::clone(&state.statuses.configurations),
        rollouts: state.rollouts.ledger.rollouts.values().map(RolloutStatus::of).collect(),
        headline: state.rollouts.ledger.headline(),
        rollout_transitions: state.rollouts.transitions.clone(),
        revert: proposal(state),
        drift: state.drift.counts(),
        drift_ledger: Arc::clone(&state.drift),
        ways_back: Vec::new(),
        trouble: Vec::new(),
        passes: Passes::default(),
        names: Arc::clone(&state.settled.names),
        at,
    }
}

/// The same place in memory for what has not changed: comparing it is free then.
fn kept<T: Eq>(before: &Arc<T>, now: T) -> Arc<T> {
    if **before == now { Arc::clone(before) } else { Arc::new(now) }
}

/// What to propose: for the revision that the source holds, or the one that just went back.
fn proposal(state: &State) -> Option<RevertProposal> {
    let going = state.rollouts.ledger.rollouts.values().find(|record| record.state.goes_back());
    let last = going.and_then(|record| {
        let all = state.rollouts.ledger.quarantined.iter().rev();
        all.map(|bad| &bad.proposal).find(|proposal| proposal.quarantined == record.revision)
    });
    let held = |proposal: &&RevertProposal| state.attempted.as_ref() == Some(&proposal.quarantined);
    state.quarantined.clone().or_else(|| last.filter(held).cloned())
}

impl PassReport {
    /// Is there nothing new for an onlooker? A pass that did something always is news.
    pub(crate) fn says_the_same(&self, next: &Self) -> bool {
        next.done.is_empty()
            && self.done.is_empty()
            && Self { at: next.at, passes: next.passes, looked: next.looked, ..self.clone() } == *next
    }

    /// Is another revision in force than the newest one that was read?
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.attempted.is_some() && self.attempted != self.revision
    }
}
