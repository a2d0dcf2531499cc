//! User-defined topics between two hubs: what goes up, what comes down, what must not go round, and what is left when the link
//! is cut or the edge hub dies.

use bytes::Bytes;
use hemline_hub_core::{
    effect::{CloseReason, Effect, Outbound},
    event::{ConnectionId, Event, Grant, Qos},
    limits::Limits,
    upstream::{Dialect, FromParent, ToParent},
};
use hemline_protocol::topic::features;
use serde_json::{Value, json};

use super::{
    chain::Chain,
    world::{HUB, World, closed, id},
};

/// Everybody may do everything, but for the hub of `d` what is denied.
fn hub_properties(denied: &Value) -> Value {
    let all = json!({"operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"], "resources": ["#"]});
    let mut authorizations = vec![json!({"identities": ["{{iot:identity}}"], "allow": [all]})];
    if denied != &json!([]) {
        let hub = format!("{HUB}/d/$edgeHub");
        authorizations.insert(0, json!({"identities": [hub], "deny": denied}));
    }
    json!({
        "schemaVersion": "1.2",
        "mqttBroker": {
            "authorizations": authorizations,
            "bridges": [{"endpoint": "$upstream", "settings": [
                {"direction": "out", "topic": "alerts/#", "inPrefix": "local/", "outPrefix": "site/"},
                {"direction": "in", "topic": "cmd/#", "outPrefix": "from-above/"},
                {"direction": "in", "topic": "secret"},
                {"direction": "both", "topic": "sync/#"},
            ]}],
        },
    })
}

fn set(chain: &mut Chain, denied: &Value) {
    let desired = hub_properties(denied);
    chain.at_parent(|world| {
        let Value::Object(desired) = desired else { panic!("an object") };
        let operation = hemline_hub_core::service::ServiceRequest::PatchTwin {
            client: id("d/$edgeHub"),
            tags: None,
            desired: Some(desired),
            if_match: hemline_hub_core::service::IfMatch::Any,
        };
        world.ask(hemline_hub_core::event::Caller::Internal, operation).1
    });
}

fn listen(world: &mut World, connection: ConnectionId, client: &str, filter: &str) -> Vec<Effect> {
    let grant =
        Grant { filter: filter.to_owned(), qos: Qos::AtLeastOnce, features: features(filter, &id(client)) };
    let token = world.token();
    world.handle(Event::Subscribe { connection, grants: vec![grant], token })
}

fn publish(
    world: &mut World,
    connection: ConnectionId,
    topic: &str,
    body: &str,
    retain: bool,
) -> Vec<Effect> {
    let token = Some(world.token());
    let (topic, body) = (topic.to_owned(), Bytes::from(body.to_owned()));
    world.handle(Event::Publish { connection, topic, body, retain, token })
}

/// What one client got on user-defined topics, in order, and what it has to acknowledge.
fn got(effects: &[Effect], client: ConnectionId) -> Vec<String> {
    let topic = |effect: &Effect| match effect {
        Effect::Send { connection, outbound: Outbound::Topic { message, .. } } if *connection == client => {
            Some(format!("{} {}", message.topic, String::from_utf8_lossy(&message.body)))
        }
        _ => None,
    };
    effects.iter().filter_map(topic).collect()
}

/// Messages of `d/$edgeHub` on the disk of a hub.
fn kept(world: &World) -> usize {
    let waiting = world.disk.load().topic_messages;
    let of_hub = |receivers: &[hemline_hub_core::topics::TopicReceiver]| {
        receivers.iter().any(|receiver| receiver.client == id("d/$edgeHub"))
    };
    waiting.iter().filter(|(_, receivers)| of_hub(receivers)).count()
}

/// Two hubs with their bridges; `camera` listens and speaks at the parent, `leaf` at the edge hub.
struct Both {
    chain: Chain,
    camera: ConnectionId,
    leaf: ConnectionId,
}

impl Both {
    fn new(denied: &Value) -> Self {
        let mut chain = Chain::new();
        set(&mut chain, denied);
        let camera = chain.parent.connect("d/camera");
        for filter in ["site/#", "sync/#"] {
            listen(&mut chain.parent, camera, "d/camera", filter);
        }
        let leaf = chain.comes("leaf");
        for filter in ["from-above/#", "sync/#", "secret"] {
            chain.at_edge(|world| listen(world, leaf, "leaf", filter));
        }
        chain.above.clear();
        chain.below.clear();
        Self { chain, camera, leaf }
    }

    fn above(&mut self, topic: &str, body: &str) {
        let camera = self.camera;
        self.chain.at_parent(|world| publish(world, camera, topic, body, false));
    }

    fn below(&mut self, topic: &str, body: &str) {
        let leaf = self.leaf;
        self.chain.at_edge(|world| publish(world, leaf, topic, body, false));
    }

