//! Last wills (reference device-protocol §4.1): when they are spoken, as what, and when not. And who comes too often.

use hemline_hub_core::{
    credential::Credential,
    effect::{CloseReason, Effect, Notice, Refusal},
    event::{Connect, ConnectionId, Departure, Event, Will},
    limits::Limits,
    message::Message,
    service::{DeviceSettings, IfMatch, ServiceRequest},
    throttle::Rate,
    write::Write,
};
use hemline_protocol::properties::Properties;
use jiff::SignedDuration;

use super::world::{World, device, id};

fn will(body: &str) -> Will {
    let mut properties = Properties::default();
    properties.application.push(("kind".to_owned(), Some("farewell".to_owned())));
    // Nobody can write that himself.
    properties.application.push(("IoTHub-MessageType".to_owned(), Some("Alarm".to_owned())));
    Will::Message { properties, body: body.to_owned().into() }
}

fn connect(world: &mut World, connection: u64, body: Option<&str>) -> Vec<Effect> {
    let token = world.device_token("d");
    world.handle(Event::Connect(Connect {
        connection: ConnectionId(connection),
        host: "hub.local".to_owned(),
        client: id("d"),
        credential: Credential::Token(token),
        clean: false,
        model_id: None,
        will: body.map(|body| Box::new(will(body))),
        peer: String::new(),
    }))
}

fn spoken(effects: &[Effect]) -> Vec<&Message> {
    let spoken = effects.iter().filter_map(|effect| match effect {
        Effect::Persist(Write::Append { message, .. }) => Some(&**message),
        _ => None,
    });
    spoken.collect()
}

fn world() -> World {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world
}

fn left(world: &mut World, connection: u64, departure: Departure) -> Vec<Effect> {
    world.handle(Event::Disconnected { connection: ConnectionId(connection), departure })
}

#[test]
fn spoken_once_for_who_vanishes_and_never_for_who_says_goodbye() {
    let mut world = world();
    connect(&mut world, 1, Some("gone"));
    let effects = left(&mut world, 1, Departure::Vanished);
    let messages = spoken(&effects);
    assert_eq!(messages.len(), 1, "{effects:?}");
    assert_eq!(messages[0].body, "gone");
    assert_eq!(messages[0].sender, id("d"));
    let Properties { system, application } = &messages[0].properties;
    assert_eq!(system.message_type.as_deref(), Some("Will"));
    assert_eq!(system.connection_device_id.as_deref(), Some("d"));
    assert_eq!(*application, [("kind".to_owned(), Some("farewell".to_owned()))]);
    // On disk, then told, then gone: whoever hears that it is gone finds the will in the log.
    let told = effects.iter().position(|e| matches!(e, Effect::Notify(Notice::Message(_)))).unwrap();
    let gone = effects.iter().position(|e| matches!(e, Effect::Notify(Notice::Connection { .. }))).unwrap();
    assert!(told < gone, "{effects:?}");
    assert!(left(&mut world, 1, Departure::Vanished).is_empty(), "only once");

    connect(&mut world, 2, Some("not said"));
    assert!(spoken(&left(&mut world, 2, Departure::Orderly)).is_empty());
    connect(&mut world, 3, None);
    assert!(
        spoken(&left(&mut world, 3, Departure::Vanished)).is_empty(),
        "the will of an earlier connection"
    );
    assert_eq!((world.core.counters().wills, world.core.counters().wills_lost), (1, 0));
}

#[test]
fn a_hub_that_closes_speaks_for_the_client_too_unless_it_may_not_speak() {
    let bodies = |effects: &[Effect]| -> Vec<String> {
        spoken(effects).iter().map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect()
    };
    let mut world = world();
    connect(&mut world, 1, Some("first"));
    assert_eq!(bodies(&connect(&mut world, 2, Some("second"))), ["first"], "taken over");

    world.now += SignedDuration::from_hours(2);
    let effects = world.handle(Event::Tick);
    let close = Effect::Close { connection: ConnectionId(2), reason: CloseReason::TokenExpired };
    assert!(effects.contains(&close), "{effects:?}");
    assert_eq!(bodies(&effects), ["second"], "the token ran out");

    connect(&mut world, 3, Some("third"));
    let settings = DeviceSettings { enabled: Some(false), ..DeviceSettings::default() };
    let operation = ServiceRequest::PutDevice { device: device("d"), settings, if_match: IfMatch::Any };
    let (_, effects) = world.ask(hemline_hub_core::event::Caller::Internal, operation);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close { .. })), "{effects:?}");
    assert!(spoken(&effects).is_empty(), "a disabled device has nothing to say");
}

#[test]
fn a_will_that_is_too_large_is_counted_as_lost() {
    let mut world = World::with(Limits { message_bytes: 100, ..Limits::default() });
    world.add_device("d", DeviceSettings::default());
    connect(&mut world, 1, Some(&"x".repeat(200)));
    assert!(spoken(&left(&mut world, 1, Departure::Vanished)).is_empty());
    assert_eq!((world.core.counters().wills, world.core.counters().wills_lost), (0, 1));
}

#[test]
fn two_devices_with_one_id_do_not_take_turns_for_ever() {
    let connects = Rate { burst: 5, period_ms: 10_000 };
    let mut world = World::with(Limits { connects, ..Limits::default() });
    world.add_device("d", DeviceSettings::default());
    world.add_device("e", DeviceSettings::default());
    let refused = |effects: &[Effect]| {
        effects.iter().any(|e| matches!(e, Effect::Refuse { refusal: Refusal::Unavailable, .. }))
    };
    for connection in 1..=5 {
        assert!(!refused(&connect(&mut world, connection, None)), "connection {connection}");
    }
    let effects = connect(&mut world, 6, None);
    assert!(refused(&effects) && effects.len() == 1, "who is there stays: {effects:?}");
    assert_eq!(world.core.counters().connects_throttled, 1);
    world.connect("e");
    // Wrong tokens use up nobody's turns.
    world.now += SignedDuration::from_secs(10);
    for _ in 0..20 {
        world.connect_with("d", "SharedAccessSignature sr=x&sig=y&se=1".to_owned(), false);
    }
    assert!(!refused(&connect(&mut world, 7, None)));
    assert!(refused(&connect(&mut world, 8, None)));
}
