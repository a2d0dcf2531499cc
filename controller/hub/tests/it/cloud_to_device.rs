//! Cloud-to-device messages and telemetry on the wire: MQTT topics, HTTPS headers and codes, across restarts.

use hemline_hub_core::service::{ServiceReply, ServiceRequest};
use rumqttc::QoS;
use serde_json::{Value, json};

use super::world::{Answer, Client, Rest, World, client_resource, token};

const VERSION: &str = "api-version=2021-04-12";

/// The device's own calls.
fn as_device(world: &World, id: &str, key: &str) -> Rest {
    world.rest_with(token(&client_resource(id), key, None))
}

async fn command(service: &Rest, device: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/devices/{device}/messages/deviceBound?{VERSION}");
    service.send_text("POST", &path, headers, Some(body.to_owned())).await
}

async fn next(client: &mut Client) -> (String, String, bool, QoS) {
    let message = client.message().await;
    (message.topic, String::from_utf8(message.payload.to_vec()).unwrap(), message.dup, message.qos)
}

/// The bag without the expiry, which differs from run to run.
fn without_expiry(topic: &str) -> String {
    let kept = topic.split('&').filter(|pair| !pair.starts_with("%24.exp="));
    kept.collect::<Vec<_>>().join("&")
}

async fn feedback(service: &Rest) -> Vec<String> {
    let batch = service.get("/messages/serviceBound/feedback").await;
    if batch.status == 204 {
        return Vec::new();
    }
    let lock = batch.header("etag").unwrap().trim_matches('"').to_owned();
    let path = format!("/messages/serviceBound/feedback/{lock}?{VERSION}");
    assert_eq!(service.send("DELETE", &path, &[], None).await.status, 204);
    let field = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let told =
        |record: &Value| format!("{} {}", field(record, "originalMessageId"), field(record, "statusCode"));
    batch.json().as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn over_mqtt_across_a_reconnect_and_a_restart() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let service = world.rest("service").await;
    let headers = [
        ("iothub-messageid", "m1"),
        ("iothub-correlationid", "c/1"),
        ("iothub-ack", "full"),
        ("iothub-contenttype", "text/plain"),
        ("content-encoding", "utf-8"),
        ("iothub-app-kind", "a b+c/d"),
    ];
    assert_eq!(command(&service, "d", &headers, "one").await.status, 204);
    let mut client = world.connect("d", &key).in_now().await;
    client.mqtt.subscribe("devices/d/messages/devicebound/#", QoS::AtLeastOnce).await.unwrap();
    let (topic, body, duplicate, qos) = next_after_suback(&mut client).await;
    assert_eq!((body.as_str(), duplicate, qos), ("one", false, QoS::AtLeastOnce));
    insta::assert_snapshot!("topic", without_expiry(&topic));
    assert!(topic.contains("&%24.exp=20"), "{topic}");
    // The library acknowledges by itself; the next message proves that the hub has heard it.
    command(&service, "d", &[("iothub-messageid", "m2")], "").await;
    assert_eq!(next(&mut client).await.1, "", "an empty body arrives");
    client.vanish().await;
    command(&service, "d", &[("iothub-messageid", "m3"), ("iothub-ack", "positive")], "three").await;
    let folder = world.stop().await;
    let world = World::on(folder).await;
    let service = world.rest("service").await;
    let mut client = world.connect("d", &key);
    let (_, present) = client.connected().await;
    assert!(present, "the session outlived the hub");
    loop {
        let (_, body, ..) = next(&mut client).await;
        // The acknowledgement of the empty one may have been lost with its connection.
        if body == "three" {
            break;
        }
        assert_eq!(body, "");
    }
    let mut told = Vec::new();
    let waited = hemline_testkit::within(super::world::SOON, "both outcomes", async {
        while told.len() < 2 {
            told.extend(feedback(&service).await);
        }
    });
    waited.await;
    assert_eq!(told, ["m1 Success", "m3 Success"]);
    let twin = service.get("/twins/d").await.json();
    assert_eq!(twin["cloudToDeviceMessageCount"], 0);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_says_so() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let service = world.rest("service").await;
    let mut client = world.connect_mute("d", &key).in_now().await;
    client.subscribe("devices/d/messages/devicebound/#").await;
    for body in ["one", "two", "three"] {
        assert_eq!(command(&service, "d", &[], body).await.status, 204);
    }
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(client.message().await);
    }
    assert!(got.iter().all(|message| !message.dup && message.qos == QoS::AtLeastOnce));
    // Only the second one.
    client.mqtt.ack(&got[1]).await.unwrap();
    client.publish("devices/d/messages/events/", "the acknowledgement came before this").await;
    client.vanish().await;
    let mut client = world.connect("d", &key).in_now().await;
    let again = [next(&mut client).await, next(&mut client).await];
    assert_eq!(
        again.map(|(_, body, duplicate, _)| (body, duplicate)),
        [("one".into(), true), ("three".into(), true)]
    );
    // Without a subscription nothing is sent, and nothing is lost.
    client.mqtt.unsubscribe("devices/d/messages/devicebound/#").await.unwrap();
    assert!(matches!(client.next().await, Some(rumqttc::Packet::UnsubAck(_))));
    command(&service, "d", &[], "four").await;
    client.publish("devices/d/messages/events/", "nothing before this").await;
    client.mqtt.subscribe("devices/+/messages/devicebound/#", QoS::AtMostOnce).await.unwrap();
    let (_, body, duplicate, qos) = next_after_suback(&mut client).await;
    assert_eq!((body.as_str(), duplicate, qos), ("four", false, QoS::AtMostOnce));
    assert_eq!(service.get("/twins/d").await.json()["cloudToDeviceMessageCount"], 0);
}

