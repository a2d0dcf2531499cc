//! Properties: applying a plan leaves nothing to plan, from any state of the hub; what is not ours stays.

use std::collections::BTreeMap;

use hemline_model::{
    Fleet, SourceFile,
    id::{DeviceId, ModuleId},
};
use hemline_plan::{Facts, Observed, ObservedDevice, ObservedModule, plan, resolve};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
        prop::collection::vec((0_i64..3).prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let value = leaf().prop_recursive(2, 8, 3, |inner| {
        prop::collection::btree_map("[a-c]", inner, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn module() -> impl Strategy<Value = Value> {
    ("[xy]", object(), "[12]", prop::option::of(object()), any::<bool>()).prop_map(|(image, options, env, desired, stopped)| {
        let mut module = json!({"image": image, "createOptions": {"Labels": {"o": json!(options).to_string()}}, "env": {"E": env}});
        if let Some(desired) = desired {
            module["desired"] = Value::Object(desired);
        }
        if stopped {
            module["status"] = "stopped".into();
        }
        module
    })
}

fn deployment(name: &'static str, layered: bool) -> impl Strategy<Value = Value> {
    let modules = prop::collection::btree_map("m[1-3]", module(), 0..3);
    let routes = prop::collection::btree_map("r[1-2]", "(m1|m2)", 0..2);
    (modules, routes, prop_oneof![Just("*"), Just("tags.a = 1")]).prop_map(move |(modules, routes, condition)| {
        let routes: BTreeMap<_, _> = routes
            .into_iter()
            .map(|(name, module)| (name, format!("FROM /messages/modules/{module}/outputs/* INTO $upstream")))
            .collect();
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": name},
            "spec": {"targetCondition": condition, "layered": layered, "priority": if layered { 5 } else { 1 },
                     "modules": modules, "routes": routes}})
    })
}

fn device(name: &'static str) -> impl Strategy<Value = Value> {
    (any::<bool>(), any::<bool>(), object(), object()).prop_map(move |(edge, enabled, tags, desired)| {
        json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": name},
            "spec": {"edge": edge, "enabled": enabled, "tags": tags, "desired": desired}})
    })
}

/// Documents of one revision; some devices are missing in some revisions.
pub(super) fn fleet() -> impl Strategy<Value = Fleet> {
    let devices =
        (prop::option::of(device("d1")), prop::option::of(device("d2")), prop::option::of(device("d3")));
    (devices, deployment("base", false), prop::option::of(deployment("layer", true))).prop_filter_map(
        "documents that are valid",
        |((one, two, three), base, layer)| {
            let files: Vec<SourceFile> = [one, two, three, Some(base), layer]
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(place, document)| SourceFile {
                    path: format!("{place}.json").into(),
                    bytes: document.to_string().into_bytes(),
                })
                .collect();
            hemline_model::load(&files).fleet
        },
    )
}

/// A hub in any state: devices of ours, devices of others, modules by hand.
pub(super) fn hub() -> impl Strategy<Value = Observed> {
    let module = (object(), any::<bool>()).prop_map(|(desired, ours)| ObservedModule {
        desired,
        managed_by: ours.then(|| hemline_plan::MANAGED_BY.to_owned()),
        ..ObservedModule::default()
    });
    let modules = prop::collection::btree_map("m[1-4]|[$]edgeAgent|[$]edgeHub", module, 0..4);
    let device = (any::<bool>(), any::<bool>(), object(), object(), modules).prop_map(
        |(edge, enabled, tags, desired, modules)| {
            let mut modules: BTreeMap<ModuleId, ObservedModule> =
                modules.into_iter().map(|(name, module)| (ModuleId::new(name).unwrap(), module)).collect();
            if edge {
                // A hub makes these two itself, and lets nobody remove them.
                modules.entry(ModuleId::edge_agent()).or_default();
                modules.entry(ModuleId::edge_hub()).or_default();
            }
            ObservedDevice { edge, enabled, tags, desired, modules, ..ObservedDevice::default() }
        },
    );
    prop::collection::btree_map("d[1-5]", device, 0..5).prop_map(|devices| Observed {
        devices: devices.into_iter().map(|(id, device)| (DeviceId::new(id).unwrap(), device)).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leaves_nothing_to_plan(before in prop::option::of(fleet()), after in fleet(), start in hub()) {
        let previous = before.map(|fleet| resolve(&fleet, &Facts::default()));
        let desired = resolve(&after, &Facts::default());
        let first = plan(&desired, previous.as_ref(), Some(&start));
        let mut hub = start.clone();
        for step in first.devices.iter().flat_map(|device| &device.steps) {
            step.apply_to(&mut hub);
        }
        let second = plan(&desired, previous.as_ref(), Some(&hub));
        prop_assert!(second.is_empty(), "first:\n{first}\nsecond:\n{second}");

        // Actions and steps come together: nothing is done that is not said, nothing said that is not done.
        for device in &first.devices {
            prop_assert!(!device.steps.is_empty() && !device.actions.is_empty());
        }
        // Devices that no document ever named are left alone.
        for (id, there) in &start.devices {
            let named = desired.devices.contains_key(id) || previous.iter().any(|p| p.devices.contains_key(id));
            if !named {
                prop_assert_eq!(hub.devices.get(id), Some(there));
            }
        }
        // Every module that a document asks for is there, and says what the document says.
        for (id, effective) in &desired.devices {
            for (module, want) in effective.twins.modules.iter() {
                let have = &hub.devices[id].modules[module].desired;
                prop_assert!(want.iter().all(|(key, value)| have.get(key).is_some_and(|have| covers(have, value))));
            }
        }
    }

    #[test]
    fn between_equal_documents_there_is_no_plan(fleet in fleet()) {
        let resolution = resolve(&fleet, &Facts::default());
        let planned = plan(&resolution, Some(&resolution), None);
        prop_assert!(planned.is_empty(), "{planned}");
    }

    #[test]
    fn an_untouched_hub_after_a_change_of_documents(before in fleet(), after in fleet()) {
        let (previous, desired) = (resolve(&before, &Facts::default()), resolve(&after, &Facts::default()));
        let without_hub = plan(&desired, Some(&previous), None);
        let with_hub = plan(&desired, Some(&previous), Some(&Observed::after(&previous)));
        // What the pull request showed is what happens.
        prop_assert_eq!(without_hub.digest(), with_hub.digest());
    }
}

fn covers(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(key, value)| have.get(key).is_some_and(|have| covers(have, value)))
        }
        (have, want) => have == want,
    }
}
