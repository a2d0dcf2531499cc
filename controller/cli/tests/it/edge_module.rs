//! A module as people have it: the unchanged Python SDK, `create_from_edge_environment`, started by `hem up` as a process
//! module. What it gets from its agent (certificates, encryption, trust), and methods of its neighbours. The same as a container
//! is in `container.rs`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{hem::Hem, script::python};

/// Two modules that are the same program, on one of two edge devices.
fn fleet(python: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/edge_module.py");
    let command = json!([python, "-u", script]);
    format!(
        "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {{name: edge-1}}
spec: {{edge: true}}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {{name: edge-2}}
spec: {{edge: true}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {{name: modules}}
spec:
  targetCondition: deviceId = 'edge-1'
  modules:
    caller: {{type: process, command: {command}}}
    worker: {{type: process, command: {command}}}
"
    )
}

fn ask(hem: &Hem, module: &str, method: &str, payload: &Value) -> Value {
    ask_on(hem, "edge-1", module, method, payload)
}

/// Calls a method of a module as soon as it listens.
pub(crate) fn ask_on(hem: &Hem, device: &str, module: &str, method: &str, payload: &Value) -> Value {
    let payload = payload.to_string();
    let arguments = ["method", "invoke", device, module, method, "--payload", &payload, "--timeout", "60"];
    let answer = hem.eventually(&format!("{module} answers {method}"), |hem| {
        let output = hem.command(&[&arguments[..], &["-o", "json"]].concat()).output().ok()?;
        output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).ok())?
    });
    assert_eq!(answer["status"], 200, "{module} {method}: {answer}");
    answer["payload"].clone()
}

/// Is what a module found with `everything` what it was promised?
pub(crate) fn promised(mut found: Value, module: &str, gateway: &str, neighbours_socket: &Value) {
    let stranger = found["served"]["somebody.else"].take();
    assert!(stranger.as_str().is_some_and(|why| why.contains("Hostname mismatch")), "{stranger} {found}");
    let mut refused = |what: &str, status: &str| {
        let said = found[what].take();
        assert!(said.as_str().is_some_and(|said| said.contains(status)), "{what}: {said}");
    };
    refused("nobody", "404");
    refused("elsewhere", "401");
    assert_eq!(
        found,
        json!({
            "opened": "secret", "other vector": 500, "tampered": 500,
            "served": {"status": 201, (gateway): "welcome", (module): "welcome", "somebody.else": null},
            "identity": 201,
            "neighbour's socket": neighbours_socket,
            "neighbour": {"status": 200, "payload": {"echo": {"from": module}}},
            "nobody": null, "elsewhere": null,
        })
    );
}

#[test]
fn a_module_gets_what_iot_edge_promises() {
    let Some(python) = python() else { return };
    let mut hem = Hem::up(&[("fleet.yaml", &fleet(&python))]);
    // The SDK knows no other port.
    if !hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports") {
        return;
    }
    assert_eq!(ask(&hem, "worker", "echo", &json!(1)), json!({"echo": 1}), "both are up");
    let found = ask(&hem, "caller", "everything", &json!("worker"));
    promised(found, "caller", &hem.address().to_string(), &json!(403));

    // Everything is killed. The modules go on, and what they had encrypted opens again; for its owner only.
    let text = ask(&hem, "caller", "seal", &json!("kept"));
    let pid = hem.module_process("caller").expect("it runs");
    hem.kill();
    hem.start_again();
    assert_eq!(ask(&hem, "caller", "open", &text), json!("kept"));
    assert_eq!(hem.module_process("caller"), Some(pid), "it is the same process");
    assert_eq!(ask(&hem, "worker", "open", &text), json!(500));
}
