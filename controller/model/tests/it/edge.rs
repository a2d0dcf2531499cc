//! Wire types of the edge runtime: round trips, chunks, and the codes of what cannot be read.

use hemline_model::edge::{AgentDesired, AgentReported, HubDesired, ModuleSettings, chunk};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn chunks_come_back_whole(entries in prop::collection::btree_map("\\PC{0,20}", "\\PC{0,300}", 0..20)) {
        let options: Map<String, Value> = entries.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        let mut settings = object(json!({"image": "a", "createOptions07": "old"}));
        chunk::write(&mut settings, &options).unwrap();
        for (key, value) in &settings {
            prop_assert!(value.as_str().unwrap().chars().count() <= chunk::CHUNK_CHARS, "{} is too long", key);
        }
        prop_assert_eq!(chunk::read(&settings).unwrap(), options);
    }
}

#[test]
fn a_module_made_by_hand_is_the_one_that_serde_makes() {
    let modules = json!({
        "small": {"type": "docker", "status": "running", "settings": {"image": "a"}},
        "large": {
            "version": "1.0", "type": "docker", "status": "stopped", "restartPolicy": "on-failure", "startupOrder": 3,
            "imagePullPolicy": "never", "env": {"A": {"value": "b"}, "N": {"value": null}},
            "settings": {"image": "a", "digest": "sha256:1", "createOptions": "{\"HostConfig\":{\"Memory\":1}}"}
        },
        "host": {
            "type": "process", "status": "running",
            "settings": {"command": ["a", "b"], "workingDirectory": "/", "limits": {"openFiles": 9}}
        }
    });
    let desired = AgentDesired::parse(&object(json!({"schemaVersion": "1.1", "modules": modules}))).unwrap();
    assert_eq!(desired.modules.len(), 3);
    for (name, module) in desired.modules {
        let wanted = serde_json::to_value(&module).unwrap();
        assert_eq!(Value::Object(module.into_map()), wanted, "{name}");
    }
}

#[test]
fn chunk_keys_are_numbered_with_two_digits() {
    let mut settings = Map::new();
    chunk::write(&mut settings, &object(json!({"Labels": {"a": "x".repeat(600)}}))).unwrap();
    assert_eq!(settings.keys().collect::<Vec<_>>(), ["createOptions", "createOptions01"]);
    let too_long = object(json!({"a": "x".repeat(52_000)}));
    assert_eq!(chunk::write(&mut settings, &too_long).unwrap_err().code(), 400);
}

#[test]
fn chunks_that_do_not_fit_together_are_refused() {
    let table = [
        (json!({"createoptions": "{\"a\"", "createOptions01": ":1}"}), Ok(json!({"a": 1}))),
        (json!({"createOptions": "{\"a\"", "createOptions1": ":1}"}), Ok(json!({"a": 1}))),
        (json!({}), Ok(json!({}))),
        (json!({"createOptions": " "}), Ok(json!({}))),
        (json!({"createOptions": "null"}), Ok(json!({}))),
        (json!({"createOptions": {"a": 1}}), Ok(json!({"a": 1}))),
        (
            json!({"createOptions01": "{}"}),
            Err("createOptions piece 0 is missing: found createOptions01 in its place"),
        ),
        (
            json!({"createOptions": "{", "createOptions02": "}"}),
            Err("createOptions piece 1 is missing: found createOptions02 in its place"),
        ),
        (json!({"createOptions": "[]"}), Err("createOptions are JSON, but not an object")),
        (json!({"createOptions": 1}), Err("createOptions is not a text")),
    ];
    for (settings, expected) in table {
        let found = chunk::read(&object(settings)).map(Value::Object).map_err(|why| why.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }
}

fn agent() -> Value {
    json!({
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25", "loggingOptions": "",
            "registryCredentials": {"r": {"username": "u", "password": "p", "address": "registry.example"}}}},
        "systemModules": {"edgeAgent": {"type": "docker", "settings": {"image": "agent:1", "createOptions": "{}"}}},
        "modules": {
            "m1": {"version": "1", "type": "docker", "status": "running", "restartPolicy": "on-failure", "startupOrder": 2,
                "env": {"K": {"value": "v"}, "N": {"value": 3}}, "settings": {"image": "m1:1", "createOptions": "{\"Tty\":true}"}},
            "m2": {"type": "process", "status": "stopped", "restartPolicy": "always",
                "settings": {"command": ["/bin/true"], "limits": {"openFiles": 10}}}
        }
    })
}

