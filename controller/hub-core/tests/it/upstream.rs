//! An edge hub and its parent: what waits, what goes up, what a crash in between costs.

use hemline_hub_core::{
    effect::{CloseReason, Effect},
    event::{ConnectionId, DeliveryId},
    limits::Limits,
    message::Endpoint,
    service::{DeviceSettings, IfMatch, ServiceRequest},
    upstream::{Dialect, FromParent, Said, ToParent},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{World, closed, device, id};

fn edge(limits: Limits, routes: Value) -> World {
    World::edge(limits, &["camera", "filter"], routes).beneath(Dialect::Nested)
}

/// Bodies that were sent to the parent, with their delivery numbers.
fn sent(effects: &[Effect]) -> Vec<(u64, String)> {
    let message = |effect: &Effect| match effect {
        Effect::Upstream { what: ToParent::Message { delivery, message }, .. } => {
            Some((delivery.0, String::from_utf8_lossy(&message.body).into_owned()))
        }
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

fn bodies(effects: &[Effect]) -> Vec<String> {
    sent(effects).into_iter().map(|(_, body)| body).collect()
}

fn acknowledge(world: &mut World, link: u64, delivery: u64) -> Vec<Effect> {
    world.link(link, FromParent::Acknowledged(DeliveryId(delivery)))
}

/// Messages on the disk that wait for the parent.
fn kept(world: &World) -> Vec<u64> {
    let waiting = world.disk.load().waiting;
    let upwards =
        waiting.iter().filter(|(_, entries)| entries.iter().any(|e| e.endpoint == Endpoint::Upstream));
    upwards.map(|(message, _)| message.sequence.0).collect()
}

#[test]
fn a_link_that_comes_late_goes_and_comes_back() {
    let mut world = edge(
        Limits { upstream_in_flight: 2, ..Limits::default() },
        json!({"up": "FROM /messages/modules/camera/outputs/* INTO $upstream"}),
    );
    let camera = world.connect("d/camera");
    world.note("no link: stored and acknowledged");
    world.send(camera, "out", "1");
    world.send(camera, "out", "2");
    world.send(camera, "out", "3");
    world.note("nothing that no route sends up");
    world.send(camera, "", "elsewhere");
    world.note("the window is two messages");
    world.link(1, FromParent::Linked);
    acknowledge(&mut world, 1, 1);
    world.note("acknowledgements of nothing, or of another link");
    acknowledge(&mut world, 1, 77);
    acknowledge(&mut world, 9, 2);
    world.link(9, FromParent::Lost);
    world.note("the link goes: what was on its way goes out again");
    world.link(1, FromParent::Lost);
    world.link(1, FromParent::Lost);
    world.send(camera, "out", "4");
    acknowledge(&mut world, 1, 2);
    world.link(2, FromParent::Linked);
    world.restart();
    world.note("after a restart nothing is on its way, and everything is there");
    world.link(3, FromParent::Linked);
    acknowledge(&mut world, 3, 1);
    acknowledge(&mut world, 3, 2);
    acknowledge(&mut world, 3, 3);
    assert_eq!(kept(&world), Vec::<u64>::new());
    insta::assert_snapshot!(world.log);
}

#[test]
fn routes_say_how_long_and_how_soon() {
    let mut world = edge(
        Limits { upstream_in_flight: 1, ..Limits::default() },
        json!({
            "slow": {"route": "FROM /messages/* WHERE kind = 'slow' INTO $upstream", "priority": 9, "timeToLiveSecs": 100},
            "fast": {"route": "FROM /messages/* WHERE kind = 'fast' INTO $upstream", "priority": 0, "timeToLiveSecs": 10},
            "all": "FROM /messages/* INTO $upstream",
        }),
    );
    let camera = world.connect("d/camera");
    let send = |world: &mut World, kind: &str, body: &str| {
        let mut properties = hemline_protocol::properties::Properties::default();
        properties.application.push(("kind".to_owned(), Some(kind.to_owned())));
        world.send_with(camera, properties, body);
    };
    send(&mut world, "other", "other");
    send(&mut world, "slow", "slow");
    send(&mut world, "fast", "fast, too late");
    world.wait(11);
    send(&mut world, "fast", "fast");
    let mut order = bodies(&world.link(1, FromParent::Linked));
    for delivery in 1..=3 {
        order.extend(bodies(&acknowledge(&mut world, 1, delivery)));
    }
    assert_eq!(order, ["fast", "slow", "other"]);
    assert_eq!(world.core.counters().messages_expired, 1);
    send(&mut world, "slow", "slow again");
    send(&mut world, "other", "other again");
    world.wait(101);
    world.note("on its way it is not taken back; the other waits two hours");
    assert_eq!(kept(&world).len(), 2);
    world.wait(7_200);
    assert_eq!(kept(&world).len(), 1);
}

#[test]
fn leaf_devices_and_the_edge_device_itself_go_up_without_a_route_of_their_own() {
    let mut world =
        World::edge(Limits::default(), &[], json!({"up": "FROM /messages/modules/* INTO $upstream"}));
    for (name, parent) in [("leaf", "d"), ("lower", "d"), ("lower-leaf", "lower")] {
        let settings = DeviceSettings {
            edge: Some(name == "lower"),
            parent: Some(Some(device(parent))),
            ..DeviceSettings::default()
        };
        world
            .call(ServiceRequest::PutDevice { device: device(name), settings, if_match: IfMatch::Absent })
            .unwrap();
    }
    let mut world = world.beneath(Dialect::Nested);
    world.link(1, FromParent::Linked);
    let mut told = Vec::new();
    for client in ["d", "leaf", "lower"] {
        let connection = world.connect(client);
        told.push((client, bodies(&world.send(connection, "", client)).len()));
    }
    // The routes of `d` decide over its leaf devices, as in IoT Edge; nobody's over the device itself.
    assert_eq!(told, [("d", 1), ("leaf", 0), ("lower", 0)]);
}

#[test]
fn a_full_queue_refuses_loudly() {
    let mut world = edge(
        Limits { queue_messages: 2, ..Limits::default() },
        json!({"up": "FROM /messages/* INTO $upstream"}),
    );
    let camera = world.connect("d/camera");
    world.send(camera, "out", "1");
    world.send(camera, "out", "2");
    let effects = world.send(camera, "out", "3");
    assert_eq!(closed(&effects), Some(CloseReason::QueueFull));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })), "not acknowledged");
    world.link(1, FromParent::Linked);
    acknowledge(&mut world, 1, 1);
    let camera = world.connect("d/camera");
    assert_eq!(closed(&world.send(camera, "out", "3")), None);
}

