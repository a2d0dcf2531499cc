//! Devices and modules as an operator looks at them: identity, connection, what should run and what does.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::HeaderMap};
use hemline_hub::HubHandle;
use hemline_hub_core::{
    service::{ServiceError, ServiceReply, ServiceRequest},
    write::Permission,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{access, error::ApiError, router::ApiState};

/// Rows asked of the hub at a time.
const PAGE: usize = 1000;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRow {
    /// The hub's id.
    pub device_id: String,
    /// IoT Edge capability.
    pub edge: bool,
    /// `enabled` or `disabled`.
    pub status: String,
    /// An edge device is connected when its agent is.
    pub connected: bool,
    /// Modules that should run.
    pub modules_wanted: usize,
    /// Modules that do.
    pub modules_running: usize,
    /// What the agent says of the desired state: 200 applied, 400 unreadable, 500 failing … (reference edge-runtime §2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
}

/// Outcome of the last desired state at the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// IoT Edge status code.
    pub code: i64,
    /// The agent's words.
    pub description: String,
    /// Has the agent seen the newest desired state?
    pub current: bool,
}

/// One module of one edge device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleRow {
    /// The device.
    pub device_id: String,
    /// The module.
    pub module_id: String,
    /// `docker` or `process`; empty for a module that no deployment describes.
    pub runtime: String,
    /// `running` or `stopped`, as desired; empty when nothing is desired.
    pub desired: String,
    /// As reported: `running`, `backoff`, `failed` …
    pub state: String,
    /// The runtime's words.
    pub description: String,
    /// Restarts by the agent.
    pub restarts: u64,
    /// When it was last started.
    pub started: String,
    /// Does the module hold a connection to the hub?
    pub connected: bool,
}

/// `GET /api/v1/devices`: RegistryRead.
pub(crate) async fn devices(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<Vec<DeviceRow>>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    Ok(Json(device_rows(&state.hub).await?))
}

/// `GET /api/v1/modules`: RegistryRead.
pub(crate) async fn modules(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<Vec<ModuleRow>>, ApiError> {
    access::allow(&state.hub, &headers, Permission::RegistryRead).await?;
    Ok(Json(module_rows(&state.hub).await?))
}

/// All modules that exist or should exist, without the two of the runtime.
///
/// # Errors
/// When the hub is stopping.
pub async fn module_rows(hub: &HubHandle) -> Result<Vec<ModuleRow>, ServiceError> {
    let twins = all(hub, "SELECT * FROM devices.modules").await?;
    let agents = Agents::new(&twins);
    Ok(agents.module_rows(&twins))
}

/// All devices with what their agents say.
///
/// # Errors
/// When the hub is stopping.
pub async fn device_rows(hub: &HubHandle) -> Result<Vec<DeviceRow>, ServiceError> {
    let devices = all(hub, "SELECT * FROM devices").await?;
    let twins = all(hub, "SELECT * FROM devices.modules").await?;
    let agents = Agents::new(&twins);
    let modules = agents.module_rows(&twins);
    Ok(devices.iter().map(|device| device_row(device, &agents, &modules)).collect())
}

fn device_row(device: &Value, agents: &Agents<'_>, modules: &[ModuleRow]) -> DeviceRow {
    let id = text(device, "/deviceId");
    let edge = device.pointer("/capabilities/iotEdge").and_then(Value::as_bool).unwrap_or_default();
    let agent = agents.0.get(id.as_str()).copied();
    let own = || modules.iter().filter(|module| module.device_id == id);
    DeviceRow {
        edge,
        status: text(device, "/status"),
        connected: connected(if edge { agent.unwrap_or(device) } else { device }),
        modules_wanted: own().filter(|module| module.desired == "running").count(),
        modules_running: own()
            .filter(|module| module.desired == "running" && module.state == "running")
            .count(),
        applied: agent.and_then(applied),
        device_id: id,
    }
}

fn applied(agent: &Value) -> Option<Applied> {
    let reported = agent.pointer("/properties/reported")?;
    let code = reported.pointer("/lastDesiredStatus/code").and_then(Value::as_i64)?;
    let seen = reported.get("lastDesiredVersion").and_then(Value::as_u64);
    Some(Applied {
        code,
        description: text(reported, "/lastDesiredStatus/description"),
        current: seen == agent.pointer("/properties/desired/$version").and_then(Value::as_u64),
    })
}

/// `$edgeAgent` twins by device.
struct Agents<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Agents<'a> {
    fn new(twins: &'a [Value]) -> Self {
        let agents =
            twins.iter().filter(|twin| twin.get("moduleId").and_then(Value::as_str) == Some("$edgeAgent"));
        Self(agents.filter_map(|twin| Some((twin.get("deviceId")?.as_str()?, twin))).collect())
    }

    /// User modules: those with an identity, plus those only desired (the identity is being made).
    fn module_rows(&self, twins: &[Value]) -> Vec<ModuleRow> {
        let mut rows: BTreeMap<(String, String), ModuleRow> = BTreeMap::new();
        for twin in twins {
            let (device, module) = (text(twin, "/deviceId"), text(twin, "/moduleId"));
            if !module.starts_with('$') {
                let row = self.module_row(&device, &module, connected(twin));
                rows.insert((device, module), row);
            }
        }
        for (device, agent) in &self.0 {
            let desired = agent.pointer("/properties/desired/modules").and_then(Value::as_object);
            for module in desired.into_iter().flat_map(serde_json::Map::keys) {
                rows.entry(((*device).to_owned(), module.clone()))
                    .or_insert_with(|| self.module_row(device, module, false));
            }
        }
        rows.into_values().collect()
    }

    fn module_row(&self, device: &str, module: &str, connected: bool) -> ModuleRow {
        let agent = self.0.get(device).copied().unwrap_or(&Value::Null);
        let of =
            |part: &str| agent.pointer(&format!("/properties/{part}/modules")).and_then(|m| m.get(module));
        let desired = of("desired").unwrap_or(&Value::Null);
        let reported = of("reported").unwrap_or(&Value::Null);
        ModuleRow {
            device_id: device.to_owned(),
            module_id: module.to_owned(),
            runtime: text(desired, "/type"),
            desired: text(desired, "/status"),
            state: text(reported, "/runtimeStatus"),
            description: text(reported, "/statusDescription"),
            restarts: reported.get("restartCount").and_then(Value::as_u64).unwrap_or_default(),
            started: text(reported, "/lastStartTimeUtc"),
            connected,
        }
    }
}

fn connected(twin: &Value) -> bool {
    twin.get("connectionState").and_then(Value::as_str) == Some("Connected")
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Every row of a query.
pub(crate) async fn all(hub: &HubHandle, query: &str) -> Result<Vec<Value>, ServiceError> {
    let mut found = Vec::new();
    let mut continuation = None;
    loop {
        let request = ServiceRequest::Query { text: query.to_owned(), page_size: PAGE, continuation };
        let ServiceReply::Rows { rows, continuation: next, .. } = hub.call(request).await? else {
            return Err(ServiceError::Unavailable);
        };
        found.extend(rows);
        if next.is_none() {
            return Ok(found);
        }
        continuation = next;
    }
}
