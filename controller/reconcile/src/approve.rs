//! `hem apply` at the controller: a revision of the source is put in force because somebody asked for exactly it.
//!
//! The controller stays the only writer. What is asked for must be what the source holds, and what would be done must be
//! what was planned; then the revision is kept as the one in force before the first step, so that a kill in between
//! leaves work for the next pass and not a question.

use hemline_plan::Plan;
use hemline_sources::{AnySource, chain};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clocks,
    drift,
    load::load,
    observe::Scope,
    pass::{Reload, State, pass},
    plan::plan,
    registry::Registry,
    report::PassReport,
    validate::{Attempt, validate},
};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyRequest {
    /// Digest of what the files of the revision hold ([`hemline_sources::contents`]).
    pub documents: String,
    /// Digest of what would be done (`Plan::work`).
    pub work: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyReply {
    /// The revision that is in force now.
    pub revision: String,
    /// It was applied before, and nothing was left to do.
    pub already: bool,
    /// What was done, in one line.
    pub done: String,
    /// What could not be done; the controller goes on trying.
    pub failed: Vec<String>,
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Something is not as it was when the plan was made.
    #[error("{}", .0.join("; "))]
    Moved(Vec<String>),
    /// An order to a rollout makes no sense now.
    #[error("{0}")]
    Refused(String),
    /// Source or hub cannot be read now.
    #[error("{0}")]
    Unavailable(String),
}

/// Does what was asked for, or says what moved.
pub(crate) async fn approve(
    source: &mut AnySource,
    hub: &impl Registry,
    clocks: &impl Clocks,
    state: &mut State,
    request: &ApplyRequest,
) -> Result<(ApplyReply, PassReport), ApplyError> {
    let moved = |what: String| ApplyError::Moved(vec![what]);
    state.picture.follow(hub).await.map_err(|error| ApplyError::Unavailable(chain(&error)))?;
    let running = state.good.as_ref().map_or(0, |good| good.fleet.devices.len());
    let good = match validate(load(source).await, || state.picture.facts(), running) {
        Attempt::Unreadable { error } => return Err(ApplyError::Unavailable(error)),
        Attempt::Broken { revision, findings } => {
            let first =
                findings.iter().find(|finding| finding.is_error()).map(|finding| finding.message.clone());
            return Err(moved(format!(
                "source: revision {} is not usable: {}",
                revision.short(),
                first.unwrap_or_default()
            )));
        }
        Attempt::Good { good, findings } => {
            state.findings = findings;
            good
        }
    };
    if let Some(bad) = state.rollouts.ledger.quarantined(good.documents()) {
        let proposal = &bad.proposal;
        return Err(moved(format!(
            "source: revision {} went back and is not rolled out again until its documents change: {}",
            good.revision.short(),
            proposal.reason
        )));
    }
    if good.documents() != request.documents {
        return Err(moved(format!(
            "source: this hub follows {}, which holds other documents (revision {})",
            hemline_sources::Source::describe(source),
            good.revision.short()
        )));
    }
    let resolution = state.resolve_other(&good);
    let mut observed = state.picture.open(&Scope::All);
    let planned = plan(&good.revision, &resolution, state.said(), &observed);
    let (planned, _) = drift::find(planned, &resolution, state.said(), &mut observed);
    let already = planned.is_empty() && state.in_force(&good.revision);
    if planned.work() != request.work && !already {
        return Err(moved("hub: what would be done now is not what was planned".to_owned()));
    }
    let revision = good.revision.to_string();
    state.put_in_force(*good).map_err(|error| {
        ApplyError::Unavailable(format!(
            "the revision could not be kept in the data directory, so nothing was done: {error}; make room there and apply it again"
        ))
    })?;
    let report = pass(source, hub, clocks, state, Reload::No).await;
    let done = match state.rollouts.ledger.headline() {
        // Waves may hold most of it.
        Some(rollout) => rollout,
        None => Plan::brief(&planned),
    };
    Ok((ApplyReply { revision, already, done, failed: report.errors.clone() }, report))
}
