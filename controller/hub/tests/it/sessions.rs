//! MQTT clients that behave: messages, twins, methods, inputs, sessions that outlive everything.

use hemline_hub_core::{
    effect::Notice,
    message::Sequence,
    service::{IfMatch, ServiceReply, ServiceRequest},
};
use hemline_testkit::within;
use rumqttc::{ConnectReturnCode, Packet, QoS};
use serde_json::{Value, json};

use super::world::{SOON, World, client_resource, token};

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn wrong_keys_are_refused_for_good() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let other = world.device("other", false).await;
    for (id, password) in [
        ("d", token(&client_resource("d"), &other, None)),
        ("d", token(&client_resource("other"), &other, None)),
        ("nobody", token(&client_resource("nobody"), &key, None)),
        ("d", "not a token".into()),
    ] {
        let mut client = world.connect_with(id, &password, false);
        assert_eq!(client.connected().await, (ConnectReturnCode::NotAuthorized, false), "{id}");
    }
    assert_eq!(world.handle.head_statistics().connects_refused, 4);
    assert_eq!(world.handle.counters().refusals.values().sum::<u64>(), 4);
    world.stop().await;
}

#[tokio::test]
async fn a_message_is_on_disk_before_its_acknowledgement() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut notices = world.handle.notices();
    let mut client = world.connect("d", &key).in_now().await;
    client
        .publish("devices/d/messages/events/%24.mid=m1&%24.ct=application%2Fjson&k=v%20w", "{\"t\":1}")
        .await;
    // What is on disk now must hold it: look at the files as a killed process would leave them.
    let copy = tempfile::tempdir().unwrap();
    for name in ["hub.sqlite", "hub.sqlite-wal"] {
        std::fs::copy(world.path().join(name), copy.path().join(name)).unwrap();
    }
    let store = hemline_hub::store::SqliteStore::open(&copy.path().join("hub.sqlite")).unwrap();
    let kept = hemline_hub::store::Store::events(&store, Sequence(0), 10).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((text(&kept[0].body), kept[0].sender.to_string()), ("{\"t\":1}".into(), "d".into()));
    assert_eq!(kept[0].properties.system.message_id.as_deref(), Some("m1"));
    assert_eq!(kept[0].properties.application, [("k".to_owned(), Some("v w".to_owned()))]);
    assert_eq!(world.handle.read_events(Sequence(0), 10).await.unwrap(), kept);
    assert!(world.handle.read_events(kept[0].sequence, 10).await.unwrap().is_empty());
    let told = async {
        loop {
            if let Notice::Message(message) = notices.recv().await.unwrap() {
                return message;
            }
        }
    };
    assert_eq!(within(SOON, "the notice", told).await, kept[0]);
    world.stop().await;
}

#[tokio::test]
async fn the_largest_message_fits_and_a_larger_one_does_not() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key).in_now().await;
    let largest = "x".repeat(256 << 10);
    client.publish("devices/d/messages/events/", &largest[..(255 << 10)]).await;
    client
        .mqtt
        .publish("devices/d/messages/events/", QoS::AtLeastOnce, false, "x".repeat(330 << 10))
        .await
        .unwrap();
    client.closed().await;
    assert_eq!(world.handle.read_events(Sequence(0), 10).await.unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn twins_both_ways() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key).in_now().await;
    // The answer comes without a subscription and before the acknowledgement (reference device-protocol §5.2).
    let before = client.publish("$iothub/twin/GET/?$rid=a%20b", " ").await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].topic, "$iothub/twin/res/200/?$rid=a%20b");
    assert_eq!(serde_json::from_slice::<Value>(&before[0].payload).unwrap()["desired"]["$version"], 1);
    client.subscribe("$iothub/twin/PATCH/properties/desired/#").await;
    let answered = client.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", "{\"fw\":\"1\"}").await;
    assert_eq!(answered[0].topic, "$iothub/twin/res/204/?$rid=2&$version=2");
    let desired = json!({"interval": 5}).as_object().cloned();
    let patch = ServiceRequest::PatchTwin {
        client: "d".parse().unwrap(),
        tags: None,
        desired,
        if_match: IfMatch::Absent,
    };
    world.handle.call(patch).await.unwrap();
    let patch = client.message().await;
    assert_eq!(patch.topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(
        serde_json::from_slice::<Value>(&patch.payload).unwrap(),
        json!({"interval": 5, "$version": 2})
    );
    let twin = world.handle.call(ServiceRequest::GetTwin("d".parse().unwrap())).await.unwrap();
    let ServiceReply::Twin { document, .. } = twin else { panic!("{twin:?}") };
    assert_eq!(document["properties"]["reported"]["fw"], "1");
    world.stop().await;
}

#[tokio::test]
async fn subscriptions_and_twins_survive_a_restart() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key);
    assert_eq!(client.connected().await, (ConnectReturnCode::Success, false));
    client.subscribe("$iothub/methods/POST/#").await;
    client.subscribe("my/own/topic").await;
    client.publish("devices/d/messages/events/", "one").await;
    let folder = world.stop().await;
    client.closed().await;

    let world = World::on(folder).await;
    let mut client = world.connect("d", &key);
    assert_eq!(client.connected().await, (ConnectReturnCode::Success, true), "the session was stored");
    client.publish("devices/d/messages/events/", "two").await;
    let kept = world.handle.read_events(Sequence(0), 10).await.unwrap();
    assert_eq!(kept.iter().map(|message| text(&message.body)).collect::<Vec<_>>(), ["one", "two"]);
    assert!(kept[0].sequence < kept[1].sequence);
    let call = tokio::spawn({
        let handle = world.handle.clone();
        async move { handle.call(method("d")).await }
    });
    let request = client.message().await;
    assert!(request.topic.starts_with("$iothub/methods/POST/reboot/?$rid="), "without subscribing again");
    answer_method(&mut client, &request.topic).await;
    let reply = within(SOON, "the method", call).await.unwrap().unwrap();
    assert_eq!(reply, ServiceReply::Method { status: 200, payload: json!({"done": true}) });

    // A clean session forgets.
    client.mqtt.disconnect().await.unwrap();
    client.closed().await;
    let password = token(&client_resource("d"), &key, None);
    let mut client = world.connect_with("d", &password, true);
    assert_eq!(client.connected().await, (ConnectReturnCode::Success, false));
    client.vanish().await;
    let mut client = world.connect("d", &key);
    client.connected().await;
    assert!(world.handle.call(method("d")).await.is_err(), "nobody listens for methods");
    world.stop().await;
}

