//! A parent hub and the hub of an edge device: who may speak for whom.

use bytes::Bytes;
use hemline_hub_core::{
    effect::{CloseReason, Effect, Nested, Outbound},
    event::{ConnectionId, Event},
    limits::Limits,
    service::{DeviceSettings, IfMatch, ServiceRequest},
    upstream::Act,
    write::Write,
};
use hemline_protocol::properties::Properties;
use serde_json::json;

use super::world::{World, closed, device, id};

/// The edge device `d` with modules and routes that take nothing; a leaf, a nested edge device with a leaf; another edge
/// device with a leaf; a device on its own; a disabled leaf.
pub(crate) fn family() -> World {
    let mut world = World::edge(Limits::default(), &["camera"], json!({}));
    let mut add = |name: &str, edge: bool, parent: Option<&str>, enabled: bool| {
        let settings = DeviceSettings {
            edge: Some(edge),
            parent: Some(parent.map(device)),
            enabled: Some(enabled),
            ..DeviceSettings::default()
        };
        let operation =
            ServiceRequest::PutDevice { device: device(name), settings, if_match: IfMatch::Absent };
        world.call(operation).unwrap();
    };
    add("leaf", false, Some("d"), true);
    add("lower", true, Some("d"), true);
    add("lower-leaf", false, Some("lower"), true);
    add("off", false, Some("d"), false);
    add("other", true, None, true);
    add("other-leaf", false, Some("other"), true);
    add("single", false, None, true);
    world.log.clear();
    world
}

pub(crate) fn act(world: &mut World, connection: ConnectionId, client: &str, act: Act) -> Vec<Effect> {
    let token = Some(world.token());
    world.handle(Event::Nested { connection, client: id(client), act, token })
}

fn message(body: &str) -> Act {
    let mut properties = Properties::default();
    // Who it is from says the connection and the topic, nobody else.
    properties.system.connection_device_id = Some("forged".to_owned());
    Act::Telemetry { properties, body: Bytes::from(body.to_owned()) }
}

#[test]
fn who_may_speak_for_whom() {
    let mut world = family();
    let mut told = Vec::new();
    for hub in ["d/$edgeHub", "lower/$edgeHub", "d", "d/camera", "d/$edgeAgent", "single"] {
        for client in [
            "d",
            "d/camera",
            "d/$edgeHub",
            "d/nobody",
            "leaf",
            "leaf/m",
            "lower",
            "lower/$edgeHub",
            "lower-leaf",
            "off",
            "other",
            "other/$edgeHub",
            "other-leaf",
            "single",
            "nobody",
        ] {
            let connection = world.connect(hub);
            let effects = act(&mut world, connection, client, message("x"));
            let stored = effects.iter().find_map(|effect| match effect {
                Effect::Persist(Write::Append { message, .. }) => Some(message.clone()),
                _ => None,
            });
            let refused = effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::Send { outbound: Outbound::Nested { what: Nested::Refused, .. }, .. }
                )
            });
            let acknowledged = effects.iter().any(|effect| matches!(effect, Effect::Ack { .. }));
            told.push(match (stored, refused, acknowledged, closed(&effects)) {
                (Some(message), false, true, None) => {
                    assert_eq!(message.sender, id(client));
                    let system = &message.properties.system;
                    assert_eq!(system.connection_device_id.as_deref(), Some(id(client).device.as_str()));
                    format!("{hub} for {client}: taken")
                }
                (None, true, true, None) => format!("{hub} for {client}: refused"),
                (None, false, false, Some(CloseReason::ProtocolError)) => {
                    format!("{hub} for {client}: closed")
                }
                other => panic!("{hub} for {client}: {other:?}"),
            });
            world.leave(connection);
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_the_child_has_routed_is_not_routed_again() {
    let mut world = family();
    world.log.clear();
    let hub = world.connect("d/$edgeHub");
    act(&mut world, hub, "d/camera", message("frame"));
    act(&mut world, hub, "leaf", message("reading"));
    world.note("the same module, connected here: no route, no place");
    let camera = world.connect("d/camera");
    world.send(camera, "out", "frame");
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_message_that_is_too_large_here_is_refused_and_not_repeated_for_ever() {
    let mut world = World::edge(Limits { message_bytes: 10, ..Limits::default() }, &["camera"], json!({}));
    let hub = world.connect("d/$edgeHub");
    let effects = act(&mut world, hub, "d/camera", message("more than ten bytes"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })));
    assert_eq!(world.core.counters().nested_refused, 1);
}
