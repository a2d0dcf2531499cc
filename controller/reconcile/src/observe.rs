//! Stage 6, I/O: registry and twins of the hub, as the planner wants to see them.

use std::collections::BTreeMap;

use hemline_hub::HubHandle;
use hemline_hub_core::service::{ServiceError, ServiceReply, ServiceRequest};
use hemline_model::{
    document::{Auth, AuthType},
    id::{DeviceId, ModuleId},
};
use hemline_plan::{Observed, ObservedDevice, ObservedModule, Resolution};
use serde_json::{Map, Value};

/// Rows per page of a query: bounds one reply, not the result.
const PAGE: usize = 1_000;

/// Reads all devices and modules. Who made a module is not part of a twin; see [`owners`].
pub(crate) async fn observe(hub: &HubHandle) -> Result<Observed, ServiceError> {
    let mut devices = BTreeMap::new();
    for row in rows(hub, "SELECT * FROM devices").await? {
        if let Some(id) = row.get("deviceId").and_then(Value::as_str).and_then(|id| DeviceId::new(id).ok()) {
            devices.insert(id, device(&row));
        }
    }
    for row in rows(hub, "SELECT * FROM devices.modules").await? {
        let name = |key: &str| row.get(key).and_then(Value::as_str);
        let (Some(id), Some(module_id)) = (name("deviceId"), name("moduleId")) else { continue };
        // A device may be gone between the two queries.
        if let (Some(device), Ok(module_id)) = (devices.get_mut(id), ModuleId::new(module_id)) {
            device.modules.insert(module_id, module(&row));
        }
    }
    Ok(Observed { devices })
}

/// Asks who made the modules that no document wants. Only where there are some: most devices need no question.
pub(crate) async fn owners(
    hub: &HubHandle,
    observed: &mut Observed,
    wanted: &Resolution,
) -> Result<(), ServiceError> {
    for (id, effective) in &wanted.devices {
        let Some(device) = observed.devices.get_mut(id) else { continue };
        let surplus =
            |module: &ModuleId| !module.is_system() && !effective.twins.modules.contains_key(module);
        if !device.modules.keys().any(surplus) {
            continue;
        }
        let documents = match hub.call(ServiceRequest::ListModules(id.clone())).await {
            Ok(ServiceReply::Identities(documents)) => documents,
            Ok(_) | Err(ServiceError::DeviceNotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        for document in documents {
            let text = |key: &str| document.get(key).and_then(Value::as_str);
            if let Some(module) = text("moduleId").and_then(|id| device.modules.get_mut(id)) {
                module.managed_by = text("managedBy").map(str::to_owned);
            }
        }
    }
    Ok(())
}

async fn rows(hub: &HubHandle, text: &str) -> Result<Vec<Value>, ServiceError> {
    let mut all = Vec::new();
    let mut continuation = None;
    loop {
        let query = ServiceRequest::Query { text: text.to_owned(), page_size: PAGE, continuation };
        let ServiceReply::Rows { rows, continuation: next, .. } = hub.call(query).await? else {
            return Ok(all);
        };
        all.extend(rows);
        match next {
            Some(next) => continuation = Some(next),
            None => return Ok(all),
        }
    }
}

fn device(row: &Value) -> ObservedDevice {
    let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
    let thumbprint = |pointer: &str| text(pointer).filter(|text| !text.is_empty()).map(str::to_owned);
    ObservedDevice {
        enabled: text("/status") != Some("disabled"),
        edge: row.pointer("/capabilities/iotEdge").and_then(Value::as_bool).unwrap_or_default(),
        parent: text("/parentScopes/0").and_then(parent),
        auth: Auth {
            kind: match text("/authenticationType") {
                Some("selfSigned") => AuthType::SelfSigned,
                Some("certificateAuthority") => AuthType::CertificateAuthority,
                Some(_) | None => AuthType::Sas,
            },
            primary_thumbprint: thumbprint("/x509Thumbprint/primaryThumbprint"),
            secondary_thumbprint: thumbprint("/x509Thumbprint/secondaryThumbprint"),
        },
        connected: text("/connectionState") == Some("Connected"),
        tags: section(row, "/tags"),
        desired: section(row, "/properties/desired"),
        reported: section(row, "/properties/reported"),
        modules: BTreeMap::new(),
    }
}

fn module(row: &Value) -> ObservedModule {
    ObservedModule {
        desired: section(row, "/properties/desired"),
        desired_version: row
            .pointer("/properties/desired/$version")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        reported: section(row, "/properties/reported"),
        managed_by: None,
        connected: row.get("connectionState").and_then(Value::as_str) == Some("Connected"),
    }
}

/// Properties without `$version` and `$metadata`.
fn section(row: &Value, pointer: &str) -> Map<String, Value> {
    let section = row.pointer(pointer).and_then(Value::as_object);
    section
        .into_iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// `ms-azure-iot-edge://{device}-{ticks}` → the device (reference service-api §4.1).
fn parent(scope: &str) -> Option<DeviceId> {
    let (_, name) = scope.split_once("://")?;
    let (device, _) = name.rsplit_once('-')?;
    DeviceId::new(device).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_the_parent() {
        for (scope, device) in [
            ("ms-azure-iot-edge://gateway-1-638000000000000000", Some("gateway-1")),
            ("ms-azure-iot-edge://g-1", Some("g")),
            ("nonsense", None),
        ] {
            assert_eq!(parent(scope).as_ref().map(DeviceId::as_str), device, "{scope}");
        }
    }
}
