//! The documents as Kubernetes custom resource definitions: the model's types, turned into structural schemas.
//!
//! [`definitions`] gives the definitions as typed values, [`files`] as the texts below `crds/`. The Rust types of
//! `hemline_model::document` stay the one source: nothing about a field is said here.
//!
//! Not here: a client, a watcher, or anything that needs a cluster.

mod structural;

use hemline_model::{
    document::{Device, EdgeDeployment, TwinConfiguration},
    schema,
    status::{ConfigurationStatus, DeploymentStatus},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// API group of the documents.
pub const GROUP: &str = "hemline.dev";
/// API version of the documents.
pub const VERSION: &str = "v1alpha1";

/// Why a definition could not be made: the model's schema has a form that Kubernetes does not take.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The definition does not fit the types of the Kubernetes API.
    #[error("the definition of {kind} is not one that Kubernetes takes; the model's types must change")]
    Shape {
        /// Kind of the document.
        kind: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The definition could not be written as YAML.
    #[error("the definition of {kind} could not be written as YAML")]
    Text {
        /// Kind of the document.
        kind: &'static str,
        /// What the writer says.
        source: serde_yaml_ng::Error,
    },
}

/// What a kind needs besides its schema.
struct Kind {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
    columns: Value,
    document: Value,
    status: Value,
}

/// The definitions, for a program that installs them.
///
/// # Errors
/// Only when the model's types have taken a form that Kubernetes refuses, which a test of this crate shows first.
pub fn definitions() -> Result<Vec<CustomResourceDefinition>, DefinitionError> {
    kinds().iter().map(typed).collect()
}

/// The published files: name below `crds/`, and YAML text.
///
/// # Errors
/// As [`definitions`].
pub fn files() -> Result<Vec<(String, String)>, DefinitionError> {
    let head = "# Generated from the types in controller/model. `cargo test -p hemline-crd` rewrites it.\n";
    let mut files = Vec::new();
    for kind in kinds() {
        let (name, word) = (format!("{}.{GROUP}.yaml", kind.plural), kind.kind);
        let text = serde_yaml_ng::to_string(&typed(&kind)?)
            .map_err(|source| DefinitionError::Text { kind: word, source })?;
        files.push((name, format!("{head}{text}")));
    }
    Ok(files)
}

fn kinds() -> [Kind; 3] {
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let ready = json!({"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status",
        "description": "Is everything as the document says?"});
    let priority = json!({"name": "Priority", "type": "integer", "jsonPath": ".spec.priority", "description": "Higher wins."});
    let condition = |what: &str| json!({"name": "Condition", "type": "string", "jsonPath": ".spec.targetCondition", "priority": 1, "description": what});
    [
        Kind {
            kind: "Device",
            plural: "devices",
            singular: "device",
            short: &["hdev"],
            columns: json!([
                {"name": "Edge", "type": "boolean", "jsonPath": ".spec.edge", "description": "Does it run modules?"},
                {"name": "Enabled", "type": "boolean", "jsonPath": ".spec.enabled", "description": "May it connect?"},
                {"name": "Connected", "type": "boolean", "jsonPath": ".status.connected", "description": "Is it connected?"},
                ready,
                {"name": "Id", "type": "string", "jsonPath": ".spec.deviceId", "priority": 1,
                    "description": "The hub's id, where it is not the name."},
                age,
            ]),
            document: schema::inline::<Device>(),
            status: schema::inline::<hemline_model::status::DeviceStatus>(),
        },
        Kind {
            kind: "EdgeDeployment",
            plural: "edgedeployments",
            singular: "edgedeployment",
            short: &["hdep"],
            columns: json!([
                priority,
                {"name": "Targeted", "type": "integer", "jsonPath": ".status.targeted", "description": "Devices that the condition selects."},
                {"name": "OK", "type": "integer", "jsonPath": ".status.ready", "description": "Devices that report it in its desired state."},
                {"name": "Failing", "type": "integer", "jsonPath": ".status.failing", "description": "Devices that report a failure."},
                ready,
                condition("Which devices."),
                age,
            ]),
            document: schema::inline::<EdgeDeployment>(),
            status: schema::inline::<DeploymentStatus>(),
        },
        Kind {
            kind: "TwinConfiguration",
            plural: "twinconfigurations",
            singular: "twinconfiguration",
            short: &["htc"],
            columns: json!([
                priority,
                {"name": "Targeted", "type": "integer", "jsonPath": ".status.targeted", "description": "Twins that the condition selects."},
                {"name": "Applied", "type": "integer", "jsonPath": ".status.applied", "description": "Twins that hold what the documents say."},
                ready,
                condition("Which twins."),
                age,
            ]),
            document: schema::inline::<TwinConfiguration>(),
            status: schema::inline::<ConfigurationStatus>(),
        },
    ]
}

fn typed(kind: &Kind) -> Result<CustomResourceDefinition, DefinitionError> {
    let name = kind.kind;
    let schema = structural::document(&kind.document, &kind.status);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", kind.plural)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": name, "listKind": format!("{name}List"), "plural": kind.plural, "singular": kind.singular,
                "shortNames": kind.short, "categories": ["hemline"]},
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": kind.columns,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    serde_json::from_value(definition).map_err(|source| DefinitionError::Shape { kind: name, source })
}
