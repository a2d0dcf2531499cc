//! Last wills and marks of packets, through real connections (reference device-protocol §4.1).

use std::sync::Arc;

use hemline_hub_core::{
    effect::Notice,
    message::{Message, Sequence},
};
use hemline_testkit::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::broadcast,
};

use super::{
    wire::connect,
    world::{SOON, World, client_resource, token},
};

const EVENTS: &str = "devices/d/messages/events/%24.ct=text%2Fplain&kind=farewell";

async fn gone(notices: &mut broadcast::Receiver<Notice>) {
    let gone = async {
        while !matches!(notices.recv().await.unwrap(), Notice::Connection { connected: false, .. }) {}
    };
    within(SOON, "the end of the connection", gone).await;
}

fn told(messages: &[Arc<Message>]) -> Vec<String> {
    let row = |message: &Arc<Message>| {
        let kind = message.properties.system.message_type.clone().unwrap_or_default();
        let named = message.properties.application.iter();
        let named: Vec<String> =
            named.map(|(name, value)| format!("{name}={}", value.clone().unwrap_or_default())).collect();
        format!("{kind} {} {}", String::from_utf8_lossy(&message.body), named.join("&"))
    };
    messages.iter().map(row).collect()
}

#[tokio::test]
async fn wills_of_clients() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut notices = world.handle.notices();

    let client = world.connect_leaving("d", &key, (EVENTS, "vanished", true)).in_now().await;
    client.vanish().await;
    gone(&mut notices).await;
    let client = world.connect_leaving("d", &key, (EVENTS, "said goodbye", false)).in_now().await;
    client.mqtt.disconnect().await.unwrap();
    gone(&mut notices).await;
    // Somewhere else, or no message: the client is let in, and nothing is left behind.
    for topic in ["tele/d/LWT", "devices/e/messages/events/", "$iothub/twin/GET/?$rid=1"] {
        world.connect_leaving("d", &key, (topic, topic, true)).in_now().await.vanish().await;
        gone(&mut notices).await;
    }
    let earlier = world.connect_leaving("d", &key, (EVENTS, "taken over", false)).in_now().await;
    let later = world.connect_leaving("d", &key, (EVENTS, "the hub stops", false)).in_now().await;
    earlier.closed().await;

    let expected = ["Will vanished kind=farewell&mqtt-retain=true", "Will taken over kind=farewell"];
    assert_eq!(told(&world.handle.read_events(Sequence(0), 10).await.unwrap()), expected);
    // A hub that stops is no reason to tell the world that its devices have vanished.
    let folder = world.stop().await;
    later.closed().await;
    let world = World::on(folder).await;
    assert_eq!(told(&world.handle.read_events(Sequence(0), 10).await.unwrap()), expected);
    world.stop().await;
}

#[tokio::test]
async fn retain_and_dup_become_properties() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut stream = world.raw().await;
    let user = "hub.test/d/?api-version=2021-04-12";
    stream.write_all(&connect(4, "d", user, &token(&client_resource("d"), &key, None))).await.unwrap();
    let mut answer = [0; 4];
    within(SOON, "the CONNACK", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    let topic = b"devices/d/messages/events/";
    for (first_byte, id) in [(0x32, 1), (0x33, 2), (0x3a, 3), (0x3b, 4)] {
        let mut packet = vec![first_byte, (2 + topic.len() + 2 + 1) as u8, 0, topic.len() as u8];
        packet.extend(topic);
        packet.extend([0, id, b'x']);
        stream.write_all(&packet).await.unwrap();
        within(SOON, "the PUBACK", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, [0x40, 2, 0, id]);
    }
    assert_eq!(
        told(&world.handle.read_events(Sequence(0), 10).await.unwrap()),
        [" x ", " x mqtt-retain=true", " x mqtt-dup=true", " x mqtt-retain=true&mqtt-dup=true"]
    );
}
