//! Twin configurations against a naive model: the desired properties of a device are what merging all documents in order gives.

use hemline_model::{SourceFile, id::DeviceId, twin};
use hemline_plan::{Facts, LayerKind, resolve, why};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        (0_i64..4).prop_map(Value::from),
        prop::collection::vec((0_i64..2).prop_map(Value::from), 0..2).prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(3, 10, 3, |inner| {
        // Not empty: an empty object says nothing where there is something.
        prop::collection::btree_map("[ab]", inner, 1..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    prop::collection::btree_map("[abc]", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn file(path: String, document: &Value) -> SourceFile {
    SourceFile { path: path.into(), bytes: document.to_string().into_bytes() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_twin_is_the_merge_of_its_documents(
        own in object(),
        module in object(),
        // Each has a priority of its own: ties are another matter.
        of_devices in prop::collection::vec(object(), 0..4),
        of_modules in prop::collection::vec(object(), 0..4),
    ) {
        let head = |kind: &str, name: &str, spec: Value| {
            json!({"apiVersion": "hemline.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
        };
        let deployment = json!({"targetCondition": "*", "modules": {"m": {"image": "i", "desired": module}}});
        let mut documents = vec![
            head("Device", "d", json!({"edge": true, "desired": own})),
            head("EdgeDeployment", "base", deployment),
        ];
        for (kind, condition, all) in
            [("a", "*", &of_devices), ("b", "FROM devices.modules WHERE moduleId = 'm' AND deviceId = 'd'", &of_modules)]
        {
            // The highest first, so that the order of files decides nothing.
            documents.extend(all.iter().enumerate().rev().map(|(priority, desired)| {
                let spec = json!({"targetCondition": condition, "priority": priority, "desired": desired});
                head("TwinConfiguration", &format!("{kind}{}", 9 - priority), spec)
            }));
        }
        let files: Vec<SourceFile> =
            documents.iter().enumerate().map(|(place, document)| file(format!("{place}.json"), document)).collect();
        let loaded = hemline_model::load(&files);
        prop_assert!(loaded.fleet.is_some(), "{:#?}", loaded.findings);
        let fleet = loaded.fleet.unwrap();
        let resolution = resolve(&fleet, &Facts::default());
        let effective = &resolution.devices[&DeviceId::new("d").unwrap()];

        let merged = |all: &mut dyn Iterator<Item = &Map<String, Value>>| {
            all.fold(Map::new(), |mut merged, next| { twin::merge(&mut merged, next); merged })
        };
        prop_assert_eq!(&*effective.twins.device, &merged(&mut of_devices.iter().chain([&own])));
        prop_assert_eq!(&effective.twins.modules["m"], &merged(&mut std::iter::once(&module).chain(&of_modules)));

        // Every opinion is named once, the higher before the lower, and says what its document says.
        let rank = |layer: LayerKind, document: &str| match layer {
            LayerKind::Device => 100,
            LayerKind::Base | LayerKind::Layer => -1,
            LayerKind::Configuration => 9 - document[1..].parse::<i64>().unwrap(),
        };
        for because in why(&fleet, &fleet.devices["d"], effective, None).unwrap_or_default() {
            if !because.path.contains("desired") {
                continue;
            }
            let mut above = rank(because.layer, because.document.as_str());
            for over in &because.overrides {
                let below = rank(over.layer, over.document.as_str());
                prop_assert!(below <= above, "{because:#?}");
                above = below;
            }
        }
    }
}
