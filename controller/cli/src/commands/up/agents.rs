//! One agent per edge device of the fleet, in this process. They talk to the hub over the network as remote ones do.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hemline_agent::{AgentConfig, AgentHandle};
use hemline_hub::HubHandle;
use hemline_hub_core::{
    effect::Notice,
    service::{ServiceReply, ServiceRequest},
};
use hemline_model::{id::DeviceId, secret::Secret};
use serde_json::Value;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::names::{CONTAINER_GATEWAY, Names};
use crate::{args::Up, data_dir::DataDir};

/// Several identities change together when a plan is applied: one look for all of them.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// What all agents of this process share.
#[derive(Debug, Clone)]
pub(super) struct Template {
    hub_name: String,
    gateway: String,
    mqtt_port: u16,
    https_port: u16,
    ca_pem: String,
    data_dir: PathBuf,
    docker: Option<String>,
    age_key_file: Option<PathBuf>,
    /// The hub of an edge device runs the agent of that device; those beneath it are elsewhere.
    only: Option<DeviceId>,
}

/// The task that keeps one agent per enabled edge device.
#[derive(Debug)]
pub(super) struct Agents {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Template {
    /// Embedded agents dial the address that the hub listens on.
    pub(super) fn new(
        up: &Up,
        data_dir: &DataDir,
        names: &Names,
        ca_pem: String,
        only: Option<DeviceId>,
    ) -> Self {
        let gateway = if up.listen.is_unspecified() { "127.0.0.1".to_owned() } else { up.listen.to_string() };
        Self {
            hub_name: names.advertised.clone(),
            gateway,
            mqtt_port: names.mqtt_port,
            https_port: names.https_port,
            ca_pem,
            data_dir: data_dir.path().join("agents"),
            docker: up.docker.clone(),
            age_key_file: up.age_key_file.clone(),
            only,
        }
    }

    fn config(&self, device: &DeviceId, key: Secret) -> Option<AgentConfig> {
        let shim = std::env::current_exe().ok()?;
        Some(AgentConfig {
            device: device.clone(),
            device_key: key,
            hub_name: self.hub_name.clone(),
            gateway: self.gateway.clone(),
            container_gateway: Some(CONTAINER_GATEWAY.to_owned()),
            mqtt_port: self.mqtt_port,
            https_port: self.https_port,
            ca_pem: self.ca_pem.clone(),
            data_dir: self.data_dir.join(folder_name(device)),
            search_path: shim.parent().map(ToOwned::to_owned),
            shim,
            docker: self.docker.clone(),
            age_key_file: self.age_key_file.clone(),
            stop_modules: true,
        })
    }
}

impl Agents {
    /// Starts the task.
    pub(super) fn start(hub: HubHandle, template: Template) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(hub, template, stop.clone()));
        Self { stop, task }
    }

    /// Stops all agents with their modules, and waits.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the agents' task ended abnormally");
        }
    }
}

/// One running agent.
struct Running {
    stop: CancellationToken,
    handle: AgentHandle,
    key: Secret,
}

async fn keep(hub: HubHandle, template: Template, stop: CancellationToken) {
    let mut notices = hub.notices();
    let mut agents: BTreeMap<DeviceId, Running> = BTreeMap::new();
    loop {
        match edge_devices(&hub).await {
            Some(mut wanted) => {
                wanted.retain(|device, _| template.only.as_ref().is_none_or(|only| only == device));
                adjust(&mut agents, &wanted, &template).await;
            }
            None => tracing::warn!("the hub did not list its edge devices; agents stay as they are"),
        }
        tokio::select! {
            // Cancel-safe: a notice that is lost here is made good by the look above.
            go_on = registry_changed(&mut notices) => if !go_on { break },
            () = stop.cancelled() => break,
        }
    }
    let stopping: Vec<AgentHandle> = agents
        .into_values()
        .map(|agent| {
            agent.stop.cancel();
            agent.handle
        })
        .collect();
    // All were told to stop already, so waiting one after the other costs no more than the slowest.
    for handle in stopping {
        handle.join().await;
    }
}

async fn adjust(
    agents: &mut BTreeMap<DeviceId, Running>,
    wanted: &BTreeMap<DeviceId, Secret>,
    template: &Template,
) {
    let gone: Vec<DeviceId> = agents
        .iter()
        .filter(|(id, agent)| wanted.get(*id) != Some(&agent.key))
        .map(|(id, _)| id.clone())
        .collect();
    for id in gone {
        if let Some(agent) = agents.remove(&id) {
            agent.stop.cancel();
            agent.handle.join().await;
        }
    }
    for (id, key) in wanted {
        if agents.contains_key(id) {
            continue;
        }
        let stop = CancellationToken::new();
        let Some(config) = template.config(id, key.clone()) else {
            tracing::error!(device = %id, "this program cannot find its own file, so no agent was started");
            continue;
        };
        match hemline_agent::start(config, stop.clone()) {
            Ok(handle) => {
                agents.insert(id.clone(), Running { stop, handle, key: key.clone() });
            }
            Err(error) => {
                tracing::error!(device = %id, error = &error as &dyn std::error::Error, "an agent did not start");
            }
        }
    }
}

/// Enabled edge devices that authenticate with a key, and that key.
async fn edge_devices(hub: &HubHandle) -> Option<BTreeMap<DeviceId, Secret>> {
    let Ok(ServiceReply::Identities(devices)) = hub.call(ServiceRequest::ListDevices { top: 1000 }).await
    else {
        return None;
    };
    let edge = devices.iter().filter(|device| {
        device.pointer("/capabilities/iotEdge").and_then(Value::as_bool) == Some(true)
            && device.get("status").and_then(Value::as_str) == Some("enabled")
    });
    Some(
        edge.filter_map(|device| {
            let id = DeviceId::new(device.get("deviceId")?.as_str()?).ok()?;
            let key = device.pointer("/authentication/symmetricKey/primaryKey")?.as_str()?;
            Some((id, Secret::new(key)))
        })
        .collect(),
    )
}

/// Waits until an identity changed, then a moment for its neighbours. `false` when the hub stopped.
async fn registry_changed(notices: &mut Receiver<Notice>) -> bool {
    loop {
        match notices.recv().await {
            Ok(Notice::Registry { client, .. }) if client.module.is_none() => break,
            Ok(
                Notice::Registry { .. }
                | Notice::Message(_)
                | Notice::Connection { .. }
                | Notice::Reported { .. }
                | Notice::Upstream { .. }
                | Notice::Change(_),
            ) => {}
            Err(RecvError::Lagged(_)) => break,
            Err(RecvError::Closed) => return false,
        }
    }
    tokio::time::sleep(DEBOUNCE).await;
    true
}

/// Device ids may hold characters that a folder name should not; percent-encoding keeps them apart.
fn folder_name(device: &DeviceId) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    device
        .as_str()
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_never_leave_their_folder() {
        assert_eq!(folder_name(&DeviceId::new("press-01").unwrap()), "press-01");
        assert_eq!(folder_name(&DeviceId::new("..").unwrap()), "%2E%2E");
    }
}