fn method(client: &str) -> ServiceRequest {
    ServiceRequest::InvokeMethod {
        client: client.parse().unwrap(),
        name: "reboot".into(),
        payload: Some(json!({"delay": 1})),
        response_timeout: 10,
        connect_timeout: 0,
    }
}

async fn answer_method(client: &mut super::world::Client, topic: &str) {
    let rid = topic.split_once("?$rid=").unwrap().1;
    client.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "{\"done\":true}").await;
}

#[tokio::test]
async fn a_newer_connection_takes_over() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut first = world.connect("d", &key).in_now().await;
    first.publish("devices/d/messages/events/", "one").await;
    let mut second = world.connect("d", &key).in_now().await;
    first.closed().await;
    second.publish("devices/d/messages/events/", "two").await;
    assert_eq!(world.handle.counters().take_overs, 1);
    // A device and its module are different identities.
    let module_key = world.module("d/m").await;
    let mut module = world.connect("d/m", &module_key).in_now().await;
    module.publish("devices/d/modules/m/messages/events/", "three").await;
    second.publish("devices/d/messages/events/", "four").await;
    world.stop().await;
}

#[tokio::test]
async fn disabling_and_deleting_closes() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let client = world.connect("d", &key).in_now().await;
    let delete = ServiceRequest::DeleteIdentity { client: "d".parse().unwrap(), if_match: IfMatch::Absent };
    world.handle.call(delete).await.unwrap();
    client.closed().await;
    let mut again = world.connect("d", &key);
    assert_eq!(again.connected().await.0, ConnectReturnCode::NotAuthorized);
    world.stop().await;
}

#[tokio::test]
async fn module_outputs_reach_inputs_and_wait_for_them() {
    let world = World::new().await;
    world.device("edge", true).await;
    let sender_key = world.module("edge/sender").await;
    let receiver_key = world.module("edge/receiver").await;
    let routes = json!({
        "schemaVersion": "1.1",
        "routes": {
            "local": {"route": "FROM /messages/modules/sender/outputs/out INTO BrokeredEndpoint(\"/modules/receiver/inputs/in\")"},
            "cloud": {"route": "FROM /messages/modules/sender/outputs/up INTO $upstream"},
        },
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    });
    let patch = ServiceRequest::PatchTwin {
        client: "edge/$edgeHub".parse().unwrap(),
        tags: None,
        desired: routes.as_object().cloned(),
        if_match: IfMatch::Absent,
    };
    world.handle.call(patch).await.unwrap();
    let mut receiver = world.connect("edge/receiver", &receiver_key).in_now().await;
    receiver.subscribe("devices/edge/modules/receiver/inputs/#").await;
    let mut sender = world.connect("edge/sender", &sender_key).in_now().await;
    sender.publish("devices/edge/modules/sender/messages/events/%24.on=out&k=v", "direct").await;
    let got = receiver.message().await;
    assert!(got.topic.starts_with("devices/edge/modules/receiver/inputs/in/%24.to="), "{}", got.topic);
    assert!(got.topic.contains("%24.cmid=sender") && got.topic.contains("k=v"), "{}", got.topic);
    assert_eq!((text(&got.payload), got.qos), ("direct".into(), QoS::AtLeastOnce));
    sender.publish("devices/edge/modules/sender/messages/events/%24.on=up", "cloud").await;
    let logged = world.handle.read_events(Sequence(0), 10).await.unwrap();
    assert_eq!(logged.iter().map(|message| text(&message.body)).collect::<Vec<_>>(), ["cloud"]);

    // What comes while the receiver is away waits, also through a restart of the hub.
    receiver.mqtt.disconnect().await.unwrap();
    receiver.closed().await;
    sender.publish("devices/edge/modules/sender/messages/events/%24.on=out", "waited").await;
    let folder = world.stop().await;
    let world = World::on(folder).await;
    let mut receiver = world.connect("edge/receiver", &receiver_key);
    assert_eq!(receiver.connected().await, (ConnectReturnCode::Success, true));
    assert_eq!(text(&receiver.message().await.payload), "waited");
    world.stop().await;
}

#[tokio::test]
async fn the_agent_of_a_device_may_use_the_key_of_the_device() {
    let world = World::new().await;
    let key = world.device("edge", true).await;
    let password = token(&client_resource("edge"), &key, None);
    let agent = world.connect_with("edge/$edgeAgent", &password, false).in_now().await;
    agent.mqtt.disconnect().await.unwrap();
    agent.closed().await;
    world.stop().await;
}

#[tokio::test]
async fn pings_and_unsubscribes() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key).in_now().await;
    client.subscribe("$iothub/methods/POST/#").await;
    client.mqtt.unsubscribe("$iothub/methods/POST/#").await.unwrap();
    assert!(matches!(client.next().await, Some(Packet::UnsubAck(_))));
    assert!(world.handle.call(method("d")).await.is_err());
    client.vanish().await;
    world.stop().await;
}
