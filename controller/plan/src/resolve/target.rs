//! Which deployments select a device: conditions against the twin as the documents and the device itself describe it.

use hemline_model::DeviceDoc;
use serde_json::{Map, Value, json};

use super::{Facts, layer::Layer};

/// The deployments whose condition selects the device.
pub(super) fn matching<'a>(device: &DeviceDoc, layers: &'a [Layer<'a>], facts: &Facts) -> Vec<&'a Layer<'a>> {
    // The twin is a copy of the tags: only made when somebody reads it.
    let mut twin = None;
    layers
        .iter()
        .filter(|layer| {
            let condition = &layer.deployment.spec.condition;
            condition.is_all() || condition.matches(twin.get_or_insert_with(|| twin_of(device, facts)))
        })
        .collect()
}

/// The device twin as a target condition sees it. Tags are those of the document: what it says is what will be there.
pub(crate) fn twin_of(device: &DeviceDoc, facts: &Facts) -> Value {
    let reported = facts.reported.get(&device.id).cloned().unwrap_or_else(|| Value::Object(Map::new()));
    json!({
        "deviceId": device.id.as_str(),
        "status": if device.spec.enabled { "enabled" } else { "disabled" },
        "capabilities": {"iotEdge": device.spec.edge},
        "tags": device.spec.tags,
        "properties": {"desired": device.spec.desired, "reported": reported},
    })
}
