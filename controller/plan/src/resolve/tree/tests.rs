//! Trees against leaves, on made-up layers.

use std::sync::Arc;

use hemline_model::{DeploymentDoc, SourceFile, load};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Tree;
use crate::resolve::layer::{Layer, Merged};

/// Few names and few values, so that layers meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0..3).prop_map(Value::from),
        prop_oneof!["x", "y"].prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([1, null])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::collection::btree_map(prop_oneof!["a", "b", "c"], inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn module() -> impl Strategy<Value = Value> {
    let object = || value().prop_map(|value| if value.is_object() { value } else { json!({"a": value}) });
    let parts = (
        proptest::option::of(object()),
        proptest::option::of(object()),
        proptest::option::of(prop_oneof!["one", "two"]),
        proptest::option::of(proptest::collection::btree_map("[AB]", "[xy]", 0..3)),
    );
    parts.prop_map(|(options, desired, image, env)| {
        let mut module = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                module.insert(key.to_owned(), value);
            }
        };
        put("createOptions", options);
        put("desired", desired.map(without_null));
        put("image", image.map(Value::from));
        put("env", env.map(|env| json!(env)));
        Value::Object(module)
    })
}

/// Validation refuses `null` in a twin.
fn without_null(value: Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, without_null(v))).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn deployment(name: usize, priority: u32, modules: &Value, routes: &Value, store: Option<u8>) -> Value {
    let mut document = json!({
        "apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": format!("d{name}")},
        "spec": {"targetCondition": "*", "priority": priority, "layered": true, "modules": modules, "routes": routes}
    });
    if let Some(hours) = store {
        document["spec"]["storeAndForward"] = json!({"timeToLive": format!("{hours}h")});
    }
    document
}

fn layers() -> impl Strategy<Value = Vec<Value>> {
    let modules = proptest::collection::btree_map(prop_oneof!["m", "n"], module(), 0..3);
    let route = (prop_oneof!["m", "n"], 0..3_u32).prop_map(|(module, priority)| {
        json!({"route": format!("FROM /messages/modules/{module}/* INTO $upstream"), "priority": priority})
    });
    let routes = proptest::collection::btree_map(prop_oneof!["r", "s"], route, 0..3);
    let layer = (1..3_u32, modules, routes, proptest::option::of(1..3_u8));
    proptest::collection::vec(layer, 1..5).prop_map(|mut layers| {
        layers.sort_by_key(|(priority, ..)| *priority);
        let layers = layers.into_iter().enumerate();
        layers
            .map(|(name, (priority, modules, routes, store))| {
                deployment(name, priority, &json!(modules), &json!(routes), store)
            })
            .collect()
    })
}

fn layer_of(merged: &Merged, path: &[String]) -> Option<usize> {
    let mut above = (0..=path.len()).rev().filter_map(|steps| merged.leaves.get(&path[..steps]));
    above.next().map(|(_, layer)| *layer)
}

fn layers_below(merged: &Merged, path: &[String]) -> (usize, usize) {
    let places =
        || merged.leaves.iter().filter(|(have, _)| have.starts_with(path)).map(|(_, (_, place))| *place);
    (places().min().unwrap_or_default(), places().max().unwrap_or_default())
}

proptest! {
    #[test]
    fn merging_trees_is_merging_leaves(documents in layers()) {
        let file = |(place, document): (usize, &Value)| SourceFile {
            path: format!("{place}.json").into(),
            bytes: document.to_string().into_bytes(),
        };
        let mut files: Vec<SourceFile> = documents.iter().enumerate().map(file).collect();
        // Routes may name modules that no layer has.
        files.push(file((99, &deployment(99, 0, &json!({"m": {}, "n": {}}), &json!({}), None))));
        let loaded = load(&files);
        prop_assert!(loaded.fleet.is_some(), "{:?}", loaded.findings);
        let fleet = loaded.fleet.unwrap_or_default();
        let docs: Vec<&Arc<DeploymentDoc>> =
            fleet.deployments.values().filter(|doc| doc.name.as_str() != "d99").collect();
        let layers: Vec<Layer<'_>> = docs.into_iter().map(Layer::new).collect();
        let layers: Vec<&Layer<'_>> = layers.iter().collect();
        let (tree, leaves) = (Tree::of(&layers), Merged::of(&layers));
        let (wanted, got) = (leaves.tree(), tree.map(|_| true));
        prop_assert_eq!(got, wanted);
        for path in leaves.leaves.keys() {
            for steps in 0..=path.len() {
                let prefix = path[..steps].to_vec();
                let mut longer = prefix.clone();
                longer.push("0".to_owned());
                for path in [prefix, longer] {
                    prop_assert_eq!(tree.layer_of(&path), layer_of(&leaves, &path), "{:?}", path);
                    prop_assert_eq!(tree.layers_below(&path), layers_below(&leaves, &path), "{:?}", path);
                }
            }
        }
        let (mut conflicts, mut expected) = (tree.conflicts, leaves.conflicts);
        conflicts.sort();
        expected.sort();
        prop_assert_eq!(conflicts, expected);
    }
}