/// Messages may come before or after the SUBACK.
async fn next_after_suback(client: &mut Client) -> (String, String, bool, QoS) {
    loop {
        match client.next().await {
            Some(rumqttc::Packet::Publish(message)) => {
                let body = String::from_utf8(message.payload.to_vec()).unwrap();
                return (message.topic, body, message.dup, message.qos);
            }
            Some(rumqttc::Packet::SubAck(_)) => {}
            other => panic!("no PUBLISH but {other:?}"),
        }
    }
}

#[tokio::test]
async fn over_https() {
    let world = World::new().await;
    let key = world.device("d+1", false).await;
    let service = world.rest("service").await;
    let device = as_device(&world, "d+1", &key);
    let own = format!("/devices/d%2B1/messages/deviceBound?{VERSION}");
    let mut told = Vec::new();
    let mut tell = |what: &str, answer: &Answer| told.push(format!("{what}: {}", answer.told()));

    tell("nothing waits", &device.send("GET", &own, &[], None).await);
    let headers = [("iothub-messageid", "m1"), ("iothub-ack", "full"), ("iothub-app-k", "v w")];
    tell("sent", &command(&service, "d%2B1", &headers, "hello").await);
    let got = device.send("GET", &own, &[], None).await;
    assert_eq!((got.status, got.body.as_str()), (200, "hello"));
    for (name, value) in [
        ("iothub-messageid", "m1"),
        ("iothub-ack", "full"),
        ("iothub-app-k", "v w"),
        ("iothub-to", "/devices/d+1/messages/devicebound"),
        ("iothub-deliverycount", "0"),
        ("iothub-sequencenumber", "1"),
    ] {
        assert_eq!(got.all_headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(got.all_headers["iothub-expiry"].ends_with('Z'));
    let lock = got.header("etag").unwrap();
    assert!(lock.starts_with('"') && lock.ends_with('"') && lock.len() == 38, "{lock}");
    let lock = lock.trim_matches('"').to_owned();
    let held = |rest: &str| format!("/devices/d%2B1/messages/devicebound/{lock}{rest}");
    tell("held by somebody", &device.send("GET", &own, &[], None).await);
    let abandon = held(&format!("/abandon?{VERSION}"));
    tell("abandoned", &device.send("POST", &abandon, &[], None).await);
    tell("abandoned again", &device.send("POST", &abandon, &[], None).await);
    tell("no token at all", &device.send("DELETE", &own.replace("?", "/x?"), &[], None).await);
    let again = device.send("GET", &own, &[], None).await;
    assert_eq!(again.all_headers["iothub-deliverycount"], "1");
    let lock = again.header("etag").unwrap().trim_matches('"').to_owned();
    let path = format!("/devices/d%2B1/messages/deviceBound/{lock}?{VERSION}&reject");
    tell("rejected", &device.send("DELETE", &path, &[], None).await);
    tell("feedback", &service.get("/messages/serviceBound/feedback").await);
    tell("feedback is held", &service.get("/messages/serviceBound/feedback").await);

    for _ in 0..3 {
        command(&service, "d%2B1", &[], "x").await;
    }
    let one = device.send("GET", &own, &[], None).await;
    let lock = one.header("etag").unwrap().trim_matches('"').to_owned();
    let purge = format!("/devices/d%2B1/commands?{VERSION}");
    tell("purge with a device's token", &device.send("DELETE", &purge, &[], None).await);
    tell("purged", &service.send("DELETE", &purge, &[], None).await);
    let path = format!("/devices/d%2B1/messages/devicebound/{lock}?{VERSION}");
    tell("completed after the purge", &device.send("DELETE", &path, &[], None).await);
    tell("nobody", &command(&service, "nobody", &[], "x").await);
    tell("wrong ack", &command(&service, "d%2B1", &[("iothub-ack", "perhaps")], "x").await);
    let past = [("iothub-expiry", "2001-01-01T00:00:00Z")];
    tell("past", &command(&service, "d%2B1", &past, "x").await);
    tell("large", &command(&service, "d%2B1", &[], &"x".repeat(65_537)).await);
    for _ in 0..50 {
        assert_eq!(command(&service, "d%2B1", &[], "x").await.status, 204);
    }
    tell("full", &command(&service, "d%2B1", &[], "x").await);
    tell("with a device's token", &command(&device, "d%2B1", &[], "x").await);
    tell("with a service's token", &service.send("GET", &own, &[], None).await);
    tell("wrong verb", &device.send("PUT", &own, &[], None).await);
    assert_eq!(device.send("HEAD", &own, &[], None).await.status, 405, "it would lock a message unseen");
    let purged = service.send("DELETE", &purge, &[], None).await.json();
    assert_eq!(purged["totalMessagesPurged"], 50);
    tell("id encoded twice", &command(&service, "d%252B1", &[], "x").await);
    assert_eq!(device.send("GET", &own, &[], None).await.status, 200);
    insta::assert_snapshot!(told.join("\n\n"));
}

#[tokio::test]
async fn telemetry_over_https() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let module_key = world.module("d/m").await;
    let device = as_device(&world, "d", &key);
    let module = as_device(&world, "d/m", &module_key);
    let path = format!("/devices/d/messages/events?{VERSION}");
    let headers = [
        ("iothub-to", "/devices/d/messages/events"),
        ("iothub-messageid", "m1"),
        ("iothub-app-Kind", "first day"),
        ("iothub-contenttype", "application/json"),
    ];
    let sent = device.send_text("POST", &path, &headers, Some("{}".into())).await;
    assert_eq!((sent.status, sent.body.as_str()), (204, ""));
    let batch = json!([
        {"body": "aGk=", "properties": {"iothub-app-n": "1"}},
        {"body": "text", "base64Encoded": false},
    ]);
    let kind = [("content-type", "application/vnd.microsoft.iothub.json")];
    assert_eq!(device.send("POST", &path, &kind, Some(batch)).await.status, 204);
    // Chunked, as Node sends it, and at the path of a module.
    let inner = format!("/devices/d/modules/m/messages/events?{VERSION}");
    assert_eq!(module.send_chunks(&inner, &["ab", "", "cd"]).await.status, 204);
    let limit = 256 << 10;
    for (what, rest, path, size, status) in [
        ("as large as allowed", &device, &path, limit, 204),
        ("one byte more", &device, &path, limit + 1, 413),
        ("more than is read", &device, &path, 600 << 10, 413),
        ("for another identity", &module, &path, 1, 401),
        ("a device for its module", &device, &inner, 1, 204),
    ] {
        let sent = rest.send_text("POST", path, &[], Some("x".repeat(size))).await;
        assert_eq!(sent.status, status, "{what}: {}", sent.body);
    }
    let wrong = device.send_text("POST", &path, &kind, Some("no batch".into())).await;
    assert_eq!((wrong.status, wrong.header("iothub-errorcode")), (400, Some("IotHubFormatError")));
    let events = world.handle.read_events(hemline_hub_core::message::Sequence(0), 100).await.unwrap();
    let told: Vec<String> = events
        .iter()
        .map(|message| {
            let body = if message.body.len() > 99 { "large".into() } else { message.body.clone() };
            let system = serde_json::to_string(&message.properties.system).unwrap();
            format!(
                "{} {:?} {body:?} {system} {:?}",
                message.sender, message.auth, message.properties.application
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// A device that asks over HTTPS and listens over MQTT at the same time gets each message once.
#[tokio::test]
async fn both_ways_at_once() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let device = as_device(&world, "d", &key);
    let (properties, body, to) = (Box::default(), "x".into(), "d".parse().unwrap());
    let sent = world.handle.call(ServiceRequest::SendCloudToDevice { device: to, properties, body }).await;
    assert!(matches!(sent, Ok(ServiceReply::Sent { .. })), "{sent:?}");
    let own = format!("/devices/d/messages/devicebound?{VERSION}");
    let got = device.send("GET", &own, &[], None).await;
    let lock = got.header("etag").unwrap().trim_matches('"').to_owned();
    let mut client = world.connect("d", &key).in_now().await;
    client.subscribe("devices/d/messages/devicebound/#").await;
    // Given back over HTTPS, it goes to the listener.
    let path = format!("/devices/d/messages/devicebound/{lock}/abandon?{VERSION}");
    assert_eq!(device.send("POST", &path, &[], None).await.status, 204);
    assert_eq!(next(&mut client).await.1, "x");
    assert_eq!(device.send("GET", &own, &[], None).await.status, 204);
}