    /// What arrived on either side since the last look.
    fn arrived(&mut self) -> (Vec<String>, Vec<String>) {
        let arrived = (got(&self.chain.above, self.camera), got(&self.chain.below, self.leaf));
        self.chain.above.clear();
        self.chain.below.clear();
        arrived
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn up_and_down_under_other_names_and_never_round() {
    let mut both = Both::new(&json!([]));
    both.below("local/alerts/fire", "1");
    both.below("local/other", "2");
    assert_eq!(both.arrived(), (texts(&["site/alerts/fire 1"]), texts(&[])));
    both.above("cmd/go", "3");
    both.above("site/alerts/own", "4");
    assert_eq!(both.arrived(), (texts(&["site/alerts/own 4"]), texts(&["from-above/cmd/go 3"])));
    // Both ways: each side hears each message once.
    both.below("sync/a", "5");
    assert_eq!(both.arrived(), (texts(&["sync/a 5"]), texts(&["sync/a 5"])));
    both.above("sync/b", "6");
    assert_eq!(both.arrived(), (texts(&["sync/b 6"]), texts(&["sync/b 6"])));
    assert_eq!((kept(&both.chain.parent), kept(&both.chain.edge)), (0, 0));
    let counters = both.chain.edge.core.counters();
    assert_eq!((counters.bridged_up, counters.bridged_down), (2, 2));

    // What is retained stays so on the other side, and comes to whoever asks later.
    let leaf = both.leaf;
    both.chain.at_edge(|world| publish(world, leaf, "sync/state", "kept", true));
    let late = both.chain.parent.connect("leaf");
    let effects = listen(&mut both.chain.parent, late, "leaf", "sync/#");
    assert_eq!(got(&effects, late), texts(&["sync/state kept"]));

    // Without bridges nothing crosses any more.
    both.chain.at_parent(|world| {
        let desired = json!({"mqttBroker": {"bridges": null}});
        let operation = hemline_hub_core::service::ServiceRequest::PatchTwin {
            client: id("d/$edgeHub"),
            tags: None,
            desired: Some(super::world::map(desired)),
            if_match: hemline_hub_core::service::IfMatch::Any,
        };
        world.ask(hemline_hub_core::event::Caller::Internal, operation).1
    });
    both.arrived();
    both.below("sync/c", "7");
    both.above("sync/d", "8");
    assert_eq!(both.arrived(), (texts(&["sync/d 8"]), texts(&["sync/c 7"])));
}

#[test]
fn what_crosses_waits_on_disk_on_either_side() {
    let mut both = Both::new(&json!([]));
    both.chain.cut();
    both.below("local/alerts/1", "1");
    both.below("local/alerts/2", "2");
    both.above("cmd/1", "a");
    both.above("cmd/2", "b");
    assert_eq!(both.arrived(), (texts(&[]), texts(&[])));
    assert_eq!((kept(&both.chain.parent), kept(&both.chain.edge)), (2, 2));
    both.chain.crash();
    both.chain.parent.restart();
    both.camera = both.chain.parent.connect("d/camera");
    both.leaf = both.chain.comes("leaf");
    both.chain.mend();
    let (above, below) = both.arrived();
    assert_eq!(above, texts(&["site/alerts/1 1", "site/alerts/2 2"]));
    assert_eq!(below, texts(&["from-above/cmd/1 a", "from-above/cmd/2 b"]));
    assert_eq!((kept(&both.chain.parent), kept(&both.chain.edge)), (0, 0));
}

#[test]
fn what_the_parent_forbids_is_told_and_holds_up_nobody() {
    let mut both = Both::new(&json!([
        {"operations": ["mqtt:publish"], "resources": ["site/alerts/secret"]},
        {"operations": ["mqtt:subscribe"], "resources": ["secret"]},
    ]));
    both.below("local/alerts/secret", "1");
    both.below("local/alerts/fire", "2");
    both.above("secret", "3");
    assert_eq!(both.arrived(), (texts(&["site/alerts/fire 2"]), texts(&[])));
    assert_eq!(both.chain.edge.core.counters().upstream_refused, 1);
    assert_eq!(both.chain.parent.core.counters().nested_refused, 1);
    assert_eq!(kept(&both.chain.edge), 0);
    // The policy changes up there; the same filter is asked for again.
    set(&mut both.chain, &json!([]));
    both.chain.at_edge(|world| {
        world.now += jiff::SignedDuration::from_secs(11);
        world.handle(Event::Tick)
    });
    both.arrived();
    both.above("secret", "4");
    assert_eq!(both.arrived(), (texts(&[]), texts(&["secret 4"])));
}

#[test]
fn a_full_bridge_refuses_loudly_and_nobody_comes_as_the_hub_itself() {
    let limits = Limits { topic_queue_messages: 1, ..Limits::default() };
    let mut world = World::edge(limits, &["a"], json!({}));
    world.desire("d/$edgeHub", hub_properties(&json!([])));
    let mut world = world.beneath(Dialect::Nested);
    let a = world.connect("d/a");
    let effects = publish(&mut world, a, "local/alerts/1", "1", false);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })));
    let effects = publish(&mut world, a, "local/alerts/2", "2", false);
    assert_eq!(closed(&effects), Some(CloseReason::QueueFull));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })));
    // It goes out with the link, and again on the next one.
    for link in 1..=2 {
        let effects = world.link(link, FromParent::Linked);
        let sent = effects.iter().filter_map(|effect| match effect {
            Effect::Upstream { what: ToParent::Publish { message, .. }, .. } => {
                Some(message.topic.to_string())
            }
            _ => None,
        });
        assert_eq!(sent.collect::<Vec<_>>(), ["site/alerts/1"]);
    }
    let token = world.device_token("d/$edgeHub");
    let (_, effects) = world.connect_with("d/$edgeHub", token, false);
    assert!(matches!(&effects[..], [Effect::Refuse { .. }]), "{effects:?}");
}
