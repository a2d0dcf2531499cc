//! Those who come too often, and those who come and say nothing: only they suffer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hemline_hub::{HubConfig, config::DoorLimits};
use hemline_hub_core::throttle::Rate;
use hemline_testkit::{eventually, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::{
    wire::connect,
    world::{SOON, World, client_resource, token},
};

async fn world(adjust: impl FnOnce(&mut HubConfig)) -> World {
    World::start(Arc::new(tempfile::tempdir().unwrap()), adjust, None).await
}

/// A connection from one of the many addresses that this machine has for itself.
async fn from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    within(SOON, "a connection", socket.connect(to)).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    // A reset instead of an end is also an end.
    matches!(within(SOON, "the end", stream.read(&mut byte)).await, Ok(0) | Err(_))
}

/// The code of the CONNACK, over TLS; `None` when the connection was dropped.
async fn attempt(world: &World, source: &str, id: &str, password: &str) -> Option<u8> {
    let stream = from(source, world.mqtt()).await;
    let connector = TlsConnector::from(Arc::new(world.tls()));
    let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.ok()?;
    let packet = connect(4, id, &format!("hub.test/{id}/?api-version=2021-04-12"), password);
    stream.write_all(&packet).await.ok()?;
    let mut answer = [0; 4];
    within(SOON, "the CONNACK", stream.read_exact(&mut answer)).await.ok()?;
    Some(answer[3])
}

#[tokio::test]
async fn silent_connections_take_no_place_of_others() {
    let world = world(|config| {
        config.limits.handshakes = 2;
        config.limits.handshake = Duration::from_secs(2);
        config.limits.door = DoorLimits {
            half_open_per_address: 8,
            handshakes_per_address: 1,
            spares_loopback: false,
            ..DoorLimits::default()
        };
    })
    .await;
    let key = world.device("d", false).await;
    let good = token(&client_resource("d"), &key, None);
    for to in [world.mqtt(), world.hub.https_addr()[0]] {
        let mut silent = Vec::new();
        for place in 0..8 {
            let mut stream = from("127.0.0.9", to).await;
            // Half of them begin a handshake and do not go on: the first bytes of a ClientHello that never ends.
            if place % 2 == 0 {
                stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
            }
            silent.push(stream);
        }
        let before = world.handle.head_statistics().connections_turned_away;
        assert!(is_closed(&mut from("127.0.0.9", to).await).await, "the ninth of one address");
        assert_eq!(world.handle.head_statistics().connections_turned_away, before + 1);
        // More of them than there are turns at shaking hands, and a neighbour is let in at once all the same.
        assert_eq!(attempt(&world, "127.0.0.8", "d", &good).await, Some(0));
        for stream in &mut silent {
            assert!(is_closed(stream).await, "nobody is waited for without end");
        }
        eventually(SOON, "the address to be let in again", || async {
            (attempt(&world, "127.0.0.9", "d", &good).await == Some(0)).then_some(())
        })
        .await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_connection_is_not_in_before_somebody_said_who_it_is() {
    let world = world(|config| {
        config.limits.head_read = Duration::from_secs(2);
        config.limits.door.half_open_per_address = 3;
        config.limits.door.spares_loopback = false;
    })
    .await;
    let to = world.hub.https_addr()[0];
    let shake = async || {
        let connector = TlsConnector::from(Arc::new(world.tls()));
        connector.connect("127.0.0.1".try_into().unwrap(), from("127.0.0.9", to).await).await
    };
    let key = world.device("d", false).await;
    let own = format!("Authorization: {}\r\n", token(&client_resource("d"), &key, None));
    let (mut first, second, third) = (shake().await.unwrap(), shake().await.unwrap(), shake().await.unwrap());
    assert!(shake().await.is_err(), "three are silent");
    let mut ask = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        first.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"ok") {
            assert_ne!(within(SOON, "an answer", first.read_buf(&mut answer)).await.unwrap(), 0);
        }
        String::from_utf8(answer).unwrap()
    };
    let told = ask("/healthz", "").await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(shake().await.is_err(), "whoever asks what everybody may ask is as good as silent");
    let told = ask("/devices/d/messages/devicebound?api-version=2021-04-12", &own).await;
    assert!(told.starts_with("HTTP/1.1 204 "), "{told}");
    // It is found out beside the answer.
    let fourth = eventually(SOON, "a place for the fourth", || async { shake().await.ok() }).await;
    for mut silent in [second, third, fourth] {
        let mut byte = [0];
        assert!(matches!(within(SOON, "the end", silent.read(&mut byte)).await, Ok(0) | Err(_)));
    }
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_dropped_before_the_handshake() {
    let world = world(|config| {
        config.limits.door.connections = Rate { burst: 3, period_ms: 3_600_000 };
        config.limits.door.spares_loopback = false;
    })
    .await;
    let key = world.device("d", false).await;
    let good = token(&client_resource("d"), &key, None);
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(attempt(&world, "127.0.0.9", "d", &good).await);
    }
    assert_eq!(told, [Some(0), Some(0), Some(0), None, None]);
    assert_eq!(attempt(&world, "127.0.0.8", "d", &good).await, Some(0));
    world.stop().await;
}

