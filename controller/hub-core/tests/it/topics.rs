//! User-defined topics: whom a message reaches, what is retained, what outlives a connection and a restart, and what a
//! policy makes of it (reference edge-runtime §6).

use bytes::Bytes;
use hemline_hub_core::{
    effect::{CloseReason, Effect, Outbound},
    event::{Connect, ConnectionId, Departure, Event, Grant, Qos, Will},
    limits::Limits,
    service::{DeviceSettings, IfMatch, ServiceRequest},
};
use hemline_model::id::ClientId;
use hemline_protocol::topic::features;
use serde_json::{Value, json};

use super::world::{HUB, World, closed, device, id};

/// Everybody may do everything.
pub(super) fn open() -> Value {
    json!([{"identities": ["{{iot:identity}}"],
        "allow": [{"operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"], "resources": ["#"]}]}])
}

/// An edge device `d` with modules `a`, `b` and `c`.
pub(super) fn world(limits: Limits, authorizations: &Value) -> World {
    let mut world = World::edge(limits, &["a", "b", "c"], json!({}));
    allow(&mut world, "d", authorizations);
    world.log.clear();
    world
}

fn allow(world: &mut World, device: &str, authorizations: &Value) {
    world.desire(
        &format!("{device}/$edgeHub"),
        json!({"schemaVersion": "1.2", "mqttBroker": {"authorizations": authorizations}}),
    );
}

pub(super) fn subscribe(
    world: &mut World,
    connection: ConnectionId,
    client: &str,
    filter: &str,
    qos: Qos,
) -> Vec<Effect> {
    let grant = Grant { filter: filter.to_owned(), qos, features: features(filter, &id(client)) };
    let token = world.token();
    world.handle(Event::Subscribe { connection, grants: vec![grant], token })
}

/// A connected client with one subscription.
pub(super) fn listener(world: &mut World, client: &str, filter: &str, qos: Qos) -> ConnectionId {
    let connection = world.connect(client);
    subscribe(world, connection, client, filter, qos);
    connection
}

fn clean(world: &mut World, client: &str) -> ConnectionId {
    let before = world.log.clone();
    let token = world.device_token(client);
    world.log = before;
    world.connect_with(client, token, true).0
}

pub(super) fn say(
    world: &mut World,
    connection: ConnectionId,
    topic: &str,
    body: &str,
    how: How,
) -> Vec<Effect> {
    let token = match how {
        How::Qos0 | How::Qos0Retained => None,
        How::Qos1 | How::Qos1Retained => Some(world.token()),
    };
    let retain = matches!(how, How::Qos0Retained | How::Qos1Retained);
    let (topic, body) = (topic.to_owned(), Bytes::from(body.to_owned()));
    world.handle(Event::Publish { connection, topic, body, retain, token })
}

#[derive(Clone, Copy)]
pub(super) enum How {
    Qos0,
    Qos1,
    Qos0Retained,
    Qos1Retained,
}

/// Who got what, in order.
pub(super) fn sent(effects: &[Effect]) -> Vec<(u64, String)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { connection, outbound: Outbound::Topic { message, retained, .. } } => {
            let mark = if *retained { " retained" } else { "" };
            let body = String::from_utf8_lossy(&message.body);
            Some((connection.0, format!("{} {body}{mark}", message.topic)))
        }
        _ => None,
    });
    sent.collect()
}

pub(super) fn acked(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Ack { .. }))
}

fn refused(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Granted { qos, .. } if qos.as_slice() == [None]))
}

