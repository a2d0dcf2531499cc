//! Hostile and clumsy clients: only their own connection suffers.

use std::time::Duration;

use hemline_testkit::{eventually, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::world::{SOON, World, client_resource, token};

/// Sends bytes and reads until the hub closes.
async fn answer(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut stream = world.raw().await;
    stream.write_all(bytes).await.unwrap();
    let mut read = Vec::new();
    // A reset instead of an end is also an end.
    drop(within(SOON, "the hub to close", stream.read_to_end(&mut read)).await);
    read
}

pub(crate) fn connect(level: u8, id: &str, username: &str, password: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([level, 0b1100_0010, 0, 60]);
    for text in [id, username, password] {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut length = body.len();
    while length >= 128 {
        packet.push((length % 128) as u8 | 128);
        length /= 128;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

#[tokio::test]
async fn refusals_before_the_core_is_asked() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let good = token(&client_resource("d"), &key, None);
    let user = "hub.test/d/?api-version=2021-04-12";
    let rejected = |code| vec![0x20, 2, 0, code];
    for (what, bytes, expected) in [
        ("MQTT 5", connect(5, "d", user, &good), rejected(1)),
        ("MQTT 3.1", b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00".to_vec(), rejected(1)),
        ("client id of another", connect(4, "e", user, &good), rejected(5)),
        ("no user name", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01d".to_vec(), rejected(5)),
        ("no password", connect(4, "d", user, ""), rejected(5)),
        ("wrong hub", connect(4, "d", "other.test/d/?api-version=1", &good), rejected(5)),
        ("unknown device", connect(4, "e", "hub.test/e", &good), rejected(5)),
        ("garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), vec![]),
        ("not CONNECT", b"\xc0\x00".to_vec(), vec![]),
        ("a first packet that is too large", b"\x10\xff\xff\x0f".to_vec(), vec![]),
    ] {
        assert_eq!(answer(&world, &bytes).await, expected, "{what}");
    }
    world.stop().await;
}

#[tokio::test]
async fn protocol_errors_close_only_that_connection() {
    let world = World::new().await;
    let bystander_key = world.device("bystander", false).await;
    let mut bystander = world.connect("bystander", &bystander_key).in_now().await;
    let key = world.device("d", false).await;
    let hello = connect(4, "d", "hub.test/d/?api-version=1", &token(&client_resource("d"), &key, None));
    let cases: &[(&str, &[u8])] = &[
        ("garbage", b"\xff\xff\xff\xff\xff\xff"),
        ("oversized", b"\x30\xff\xff\x7f"),
        ("second CONNECT", &hello),
        ("QoS 2", b"\x34\x08\x00\x03a/b\x00\x01x"),
        ("unknown topic", b"\x32\x08\x00\x03a/b\x00\x01x"),
        ("topic of another device", b"\x30\x1b\x00\x19devices/e/messages/events/"),
        ("twin request without rid", b"\x30\x12\x00\x10$iothub/twin/GET"),
        ("packet of the hub's", b"\x20\x02\x00\x00"),
    ];
    for (what, bytes) in cases {
        let read = answer(&world, &[&hello, *bytes].concat()).await;
        assert_eq!(read.first_chunk(), Some(&[0x20, 2]), "{what}: CONNACK first");
        assert_eq!((read[3], read.len()), (0, 4), "{what}: accepted, then closed without a word");
        bystander.publish("devices/bystander/messages/events/", "still here").await;
    }
    assert_eq!(world.handle.head_statistics().protocol_errors, cases.len() as u64);
    world.stop().await;
}

#[tokio::test]
async fn silence_has_an_end() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(
        folder,
        |config| {
            config.limits.handshake = Duration::from_millis(100);
            config.limits.connect = Duration::from_millis(100);
            config.limits.keep_alive_cap = Duration::from_millis(100);
        },
        None,
    )
    .await;
    // No TLS at all.
    let mut mute = TcpStream::connect(world.mqtt()).await.unwrap();
    assert_eq!(within(SOON, "the handshake deadline", mute.read(&mut [0; 8])).await.unwrap(), 0);
    // TLS, no CONNECT.
    assert_eq!(answer(&world, b"").await, b"");
    // CONNECT, then nothing.
    let key = world.device("d", false).await;
    let hello = connect(4, "d", "hub.test/d", &token(&client_resource("d"), &key, None));
    assert_eq!(answer(&world, &hello).await, [0x20, 2, 0, 0]);
    let counted = eventually(SOON, "the counters", || async {
        let found = world.handle.head_statistics();
        (found.keep_alive_timeouts == 1 && found.mqtt_connections == 0).then_some(found)
    });
    let counted = counted.await;
    assert_eq!((counted.handshakes_failed, counted.connects_malformed), (1, 1));
    world.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_dropped() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(folder, |config| config.limits.mqtt_connections = 1, None).await;
    let key = world.device("d", false).await;
    let first = world.connect("d", &key).in_now().await;
    let mut second = TcpStream::connect(world.mqtt()).await.unwrap();
    assert_eq!(within(SOON, "the drop", second.read(&mut [0; 8])).await.unwrap_or(0), 0);
    assert_eq!(world.handle.head_statistics().connections_over_limit, 1);
    first.mqtt.disconnect().await.unwrap();
    first.closed().await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_the_rest_goes_on() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(
        folder,
        |config| {
            config.limits.write_stall = Duration::from_millis(300);
            config.limits.client_queue = 64;
            config.limits.client_queue_bytes = 1 << 20;
        },
        None,
    )
    .await;
    let key = world.device("d", false).await;
    let mut stream = world.raw().await;
    stream
        .write_all(&connect(4, "d", "hub.test/d", &token(&client_resource("d"), &key, None)))
        .await
        .unwrap();
    assert_eq!(within(SOON, "CONNACK", stream.read_u32()).await.unwrap(), 0x2002_0000);
    let large = serde_json::json!({"a": "x".repeat(4_000), "b": "y".repeat(4_000), "c": "z".repeat(4_000)});
    let report = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    let mut packet = vec![0x30];
    let (body, topic) = (large.to_string(), report);
    let mut length = 2 + topic.len() + body.len();
    while length >= 128 {
        packet.push((length % 128) as u8 | 128);
        length /= 128;
    }
    packet.push(length as u8);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(body.as_bytes());
    stream.write_all(&packet).await.unwrap();
    // Twin after twin is asked for and none is read, until the hub has enough.
    let ask = b"\x30\x1a\x00\x18$iothub/twin/GET/?$rid=1";
    let flood = async { while stream.write_all(ask).await.is_ok() && stream.flush().await.is_ok() {} };
    within(SOON, "the hub to close", flood).await;
    eventually(SOON, "the slow client to be counted", || async {
        (world.handle.head_statistics().slow_clients == 1).then_some(())
    })
    .await;
    let mut again = world.connect("d", &key).in_now().await;
    again.publish("devices/d/messages/events/", "x").await;
    world.stop().await;
}
