//! Twins from both sides (reference device-protocol §5, service-api §6.1).

use bytes::Bytes;
use hemline_hub_core::{
    effect::Effect,
    event::{Event, Feature, Qos},
    service::{DeviceSettings, IfMatch, ServiceError, ServiceReply, ServiceRequest},
};
use serde_json::{Value, json};

use super::world::{World, id, map, pretty};

fn world() -> World {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world.log.clear();
    world
}

fn report(world: &mut World, connection: hemline_hub_core::event::ConnectionId, patch: &str) -> Vec<Effect> {
    let token = Some(world.token());
    world.handle(Event::ReportedPatch {
        connection,
        rid: Some("r".to_owned()),
        if_version: None,
        patch: Bytes::from(patch.to_owned()),
        token,
    })
}

#[test]
fn a_device_reads_and_reports() {
    let mut world = world();
    let connection = world.connect("d");
    let token = Some(world.token());
    world.note("without any subscription");
    world.handle(Event::TwinGet { connection, rid: "1".to_owned(), token });
    report(&mut world, connection, r#"{"a": {"b": 1, "c": null}, "$version": 9}"#);
    report(&mut world, connection, r#"{"a": {"b": null, "d": [1, 2]}}"#);
    world.note("a condition that holds, one that does not, and no answer wanted");
    for (rid, if_version) in [(Some("2"), Some(3)), (Some("3"), Some(3)), (None, None)] {
        let rid = rid.map(str::to_owned);
        world.handle(Event::ReportedPatch {
            connection,
            rid,
            if_version,
            patch: Bytes::from_static(b"{}"),
            token: None,
        });
    }
    let token = Some(world.token());
    world.handle(Event::TwinGet { connection, rid: "4".to_owned(), token });
    insta::assert_snapshot!(world.log);
}

#[test]
fn bad_reports_change_nothing() {
    let mut world = world();
    let connection = world.connect("d");
    world.log.clear();
    let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(4097));
    for patch in [
        "",
        "[]",
        "null",
        "{",
        r#"{"a.b": 1}"#,
        r#"{"$x": 1}"#,
        r#"{"a": [null]}"#,
        r#"{"a": 4503599627370496}"#,
        &long,
    ] {
        report(&mut world, connection, patch);
    }
    insta::assert_snapshot!(world.log);
    assert_eq!(world.twin("d")["properties"]["reported"]["$version"], 1);
    assert_eq!(world.core.counters().reported_refused, 9);
}

#[test]
fn versions_grow_as_the_service_expects() {
    let mut world = world();
    let connection = world.connect("d");
    world.subscribe(connection, Feature::DesiredPatches, Qos::AtLeastOnce);
    let twin = world.twin("d");
    assert_eq!((&twin["version"], &twin["properties"]["desired"]["$version"]), (&json!(2), &json!(1)));
    assert_eq!(twin.get("tags"), None);
    world.log.clear();
    let mut steps = Vec::new();
    let mut patch = |world: &mut World, tags: Option<Value>, desired: Option<Value>| {
        let document = world.document(ServiceRequest::PatchTwin {
            client: id("d"),
            tags: tags.map(map),
            desired: desired.map(map),
            if_match: IfMatch::Any,
        });
        let tags = document.get("tags").cloned().unwrap_or_default();
        steps.push(format!(
            "{} {} {tags}",
            document["version"], document["properties"]["desired"]["$version"]
        ));
    };
    patch(&mut world, None, Some(json!({"a": 1, "b": {"c": [1]}})));
    patch(&mut world, Some(json!({"site": "lyon"})), None);
    patch(&mut world, None, Some(json!({"a": 1, "b": {"c": [1]}})));
    patch(&mut world, None, Some(json!({"a": null, "$version": 77, "$metadata": {}})));
    patch(&mut world, Some(json!({"site": null})), Some(json!({"$version": 77, "$metadata": {}})));
    patch(&mut world, Some(json!({})), None);
    assert_eq!(
        steps,
        [
            "3 2 null",
            r#"4 2 {"site":"lyon"}"#,
            r#"5 3 {"site":"lyon"}"#,
            r#"6 4 {"site":"lyon"}"#,
            "7 4 null",
            "7 4 null"
        ]
    );
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_replacement_reaches_the_client_as_a_patch_with_nulls() {
    let mut world = world();
    let connection = world.connect("d");
    world.subscribe(connection, Feature::DesiredPatches, Qos::AtMostOnce);
    world.desire("d", json!({"gone": 1, "same": {"x": 1}, "inner": {"gone": 1, "new": 0}}));
    world.log.clear();
    let replace = |if_match| ServiceRequest::ReplaceTwin {
        client: id("d"),
        tags: map(json!({"t": 1})),
        desired: map(json!({"same": {"x": 1}, "inner": {"new": 1}, "$version": 5})),
        if_match,
    };
    world.call(replace(IfMatch::Absent)).unwrap();
    world.note("the same again: an empty patch, because clients count");
    let Ok(ServiceReply::Twin { etag, .. }) = world.call(replace(IfMatch::Any)) else { panic!() };
    insta::assert_snapshot!(world.log);
    world.call(replace(IfMatch::Etag(etag.clone()))).unwrap();
    assert_eq!(world.call(replace(IfMatch::Etag(etag))), Err(ServiceError::PreconditionFailed));
}

#[test]
fn limits_and_unknown_identities() {
    let mut world = world();
    let mut patch = |client: &str, tags: Value, desired: Value| {
        world
            .call(ServiceRequest::PatchTwin {
                client: id(client),
                tags: Some(map(tags)),
                desired: Some(map(desired)),
                if_match: IfMatch::Absent,
            })
            .unwrap_err()
            .to_string()
    };
    let big: Value = (0..3).map(|n| (format!("k{n}"), Value::from("x".repeat(4000)))).collect();
    let errors = [
        patch("d", json!({"a b": 1}), json!({})),
        patch("d", json!({}), json!({"a": {"b": [null]}})),
        patch("d", big, json!({})),
        patch("x", json!({}), json!({})),
        patch("d/m", json!({}), json!({})),
    ];
    insta::assert_snapshot!(errors.join("\n"));
    assert_eq!(world.twin("d")["version"], 2, "nothing has changed");
}

#[test]
fn documents_as_the_service_sees_them() {
    let mut world = world();
    world.add_device("e", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
    world.desire("d", json!({"a": {"b": 1}}));
    let connection = world.connect("d");
    report(&mut world, connection, r#"{"r": 1}"#);
    insta::assert_snapshot!("device_twin", pretty(&world.twin("d")));
    insta::assert_snapshot!("edge_agent_twin", pretty(&world.twin("e/$edgeAgent")));
    let document = world.document(ServiceRequest::GetDevice("e".parse().unwrap()));
    insta::assert_snapshot!("edge_device", pretty(&document));
    let document = world.document(ServiceRequest::GetModule(id("e/$edgeAgent")));
    insta::assert_snapshot!("module", pretty(&document));
}