#[test]
fn stored_then_acknowledged_delivered_then_removed() {
    let mut world = world(Limits::default(), &open());
    let a = listener(&mut world, "d/a", "alerts/#", Qos::AtLeastOnce);
    let b = world.connect("d/b");
    say(&mut world, b, "alerts/fire", "1", How::Qos1);
    say(&mut world, b, "alerts/smoke", "2", How::Qos0);
    world.acknowledge(a, 1);
    world.note("lost before the next was acknowledged");
    say(&mut world, b, "alerts/fire", "3", How::Qos1);
    world.leave(a);
    say(&mut world, b, "alerts/fire", "4", How::Qos1);
    say(&mut world, b, "alerts/smoke", "5", How::Qos0);
    say(&mut world, b, "nobody/listens", "6", How::Qos1);
    world.restart();
    let a = world.connect("d/a");
    world.acknowledge(a, 1);
    world.acknowledge(a, 2);
    insta::assert_snapshot!(world.log);
    assert_eq!(world.core.counters().topics_waiting, 0);
    assert!(world.disk.topic_messages.is_empty());
}

#[test]
fn a_clean_session_leaves_nothing_on_disk() {
    let mut world = world(Limits::default(), &open());
    let a = clean(&mut world, "d/a");
    subscribe(&mut world, a, "d/a", "#", Qos::AtLeastOnce);
    let b = world.connect("d/b");
    assert!(acked(&say(&mut world, b, "x", "1", How::Qos1)));
    assert!(world.disk.topic_messages.is_empty());
    world.leave(a);
    let a = clean(&mut world, "d/a");
    assert_eq!(sent(&say(&mut world, b, "x", "2", How::Qos1)), []);
    world.note("a durable one that comes back clean is forgotten");
    subscribe(&mut world, a, "d/a", "#", Qos::AtLeastOnce);
    world.leave(a);
    let a = listener(&mut world, "d/a", "#", Qos::AtLeastOnce);
    world.leave(a);
    say(&mut world, b, "x", "3", How::Qos1);
    assert_eq!(world.disk.topic_messages.len(), 1);
    clean(&mut world, "d/a");
    assert!(world.disk.topic_messages.is_empty());
    assert_eq!(world.core.counters().topics_waiting, 0);
}

#[test]
fn what_is_denied() {
    let mut world = world(
        Limits::default(),
        &json!([{"identities": ["{{iot:identity}}"],
            "deny": [{"operations": ["mqtt:subscribe"], "resources": ["alerts/secret"]}],
            "allow": [{"operations": ["mqtt:connect"]}, {"operations": ["mqtt:subscribe"], "resources": ["alerts/#"]}]},
            {"identities": ["d/b"], "allow": [{"operations": ["mqtt:publish"], "resources": ["alerts/#"]}]}]),
    );
    let a = world.connect("d/a");
    assert!(refused(&subscribe(&mut world, a, "d/a", "other", Qos::AtMostOnce)));
    assert!(refused(&subscribe(&mut world, a, "d/a", "+/fire", Qos::AtMostOnce)));
    assert!(refused(&subscribe(&mut world, a, "d/a", "alerts/secret", Qos::AtMostOnce)));
    assert!(!refused(&subscribe(&mut world, a, "d/a", "alerts/#", Qos::AtMostOnce)));
    assert!(!refused(&subscribe(&mut world, a, "d/a", "$iothub/#", Qos::AtMostOnce)), "not asked");
    assert!(
        !refused(&subscribe(&mut world, a, "d/a", "#", Qos::AtMostOnce)),
        "it covers the inputs of the module too"
    );
    let b = world.connect("d/b");
    assert_eq!(sent(&say(&mut world, b, "alerts/fire", "1", How::Qos1)), [(a.0, "alerts/fire 1".to_owned())]);
    let effects = say(&mut world, b, "alerts/secret", "2", How::Qos1);
    assert!(acked(&effects) && sent(&effects).is_empty(), "granted as a whole, but not this one");
    assert_eq!(closed(&say(&mut world, a, "alerts/fire", "3", How::Qos1)), Some(CloseReason::TopicDenied));
    let effects = say(&mut world, b, "other", "4", How::Qos1);
    assert_eq!((closed(&effects), acked(&effects)), (Some(CloseReason::TopicDenied), false));
    assert_eq!(world.core.counters().topics_denied, 6);
}

