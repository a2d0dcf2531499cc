//! Connections and what survives them (reference device-protocol §3.5, §3.6).

use hemline_hub_core::{
    effect::{CloseReason, Effect},
    event::{Event, Feature, Grant, Qos},
    limits::Limits,
    service::DeviceSettings,
};
use serde_json::json;

use super::world::{World, closed, grant};

#[test]
fn a_session_survives_reconnect_restart_and_take_over() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world.log.clear();
    world.note("first connection");
    let first = world.connect("d");
    world.subscribe(first, Feature::DesiredPatches, Qos::AtLeastOnce);
    world.note("the same again is not written again");
    world.subscribe(first, Feature::DesiredPatches, Qos::AtLeastOnce);
    world.desire("d", json!({"a": 1}));
    world.note("take-over");
    let second = world.connect("d");
    world.note("events of the old connection do nothing");
    world.leave(first);
    world.desire("d", json!({"a": 2}));
    world.leave(second);
    world.note("nobody there: nothing is sent, nothing is kept for later");
    world.desire("d", json!({"a": 3}));
    world.restart();
    let third = world.connect("d");
    world.desire("d", json!({"a": null}));
    world.note("unsubscribed");
    let token = world.token();
    world.handle(Event::Unsubscribe {
        connection: third,
        filters: vec![grant(Feature::DesiredPatches, Qos::AtMostOnce).filter],
        token,
    });
    world.desire("d", json!({"a": 4}));
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_clean_session_drops_the_stored_one_and_leaves_none() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let token = world.device_token("d");
    let first = world.connect("d");
    world.subscribe(first, Feature::Methods, Qos::AtMostOnce);
    world.leave(first);
    world.log.clear();
    let (clean, _) = world.connect_with("d", token.clone(), true);
    world.subscribe(clean, Feature::DesiredPatches, Qos::AtMostOnce);
    world.leave(clean);
    world.note("durable again, with nothing left");
    let (durable, _) = world.connect_with("d", token, false);
    world.desire("d", json!({"a": 1}));
    world.leave(durable);
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_connection_ends_when_its_token_and_the_grace_are_over() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    for (seconds, expected) in [(3600, None), (600, None), (1, Some(CloseReason::TokenExpired))] {
        world.now += jiff::SignedDuration::from_secs(seconds);
        assert_eq!(closed(&world.handle(Event::Tick)), expected, "after {seconds} s more");
    }
    assert_eq!(world.leave(connection), vec![], "the connection is forgotten already");
    assert_eq!(world.core.counters().tokens_expired, 1);
}

#[test]
fn an_early_reconnect_renews_the_time() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world.connect("d");
    world.wait(3000);
    world.connect("d");
    world.log.clear();
    world.wait(4000);
    assert_eq!(world.log, "== 4000 s later\n");
}

#[test]
fn too_many_subscriptions_close_the_connection() {
    let mut world = World::with(Limits { grants: 2, ..Limits::default() });
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
    world.subscribe(connection, Feature::TwinResponses, Qos::AtMostOnce);
    let effects = world.subscribe(connection, Feature::DesiredPatches, Qos::AtMostOnce);
    assert_eq!(closed(&effects), Some(CloseReason::ProtocolError));
}

#[test]
fn a_stopped_hub_answers_and_does_nothing() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    world.core.stop(world.now);
    world.log.clear();
    assert_eq!(world.send(connection, "", "lost? no: never acknowledged"), vec![]);
    let (_, effects) = world.connect_with("d", String::new(), false);
    assert!(matches!(effects.as_slice(), [Effect::Refuse { .. }]));
    insta::assert_snapshot!(world.log, @"   refuse c5: not now");
}

#[test]
fn a_packet_full_of_filters_costs_nobody_any_time() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    // As many as one packet has room for.
    let grants = (0..50_000).map(|number| Grant {
        filter: format!("{number}"),
        qos: Qos::AtMostOnce,
        features: Vec::new(),
    });
    let (grants, token) = (grants.collect(), world.token());
    let began = std::time::Instant::now();
    let effects = world.handle(Event::Subscribe { connection, grants, token });
    assert_eq!(closed(&effects), Some(CloseReason::ProtocolError));
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_session_that_was_dropped_is_not_found_after_a_restart() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let connection = world.connect("d");
    world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
    let (token, filters) = (world.token(), vec![grant(Feature::Methods, Qos::AtMostOnce).filter]);
    // On disk, and empty.
    world.handle(Event::Unsubscribe { connection, filters, token });
    let token = world.device_token("d");
    world.connect_with("d", token, true);
    world.restart();
    let token = world.device_token("d");
    let (_, effects) = world.connect_with("d", token, false);
    assert!(matches!(effects[0], Effect::Accept { session_present: false, .. }), "{effects:?}");
}
