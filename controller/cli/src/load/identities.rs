//! The identities of one run: made through the service API, as any tool does, and removed again, however the run ends.
//!
//! Their names begin with [`PREFIX`] and the number of the run. What a killed run left behind is found by that.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::sas::SymmetricKey;
use reqwest::Method;
use serde_json::{Value, json};

use super::{error::LoadError, report::Removed};
use crate::{client::HubClient, error::CommandError};

/// What the names of all runs begin with.
const PREFIX: &str = "hem-load-";
/// Requests at a time.
const LANES: usize = 32;

/// A client of a hub, and the key that proves it.
pub(crate) type Known = (ClientId, SymmetricKey);

/// What one run made. Removed by [`Identities::remove`], which must be awaited: nothing can ask a hub while being dropped.
pub(crate) struct Identities<'a> {
    hub: &'a HubClient,
    run: String,
    /// Those that were asked for, whether or not they came to be.
    devices: Vec<DeviceId>,
}

impl<'a> Identities<'a> {
    /// Nothing is made yet. The number tells runs apart.
    pub(crate) fn new(hub: &'a HubClient, run: u64) -> Self {
        Self { hub, run: format!("{PREFIX}{run:x}"), devices: Vec::new() }
    }

    /// Makes so many devices, each with keys that the hub draws.
    pub(crate) async fn make_devices(&mut self, count: usize) -> Result<Vec<Known>, CommandError> {
        let ids: Vec<DeviceId> = (0..count).map(|n| self.device(&n.to_string())).collect::<Result<_, _>>()?;
        self.devices.extend_from_slice(&ids);
        let hub = self.hub;
        let make = |id: DeviceId| async move {
            let body = json!({"deviceId": id.as_str(), "authentication": {"type": "sas"}});
            let made = hub.call(Method::PUT, &["devices", id.as_str()], Some(&body)).await?;
            known(ClientId::device(id), &made)
        };
        stream::iter(ids).map(make).buffered(LANES).try_collect().await
    }

    /// Makes an edge device with modules whose messages are routed to one input of another module, `sink`, which comes last.
    pub(crate) async fn make_edge(&mut self, senders: usize) -> Result<Vec<Known>, CommandError> {
        let device = self.device("edge")?;
        self.devices.push(device.clone());
        let id = device.as_str();
        let body = json!({
            "deviceId": id, "authentication": {"type": "sas"}, "capabilities": {"iotEdge": true}
        });
        self.hub.call(Method::PUT, &["devices", id], Some(&body)).await?;
        let mut modules = Vec::with_capacity(senders + 1);
        for name in (0..senders).map(|n| format!("sender-{n}")).chain(["sink".to_owned()]) {
            let module = ModuleId::new(&name).map_err(|error| CommandError::part("a module id", error))?;
            let body = json!({"deviceId": id, "moduleId": name, "authentication": {"type": "sas"}});
            let made = self.hub.call(Method::PUT, &["devices", id, "modules", &name], Some(&body)).await?;
            modules.push(known(ClientId::module(device.clone(), module), &made)?);
        }
        let edge_hub = ["twins", id, "modules", "$edgeHub"];
        let routes = json!({"properties": {"desired": {
            "schemaVersion": "1.1",
            "routes": {"load": {"route": r#"FROM /messages/modules/* INTO BrokeredEndpoint("/modules/sink/inputs/load")"#}},
            "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}
        }}});
        self.hub.call(Method::PATCH, &edge_hub, Some(&routes)).await?;
        let twin = self.hub.call(Method::GET, &edge_hub, None).await?;
        match twin.pointer("/properties/reported/lastDesiredStatus/code").and_then(Value::as_u64) {
            Some(200) => Ok(modules),
            code => Err(bad(format!("routes were not taken ({code:?})"))),
        }
    }

    /// Removes all of them.
    pub(crate) async fn remove(self) -> Removed {
        remove(self.hub, self.devices).await
    }

    /// Removes what runs before this one left behind.
    pub(crate) async fn remove_leftovers(hub: &HubClient) -> Result<Removed, CommandError> {
        let rows = hub.query("SELECT deviceId FROM devices").await?;
        let names = rows.iter().filter_map(|row| row.get("deviceId")?.as_str());
        let left = names.filter(|name| name.starts_with(PREFIX)).filter_map(|name| DeviceId::new(name).ok());
        Ok(remove(hub, left.collect()).await)
    }

    fn device(&self, name: &str) -> Result<DeviceId, CommandError> {
        DeviceId::new(format!("{}-{name}", self.run))
            .map_err(|error| CommandError::part("a device id", error))
    }
}

async fn remove(hub: &HubClient, devices: Vec<DeviceId>) -> Removed {
    // A hub that is gone says the same of every device; how many are left stands in the report.
    let told = &AtomicBool::new(false);
    let one = |id: DeviceId| async move {
        match hub.call(Method::DELETE, &["devices", id.as_str()], None).await {
            // One that never came to be is gone, too.
            Ok(_) | Err(CommandError::Refused { status: 404, .. }) => true,
            Err(error) => {
                if !told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(device = %id, %error, "devices of the load cannot be removed");
                }
                false
            }
        }
    };
    let gone = stream::iter(devices).map(one).buffer_unordered(LANES);
    let gone: Vec<bool> = gone.collect().await;
    let removed = gone.iter().filter(|gone| **gone).count();
    Removed { removed, left: gone.len() - removed }
}

/// The key that the hub drew.
fn known(client: ClientId, identity: &Value) -> Result<Known, CommandError> {
    let key = identity.pointer("/authentication/symmetricKey/primaryKey").and_then(Value::as_str);
    let key = key.ok_or_else(|| bad(format!("{client} was made without a key")))?;
    let key =
        SymmetricKey::from_base64(key).map_err(|error| CommandError::part("a key of the hub", error))?;
    Ok((client, key))
}

fn bad(what: String) -> CommandError {
    CommandError::part("the preparation", LoadError::Unexpected(what))
}