#[test]
fn without_a_policy_subscriptions_are_granted_and_nothing_comes_of_them() {
    let mut world = World::edge(Limits::default(), &["a"], json!({}));
    world.add_device("plain", DeviceSettings::default());
    for client in ["d/a", "plain"] {
        let connection = world.connect(client);
        assert!(!refused(&subscribe(&mut world, connection, client, "my/own/topic", Qos::AtLeastOnce)));
        let effects = say(&mut world, connection, "my/own/topic", "x", How::Qos1);
        assert_eq!(closed(&effects), Some(CloseReason::TopicDenied));
        assert_eq!(sent(&effects), []);
    }
}

#[test]
fn who_may_not_connect_may_do_nothing() {
    let mut world = world(
        Limits::default(),
        &json!([{"identities": ["d/b"], "deny": [{"operations": ["mqtt:connect"]}]},
            {"identities": ["d/$edgeAgent"], "deny": [{"operations": ["mqtt:connect"]}]},
            {"identities": ["{{iot:identity}}"],
                "allow": [{"operations": ["mqtt:publish", "mqtt:subscribe"], "resources": ["#"]}]}]),
    );
    let a = world.connect("d/a");
    world.connect("d/b");
    world.connect("d/$edgeAgent");
    assert!(refused(&subscribe(&mut world, a, "d/a", "x", Qos::AtMostOnce)));
    insta::assert_snapshot!(world.log);
}

#[test]
fn the_last_message_is_retained() {
    let mut world = world(Limits::default(), &open());
    let b = world.connect("d/b");
    let early = listener(&mut world, "d/c", "#", Qos::AtMostOnce);
    for (topic, body) in [("t/1", "old"), ("t/1", "new"), ("t/2", "x"), ("other", "y")] {
        let effects = say(&mut world, b, topic, body, How::Qos1Retained);
        assert!(acked(&effects));
        assert_eq!(
            sent(&effects),
            [(early.0, format!("{topic} {body}"))],
            "not marked for those who were there"
        );
    }
    world.restart();
    let a = world.connect("d/a");
    let effects = subscribe(&mut world, a, "d/a", "t/+", Qos::AtLeastOnce);
    let expected = [(a.0, "t/1 new retained".to_owned()), (a.0, "t/2 x retained".to_owned())];
    assert_eq!(sent(&effects), expected);
    assert!(matches!(
        effects.iter().find(|e| !matches!(e, Effect::Persist(_))),
        Some(Effect::Granted { .. })
    ));
    world.note("one that was not acknowledged comes again; a subscription that is renewed is told again");
    world.acknowledge(a, 1);
    world.leave(a);
    world.restart();
    let a = world.connect("d/a");
    world.acknowledge(a, 1);
    assert_eq!(sent(&subscribe(&mut world, a, "d/a", "t/1", Qos::AtMostOnce)).len(), 1);
    assert_eq!(sent(&subscribe(&mut world, a, "d/a", "$share/g/t/1", Qos::AtMostOnce)), []);
    let b = world.connect("d/b");
    world.note("an empty one takes it away and is told to those who are there");
    assert_eq!(sent(&say(&mut world, b, "t/1", "", How::Qos0Retained)).len(), 1);
    say(&mut world, b, "t/1", "", How::Qos1Retained);
    assert_eq!(sent(&subscribe(&mut world, a, "d/a", "t/1", Qos::AtMostOnce)), []);
    assert_eq!(world.core.counters().topics_retained, 2);
    world.note("nobody renews it for sixty days");
    world.wait(60 * 86_400 + 1);
    assert_eq!(world.core.counters().topics_retained, 0);
    assert!(world.disk.retained.is_empty());
}

