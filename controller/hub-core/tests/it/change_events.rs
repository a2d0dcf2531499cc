//! What routes will be told of changes: shape and order (reference service-api §8.3).

use std::sync::Arc;

use bytes::Bytes;
use hemline_hub_core::{
    change_event::{Change, ChangeEvent},
    effect::{Effect, Notice},
    event::Event,
    service::{DeviceSettings, IfMatch, ServiceRequest},
};
use serde_json::{Value, json};

use super::world::{World, id, map};

fn changes(effects: &[Effect]) -> Vec<Arc<ChangeEvent>> {
    let change = |effect: &Effect| match effect {
        Effect::Notify(Notice::Change(event)) => Some(Arc::clone(event)),
        _ => None,
    };
    effects.iter().filter_map(change).collect()
}

/// The lines of the log that tell of changes.
fn told(world: &mut World) -> String {
    let lines: Vec<&str> = world.log.lines().filter(|line| line.contains("Events ")).collect();
    let text = lines.join("\n");
    world.log.clear();
    text
}

fn report(world: &mut World, connection: hemline_hub_core::event::ConnectionId, patch: &str) -> Vec<Effect> {
    world.handle(Event::ReportedPatch {
        connection,
        rid: None,
        if_version: None,
        patch: Bytes::from(patch.to_owned()),
        token: None,
    })
}

#[test]
fn a_life_as_routes_see_it() {
    let mut world = World::new().telling();
    world.add_device("d", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
    world.add_module("d/m");
    world.connect("d");
    // Taken over: it was connected all the time.
    let connection = world.connect("d");
    report(&mut world, connection, r#"{"a": {"b": 1, "c": null}, "$version": 9}"#);
    report(&mut world, connection, r#"{"a": [null]}"#);
    let patch = |tags: Option<Value>, desired: Option<Value>| ServiceRequest::PatchTwin {
        client: id("d/m"),
        tags: tags.map(map),
        desired: desired.map(map),
        if_match: IfMatch::Absent,
    };
    world.call(patch(Some(json!({"site": "lyon"})), None)).unwrap();
    world.call(patch(Some(json!({})), Some(json!({"x": {"y": 1}, "gone": null, "$version": 7})))).unwrap();
    world.call(patch(Some(json!({"site": null})), Some(json!({"x": 2})))).unwrap();
    world.call(patch(Some(json!({})), None)).unwrap();
    let replace = ServiceRequest::ReplaceTwin {
        client: id("d/m"),
        tags: map(json!({"t": 1})),
        desired: map(json!({"z": true})),
        if_match: IfMatch::Absent,
    };
    world.call(replace).unwrap();
    world.desire("d/$edgeHub", json!({"schemaVersion": "1.1", "routes": {"r": "FROM /* INTO $upstream"}}));
    world.leave(connection);
    world.call(ServiceRequest::DeleteIdentity { client: id("d"), if_match: IfMatch::Any }).unwrap();
    insta::assert_snapshot!(told(&mut world));
}

#[test]
fn nothing_is_told_unless_asked_for() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    report(&mut world, connection, r#"{"a": 1}"#);
    world.leave(connection);
    assert_eq!(told(&mut world), "");
}

#[test]
fn a_message_of_each() {
    let mut world = World::new().telling();
    world.add_device("d", DeviceSettings::default());
    world.add_module("d/m");
    let connection = world.connect("d/m");
    let mut seen = changes(&report(&mut world, connection, r#"{"a": 1}"#));
    seen.extend(changes(&world.leave(connection)));
    let messages: Vec<Value> = seen
        .iter()
        .map(|event| {
            let (properties, body) = event.message("hub.test", "c".into());
            let body: Value = serde_json::from_slice(&body).unwrap();
            json!({"properties": properties, "body": body})
        })
        .collect();
    insta::assert_snapshot!(super::world::pretty(&Value::Array(messages)));
}

#[test]
fn connections_are_numbered_upwards_whatever_the_clock_does() {
    let mut world = World::new().telling();
    world.add_device("d", DeviceSettings::default());
    let mut last = 0;
    for seconds in [0, 1, -5, -3_000, 0, 4_000] {
        let token = world.device_token("d");
        world.now += jiff::SignedDuration::from_secs(seconds);
        let (connection, effects) = world.connect_with("d", token, false);
        for event in changes(&effects).into_iter().chain(changes(&world.leave(connection))) {
            let (Change::Connected(number) | Change::Disconnected(number)) = event.change else {
                panic!("{event:?}")
            };
            assert!(number > last, "{number} after {last}");
            last = number;
            let text = event.body()["sequenceNumber"].as_str().unwrap().to_owned();
            assert_eq!(text.len(), 64);
        }
    }
}
