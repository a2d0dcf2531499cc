//! Commits that went back: never rolled out again, and what to propose to people instead.

use std::collections::BTreeMap;

use hemline_model::id::{DeviceId, DocumentName, Revision};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    advance::Transition,
    ledger::{Ledger, Revisions},
    record::{Failure, Progress, RolloutRecord},
    state::{HaltReason, State},
    story::devices,
};

/// Commits that are remembered as bad.
const QUARANTINED_AT_MOST: usize = 1_000;
/// Failed devices that a proposal names.
const EVIDENCE_AT_MOST: usize = 50;

/// A commit that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Digest of its documents: a commit with the same documents is the same.
    pub documents: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// What to propose to people.
    pub proposal: RevertProposal,
}

/// What a revert says: the commit, where to go back to, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertProposal {
    /// The commit that went back.
    #[schemars(with = "String")]
    pub quarantined: Revision,
    /// The last complete revision.
    #[schemars(with = "Option<String>")]
    pub last_good: Option<Revision>,
    /// The rollout that went back first.
    #[schemars(with = "String")]
    pub deployment: DocumentName,
    /// The wave that it had come to.
    pub wave: String,
    /// When the rollout began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Why it goes back, in words.
    pub reason: String,
    /// Devices that had the commit when it stopped.
    pub took: usize,
    /// Devices that the rollouts of the commit lead.
    pub devices: usize,
    /// Devices that failed.
    pub failed: usize,
    /// At most fifty of them, and why.
    #[schemars(with = "BTreeMap<String, Failure>")]
    pub evidence: BTreeMap<DeviceId, Failure>,
}

impl RevertProposal {
    /// All of it as text: Markdown that also reads well as a commit message.
    #[must_use]
    pub fn evidence_text(&self) -> String {
        let bad = self.quarantined.short();
        let good = self.last_good.as_ref().map_or("what was before", Revision::short);
        let others = self.devices.saturating_sub(self.took);
        let mut text = format!(
            "Revision {bad} went back: {}\n\n\
             The rollout of {} began at {} and came to {}: {} of {} took it, {} failed.\n\
             Those that took it get {good} back; {} never had it.\n",
            self.reason,
            self.deployment,
            self.started.strftime("%F %T UTC"),
            self.wave,
            self.took,
            devices(self.devices),
            self.failed,
            devices(others),
        );
        if !self.evidence.is_empty() {
            text.push('\n');
        }
        for (device, failure) in &self.evidence {
            text.push_str(&format!("- {}, {}\n", failure.says(device), failure.at.strftime("%F %T UTC")));
        }
        let unnamed = self.failed.saturating_sub(self.evidence.len());
        if unnamed > 0 {
            text.push_str(&format!("- and {unnamed} more\n"));
        }
        text.push_str(&format!("\n{bad} is not rolled out again until its documents change.\n"));
        text
    }
}

impl Ledger {
    /// Is this a commit that went back?
    #[must_use]
    pub fn quarantined(&self, documents: &str) -> Option<&Quarantined> {
        self.quarantined.iter().find(|one| one.documents == documents)
    }

    /// Remembers the commit that the rollouts brought as bad.
    pub(super) fn quarantine(
        &mut self,
        revisions: &Revisions<'_>,
        now: Timestamp,
        transitions: &mut Vec<Transition>,
    ) {
        let documents = revisions.head.documents;
        if self.quarantined(documents).is_some() {
            return;
        }
        // Devices that are on an earlier revision than the commit go back, too.
        let earlier: Vec<DeviceId> = self.on.iter().flat_map(|taken| taken.devices.iter().cloned()).collect();
        for record in self.rollouts.values_mut() {
            let own: Vec<DeviceId> =
                earlier.iter().filter(|id| record.progress(id.as_str()).is_some()).cloned().collect();
            if let State::Reverting { back, .. } = &mut record.state {
                for id in own {
                    back.entry(id).or_insert(false);
                }
            }
        }
        let Some(proposal) = self.proposal(revisions) else { return };
        transitions.push(Transition {
            deployment: proposal.deployment.clone(),
            revision: proposal.quarantined.clone(),
            from: "reverting",
            to: "quarantined",
            what: format!(
                "revision {} is not rolled out again: {}",
                proposal.quarantined.short(),
                proposal.reason
            ),
        });
        if self.quarantined.len() >= QUARANTINED_AT_MOST {
            self.quarantined.remove(0);
        }
        self.quarantined.push(Quarantined { documents: documents.to_owned(), since: now, proposal });
    }

    fn proposal(&self, revisions: &Revisions<'_>) -> Option<RevertProposal> {
        let cause = |record: &&RolloutRecord| match &record.state {
            State::Reverting { reason, .. } | State::Reverted { reason, .. } => {
                !matches!(reason, HaltReason::With { .. })
            }
            _ => false,
        };
        let first = self.rollouts.values().find(cause)?;
        let all = || self.rollouts.values().flat_map(RolloutRecord::devices);
        let failures = all().filter_map(|(id, progress)| match progress {
            Progress::Failed(failure) => Some((id.clone(), failure.clone())),
            Progress::Waiting | Progress::Skipped | Progress::Given(_) | Progress::Done => None,
        });
        let failures: BTreeMap<DeviceId, Failure> = failures.collect();
        Some(RevertProposal {
            quarantined: revisions.head.revision.clone(),
            last_good: revisions.base.map(|base| base.revision.clone()),
            deployment: first.deployment.clone(),
            wave: first.wave_name(first.wave()).to_owned(),
            started: first.started,
            reason: first.why(),
            took: all().filter(|(_, progress)| progress.has_it()).count(),
            devices: all().count(),
            failed: failures.len(),
            evidence: failures.into_iter().take(EVIDENCE_AT_MOST).collect(),
        })
    }
}
