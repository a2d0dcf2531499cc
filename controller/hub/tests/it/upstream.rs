//! Two hubs on loopback, one beneath the other, and the wire between them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hemline_hub::{
    HubConfig,
    upstream::{Timing, UpstreamConfig, trust},
};
use hemline_hub_core::{
    effect::Notice,
    message::{Message, Sequence},
    service::{Authentication, DeviceSettings, IfMatch, ServiceReply, ServiceRequest},
    upstream::Dialect,
};
use hemline_model::id::DeviceId;
use hemline_protocol::sas::SymmetricKey;
use hemline_testkit::{eventually, within};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{broadcast, watch},
    task::JoinHandle,
};

use super::world::{SOON, World};

/// Keys of devices that both hubs know.
fn key(seed: u8) -> String {
    SymmetricKey::from_bytes(vec![seed; 32]).unwrap().expose_base64()
}

async fn add(world: &World, id: &str, edge: bool, parent: Option<&str>, seed: u8) {
    let operation = ServiceRequest::PutDevice {
        device: DeviceId::new(id).unwrap(),
        settings: DeviceSettings {
            edge: Some(edge),
            parent: Some(parent.map(|parent| DeviceId::new(parent).unwrap())),
            authentication: Some(Authentication::Sas { primary: key(seed), secondary: key(seed) }),
            ..DeviceSettings::default()
        },
        if_match: IfMatch::Absent,
    };
    world.handle.call(operation).await.unwrap();
}

/// The edge device `edge-1` and its leaf, as both hubs know them.
pub(crate) async fn family(world: &World) {
    add(world, "edge-1", true, None, 1).await;
    add(world, "leaf", false, Some("edge-1"), 2).await;
}

/// The wire between two hubs: a proxy that can be cut.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, seen) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                if !*seen.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = seen.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, whole, task }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes a hub that of `edge-1` beneath another.
pub(crate) fn beneath(parent: &World, wire: SocketAddr, dialect: Dialect) -> impl FnOnce(&mut HubConfig) {
    let trust = trust(&parent.ca_pem).unwrap();
    move |config| {
        config.upstream = Some(UpstreamConfig {
            hub_name: "hub.test".into(),
            host: wire.ip().to_string(),
            port: wire.port(),
            device: DeviceId::new("edge-1").unwrap(),
            key: SymmetricKey::from_base64(&key(1)).unwrap(),
            trust,
            dialect,
            timing: Timing {
                first_pause: Duration::from_millis(20),
                longest_pause: Duration::from_millis(100),
                ..Timing::default()
            },
        });
    }
}

/// An edge hub beneath `parent`.
pub(crate) async fn edge(parent: &World, wire: SocketAddr, dialect: Dialect, folder: Arc<TempDir>) -> World {
    World::start(folder, beneath(parent, wire, dialect), None).await
}

/// Waits until an edge hub has heard from its parent of the family and its routes.
async fn family_known(edge: &World) {
    eventually(SOON, "the family at the edge hub", || async {
        let leaf = edge.handle.call(ServiceRequest::GetDevice(DeviceId::new("leaf").unwrap())).await;
        leaf.ok()?;
        let twin = edge.handle.call(ServiceRequest::GetTwin("edge-1/$edgeHub".parse().unwrap())).await;
        let Ok(ServiceReply::Twin { document, .. }) = twin else { return None };
        document.pointer("/properties/desired/routes/up").map(|_| ())
    })
    .await;
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// The next message at the authority.
async fn arrives(notices: &mut broadcast::Receiver<Notice>) -> Arc<Message> {
    within(SOON, "a message at the parent", async {
        loop {
            if let Notice::Message(message) = notices.recv().await.unwrap() {
                return message;
            }
        }
    })
    .await
}

/// Counters are published a moment after what they count.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(SOON, what, || std::future::ready(is_so().then_some(()))).await;
}

