//! `hem apply` at the controller: a revision of the source is put in force because somebody asked for exactly it.
//!
//! The controller stays the only writer. What is asked for must be what the source holds, and what would be done must be
//! what was planned; then the revision is kept as the one in force before the first step, so that a kill in between
//! leaves work for the next pass and not a question.

use hemline_hub::HubHandle;
use hemline_hub_core::service::{ServiceReply, ServiceRequest};
use hemline_model::id::ClientId;
use hemline_plan::{Documents, FleetState, Known, Plan};
use hemline_sources::AnySource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    drift,
    load::load,
    observe::{observe, owners},
    pass::{Reload, State, pass},
    plan::plan,
    report::PassReport,
    resolve::{facts, resolve},
    validate::{Attempt, Good, chain, validate},
};

/// Values whose time is looked up for one state: more drift than this is seen without times.
const DATED_AT_MOST: usize = 200;

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
    hub: &HubHandle,
    state: &mut State,
    request: &ApplyRequest,
) -> Result<(ApplyReply, PassReport), ApplyError> {
    let moved = |what: String| ApplyError::Moved(vec![what]);
    let mut observed = observe(hub).await.map_err(|error| ApplyError::Unavailable(chain(&error)))?;
    let running = state.good.as_ref().map_or(0, |good| good.fleet.devices.len());
    let good = match validate(load(source).await, &facts(&observed), running) {
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
    let resolution = resolve(&good, &facts(&observed));
    owners(hub, &mut observed, &resolution).await.map_err(|error| ApplyError::Unavailable(chain(&error)))?;
    let planned = plan(&good.revision, &resolution, state.said(), &observed);
    let (planned, _) = drift::find(planned, &resolution, state.said(), &mut observed);
    let already = planned.is_empty() && state.in_force(&good.revision);
    if planned.work() != request.work && !already {
        return Err(moved("hub: what would be done now is not what was planned".to_owned()));
    }
    let revision = good.revision.to_string();
    state.put_in_force(*good);
    let report = pass(source, hub, state, Reload::No).await;
    let done = match state.rollouts.ledger.headline() {
        // Waves may hold most of it.
        Some(rollout) => rollout,
        None => Plan::brief(&planned),
    };
    Ok((ApplyReply { revision, already, done, failed: report.errors.clone() }, report))
}

/// What is known of the fleet now, without secrets.
pub(crate) async fn fleet_state(hub: &HubHandle, state: &State) -> Result<FleetState, ApplyError> {
    let observed = observe(hub).await.map_err(|error| ApplyError::Unavailable(chain(&error)))?;
    Ok(dated(hub, written_down(state, &observed)).await)
}

/// Adds since when values are not what the documents say, as the hub's own metadata has it.
pub(crate) async fn dated(hub: &HubHandle, mut fleet: FleetState) -> FleetState {
    let mut twin: Option<(ClientId, Value)> = None;
    for value in fleet.overwritten().into_iter().take(DATED_AT_MOST) {
        let client = ClientId { device: value.device.clone(), module: value.module.clone() };
        if twin.as_ref().is_none_or(|(of, _)| *of != client) {
            // A twin that went away meanwhile has no time; the plan will say what else it has not.
            twin = match hub.call(ServiceRequest::GetTwin(client.clone())).await {
                Ok(ServiceReply::Twin { document, .. }) => Some((client, document)),
                Ok(_) | Err(_) => None,
            };
        }
        let metadata = twin.as_ref().and_then(|(_, twin)| twin.pointer("/properties/desired/$metadata"));
        let leaf = metadata.and_then(|top| value.path.iter().try_fold(top, |at, name| at.get(name)));
        if let Some(time) = leaf.and_then(|leaf| leaf.get("$lastUpdated")).and_then(Value::as_str) {
            fleet.date(&value, time);
        }
    }
    fleet
}

/// The same from what was observed already.
pub(crate) fn written_down(state: &State, observed: &hemline_plan::Observed) -> FleetState {
    let reads_reported = state.good.as_ref().is_some_and(|good| good.reads_reported());
    let waiting = state.waiting.as_ref().map(|good| resolve(good, &facts(observed)));
    let known = Known { observed, applied: state.said(), waiting: waiting.as_ref(), reads_reported };
    let mut fleet = FleetState::new(&known);
    fleet.applied = state.applied.as_ref().map(|applied| applied.documents.clone());
    fleet.waiting = state.waiting.as_ref().map(documents);
    fleet
}

/// How documents are named in a state.
pub(crate) fn documents(good: &Good) -> Documents {
    Documents { revision: good.revision.to_string(), digest: good.documents().to_owned() }
}

#[cfg(test)]
mod tests {
    use hemline_hub::{Hub, HubConfig, pki};
    use hemline_hub_core::service::{DeviceSettings, IfMatch};
    use hemline_model::id::DeviceId;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn the_hub_says_since_when_a_value_differs() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let certificates = pki::open(folder.path(), &names, jiff::Timestamp::now()).unwrap();
        let config = HubConfig::new(folder.path(), names, certificates.server_config());
        let stop = CancellationToken::new();
        let hub = Hub::start(config, |_| axum::Router::new(), stop.clone()).await.unwrap();
        let device = DeviceId::new("meter").unwrap();
        let settings = DeviceSettings {
            enabled: None,
            status_reason: None,
            authentication: None,
            edge: None,
            parent: None,
        };
        let make = ServiceRequest::PutDevice { device: device.clone(), settings, if_match: IfMatch::Absent };
        hub.handle().call(make).await.unwrap();
        let patch = ServiceRequest::PatchTwin {
            client: ClientId::device(device.clone()),
            tags: None,
            desired: json!({"every": {"s": 9}, "mine": 1, "same": 2}).as_object().cloned(),
            if_match: IfMatch::Any,
        };
        hub.handle().call(patch).await.unwrap();

        let state = json!({
            "apiVersion": "hemline.dev/v1alpha1", "kind": "FleetState",
            "devices": {"meter": {
                "enabled": true, "edge": false, "connected": false,
                "desired": {"every": {"s": 9}, "mine": 1, "same": 2},
                "said": {"enabled": true, "edge": false, "desired": {"every": {"s": 5}, "same": 2, "gone": 1}},
            }},
        });
        let state = dated(&hub.handle(), FleetState::parse(&state.to_string()).unwrap()).await;
        let times = &state.devices[&device].since;
        assert_eq!(times.keys().collect::<Vec<_>>(), ["desired.every.s"]);
        assert!(times["desired.every.s"].parse::<jiff::Timestamp>().is_ok(), "{times:?}");
        stop.cancel();
        hub.join().await.unwrap();
    }
}