#[test]
fn an_agent_section_reads_and_writes_back_the_same() {
    let mut section = object(agent());
    section.insert("$version".to_owned(), json!(7));
    let parsed = AgentDesired::parse(&section).unwrap();
    let ModuleSettings::Docker(docker) = &parsed.modules["m1"].settings else { panic!() };
    assert_eq!(docker.create_options["Tty"], true);
    assert_eq!(parsed.modules["m1"].env["N"].as_text(), "3");
    assert_eq!(Value::Object(parsed.to_map()), agent());
    assert!(!format!("{parsed:?}").contains("\"p\""), "the password shows");
}

#[test]
fn agent_sections_that_cannot_be_used_have_their_codes() {
    let with = |pointer: &str, value: Value| {
        let mut section = agent();
        *section.pointer_mut(pointer).unwrap() = value;
        section
    };
    let table = [
        (json!({"$version": 1}), 417),
        (with("/schemaVersion", json!("1.2")), 412),
        (with("/schemaVersion", json!("2.0")), 412),
        (with("/schemaVersion", json!("")), 412),
        (with("/schemaVersion", json!(null)), 412),
        (with("/modules/m1/status", json!("walking")), 400),
        (with("/modules/m1/type", json!("wasm")), 400),
        (with("/modules/m1/settings", json!({"image": " "})), 400),
        (with("/modules/m1/settings/createOptions", json!("{")), 400),
        (with("/modules/m2/settings/command", json!([])), 400),
        (with("/modules", json!([])), 400),
    ];
    for (section, code) in table {
        let found = AgentDesired::parse(&object(section.clone())).unwrap_err();
        assert_eq!(found.code(), code, "{section}: {found}");
    }
    for good in ["1.0", "1.1", "1.1.0", "1.0.5"] {
        AgentDesired::parse(&object(with("/schemaVersion", json!(good)))).unwrap();
    }
}

#[test]
fn hub_sections_read_and_write_back() {
    let section = json!({"schemaVersion": "1.1", "routes": {
        "up": "FROM /messages/* INTO $upstream",
        "m": {"route": "FROM /messages/* INTO $upstream", "priority": 0, "timeToLiveSecs": 60}},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}});
    let parsed = HubDesired::parse(&object(section.clone())).unwrap();
    assert_eq!(parsed.routes["m"].priority, Some(0));
    assert_eq!(Value::Object(parsed.to_map()), section);
    let table = [
        (json!({"schemaVersion": "1.4", "routes": {}}), 412),
        (json!({"routes": {}}), 412),
        (json!({"schemaVersion": "1.1", "routes": {"a": " "}}), 400),
        (json!({"schemaVersion": "1.1", "routes": {"a": {"route": "x", "priority": 10}}}), 400),
        (json!({"schemaVersion": "1.1", "routes": {"a": 1}}), 400),
        (json!({}), 417),
    ];
    for (section, code) in table {
        assert_eq!(HubDesired::parse(&object(section)).unwrap_err().code(), code);
    }
    let blank = HubDesired::parse(&object(json!({"schemaVersion": "1.0", "routes": {"a": ""}}))).unwrap();
    assert!(blank.routes.is_empty());
}

#[test]
fn a_reported_section_reads_with_gaps() {
    let reported =
        AgentReported::parse(&object(json!({"$version": 3, "modules": {"m": {"runtimeStatus": "backoff"}}})))
            .unwrap();
    assert_eq!(reported.last_desired_status.code, 406);
    assert_eq!(reported.modules["m"].last_exit_time_utc, "0001-01-01T00:00:00");
    assert_eq!(AgentReported::parse(&reported.to_map()).unwrap(), reported);
}
