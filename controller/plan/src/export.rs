//! What one device should be → the manifest that Azure's tools take: the way back of `hemline_model::azure`.
//!
//! Not here: the wire shapes themselves, which the desired twins have already (`desired.rs`).

use hemline_model::{Finding, edge::ModuleType, id::ModuleId};
use serde_json::{Map, Value, json};

use crate::{
    Effective,
    desired::{object, read},
};

/// The programs of IoT Edge, which a manifest must name and a document does not know.
const AGENT_IMAGE: &str = "mcr.microsoft.com/azureiotedge-agent:1.5";
const HUB_IMAGE: &str = "mcr.microsoft.com/azureiotedge-hub:1.5";

/// A manifest, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// `{"modulesContent": …}`; `None` when any finding is an error.
    pub manifest: Option<Value>,
    /// What a manifest cannot say.
    pub findings: Vec<Finding>,
}

/// Writes the modules and routes of one device as a manifest. Tags and desired properties of the device itself are not part
/// of manifests.
#[must_use]
pub fn export(device: &Effective) -> Exported {
    let twins = &device.twins.modules;
    let mut findings = Vec::new();
    let Some(agent) = twins.get(&ModuleId::edge_agent()) else {
        let message = format!("device {} is no edge device; a manifest is for modules", device.name);
        findings.push(Finding::error("export-no-edge", message).with_hint("set `spec.edge: true`"));
        return Exported { manifest: None, findings };
    };
    if device.base.is_none() {
        let message =
            format!("no base deployment selects device {}; there is nothing to export", device.name);
        findings.push(Finding::error("export-no-base", message));
    }
    for (name, module) in object(agent, "modules") {
        if module.as_object().and_then(|module| read::<ModuleType>(module, "type"))
            != Some(ModuleType::Docker)
        {
            findings.push(process_module(device, name));
        }
    }
    if !findings.is_empty() {
        return Exported { manifest: None, findings };
    }
    let content: Map<String, Value> = twins
        .iter()
        .map(|(id, desired)| {
            let mut desired = desired.clone();
            if *id == ModuleId::edge_agent() {
                desired.insert("systemModules".to_owned(), system_modules());
                only_azure(&mut desired);
            }
            (id.to_string(), json!({"properties.desired": desired}))
        })
        .collect();
    Exported { manifest: Some(json!({"modulesContent": content})), findings }
}

/// Azure's tools refuse members that their schema does not know.
fn only_azure(agent: &mut Map<String, Value>) {
    agent.remove("hemline");
    let modules = agent.get_mut("modules").and_then(Value::as_object_mut);
    for module in modules.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        module.remove("health");
        module.remove("secrets");
    }
}

fn process_module(device: &Effective, name: &str) -> Finding {
    let message = format!("module {name:?} is a process of the host; Azure IoT Edge runs containers only");
    let finding = Finding::error("export-process", message)
        .with_hint("give it an image, or move it to a deployment for other devices");
    match device.provenance.get(&format!("modules.{name}.type")) {
        Some(provenance) => finding.with_position(provenance.said.position.clone()),
        None => finding,
    }
}

/// The two modules that every manifest has, with the ports on which devices find the hub.
fn system_modules() -> Value {
    let port = |number: u16| json!([{"HostPort": number.to_string()}]);
    let ports = json!({"5671/tcp": port(5671), "8883/tcp": port(8883), "443/tcp": port(443)});
    let options = json!({"HostConfig": {"PortBindings": ports}}).to_string();
    json!({
        "edgeAgent": {"type": "docker", "settings": {"image": AGENT_IMAGE, "createOptions": "{}"}},
        "edgeHub": {
            "type": "docker", "status": "running", "restartPolicy": "always", "startupOrder": 0,
            "settings": {"image": HUB_IMAGE, "createOptions": options}
        }
    })
}
