//! The JSON Schemas of the documents, for editors and other validators. Generated from [`crate::document`]; the files
//! below `schemas/` are these texts.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::document::{Device, EdgeDeployment, Object, SecretDocument, TwinConfiguration};

/// Where the schemas are published, and the `$id` prefix.
const BASE: &str = "https://hemline.dev/schemas/v1alpha1";

/// The kinds of documents and the files of their schemas.
const KINDS: [(&str, &str); 4] = [
    ("Device", "device.json"),
    ("EdgeDeployment", "edge-deployment.json"),
    ("Secret", "secret.json"),
    ("TwinConfiguration", "twin-configuration.json"),
];

/// The published schemas: file name below `schemas/`, and text that ends with a line feed.
#[must_use]
pub fn schemas() -> Vec<(&'static str, String)> {
    vec![
        ("device.json", text(&written::<Device>("device.json"))),
        (
            "edge-deployment.json",
            text(&target_or_manifest(written::<EdgeDeployment>("edge-deployment.json"))),
        ),
        ("hemline.json", text(&any())),
        ("secret.json", text(&written::<SecretDocument>("secret.json"))),
        ("twin-configuration.json", text(&written::<TwinConfiguration>("twin-configuration.json"))),
    ]
}

/// The schema of a document of any kind. The kind decides which one holds, so that an editor speaks about the document
/// that is being written and not about every kind that it is not.
fn any() -> Value {
    let by_kind = KINDS.map(|(kind, file)| {
        json!({
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {"$ref": file},
        })
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("{BASE}/hemline.json"),
        "title": "Hemline document",
        "description": "Any document that Hemline reads, by its kind.",
        "type": "object",
        "properties": {
            "apiVersion": {
                "description": "API group and version: this program reads and writes one.",
                "const": crate::document::API_VERSION,
            },
            "kind": {
                "description": "What the document is about; the other fields follow from it.",
                "enum": KINDS.map(|(kind, _)| kind),
            },
        },
        "required": ["apiVersion", "kind"],
        "allOf": by_kind,
    })
}

/// The schema of a type with everything in place (no `$ref`): what the shape check and the Kubernetes definitions use.
#[must_use]
pub fn inline<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The text of the schema of a type that is published under this file name.
#[must_use]
pub fn publish<T: JsonSchema>(file: &str) -> String {
    text(&published::<T>(file))
}

fn published<T: JsonSchema>(file: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        let id = Value::String(format!("{BASE}/{file}"));
        root.insert("$id".to_owned(), id);
    }
    schema
}

/// The schema of a kind of document, which people write in editors.
fn written<T: JsonSchema>(file: &str) -> Value {
    let mut schema = published::<T>(file);
    unoffered(&mut schema);
    schema
}

/// Nothing may stand where a field is optional, but an editor should not offer `null` among the words of a choice: said as
/// "none of the other types", which editors have no completion for.
fn unoffered(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for branch in map.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
                if *branch == json!({"type": "null"}) {
                    *branch = json!({"not": {"type": ["array", "boolean", "number", "object", "string"]}});
                }
            }
            map.values_mut().for_each(unoffered);
        }
        Value::Array(items) => items.iter_mut().for_each(unoffered),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A value as text with one value per line, in one order, with a line feed at the end: for files that are compared.
#[must_use]
pub fn pretty(value: &Value) -> String {
    text(value)
}

/// A deployment may leave its target condition to the manifest that it names. The shape check sees the document after the
/// manifest has spoken, and Kubernetes has no files beside a document, so both keep the plain rule.
fn target_or_manifest(mut schema: Value) -> Value {
    if let Some(spec) = schema.pointer_mut("/$defs/EdgeDeploymentSpec").and_then(Value::as_object_mut) {
        spec.remove("required");
        spec.insert(
            "anyOf".to_owned(),
            json!([{"required": ["targetCondition"]}, {"required": ["manifest"]}]),
        );
    }
    schema
}

fn text(schema: &Value) -> String {
    // Keys in one order whatever serde_json was built with, but the naming ones first, as readers expect them.
    let mut out = String::new();
    write(schema, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, level: usize, out: &mut String) {
    let indent = |level: usize| format!("\n{}", "  ".repeat(level));
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, item)) in ordered(map).into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&indent(level + 1));
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                write(item, level + 1, out);
            }
            out.push_str(&indent(level));
            out.push('}');
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&indent(level + 1));
                write(item, level + 1, out);
            }
            out.push_str(&indent(level));
            out.push(']');
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            out.push_str(&crate::twin::canonical(value));
        }
    }
}

fn ordered(map: &Object) -> Vec<(&String, &Value)> {
    let rank = |key: &str| {
        let first = ["$schema", "$id", "title", "description", "type", "const", "enum", "$ref"];
        let last = ["examples", "$defs"];
        first
            .iter()
            .position(|k| *k == key)
            .unwrap_or(10 + last.iter().position(|k| *k == key).map_or(0, |n| n + 1))
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    entries
}