#[test]
fn what_the_parent_refuses_blocks_nobody() {
    let mut world = edge(
        Limits { upstream_in_flight: 1, ..Limits::default() },
        json!({"up": "FROM /messages/* INTO $upstream"}),
    );
    let camera = world.connect("d/camera");
    world.send(camera, "out", "1");
    world.send(camera, "out", "2");
    world.link(1, FromParent::Linked);
    world.link(1, FromParent::Said(Box::new(Said::Refused(id("d/camera")))));
    assert_eq!(bodies(&acknowledge(&mut world, 1, 1)), ["2"]);
    assert_eq!(world.core.counters().upstream_refused, 1);
}

#[test]
fn an_authority_keeps_what_goes_upstream() {
    let mut world =
        World::edge(Limits::default(), &["camera"], json!({"up": "FROM /messages/* INTO $upstream"}));
    let camera = world.connect("d/camera");
    let effects = world.send(camera, "out", "1");
    assert_eq!(sent(&effects), []);
    assert_eq!(world.core.counters().messages_to_events, 1);
}

/// What happens to an edge hub.
#[derive(Debug, Clone)]
enum Turn {
    Send(u8),
    /// The parent takes the oldest message that is on its way and says so, or the acknowledgement is lost.
    Take {
        told: bool,
    },
    Link,
    Lose,
    Crash,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        5 => (0..3u8).prop_map(Turn::Send),
        5 => any::<bool>().prop_map(|told| Turn::Take { told }),
        2 => Just(Turn::Link),
        1 => Just(Turn::Lose),
        1 => Just(Turn::Crash),
    ];
    prop::collection::vec(turn, 0..60)
}

proptest! {
    /// Whatever is lost on the way: the parent gets every acknowledged message of every sender, first copies in order.
    #[test]
    fn nothing_acknowledged_is_lost_and_order_holds(turns in turns(), window in 1..4usize) {
        let limits = Limits { upstream_in_flight: window, connects: generous(), ..Limits::default() };
        let mut world = edge(limits, json!({"up": "FROM /messages/* INTO $upstream"}));
        let senders = ["d/camera", "d/filter", "d"];
        let mut connections: Vec<ConnectionId> = senders.iter().map(|sender| world.connect(sender)).collect();
        let mut promised: Vec<String> = Vec::new();
        let mut arrived: Vec<String> = Vec::new();
        let mut on_the_wire: std::collections::VecDeque<(u64, String)> = std::collections::VecDeque::new();
        let (mut link, mut up) = (0, false);
        for (number, turn) in turns.into_iter().enumerate() {
            match turn {
                Turn::Send(sender) => {
                    let body = format!("{sender}:{number}");
                    let effects = world.send(connections[usize::from(sender)], "", &body);
                    let acknowledged = effects.iter().any(|effect| matches!(effect, Effect::Ack { .. }));
                    prop_assert!(acknowledged, "stored and acknowledged");
                    promised.push(body);
                    on_the_wire.extend(sent(&effects));
                }
                Turn::Take { told } => {
                    if let Some((delivery, body)) = on_the_wire.pop_front() {
                        arrived.push(body);
                        if told {
                            let effects = acknowledge(&mut world, link, delivery);
                            on_the_wire.extend(sent(&effects));
                        }
                    }
                }
                Turn::Link => if !up {
                    link += 1;
                    up = true;
                    on_the_wire = sent(&world.link(link, FromParent::Linked)).into();
                }
                Turn::Lose => {
                    up = false;
                    on_the_wire.clear();
                    world.link(link, FromParent::Lost);
                }
                Turn::Crash => {
                    up = false;
                    on_the_wire.clear();
                    world.restart();
                    connections = senders.iter().map(|sender| world.connect(sender)).collect();
                }
            }
            prop_assert!(on_the_wire.len() <= window);
        }
        world.link(link, FromParent::Lost);
        link += 1;
        let mut rest: std::collections::VecDeque<_> = sent(&world.link(link, FromParent::Linked)).into();
        while let Some((delivery, body)) = rest.pop_front() {
            arrived.push(body);
            rest.extend(sent(&acknowledge(&mut world, link, delivery)));
        }
        let mut seen = std::collections::BTreeSet::new();
        let firsts: Vec<String> = arrived.into_iter().filter(|body| seen.insert(body.clone())).collect();
        prop_assert_eq!(firsts, promised);
        prop_assert_eq!(kept(&world), Vec::<u64>::new());
        prop_assert_eq!(world.core.counters().upstream_waiting, 0);
    }
}

fn generous() -> hemline_hub_core::throttle::Rate {
    hemline_hub_core::throttle::Rate { burst: 100_000, period_ms: 1 }
}
