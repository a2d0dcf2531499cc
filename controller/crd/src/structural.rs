//! From JSON Schema 2020-12 to the structural schemas of Kubernetes: no `$ref`, no `type` lists, no `const`, and
//! `anyOf` only where no branch says anything about types. What Kubernetes cannot express is left to our own
//! validation, which runs in the cluster too.

use serde_json::{Map, Value, json};

/// Members of a schema that mean the same in both worlds.
const KEPT: [&str; 8] =
    ["description", "type", "enum", "pattern", "minimum", "maximum", "maxLength", "required"];

/// The schema of a custom resource: `spec` of the document, and the status that Hemline writes.
pub(super) fn document(document: &Value, status: &Value) -> Value {
    let spec = document.pointer("/properties/spec").map(convert).unwrap_or_else(free);
    let described = document.get("description").cloned().unwrap_or_default();
    let mut status = convert(status);
    if let Some(status) = status.as_object_mut() {
        status.insert("description".to_owned(), json!("Written by Hemline only."));
        // A status is written in steps; nothing in it is required of the writer.
        status.remove("required");
    }
    let mut root = json!({
        "description": described,
        "type": "object",
        "properties": {"spec": spec, "status": status},
    });
    let spec_required = document
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.contains(&json!("spec")));
    if let (true, Some(root)) = (spec_required, root.as_object_mut()) {
        root.insert("required".to_owned(), json!(["spec"]));
    }
    root
}

fn free() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true})
}

fn convert(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return free() };
    let description = schema.get("description");
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    let mut out = match branches {
        Some(branches) => either(branches),
        None => plain(schema),
    };
    if let (Some(out), Some(description)) = (out.as_object_mut(), description) {
        out.insert("description".to_owned(), description.clone());
    }
    out
}

/// An option is its inner schema; a list of texts is an enum; a mixture of types is free.
fn either(branches: &[Value]) -> Value {
    let real: Vec<&Value> =
        branches.iter().filter(|branch| branch.get("type") != Some(&json!("null"))).collect();
    if let [only] = real.as_slice() {
        return convert(only);
    }
    let texts: Option<Vec<Value>> = real.iter().try_fold(Vec::new(), |mut texts, branch| {
        match (branch.get("const"), branch.get("enum").and_then(Value::as_array)) {
            (Some(text), _) => texts.push(text.clone()),
            (None, Some(several)) => texts.extend(several.iter().cloned()),
            (None, None) => return None,
        }
        Some(texts)
    });
    match texts {
        Some(texts) => json!({"type": "string", "enum": texts}),
        None => free(),
    }
}

fn plain(schema: &Map<String, Value>) -> Value {
    let kept = schema.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
    let mut out: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(text) = schema.get("const") {
        out.insert("enum".to_owned(), json!([text]));
    }
    // `["string", "null"]` is how an optional text looks; Kubernetes leaves the field out instead.
    let name = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().find(|name| **name != json!("null")).cloned(),
        Some(Value::String(name)) => Some(json!(name)),
        Some(_) | None => None,
    };
    let Some(name) = name else { return free() };
    integer_format(schema, &mut out);
    match name.as_str() {
        Some("object") => object(schema, &mut out),
        Some("array") => {
            let items = schema.get("items").map(convert).unwrap_or_else(free);
            out.insert("items".to_owned(), items);
        }
        Some(_) | None => {}
    }
    out.insert("type".to_owned(), name);
    if let Some(default) = schema.get("default").filter(|default| default.is_boolean()) {
        // Only flags, so that `kubectl get` shows them; other defaults depend on layers.
        out.insert("default".to_owned(), default.clone());
    }
    Value::Object(out)
}

fn object(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        let converted = properties.iter().map(|(name, schema)| (name.clone(), convert(schema)));
        out.insert("properties".to_owned(), Value::Object(converted.collect()));
        return;
    }
    match schema.get("additionalProperties") {
        Some(members @ Value::Object(_)) => {
            out.insert("additionalProperties".to_owned(), convert(members));
        }
        Some(_) | None => {
            out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        }
    }
}

/// Kubernetes knows int32 and int64 only; unsigned ones become int64 with bounds.
fn integer_format(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            out.insert("format".to_owned(), json!("int64"));
            out.entry("maximum").or_insert_with(|| json!(u32::MAX));
        }
        Some("uint64" | "int64") => {
            out.insert("format".to_owned(), json!("int64"));
        }
        Some("date-time") => {
            out.insert("format".to_owned(), json!("date-time"));
        }
        Some(_) | None => {}
    }
}
