//! Direct methods (reference device-protocol §6).

use bytes::Bytes;
use hemline_hub_core::{
    event::{Caller, ConnectionId, Event, Feature, Qos},
    limits::Limits,
    service::{DeviceSettings, IfMatch, ServiceError, ServiceRequest},
};
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, id};

fn invoke(connect_timeout: u32) -> ServiceRequest {
    ServiceRequest::InvokeMethod {
        client: id("d"),
        name: "reboot".to_owned(),
        payload: Some(json!({"delay": 1})),
        response_timeout: 30,
        connect_timeout,
    }
}

fn answer(world: &mut World, connection: ConnectionId, rid: &str, status: i32, payload: &str) {
    let token = Some(world.token());
    let payload = Bytes::from(payload.to_owned());
    world.handle(Event::MethodResult { connection, rid: rid.to_owned(), status, payload, token });
}

fn world() -> World {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world.log.clear();
    world
}

#[test]
fn a_call_and_its_answer() {
    let mut world = world();
    let connection = world.connect("d");
    world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
    world.ask(Caller::Internal, invoke(0));
    answer(&mut world, connection, "1", 299, r#"{"ok": true}"#);
    world.note("twice, never asked, no number");
    answer(&mut world, connection, "1", 200, "");
    answer(&mut world, connection, "77", 200, "");
    answer(&mut world, connection, "zz", 200, "");
    world.note("empty is null; what is no JSON is a bad answer");
    world.ask(Caller::Internal, invoke(0));
    answer(&mut world, connection, "2", 200, "");
    world.ask(Caller::Internal, invoke(0));
    answer(&mut world, connection, "3", 200, "{oops");
    insta::assert_snapshot!(world.log);
}

#[test]
fn nobody_there() {
    let mut world = world();
    world.note("not connected");
    world.ask(Caller::Internal, invoke(0));
    world.note("connected, not subscribed");
    let connection = world.connect("d");
    world.ask(Caller::Internal, invoke(0));
    world.note("waits for the subscription");
    world.ask(Caller::Internal, invoke(10));
    world.wait(9);
    world.subscribe(connection, Feature::Methods, Qos::AtLeastOnce);
    world.note("no answer in 30 s after it was sent; the late one is forgotten");
    world.wait(29);
    world.wait(1);
    answer(&mut world, connection, "3", 200, "");
    world.leave(connection);
    world.note("waits for the connection, in vain");
    world.ask(Caller::Internal, invoke(10));
    world.wait(10);
    insta::assert_snapshot!(world.log);
}

/// Thirty seconds are thirty seconds, whatever the clock shows meanwhile.
#[test]
fn a_clock_that_is_set_while_a_call_is_on_its_way() {
    // Less than the tokens of this world last.
    const STEP: SignedDuration = SignedDuration::from_mins(30);
    for by in [STEP, -STEP] {
        let mut world = world();
        // One on its way, and one that waits for somebody to come.
        let connection = world.connect("d");
        world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
        world.ask(Caller::Internal, invoke(0));
        world.add_device("e", DeviceSettings::default());
        let waiting = ServiceRequest::InvokeMethod {
            client: id("e"),
            name: "reboot".to_owned(),
            payload: None,
            response_timeout: 30,
            connect_timeout: 40,
        };
        world.ask(Caller::Internal, waiting);
        world.now += by;
        world.handle(Event::ClockSet { by });
        world.log.clear();
        world.wait(29);
        assert!(!world.log.contains("reply"), "{by}: {}", world.log);
        world.wait(1);
        let told = std::mem::take(&mut world.log);
        assert_eq!(told.matches("reply").count(), 1, "{by}: {told}");
        world.wait(9);
        assert!(!world.log.contains("reply"), "{by}: {}", world.log);
        world.wait(1);
        assert_eq!(world.log.matches("reply").count(), 1, "{by}: {}", world.log);
    }
}

#[test]
fn gone_before_the_answer() {
    let mut world = world();
    world.add_device("stranger", DeviceSettings::default());
    world.log.clear();
    let connection = world.connect("d");
    world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
    world.note("connection lost: the sent one fails");
    world.ask(Caller::Internal, invoke(60));
    world.leave(connection);
    world.note("a waiting one is sent to the next connection; take-over fails it");
    world.ask(Caller::Internal, invoke(60));
    world.connect("d");
    world.connect("d");
    world.note("an answer on another connection than the call went to does not count");
    world.ask(Caller::Internal, invoke(60));
    let stranger = world.connect("stranger");
    answer(&mut world, stranger, "3", 200, "");
    world.note("deleted");
    world.call(ServiceRequest::DeleteIdentity { client: id("d"), if_match: IfMatch::Absent }).unwrap();
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_stopping_hub_answers_callers() {
    let mut world = world();
    world.ask(Caller::Internal, invoke(60));
    let effects = world.core.stop(world.now);
    assert_eq!(effects.len(), 1);
    assert!(matches!(world.call(invoke(0)), Err(ServiceError::Unavailable)));
}

#[test]
fn arguments() {
    let mut world = World::with(Limits { calls: 1, ..Limits::default() });
    world.add_device("d", DeviceSettings::default());
    let mut out = String::new();
    let long = "x".repeat(101);
    for (client, name, payload, response, connect) in [
        ("x", "m", 0, 30, 0),
        ("d/m", "m", 0, 30, 0),
        ("d", "", 0, 30, 0),
        ("d", "a/b", 0, 30, 0),
        ("d", &long, 0, 30, 0),
        ("d", "m", 0, 4, 0),
        ("d", "m", 0, 301, 0),
        ("d", "m", 0, 30, 301),
        ("d", "m", 131_072, 30, 0),
        ("d", "m", 131_000, 30, 0),
    ] {
        let error = world
            .call(ServiceRequest::InvokeMethod {
                client: id(client),
                name: name.to_owned(),
                payload: Some(json!("y".repeat(payload))),
                response_timeout: response,
                connect_timeout: connect,
            })
            .unwrap_err();
        out.push_str(&format!("{error}\n"));
    }
    world.ask(Caller::Internal, invoke(60));
    out.push_str(&format!("{}\n", world.call(invoke(60)).unwrap_err()));
    insta::assert_snapshot!(out);
}

#[test]
fn an_answer_to_a_call_of_before_a_restart_answers_no_other() {
    let mut world = world();
    let connection = world.connect("d");
    world.subscribe(connection, Feature::Methods, Qos::AtMostOnce);
    world.ask(Caller::Internal, invoke(0));
    world.restart();
    let connection = world.connect("d");
    world.ask(Caller::Internal, invoke(0));
    world.log.clear();
    answer(&mut world, connection, "1", 200, "\"of the call before\"");
    assert!(!world.log.contains("reply"), "{}", world.log);
}