#[test]
fn those_who_share_a_subscription_take_turns() {
    let mut world = world(Limits::default(), &open());
    let filter = "$share/workers/jobs/+";
    let (a, b) = (
        listener(&mut world, "d/a", filter, Qos::AtLeastOnce),
        listener(&mut world, "d/b", filter, Qos::AtLeastOnce),
    );
    let c = listener(&mut world, "d/c", "jobs/#", Qos::AtMostOnce);
    let mut turns = Vec::new();
    for job in 0..4 {
        let mut sent = sent(&say(&mut world, c, "jobs/x", &job.to_string(), How::Qos1));
        sent.retain(|(connection, _)| *connection != c.0);
        turns.push(sent.iter().map(|(connection, _)| *connection).collect::<Vec<_>>());
    }
    assert_eq!(turns, [[a.0], [b.0], [a.0], [b.0]]);
    world.leave(a);
    for job in 4..6 {
        let sent = sent(&say(&mut world, c, "jobs/x", &job.to_string(), How::Qos1));
        assert!(sent.iter().all(|(connection, _)| *connection != a.0) && sent.len() == 2, "whoever is there");
    }
    world.leave(b);
    say(&mut world, c, "jobs/x", "6", How::Qos1);
    assert_eq!(
        world.disk.topic_messages.last_key_value().map(|(_, (_, to))| to.len()),
        Some(1),
        "one keeps it"
    );
    assert_eq!(sent(&say(&mut world, c, "jobs/x", "7", How::Qos0)).len(), 1, "QoS 0 waits for nobody");
}

