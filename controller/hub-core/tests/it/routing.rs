//! Messages: where they go, in which order, how often (reference query-language §8, edge-runtime §5.4–5.6).

use hemline_hub_core::{
    effect::{CloseReason, Effect},
    event::{ConnectionId, Feature, Qos},
    limits::Limits,
    message::{Endpoint, QueueEntry},
    service::{DeviceSettings, IfMatch, ServiceRequest},
    write::Write,
};
use hemline_protocol::properties::Properties;
use serde_json::json;

use super::world::{World, closed, device, id, pretty};

fn places(effects: &[Effect]) -> Vec<QueueEntry> {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Persist(Write::Append { entries, .. }) => Some(entries.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[test]
fn from_sensor_to_filter_to_upstream() {
    let mut world = World::edge(
        Limits::default(),
        &["sensor", "filter"],
        json!({
            "frames": r#"FROM /messages/modules/sensor/outputs/temperature INTO BrokeredEndpoint("/modules/filter/inputs/in")"#,
            "cloud": {"route": "FROM /messages/modules/filter/outputs/* INTO $upstream", "priority": 0},
        }),
    );
    let sensor = world.connect("d/sensor");
    world.note("the filter is away");
    world.send(sensor, "temperature", "20");
    world.send(sensor, "temperature", "21");
    world.note("no route wants this");
    world.send(sensor, "debug", "x");
    world.note("the filter comes");
    let filter = world.listen("d/filter");
    world.send(filter, "alerts", "hot");
    world.acknowledge(filter, 1);
    world.note("lost before the second was acknowledged; the first stays acknowledged");
    world.leave(filter);
    world.send(sensor, "temperature", "22");
    world.restart();
    world.note("the session is remembered, the messages too");
    let filter = world.connect("d/filter");
    world.acknowledge(filter, 1);
    world.acknowledge(filter, 2);
    world.acknowledge(filter, 2);
    insta::assert_snapshot!(world.log);
    assert_eq!(world.core.counters().waiting, 0);
    assert_eq!(world.core.counters().waiting_bytes, 0);
}

#[test]
fn one_copy_per_endpoint_with_the_best_priority() {
    let mut world = World::edge(
        Limits::default(),
        &["s", "f"],
        json!({
            "a": {"route": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/f/inputs/in")"#, "priority": 5, "timeToLiveSecs": 50},
            "b": {"route": r#"FROM /messages/modules/s/* INTO BrokeredEndpoint("/modules/f/inputs/in")"#, "priority": 1, "timeToLiveSecs": 10},
            "c": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/f/inputs/other")"#,
            "d": "FROM /messages/* WHERE level = 'high' INTO $upstream",
            "e": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/nobody/inputs/in")"#,
        }),
    );
    let sensor = world.connect("d/s");
    world.log.clear();
    world.send(sensor, "out", "low");
    let properties =
        Properties { application: vec![("LEVEL".into(), Some("high".into()))], ..Properties::default() };
    world.send_with(sensor, properties, "high");
    world.note("two inputs of one module are two places");
    let filter = world.listen("d/f");
    for delivery in [4, 3, 2, 1] {
        world.acknowledge(filter, delivery);
    }
    insta::assert_snapshot!(world.log);
}

#[test]
fn whose_routes_decide() {
    let mut world =
        World::edge(Limits::default(), &["m"], json!({"all": "FROM /messages/modules/m/* INTO $upstream"}));
    world.add_device("plain", DeviceSettings::default());
    world.add_module("plain/m");
    let child = |edge| DeviceSettings {
        parent: Some(Some(device("d"))),
        edge: Some(edge),
        ..DeviceSettings::default()
    };
    world.add_device("leaf", child(false));
    world.add_device("nested", child(true));
    world.add_module("nested/m");
    for (sender, logged, why) in [
        ("d/m", true, "a route of its device takes it"),
        ("d/$edgeAgent", false, "no route of its device takes it"),
        ("d", true, "a device without a parent goes straight to the log"),
        ("plain", true, "so does a plain device"),
        ("plain/m", true, "and a module of one"),
        ("leaf", false, "a leaf obeys the routes of its parent"),
        ("nested", false, "so does a nested edge device itself"),
        ("nested/m", false, "its modules obey its own routes, and it has none"),
    ] {
        let connection = world.connect(sender);
        let effects = world.send(connection, "", "x");
        assert!(matches!(effects.last(), Some(Effect::Ack { .. })) || logged, "{sender} is acknowledged");
        let expected = if logged { vec![Endpoint::Events] } else { vec![] };
        let found: Vec<Endpoint> = places(&effects).into_iter().map(|entry| entry.endpoint).collect();
        assert_eq!(found, expected, "{sender}: {why}");
    }
}

#[test]
fn what_the_hub_stamps_no_client_can_write() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    let mut properties = Properties::default();
    properties.system.connection_device_id = Some("somebody".into());
    properties.system.connection_module_id = Some("else".into());
    let effects = world.send_with(connection, properties, "x");
    let Some(Effect::Persist(Write::Append { message, .. })) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(message.properties.system.connection_device_id.as_deref(), Some("d"));
    assert_eq!(message.properties.system.connection_module_id, None);
    assert_eq!(message.sender, id("d"));
}

#[test]
fn priorities_order_the_queue_and_expired_messages_leave_it() {
    let to_f = |source: &str, priority: u32, ttl: u32| {
        let route = format!(
            r#"FROM /messages/modules/s/outputs/{source} INTO BrokeredEndpoint("/modules/f/inputs/in")"#
        );
        json!({"route": route, "priority": priority, "timeToLiveSecs": ttl})
    };
    let mut world = World::edge(
        Limits { in_flight: 2, ..Limits::default() },
        &["s", "f"],
        json!({"low": to_f("low", 9, 0), "high": to_f("high", 0, 0), "short": to_f("short", 5, 10)}),
    );
    let sensor = world.connect("d/s");
    for output in ["low", "short", "high", "low", "short", "high"] {
        world.send(sensor, output, output);
    }
    world.log.clear();
    world.note("only two on their way at a time, best first");
    let filter = world.listen("d/f");
    world.wait(10);
    for delivery in 1..=4 {
        world.acknowledge(filter, delivery);
    }
    insta::assert_snapshot!(world.log);
    assert_eq!((world.core.counters().messages_expired, world.core.counters().messages_delivered), (2, 4));
}

#[test]
fn of_large_messages_few_are_on_their_way() {
    let mut world = World::edge(
        Limits { in_flight_bytes: 1_000, ..Limits::default() },
        &["s", "f"],
        json!({"r": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/f/inputs/in")"#}),
    );
    let filter = world.listen("d/f");
    let sensor = world.connect("d/s");
    let sent = |effects: Vec<Effect>| effects.iter().filter(|e| matches!(e, Effect::Send { .. })).count();
    let body = "x".repeat(600);
    let on_their_way: Vec<usize> = (0..4).map(|_| sent(world.send(sensor, "out", &body))).collect();
    assert_eq!(on_their_way, [1, 1, 0, 0], "the one that goes beyond is the last");
    assert_eq!(sent(world.acknowledge(filter, 1)), 1);
    assert_eq!(sent(world.acknowledge(filter, 2)), 1);
}

#[test]
fn a_client_that_acknowledges_nothing_gets_everything_once() {
    let mut world = World::edge(
        Limits { in_flight: 2, ..Limits::default() },
        &["s", "f"],
        json!({"r": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/f/inputs/in")"#}),
    );
    let sensor = world.connect("d/s");
    for body in ["1", "2", "3"] {
        world.send(sensor, "out", body);
    }
    let filter = world.connect("d/f");
    world.log.clear();
    world.subscribe(filter, Feature::Inputs, Qos::AtMostOnce);
    world.leave(filter);
    world.connect("d/f");
    insta::assert_snapshot!(world.log);
}

fn full(limits: Limits) -> (World, ConnectionId) {
    let mut world = World::edge(
        limits,
        &["s", "f"],
        json!({"r": {"route": r#"FROM /messages/* INTO BrokeredEndpoint("/modules/f/inputs/in")"#, "timeToLiveSecs": 60}}),
    );
    let sensor = world.connect("d/s");
    (world, sensor)
}

#[test]
fn a_full_queue_closes_the_sender_and_acknowledges_nothing() {
    for limits in [
        Limits { queue_messages: 2, ..Limits::default() },
        Limits { queue_bytes: 900, ..Limits::default() },
        Limits { queue_bytes_total: 900, ..Limits::default() },
    ] {
        let (mut world, sensor) = full(limits);
        let body = "x".repeat(100);
        for _ in 0..2 {
            assert_eq!(closed(&world.send(sensor, "out", &body)), None);
        }
        let effects = world.send(sensor, "out", &body);
        assert_eq!(closed(&effects), Some(CloseReason::QueueFull));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })));
        assert!(places(&effects).is_empty());
        assert_eq!(world.core.counters().messages_refused_full, 1);
        // What has expired makes room, without waiting for a tick.
        world.now += jiff::SignedDuration::from_secs(60);
        let sensor = world.connect("d/s");
        assert_eq!(closed(&world.send(sensor, "out", &body)), None);
        assert_eq!(world.core.counters().waiting, 1);
    }
}

#[test]
fn a_message_that_is_too_large_closes_the_sender() {
    let (mut world, sensor) = full(Limits { message_bytes: 100, ..Limits::default() });
    assert_eq!(closed(&world.send(sensor, "out", &"x".repeat(97))), None);
    assert_eq!(closed(&world.send(sensor, "out", &"x".repeat(98))), Some(CloseReason::ProtocolError));
}

#[test]
fn properties_that_no_topic_could_carry_close_the_sender() {
    let (mut world, sensor) = full(Limits { properties_bytes: 10, ..Limits::default() });
    assert_eq!(closed(&world.send(sensor, "out", "x")), None);
    assert_eq!(closed(&world.send(sensor, "a-long-output", "x")), Some(CloseReason::ProtocolError));
}

#[test]
fn the_event_log_is_trimmed() {
    let mut world = World::with(Limits { event_messages: 64, ..Limits::default() });
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    for n in 0..500 {
        world.send(connection, "", "x");
        if n % 100 == 0 {
            world.restart();
            world.connect("d");
        }
        let held = world.disk.events.len();
        assert!(held <= 2 * 65, "{held} held");
    }
}

#[test]
fn the_edge_hub_reports_what_came_of_its_routes() {
    let mut world = World::edge(Limits::default(), &["m"], json!({"up": "FROM /messages/* INTO $upstream"}));
    let reported = |world: &mut World| {
        let mut reported = world.twin("d/$edgeHub")["properties"]["reported"].take();
        reported.as_object_mut().unwrap().remove("$metadata");
        pretty(&reported)
    };
    let good = reported(&mut world);
    world.desire("d/$edgeHub", json!({"routes": {"bad": "FROM /messages/* INTO nowhere"}}));
    let bad = reported(&mut world);
    insta::assert_snapshot!(format!("{good}\n{bad}"));
    world.note("the set before stays in force, after a restart too");
    let logged = |world: &mut World| {
        let connection = world.connect("d/m");
        places(&world.send(connection, "", "x")).len()
    };
    assert_eq!(logged(&mut world), 1);
    world.restart();
    assert_eq!(logged(&mut world), 1);
    world.desire("d/$edgeHub", json!({"routes": {"bad": null, "up": null}}));
    assert_eq!(logged(&mut world), 0, "an empty set is a good set");
    assert!(!reported(&mut world).contains("inForce"));
    world.desire("d/$edgeHub", json!({"schemaVersion": "2.0"}));
    assert!(reported(&mut world).contains("412"));
}

#[test]
fn deleting_a_module_drops_what_waits_for_it() {
    let (mut world, sensor) = full(Limits::default());
    world.send(sensor, "out", "x");
    world.call(ServiceRequest::DeleteIdentity { client: id("d/f"), if_match: IfMatch::Any }).unwrap();
    assert_eq!((world.core.counters().waiting, world.core.counters().waiting_bytes), (0, 0));
    assert!(world.disk.waiting_for(&id("d/f")).is_empty());
    world.send(sensor, "out", "y");
    assert_eq!(world.core.counters().messages_no_route, 1);
}
