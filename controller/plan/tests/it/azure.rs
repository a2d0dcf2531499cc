//! Import is the way back of export: whatever docker modules a device should have, the manifest says the same.

use std::collections::BTreeMap;

use hemline_model::{
    SourceFile,
    azure::{ImportOptions, import},
    id::DeviceId,
};
use hemline_plan::{Effective, Facts, export, resolve};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn file(path: &str, value: &Value) -> SourceFile {
    SourceFile { path: path.into(), bytes: value.to_string().into_bytes() }
}

fn device() -> Value {
    json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "d"}, "spec": {"edge": true}})
}

/// What the one device should be; `None` when the documents are not valid.
fn effective(deployments: &[Value]) -> Option<Effective> {
    let mut files = vec![file("device.json", &device())];
    files.extend(
        deployments.iter().map(|document| file(&format!("{}.json", document["metadata"]["name"]), document)),
    );
    let fleet = hemline_model::load(&files).fleet?;
    resolve(&fleet, &Facts::default()).devices.remove(&DeviceId::new("d").ok()?)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,4}", "[ -~]{0,12}", "\\PC{0,6}", Just("${VAR}".to_owned()), "[a-z\"\\\\]{500,1100}"]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4_503_599_627_370_496_i64..4_503_599_627_370_496).prop_map(Value::from),
        (-1000_i32..1000).prop_map(|number| json!(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
        prop::collection::vec("[a-z]{0,3}".prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let value = leaf().prop_recursive(3, 12, 4, |inner| {
        prop::collection::btree_map("[a-c/~]{1,2}", inner, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    prop::collection::btree_map("[a-dA-D/~-]{1,3}", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn env() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = (scalar, any::<bool>()).prop_map(|(value, wrapped)| match wrapped {
        true => json!({"value": value}),
        false => value,
    });
    prop::collection::btree_map("[A-Z_/~]{1,4}", value, 0..3)
}

fn module(layered: bool) -> impl Strategy<Value = Value> {
    let some = |words: &'static [&'static str]| prop::option::of(prop::sample::select(words));
    let enums = (
        some(&["never", "on-failure", "on-unhealthy", "always"]),
        some(&["running", "stopped"]),
        some(&["on-create", "never"]),
        some(&["docker"]),
    );
    let options = prop::option::of((object(), any::<bool>()));
    let order = prop::option::of(prop_oneof![0_u32..4, Just(u32::MAX)]);
    let image = if layered {
        prop::option::of("[a-z]{1,8}(:[0-9])?").boxed()
    } else {
        "[a-z]{1,8}(:[0-9])?".prop_map(Some).boxed()
    };
    (image, enums, options, order, env(), prop::option::of(object())).prop_map(
        |(image, (restart, status, pull, kind), options, order, env, desired)| {
            let options = options.map(|(options, as_text)| match as_text {
                true => Value::String(Value::Object(options).to_string()),
                false => Value::Object(options),
            });
            let fields = [
                ("image", json!(image)),
                ("restartPolicy", json!(restart)),
                ("status", json!(status)),
                ("imagePullPolicy", json!(pull)),
                ("type", json!(kind)),
                ("startupOrder", json!(order)),
                ("createOptions", json!(options)),
                ("env", json!(env)),
                ("desired", json!(desired)),
            ];
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
        },
    )
}

fn route() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("FROM /messages/* INTO $upstream"),
        Just(
            "FROM /messages/modules/m1/outputs/* WHERE temperature > 3 INTO BrokeredEndpoint(\"/modules/m1/inputs/in\")"
        ),
    ];
    let settings = (
        prop::option::of(0_u32..10),
        prop::option::of(prop_oneof![Just("0s"), Just("90s"), Just("1h30m"), Just("2d")]),
    );
    (text, prop::option::of(settings)).prop_map(|(text, settings)| match settings {
        None => json!(text),
        Some((priority, time)) => {
            let mut object = json!({"route": text});
            if let Some(priority) = priority {
                object["priority"] = json!(priority);
            }
            if let Some(time) = time {
                object["timeToLive"] = json!(time);
            }
            object
        }
    })
}

/// A statement of the topic policy.
fn statement() -> impl Strategy<Value = Value> {
    let identity = prop_oneof![Just("{{iot:identity}}"), Just("d/m1"), Just("hub/{{iot:device_id}}")];
    let resource = prop_oneof![Just("a/#"), Just("a/{{iot:device_id}}/+"), Just("b")];
    let operation = prop_oneof![Just("mqtt:publish"), Just("mqtt:subscribe"), Just("mqtt:connect")];
    let rule = (prop::collection::vec(operation, 1..3), prop::collection::vec(resource, 1..3))
        .prop_map(|(operations, resources)| json!({"operations": operations, "resources": resources}));
    let rules = || prop::collection::vec(rule.clone(), 0..3);
    (prop::collection::vec(identity, 1..3), rules(), rules()).prop_map(|(identities, deny, allow)| {
        let mut statement = json!({"identities": identities});
        for (effect, rules) in [("deny", deny), ("allow", allow)] {
            if !rules.is_empty() {
                statement[effect] = json!(rules);
            }
        }
        statement
    })
}

fn deployment(name: &'static str, layered: bool) -> impl Strategy<Value = Value> {
    let modules = prop::collection::btree_map("m[2-4]", module(layered), 0..3);
    let routes = prop::collection::btree_map("[a-z/~_]{1,5}", route(), 0..4);
    let store = prop::option::of(prop_oneof![Just("0s"), Just("59s"), Just("2h")]);
    let broker = prop::option::of(prop::collection::vec(statement(), 0..3));
    (modules, module(false), routes, store, broker).prop_map(
        move |(mut modules, first, routes, store, broker)| {
            modules.insert("m1".to_owned(), first);
            let mut spec = json!({"targetCondition": "*", "layered": layered, "priority": if layered { 5 } else { 1 },
                "modules": modules, "routes": routes});
            if let Some(time) = store {
                spec["storeAndForward"] = json!({"timeToLive": time});
            }
            if let Some(rules) = broker {
                spec["broker"] = json!({"authorizations": rules});
            }
            json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": name}, "spec": spec})
        },
    )
}

proptest! {
    // Most random documents break a rule, and only valid ones count: far more may be refused than the default allows.
    #![proptest_config(ProptestConfig {
        cases: 200,
        max_global_rejects: 50_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn import_of_an_export_is_the_same_config(base in deployment("base", false), layer in prop::option::of(deployment("layer", true))) {
        let deployments: Vec<Value> = std::iter::once(base).chain(layer).collect();
        let Some(before) = effective(&deployments) else {
            return Err(TestCaseError::reject("the documents are not valid"));
        };
        let exported = export(&before);
        prop_assert!(exported.findings.is_empty(), "{:#?}", exported.findings);
        let manifest = exported.manifest.unwrap();
        let options = ImportOptions { name: Some("again".to_owned()), target_condition: Some("*".to_owned()), ..ImportOptions::default() };
        let imported = import(&file("manifest.json", &manifest), &options);
        let said: String = imported.findings.iter().map(hemline_model::Finding::render).collect();
        prop_assert!(imported.document.is_some(), "{said}\n{manifest:#}");
        prop_assert!(imported.findings.iter().all(|finding| finding.rule != "azure-left-out"), "{said}");
        let again = effective(&[serde_json::to_value(imported.document).unwrap()]);
        let again = again.expect("an imported document is valid");
        prop_assert_eq!(&*before.twins.modules, &*again.twins.modules);
        // And once more: the text is the same, too.
        prop_assert_eq!(Some(manifest), export(&again).manifest);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_global_rejects: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A document that names the manifest, as it is, in an envelope, or as a template, means the same.
    #[test]
    fn a_manifest_beside_a_document_is_the_same_config(
        base in deployment("base", false),
        layer in prop::option::of(deployment("layer", true)),
        enveloped in any::<bool>(),
        taken_out in prop::option::of(prop::collection::vec(any::<prop::sample::Index>(), 0..6)),
    ) {
        let deployments: Vec<Value> = std::iter::once(base).chain(layer).collect();
        let Some(before) = effective(&deployments) else {
            return Err(TestCaseError::reject("the documents are not valid"));
        };
        let mut manifest = export(&before).manifest.unwrap();
        let mut spec = json!({"manifest": "./azure/deployment.json"});
        if enveloped {
            manifest = json!({"id": "x", "targetCondition": "*", "priority": 3, "content": manifest});
        } else {
            spec["targetCondition"] = json!("*");
        }
        let text = match taken_out {
            None => manifest.to_string(),
            Some(places) => {
                let (text, variables) = template(&manifest, &places);
                spec["variables"] = Value::Object(variables);
                text
            }
        };
        let document = json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "again"}, "spec": spec});
        let manifest = SourceFile { path: "azure/deployment.json".into(), bytes: text.clone().into_bytes() };
        let loaded = hemline_model::load(&[manifest, file("device.json", &device()), file("fleet.json", &document)]);
        let said: String = loaded.findings.iter().map(hemline_model::Finding::render).collect();
        prop_assert!(loaded.fleet.is_some(), "{said}\n{text}");
        let again = resolve(&loaded.fleet.unwrap(), &Facts::default()).devices.remove("d").unwrap();
        prop_assert_eq!(&*before.twins.modules, &*again.twins.modules, "{}", text);
        // Every value comes from a line of the manifest.
        for (path, origin) in again.provenance.iter() {
            prop_assert_eq!(&*origin.said.position.file, "azure/deployment.json", "{}", path);
        }
    }
}

/// The manifest with some values taken out: texts keep their quotes, other values have none in the template.
fn template(manifest: &Value, places: &[prop::sample::Index]) -> (String, Map<String, Value>) {
    let mut pointers = Vec::new();
    scalars(manifest, &mut String::new(), &mut pointers);
    let (mut marked, mut text_marks) = (manifest.clone(), Vec::new());
    // Text that looks like a variable must come out as it was.
    let mut variables = Map::from_iter([("VAR".to_owned(), json!("${VAR}"))]);
    for (number, place) in places.iter().enumerate() {
        let pointer = &pointers[place.index(pointers.len())];
        let found = marked.pointer_mut(pointer).unwrap();
        let (name, mark) = (format!("V{number}"), format!("@mark{number}@"));
        if found.as_str().is_some_and(|text| text.starts_with("@mark")) {
            continue;
        }
        text_marks.push((
            format!("\"{mark}\""),
            if found.is_string() { format!("\"${{{name}}}\"") } else { format!("${{{name}}}") },
        ));
        variables.insert(name, std::mem::replace(found, Value::from(mark)));
    }
    let text = serde_json::to_string_pretty(&marked).unwrap();
    (text_marks.iter().fold(text, |text, (mark, variable)| text.replace(mark, variable)), variables)
}

fn scalars(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let length = pointer.len();
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
                scalars(inner, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(_) | Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(pointer.clone()),
    }
}

#[test]
fn a_manifest_has_what_azure_asks_for() {
    let base = json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "base"},
        "spec": {"targetCondition": "*", "modules": {"camera": {"image": "registry.example/camera:1", "env": {"FPS": 25},
            "createOptions": {"Env": ["X=".to_owned() + &"y".repeat(520)]}, "desired": {"mode": "auto"}}},
            "routes": {"up": "FROM /messages/* INTO $upstream"}}});
    let exported = export(&effective(&[base]).unwrap());
    insta::assert_snapshot!(serde_json::to_string_pretty(&exported.manifest).unwrap());
}

#[test]
fn what_azure_cannot_run_is_refused_where_it_stands() {
    let base = json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "base"},
        "spec": {"targetCondition": "*", "modules": {"filter": {"type": "process", "command": ["filter"]}}}});
    let exported = export(&effective(&[base]).unwrap());
    assert_eq!(exported.manifest, None);
    let [finding] = exported.findings.as_slice() else { panic!("{:#?}", exported.findings) };
    assert_eq!((finding.rule, finding.is_error()), ("export-process", true));
    assert!(finding.position.is_some());
    let nothing = export(&effective(&[]).unwrap());
    assert_eq!((nothing.manifest, nothing.findings.len()), (None, 1));
}
