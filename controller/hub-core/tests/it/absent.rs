//! Clients that never come back: what they subscribed to on user-defined topics ends after sixty days, not before, whatever the
//! clock does.

use hemline_hub_core::{
    effect::Effect,
    event::{ConnectionId, Feature, Qos},
    limits::Limits,
};

use super::{
    topics::{How, acked, listener, open, say, sent, subscribe, world},
    world::{World, id},
};

const DAY: i64 = 86_400;

/// Days in which the hub looks every hour.
fn days(world: &mut World, count: usize) {
    for _ in 0..count * 24 {
        world.wait(DAY / 24);
    }
}

/// Comes back; was a session there?
fn back(world: &mut World, client: &str) -> (ConnectionId, bool) {
    let token = world.device_token(client);
    let (connection, effects) = world.connect_with(client, token, false);
    let present = effects.iter().find_map(|effect| match effect {
        Effect::Accept { session_present, .. } => Some(*session_present),
        _ => None,
    });
    (connection, present.expect("it is let in"))
}

/// `d/a` has left a subscription; `d/b` is there and says something that waits for it.
fn left() -> World {
    let mut world = world(Limits::default(), &open());
    let a = listener(&mut world, "d/a", "alerts/#", Qos::AtLeastOnce);
    world.leave(a);
    let b = world.connect("d/b");
    assert!(acked(&say(&mut world, b, "alerts/fire", "1", How::Qos1)));
    assert_eq!(world.disk.topic_messages.len(), 1);
    world
}

fn expired(world: &World) -> (u64, u64) {
    let counters = world.core.counters();
    (counters.topics_expired, counters.topics_dropped)
}

#[test]
fn sixty_days_and_it_is_gone() {
    let mut world = left();
    days(&mut world, 59);
    assert_eq!(expired(&world), (0, 0));
    assert_eq!(
        world.disk.sessions[&id("d/a")].away.map(|away| away.days),
        Some(58),
        "the first is not whole"
    );
    days(&mut world, 2);
    assert_eq!(expired(&world), (1, 1));
    assert!(!world.disk.sessions.contains_key(&id("d/a")) && world.disk.topic_messages.is_empty());
    let b = world.connect("d/b");
    say(&mut world, b, "alerts/fire", "2", How::Qos1);
    assert!(world.disk.topic_messages.is_empty(), "nobody listens any more");
    world.restart();
    assert!(!back(&mut world, "d/a").1, "it is told to subscribe again");
    assert_eq!(world.core.counters().topics_waiting, 0);
}

#[test]
fn who_comes_back_begins_anew() {
    let mut world = left();
    days(&mut world, 58);
    let (a, present) = back(&mut world, "d/a");
    assert!(present);
    assert_eq!(world.disk.sessions[&id("d/a")].away, None);
    world.acknowledge(a, 1);
    world.leave(a);
    days(&mut world, 58);
    assert_eq!(expired(&world), (0, 0));
    let b = world.connect("d/b");
    say(&mut world, b, "alerts/fire", "2", How::Qos1);
    let a = world.connect("d/a");
    world.acknowledge(a, 1);
    assert!(world.disk.topic_messages.is_empty(), "it has it");
}

#[test]
fn subscriptions_of_an_sdk_stay() {
    let mut world = left();
    let a = world.connect("d/a");
    world.acknowledge(a, 1);
    world.subscribe(a, Feature::Methods, Qos::AtMostOnce);
    world.leave(a);
    let b = world.connect("d/b");
    say(&mut world, b, "alerts/fire", "2", How::Qos1);
    days(&mut world, 62);
    assert_eq!(expired(&world), (1, 1));
    assert!(world.disk.topic_messages.is_empty());
    let filters = |world: &World| {
        let grants = &world.disk.sessions[&id("d/a")].grants;
        grants.iter().map(|grant| grant.filter.clone()).collect::<Vec<_>>()
    };
    assert_eq!(filters(&world), ["$iothub/methods/POST/#"]);
    world.restart();
    let (a, present) = back(&mut world, "d/a");
    assert!(!present, "not all is there that it left");
    subscribe(&mut world, a, "d/a", "alerts/#", Qos::AtLeastOnce);
    assert_eq!(filters(&world), ["$iothub/methods/POST/#", "alerts/#"]);
    world.leave(a);
    assert!(back(&mut world, "d/a").1, "now it is");
    // Without topics there is nothing to end.
    let c = world.connect("d/c");
    world.subscribe(c, Feature::Methods, Qos::AtMostOnce);
    world.leave(c);
    days(&mut world, 100);
    assert!(back(&mut world, "d/c").1);
}

#[test]
fn a_jump_of_the_clock_is_one_day_at_most() {
    let mut world = left();
    world.wait(3_600);
    for jump in [3_650 * DAY, -3_650 * DAY, 3_650 * DAY, -3_650 * DAY] {
        world.wait(jump);
    }
    // Years in a drawer, several times.
    for _ in 0..10 {
        world.now += jiff::SignedDuration::from_secs(400 * DAY);
        world.restart();
        world.wait(1);
    }
    let away = world.disk.sessions[&id("d/a")].away.expect("it is counted");
    assert!(away.days <= 12, "{away:?}");
    assert_eq!(expired(&world), (0, 0));
    let token = world.device_token("d/a");
    let (_, effects) = world.connect_with("d/a", token, false);
    assert_eq!(sent(&effects).len(), 1, "what waits is there");
}

#[test]
fn starting_often_is_no_time() {
    let mut world = left();
    for _ in 0..200 {
        world.restart();
        world.wait(10);
    }
    assert_eq!(world.disk.sessions[&id("d/a")].away.map(|away| away.days), Some(0));
    // Eight hours a day are a day, too.
    for _ in 0..70 {
        world.now += jiff::SignedDuration::from_secs(16 * 3_600);
        world.restart();
        for _ in 0..8 {
            world.wait(3_600);
        }
    }
    assert!(!world.disk.sessions.contains_key(&id("d/a")));
}