/// Each edge device is a space of its own; a device beneath it belongs to it.
#[test]
fn one_edge_device_does_not_hear_the_other() {
    let mut world = world(Limits::default(), &open());
    world.add_device("e", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
    world.add_module("e/a");
    allow(&mut world, "e", &open());
    let beneath =
        |parent: &str| DeviceSettings { parent: Some(Some(device(parent))), ..DeviceSettings::default() };
    world.add_device("leaf", beneath("d"));
    let here = listener(&mut world, "d/a", "#", Qos::AtMostOnce);
    let there = listener(&mut world, "e/a", "#", Qos::AtMostOnce);
    let leaf = listener(&mut world, "leaf", "#", Qos::AtMostOnce);
    let to = |effects: &[Effect]| sent(effects).iter().map(|(connection, _)| *connection).collect::<Vec<_>>();
    assert_eq!(to(&say(&mut world, leaf, "x", "1", How::Qos1Retained)), [here.0, leaf.0]);
    assert_eq!(to(&say(&mut world, there, "x", "2", How::Qos1)), [there.0]);
    world.note("the leaf moves");
    world
        .call(ServiceRequest::PutDevice {
            device: device("leaf"),
            settings: beneath("e"),
            if_match: IfMatch::Any,
        })
        .unwrap();
    assert_eq!(to(&say(&mut world, there, "x", "3", How::Qos1)), [there.0, leaf.0]);
    assert_eq!(to(&say(&mut world, here, "x", "4", How::Qos1)), [here.0]);
    world.note("the other device goes");
    world.call(ServiceRequest::DeleteIdentity { client: id("d"), if_match: IfMatch::Any }).unwrap();
    assert!(world.disk.retained.is_empty());
}

#[test]
fn another_policy_closes_those_who_lose() {
    let mut world = world(Limits::default(), &open());
    listener(&mut world, "d/a", "alerts/#", Qos::AtLeastOnce);
    let b = listener(&mut world, "d/b", "other", Qos::AtLeastOnce);
    world.note("the alerts are taken from everybody");
    allow(
        &mut world,
        "d",
        &json!([{"identities": ["{{iot:identity}}"],
            "allow": [{"operations": ["mqtt:connect"]}, {"operations": ["mqtt:publish"], "resources": ["#"]},
                {"operations": ["mqtt:subscribe"], "resources": ["other"]}]}]),
    );
    world.note("the session stays as it is, and nothing comes of it");
    let again = world.connect("d/a");
    assert_eq!(sent(&say(&mut world, b, "alerts/x", "1", How::Qos1)), []);
    allow(&mut world, "d", &open());
    assert_eq!(sent(&say(&mut world, b, "alerts/x", "2", How::Qos1)), [(again.0, "alerts/x 2".to_owned())]);
    world.note("a broken one leaves the one before in force");
    allow(&mut world, "d", &json!([{"identities": []}]));
    assert_eq!(sent(&say(&mut world, b, "alerts/x", "3", How::Qos1)).len(), 1);
    assert_eq!(world.twin("d/$edgeHub")["properties"]["reported"]["lastDesiredStatus"]["code"], 400);
    world.restart();
    let b = world.connect("d/b");
    assert!(acked(&say(&mut world, b, "alerts/x", "4", How::Qos1)));
    insta::assert_snapshot!(world.log);
}

#[test]
fn bounds() {
    let limits = Limits {
        topic_queue_messages: 3,
        retained_messages: 2,
        topic_levels: 4,
        message_bytes: 100,
        ..Limits::default()
    };
    let mut world = world(limits, &open());
    let a = listener(&mut world, "d/a", "#", Qos::AtLeastOnce);
    world.leave(a);
    let b = world.connect("d/b");
    for body in ["1", "2", "3", "4"] {
        assert!(acked(&say(&mut world, b, "x", body, How::Qos1)));
    }
    assert_eq!((world.core.counters().topics_dropped, world.disk.topic_messages.len()), (1, 3));
    let a = world.connect("d/a");
    assert!(refused(&subscribe(&mut world, a, "d/a", "a/b/c/d/e", Qos::AtMostOnce)), "too deep");
    assert!(acked(&say(&mut world, b, "r/1", "x", How::Qos1Retained)));
    assert!(acked(&say(&mut world, b, "r/2", "x", How::Qos1Retained)));
    assert!(acked(&say(&mut world, b, "r/1", "y", How::Qos1Retained)), "in the place of another");
    let effects = say(&mut world, b, "r/3", "x", How::Qos1Retained);
    assert_eq!((closed(&effects), acked(&effects)), (Some(CloseReason::RetainedFull), false));
    for (topic, body) in [("a/b/c/d/e", "x".to_owned()), ("a", "x".repeat(100))] {
        let b = world.connect("d/b");
        assert_eq!(closed(&say(&mut world, b, topic, &body, How::Qos1)), Some(CloseReason::ProtocolError));
    }
}

#[test]
fn a_long_list_of_retained_messages_goes_out_in_pieces() {
    let mut world = world(Limits::default(), &open());
    let b = world.connect("d/b");
    for place in 0..300 {
        say(&mut world, b, &format!("r/{place}"), "x", How::Qos0Retained);
    }
    let a = world.connect("d/a");
    let first = sent(&subscribe(&mut world, a, "d/a", "r/#", Qos::AtLeastOnce)).len();
    let rest = sent(&world.handle(Event::Tick)).len();
    assert_eq!((first, rest), (256, 44), "at QoS 0, as they were published");
    assert_eq!(sent(&world.handle(Event::Tick)).len(), 0);
}

#[test]
fn a_last_will_on_a_topic() {
    let mut world = world(Limits::default(), &open());
    let a = listener(&mut world, "d/a", "gone/+", Qos::AtMostOnce);
    let token = world.device_token("d/b");
    let connection = ConnectionId(1_000);
    let will = Will::Topic { topic: "gone/b".to_owned(), retain: true, body: Bytes::from_static(b"b") };
    world.handle(Event::Connect(Connect {
        connection,
        host: HUB.to_owned(),
        client: id("d/b"),
        credential: hemline_hub_core::credential::Credential::Token(token),
        clean: false,
        model_id: None,
        will: Some(Box::new(will)),
        peer: "test".to_owned(),
    }));
    let effects = world.handle(Event::Disconnected { connection, departure: Departure::Vanished });
    assert_eq!(sent(&effects), [(a.0, "gone/b b".to_owned())]);
    let client: ClientId = id("d/c");
    let c = world.connect(&client.to_string());
    assert_eq!(sent(&subscribe(&mut world, c, "d/c", "#", Qos::AtMostOnce)).len(), 1, "it was retained");
}