#[tokio::test]
async fn who_fails_too_often_hears_not_now() {
    let world = world(|config| {
        config.limits.door.failures_of_identity = Rate { burst: 3, period_ms: 3_600_000 };
        config.limits.door.failures = Rate { burst: 6, period_ms: 3_600_000 };
    })
    .await;
    let key = world.device("d", false).await;
    let neighbour = world.device("e", false).await;
    let good = token(&client_resource("d"), &key, None);
    let wrong = token(&client_resource("d"), &neighbour, None);
    let at_e = token(&client_resource("e"), &neighbour, None);
    for (what, source, id, password, code) in [
        ("a wrong key", "127.0.0.9", "d", &wrong, 5),
        ("again", "127.0.0.9", "d", &wrong, 5),
        ("again", "127.0.0.9", "d", &wrong, 5),
        ("and again", "127.0.0.9", "d", &wrong, 3),
        ("the right key, for what the hub knows by luck", "127.0.0.9", "d", &good, 3),
        ("a neighbour at the same address", "127.0.0.9", "e", &at_e, 0),
        ("the right one elsewhere", "127.0.0.8", "d", &good, 0),
        ("another id, fourth failure of the address", "127.0.0.9", "x", &good, 5),
        ("fifth", "127.0.0.9", "y", &good, 5),
        ("sixth", "127.0.0.9", "z", &good, 5),
        ("all of the address", "127.0.0.9", "e", &at_e, 3),
    ] {
        assert_eq!(attempt(&world, source, id, password).await, Some(code), "{what}");
    }
    let statistics = world.handle.head_statistics();
    assert_eq!((statistics.connects_throttled, statistics.connects_refused), (3, 6));

    // Over HTTPS the same is counted together with it: this test's other address is fresh.
    let stranger = world.rest_with(wrong);
    let path = "/devices/d/messages/devicebound";
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(stranger.get(path).await.status);
    }
    assert_eq!(told, [401, 401, 401, 429]);
    let answer = stranger.get(path).await;
    assert_eq!(answer.all_headers["retry-after"], "3600");
    assert_eq!(answer.header("iothub-errorcode"), Some("ThrottlingException"));
    assert_eq!(world.rest_with(at_e).get("/devices/e/messages/devicebound").await.status, 204);
    world.stop().await;
}

#[tokio::test]
async fn the_oldest_of_those_who_say_nothing_makes_room() {
    let world = world(|config| {
        config.limits.handshake = Duration::from_secs(600);
        config.limits.head_read = Duration::from_secs(600);
        config.limits.door.half_open = 3;
    })
    .await;
    let key = world.device("d", false).await;
    let good = token(&client_resource("d"), &key, None);
    for to in [world.mqtt(), world.hub.https_addr()[0]] {
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(from("127.0.0.9", to).await);
        }
        assert!(is_closed(&mut silent.remove(0)).await, "the first of four, and there are three places");
        assert_eq!(attempt(&world, "127.0.0.8", "d", &good).await, Some(0), "a newcomer comes in");
        assert!(is_closed(&mut silent.remove(0)).await, "the oldest of the others went for it");
    }
    assert!(world.handle.head_statistics().connections_turned_away >= 4);
    world.stop().await;
}