async fn bodies(world: &World) -> Vec<String> {
    let messages = world.handle.read_events(Sequence(0), 1_000).await.unwrap();
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[tokio::test]
async fn messages_outlive_a_cut_and_a_restart_in_order() {
    let parent = World::new().await;
    family(&parent).await;
    let wire = Wire::to(parent.mqtt()).await;
    let mut notices = parent.handle.notices();
    let edge_folder = folder();
    // Leaf devices go by the routes of their edge device. Identities, keys and routes come from the parent.
    let routes =
        serde_json::json!({"schemaVersion": "1.1", "routes": {"up": "FROM /messages/* INTO $upstream"}});
    desire(&parent, "edge-1/$edgeHub", routes).await;
    let edge_hub = edge(&parent, wire.address, Dialect::Nested, edge_folder.clone()).await;
    family_known(&edge_hub).await;

    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    let topic = "devices/leaf/messages/events/%24.mid=m1&%24.ct=application%2Fjson&a=b%20c&empty=&none";
    leaf.publish(topic, "1").await;
    let first = arrives(&mut notices).await;
    assert_eq!((first.sender.to_string().as_str(), &first.body[..]), ("leaf", &b"1"[..]));
    let system = &first.properties.system;
    assert_eq!(
        (system.message_id.as_deref(), system.content_type.as_deref()),
        (Some("m1"), Some("application/json"))
    );
    assert_eq!(system.connection_device_id.as_deref(), Some("leaf"));
    let application = [("a", Some("b c")), ("empty", Some("")), ("none", None)];
    let application = application.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    assert_eq!(first.properties.application, application);

    wire.cut();
    for number in 2..=40 {
        leaf.publish("devices/leaf/messages/events/", &number.to_string()).await;
    }
    assert_eq!(bodies(&parent).await, ["1"], "nothing gets through a wire that is cut");
    drop(leaf);
    edge_hub.stop().await;
    let edge_hub = edge(&parent, wire.address, Dialect::Nested, edge_folder).await;
    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    leaf.publish("devices/leaf/messages/events/", "41").await;
    wire.mend();
    while arrives(&mut notices).await.body != "41" {}
    let mut seen = std::collections::BTreeSet::new();
    let firsts: Vec<String> =
        bodies(&parent).await.into_iter().filter(|body| seen.insert(body.clone())).collect();
    let expected: Vec<String> = (1..=41).map(|number| number.to_string()).collect();
    assert_eq!(firsts, expected);
    until("the queue to empty", || edge_hub.handle.counters().upstream_waiting == 0).await;
    drop(leaf);
    edge_hub.stop().await;
    parent.stop().await;
}

pub(crate) async fn desire(world: &World, client: &str, desired: serde_json::Value) {
    let serde_json::Value::Object(desired) = desired else { panic!("an object") };
    let client = client.parse().unwrap();
    let operation =
        ServiceRequest::PatchTwin { client, tags: None, desired: Some(desired), if_match: IfMatch::Any };
    world.handle.call(operation).await.unwrap();
}

#[tokio::test]
async fn a_plain_hub_gets_messages_of_the_edge_hub_that_say_whose_they_are() {
    let parent = World::new().await;
    family(&parent).await;
    let mut notices = parent.handle.notices();
    let edge_hub = edge(&parent, parent.mqtt(), Dialect::Plain, folder()).await;
    // What the parent does not know is no matter here.
    add(&edge_hub, "edge-1", true, None, 1).await;
    add(&edge_hub, "stranger", false, None, 3).await;
    let mut leaf = edge_hub.connect("stranger", &key(3)).in_now().await;
    leaf.publish("devices/stranger/messages/events/a=b", "1").await;
    // At the parent `$edgeHub` is a module of an edge device, whose routes decide there; without routes nothing is kept.
    until("an acknowledgement", || edge_hub.handle.counters().upstream_acknowledged == 1).await;
    let routes =
        serde_json::json!({"schemaVersion": "1.1", "routes": {"up": "FROM /messages/* INTO $upstream"}});
    desire(&parent, "edge-1/$edgeHub", routes).await;
    leaf.publish("devices/stranger/messages/events/a=b", "2").await;
    let message = arrives(&mut notices).await;
    assert_eq!(message.sender.to_string(), "edge-1/$edgeHub");
    let properties = message.properties.application.iter();
    let properties: Vec<_> = properties.map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(properties, [("a", Some("b")), ("hemline-device", Some("stranger"))]);
    drop(leaf);
    edge_hub.stop().await;
    parent.stop().await;
}

#[tokio::test]
async fn nobody_but_the_hub_of_an_edge_device_speaks_the_nested_dialect() {
    let parent = World::new().await;
    family(&parent).await;
    let module = parent.module("edge-1/camera").await;
    for (id, key) in [("leaf", key(2)), ("edge-1", key(1)), ("edge-1/camera", module)] {
        let client = parent.connect(id, &key).in_now().await;
        client
            .mqtt
            .publish("$iothub/leaf/messages/events/", rumqttc::QoS::AtLeastOnce, false, "x")
            .await
            .unwrap();
        client.closed().await;
    }
    // The hub of the edge device may, and hears what is refused.
    let mut hub = parent.connect("edge-1/$edgeHub", &key(1)).in_now().await;
    assert_eq!(hub.publish("$iothub/leaf/messages/events/", "x").await.len(), 0);
    let before = hub.publish("$iothub/nobody/messages/events/", "x").await;
    let topics: Vec<&str> = before.iter().map(|publish| publish.topic.as_str()).collect();
    assert_eq!(topics, ["$iothub/nobody/messages/refused/"]);
    assert_eq!(bodies(&parent).await, ["x"]);
    drop(hub);
    parent.stop().await;
}

#[tokio::test]
async fn a_parent_that_refuses_is_not_hammered_and_the_edge_goes_on() {
    let parent = World::new().await;
    add(&parent, "edge-1", true, None, 9).await;
    let edge_hub = edge(&parent, parent.mqtt(), Dialect::Nested, folder()).await;
    family(&edge_hub).await;
    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    leaf.publish("devices/leaf/messages/events/", "1").await;
    until("the parent to refuse", || !parent.handle.counters().refusals.is_empty()).await;
    assert_eq!(edge_hub.handle.counters().links, 0);
    drop(leaf);
    edge_hub.stop().await;
    parent.stop().await;
}

/// Twins, methods and messages to devices, through both hubs and over real sockets.
#[tokio::test]
async fn the_parent_reaches_a_leaf_device_and_hears_of_it() {
    let parent = World::new().await;
    family(&parent).await;
    let routes =
        serde_json::json!({"schemaVersion": "1.1", "routes": {"up": "FROM /messages/* INTO $upstream"}});
    desire(&parent, "edge-1/$edgeHub", routes).await;
    let edge_hub = edge(&parent, parent.mqtt(), Dialect::Nested, folder()).await;
    family_known(&edge_hub).await;
    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    for filter in [
        "$iothub/twin/PATCH/properties/desired/#",
        "$iothub/methods/POST/#",
        "devices/leaf/messages/devicebound/#",
    ] {
        leaf.subscribe(filter).await;
    }

    desire(&parent, "leaf", serde_json::json!({"pace": 5})).await;
    let patch = leaf.message().await;
    assert_eq!(patch.topic, "$iothub/twin/PATCH/properties/desired/?$version=2");

    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", r#"{"pace": 5}"#).await;
    eventually(SOON, "the report at the parent", || async {
        let twin = parent.handle.call(ServiceRequest::GetTwin("leaf".parse().unwrap())).await;
        let Ok(ServiceReply::Twin { document, .. }) = twin else { return None };
        (document.pointer("/properties/reported/pace")? == 5).then_some(())
    })
    .await;

    let call = parent.handle.clone();
    let call = tokio::spawn(async move {
        call.call(ServiceRequest::InvokeMethod {
            client: "leaf".parse().unwrap(),
            name: "reboot".into(),
            payload: Some(serde_json::json!({"delay": 3})),
            response_timeout: 20,
            connect_timeout: 0,
        })
        .await
    });
    let called = loop {
        let message = leaf.message().await;
        if message.topic.starts_with("$iothub/methods/") {
            break message;
        }
    };
    assert_eq!(&called.payload[..], br#"{"delay":3}"#);
    let rid = called.topic.split_once("$rid=").unwrap().1.to_owned();
    leaf.publish(&format!("$iothub/methods/res/201/?$rid={rid}"), r#"{"done":true}"#).await;
    let answer = within(SOON, "the answer", call).await.unwrap().unwrap();
    let expected = ServiceReply::Method { status: 201, payload: serde_json::json!({"done": true}) };
    assert_eq!(answer, expected);

    let mut properties = Box::new(hemline_protocol::properties::Properties::default());
    properties.system.message_id = Some("m-1".into());
    properties.system.ack = Some("full".into());
    properties.application.push(("kind".into(), Some("first day".into())));
    let device = DeviceId::new("leaf").unwrap();
    let send = ServiceRequest::SendCloudToDevice { device, properties, body: "turn left".into() };
    parent.handle.call(send).await.unwrap();
    let message = leaf.message().await;
    assert_eq!(&message.payload[..], b"turn left");
    assert!(
        message.topic.contains("%24.mid=m-1") && message.topic.contains("kind=first%20day"),
        "{}",
        message.topic
    );
    eventually(SOON, "feedback", || async {
        let reply = parent.handle.call(ServiceRequest::ReceiveFeedback).await;
        let Ok(ServiceReply::Feedback(Some(batch))) = reply else { return None };
        (batch.records[0].message_id == "m-1").then_some(())
    })
    .await;
    drop(leaf);
    edge_hub.stop().await;
    parent.stop().await;
}

/// User-defined topics between two hubs over real sockets, and what waits for the wire on either side.
#[tokio::test]
async fn topics_cross_a_bridge_and_wait_for_the_wire() {
    let parent = World::new().await;
    family(&parent).await;
    let camera_key = parent.module("edge-1/camera").await;
    let wire = Wire::to(parent.mqtt()).await;
    let all = serde_json::json!({
        "operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"],
        "resources": ["#"],
    });
    let settings = serde_json::json!([
        {"direction": "out", "topic": "alerts/#", "inPrefix": "local/", "outPrefix": "site/"},
        {"direction": "in", "topic": "cmd/#"},
    ]);
    let desired = serde_json::json!({
        "schemaVersion": "1.2",
        "routes": {"up": "FROM /messages/* INTO $upstream"},
        "mqttBroker": {
            "authorizations": [{"identities": ["{{iot:identity}}"], "allow": [all]}],
            "bridges": [{"endpoint": "$upstream", "settings": settings}],
        },
    });
    desire(&parent, "edge-1/$edgeHub", desired).await;
    let edge_folder = folder();
    let edge_hub = edge(&parent, wire.address, Dialect::Nested, edge_folder.clone()).await;
    family_known(&edge_hub).await;
    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    leaf.subscribe("cmd/#").await;
    // A module that is not at the edge: it meets the bridge at the parent.
    let mut camera = parent.connect("edge-1/camera", &camera_key).in_now().await;
    camera.subscribe("site/#").await;
    leaf.publish("local/alerts/fire", "1").await;
    let got = camera.message().await;
    assert_eq!((got.topic.as_str(), &got.payload[..]), ("site/alerts/fire", &b"1"[..]));
    // What the bridge wants was asked for on the same connection, before that message.
    camera.publish("cmd/first", "go").await;
    assert_eq!(leaf.message().await.topic, "cmd/first");

    wire.cut();
    for number in 2..=5 {
        leaf.publish("local/alerts/fire", &number.to_string()).await;
    }
    camera.publish("cmd/later", "1").await;
    camera.publish("cmd/later", "2").await;
    drop(leaf);
    edge_hub.stop().await;
    let edge_hub = edge(&parent, wire.address, Dialect::Nested, edge_folder).await;
    let mut leaf = edge_hub.connect("leaf", &key(2)).in_now().await;
    leaf.subscribe("cmd/#").await;
    wire.mend();
    for number in 2..=5 {
        assert_eq!(camera.message().await.payload, number.to_string());
    }
    for expected in ["1", "2"] {
        let got = leaf.message().await;
        assert_eq!((got.topic.as_str(), &got.payload[..]), ("cmd/later", expected.as_bytes()));
    }
    drop((leaf, camera));
    edge_hub.stop().await;
    parent.stop().await;
}
