//! The committed definitions follow the types, and are structural.

use std::{fs, path::Path};

use hemline_crd::{definitions, files};
use serde_json::Value;

#[test]
fn the_committed_definitions_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    fs::create_dir_all(&folder).unwrap();
    let mut stale = Vec::new();
    for (name, text) in files().unwrap() {
        let path = folder.join(&name);
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(&path, text).unwrap();
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "crds/ was stale and has been rewritten: {stale:?}; commit it with its cause");
}

/// What the API server demands of a structural schema, as far as our schemas come near it.
fn structural(schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let known = schema.get("type").is_some()
        || schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if !known {
        wrong.push(format!("{path}: no type"));
    }
    for forbidden in ["$ref", "anyOf", "oneOf", "allOf", "const", "definitions", "additionalItems", "id"] {
        if schema.get(forbidden).is_some() {
            wrong.push(format!("{path}: {forbidden}"));
        }
    }
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_some() {
        wrong.push(format!("{path}: properties and additionalProperties"));
    }
    if schema.get("description").is_none()
        && schema.get("type") == Some(&Value::from("object"))
        && path.matches('.').count() == 1
    {
        wrong.push(format!("{path}: no description"));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        structural(property, &format!("{path}.{name}"), wrong);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner) {
            structural(inner, &format!("{path}[]"), wrong);
        }
    }
}

#[test]
fn the_schemas_are_structural() {
    for definition in definitions().unwrap() {
        let value = serde_json::to_value(&definition).unwrap();
        let mut wrong = Vec::new();
        structural(&value["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let version = &value["spec"]["versions"][0];
        assert_eq!(version["subresources"]["status"], serde_json::json!({}));
        assert!(version["additionalPrinterColumns"].as_array().unwrap().len() >= 5);
    }
}

/// Fields of the model arrive: a sample of each kind of type.
#[test]
fn fields_arrive_with_their_types() {
    let all = definitions().unwrap();
    let schema = |index: usize| {
        serde_json::to_value(&all[index]).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    };
    let (device, deployment) = (schema(0), schema(1));
    let table = [
        (&device, "/properties/spec/properties/edge/type", "boolean"),
        (&device, "/properties/spec/properties/deviceId/type", "string"),
        (&device, "/properties/spec/properties/auth/properties/type/enum/0", "sas"),
        (&device, "/properties/spec/properties/tags/type", "object"),
        (
            &deployment,
            "/properties/spec/properties/modules/additionalProperties/properties/restartPolicy/enum/0",
            "never",
        ),
        (
            &deployment,
            "/properties/spec/properties/modules/additionalProperties/properties/command/items/type",
            "string",
        ),
        (&deployment, "/properties/spec/properties/priority/format", "int64"),
        (&deployment, "/properties/spec/required/0", "targetCondition"),
    ];
    for (schema, pointer, expected) in table {
        assert_eq!(schema.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer}");
    }
    let free = "/properties/spec/properties/modules/additionalProperties/properties/createOptions/x-kubernetes-preserve-unknown-fields";
    assert_eq!(deployment.pointer(free), Some(&Value::Bool(true)));
}
