//! What is known of the fleet, written down without secrets: for `hem plan --live`, and as `state.json` beside the statuses.
//!
//! Over a large fleet this is a lot of work, so it needs nothing of the controller but what is handed over, and may be done
//! beside it.

use std::sync::Arc;

use hemline_model::id::ClientId;
use hemline_plan::{Documents, Facts, FleetState, Known, Resolution};
use serde_json::Value;

use crate::{
    observe::{Picture, Scope},
    pass::State,
    resolve::resolve,
    validate::Good,
};

/// Values whose time is looked up for one state: more drift than this is seen without times.
const DATED_AT_MOST: usize = 200;

/// Everything that is written down, as it was at one moment. Shares all of it.
#[derive(Debug)]
pub(crate) struct Facsimile {
    picture: Picture,
    said: Option<Arc<Resolution>>,
    applied: Option<Documents>,
    waiting: Option<Arc<Good>>,
    reads_reported: bool,
}

impl State {
    /// What there is to write down now.
    pub(crate) fn facsimile(&self) -> Facsimile {
        Facsimile {
            picture: self.picture.clone(),
            said: self.said_shared(),
            applied: self.applied.as_ref().map(|applied| applied.documents.clone()),
            waiting: self.waiting.clone(),
            reads_reported: self.good.as_ref().is_some_and(|good| good.reads_reported()),
        }
    }
}

impl Facsimile {
    /// Writes it down.
    pub(crate) fn write(&self) -> FleetState {
        let Self { picture, said, applied, waiting, reads_reported } = self;
        let facts = |good: &Good| if good.reads_reported() { picture.facts() } else { Facts::default() };
        let resolved = waiting.as_ref().map(|good| resolve(good, &facts(good)));
        let known = Known {
            observed: &picture.open(&Scope::All),
            applied: said.as_deref(),
            waiting: resolved.as_ref(),
            reads_reported: *reads_reported,
        };
        let mut fleet = FleetState::new(&known);
        fleet.applied.clone_from(applied);
        fleet.waiting = waiting.as_deref().map(documents);
        dated(picture, fleet)
    }
}

/// Adds since when values are not what the documents say, as the hub's own metadata has it.
fn dated(picture: &Picture, mut fleet: FleetState) -> FleetState {
    let mut last: Option<(ClientId, Value)> = None;
    for value in fleet.overwritten().into_iter().take(DATED_AT_MOST) {
        let client = ClientId { device: value.device.clone(), module: value.module.clone() };
        if last.as_ref().is_none_or(|(of, _)| *of != client) {
            last = picture.desired_metadata(&client).map(|metadata| (client, Value::Object(metadata)));
        }
        let top = last.as_ref().map(|(_, metadata)| metadata);
        let leaf = top.and_then(|top| value.path.iter().try_fold(top, |at, name| at.get(name)));
        if let Some(time) = leaf.and_then(|leaf| leaf.get("$lastUpdated")).and_then(Value::as_str) {
            fleet.date(&value, time);
        }
    }
    fleet
}

/// How documents are named in a state.
pub(crate) fn documents(good: &Good) -> Documents {
    Documents { revision: good.revision.to_string(), digest: good.documents().to_owned() }
}

#[cfg(test)]
mod tests {
    use hemline_hub::{Hub, HubConfig, pki};
    use hemline_hub_core::service::{DeviceSettings, IfMatch, ServiceRequest};
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
        let mut picture = Picture::default();
        picture.follow(&hub.handle()).await.unwrap();
        let state = dated(&picture, FleetState::parse(&state.to_string()).unwrap());
        let times = &state.devices[&device].since;
        assert_eq!(times.keys().collect::<Vec<_>>(), ["desired.every.s"]);
        assert!(times["desired.every.s"].parse::<jiff::Timestamp>().is_ok(), "{times:?}");
        stop.cancel();
        hub.join().await.unwrap();
    }
}
