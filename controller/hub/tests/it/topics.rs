//! User-defined topics over real connections: what MQTT says of a grant, a refusal, a retained message and a denial.

use hemline_hub_core::service::{IfMatch, ServiceRequest};
use rumqttc::{Packet, QoS, SubscribeReasonCode};
use serde_json::json;

use super::world::{Client, World};

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// An edge device `d` whose modules may do everything below `t`, and what they may not.
async fn world() -> (World, [String; 3]) {
    let world = World::new().await;
    world.device("d", true).await;
    let keys = [world.module("d/a").await, world.module("d/b").await, world.module("d/c").await];
    let all = json!({"operations": ["mqtt:connect", "mqtt:publish", "mqtt:subscribe"], "resources": ["t/#"]});
    let desired = json!({
        "schemaVersion": "1.2",
        "mqttBroker": {"authorizations": [{"identities": ["{{iot:identity}}"], "allow": [all]}]},
    });
    let patch = ServiceRequest::PatchTwin {
        client: "d/$edgeHub".parse().unwrap(),
        tags: None,
        desired: desired.as_object().cloned(),
        if_match: IfMatch::Absent,
    };
    world.handle.call(patch).await.unwrap();
    (world, keys)
}

async fn subscribe(client: &mut Client, filter: &str, qos: QoS) -> SubscribeReasonCode {
    client.mqtt.subscribe(filter, qos).await.unwrap();
    match client.next().await {
        Some(Packet::SubAck(ack)) => ack.return_codes[0],
        other => panic!("no SUBACK but {other:?}"),
    }
}

#[tokio::test]
async fn grants_refusals_and_marks() {
    let (world, [a, b, c]) = world().await;
    let mut a = world.connect("d/a", &a).in_now().await;
    assert_eq!(
        subscribe(&mut a, "t/+", QoS::ExactlyOnce).await,
        SubscribeReasonCode::Success(QoS::AtLeastOnce)
    );
    assert_eq!(subscribe(&mut a, "u/+", QoS::AtMostOnce).await, SubscribeReasonCode::Failure);
    assert_eq!(
        subscribe(&mut a, "$iothub/#", QoS::AtMostOnce).await,
        SubscribeReasonCode::Success(QoS::AtMostOnce)
    );
    let mut b = world.connect("d/b", &b).in_now().await;
    b.mqtt.publish("t/x", QoS::AtLeastOnce, true, "kept").await.unwrap();
    assert!(matches!(b.next().await, Some(Packet::PubAck(_))));
    let got = a.message().await;
    assert_eq!(
        (got.topic.as_str(), text(&got.payload), got.retain, got.qos),
        ("t/x", "kept".into(), false, QoS::AtLeastOnce)
    );
    b.mqtt.publish("t/x", QoS::AtMostOnce, false, "passing").await.unwrap();
    let got = a.message().await;
    assert_eq!((text(&got.payload), got.qos), ("passing".into(), QoS::AtMostOnce));
    let mut c = world.connect("d/c", &c).in_now().await;
    assert_eq!(
        subscribe(&mut c, "t/#", QoS::AtMostOnce).await,
        SubscribeReasonCode::Success(QoS::AtMostOnce)
    );
    let got = c.message().await;
    assert_eq!(
        (got.topic.as_str(), text(&got.payload), got.retain, got.qos),
        ("t/x", "kept".into(), true, QoS::AtMostOnce)
    );
    // Telemetry goes on beside it, in the spelling of IoT Edge 1.2 too; a denied topic ends it without a PUBACK.
    b.publish("devices/d/b/messages/events/", "telemetry").await;
    b.mqtt.publish("u/x", QoS::AtLeastOnce, false, "no").await.unwrap();
    assert_eq!(b.next().await, None);
    assert_eq!(world.handle.head_statistics().protocol_errors, 1);
    world.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_session_comes_after_a_restart() {
    let (world, [a, b, _]) = world().await;
    let mut reader = world.connect_mute("d/a", &a).in_now().await;
    subscribe(&mut reader, "t/#", QoS::AtLeastOnce).await;
    let mut writer = world.connect("d/b", &b).in_now().await;
    writer.publish("t/1", "seen").await;
    assert_eq!(text(&reader.message().await.payload), "seen");
    reader.vanish().await;
    writer.publish("t/2", "waits").await;
    let folder = world.stop().await;
    let world = World::on(folder).await;
    let mut reader = world.connect("d/a", &a);
    assert!(reader.connected().await.1, "the session was stored");
    let got = [reader.message().await, reader.message().await];
    assert_eq!(
        got.map(|publish| text(&publish.payload)),
        ["seen", "waits"],
        "the first was not acknowledged"
    );
    world.stop().await;
}
