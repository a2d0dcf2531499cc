//! MQTT inside a WebSocket: the same session, whatever way its bytes are cut into frames.

use futures_util::{SinkExt as _, StreamExt as _};
use hemline_testkit::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::{
    wire::connect,
    world::{SOON, World, client_resource, token},
};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn tls(world: &World) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(world.hub.https_addr()[0]).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    TlsConnector::from(std::sync::Arc::new(world.tls())).connect(name, stream).await.unwrap()
}

/// What is answered to who asks for a WebSocket and does not get one: head and body.
async fn refusal(world: &World, path: &str, protocol: &str) -> String {
    let mut stream = tls(world).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"}") {
        assert_ne!(within(SOON, "the refusal", stream.read_buf(&mut told)).await.unwrap(), 0);
    }
    String::from_utf8(told).unwrap()
}

/// Asks for a WebSocket; gives the subprotocol that was answered.
async fn open(world: &World, path: &str, protocol: &str) -> Result<(Socket, String), Error> {
    let stream = tls(world).await;
    let mut request = format!("wss://127.0.0.1{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (socket, response) = client_async(request, stream).await?;
    let chosen = response.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
    Ok((socket, chosen))
}

/// Everything up to this many bytes.
async fn read(socket: &mut Socket, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        match within(SOON, "a frame", socket.next()).await {
            Some(Ok(Message::Binary(frame))) => bytes.extend(frame),
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("{other:?} after {bytes:?}"),
        }
    }
    bytes
}

async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::binary(bytes.to_vec())).await.unwrap();
}

async fn ended(mut socket: Socket) {
    loop {
        match within(SOON, "the end", socket.next()).await {
            None | Some(Err(_)) => return,
            Some(Ok(_)) => {}
        }
    }
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
const PING: [u8; 2] = [0xc0, 0];
const PONG: [u8; 2] = [0xd0, 0];

#[tokio::test]
async fn frames_are_one_stream() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let hello = connect(4, "d", "hub.test/d/?api-version=1", &token(&client_resource("d"), &key, None));
    let path = "/$iothub/websocket?iothub-no-client-cert=true";

    // A packet in many frames, many packets in one, empty frames and pings in between.
    let (mut socket, chosen) = open(&world, path, "AMQPWSB10, mqtt").await.unwrap();
    assert_eq!(chosen, "mqtt");
    for byte in &hello {
        send(&mut socket, &[*byte]).await;
        send(&mut socket, &[]).await;
    }
    assert_eq!(read(&mut socket, 4).await, ACCEPTED);
    socket.send(Message::Ping("there?".into())).await.unwrap();
    send(&mut socket, &PING.repeat(3)).await;
    assert_eq!(read(&mut socket, 6).await, PONG.repeat(3));
    let (first, rest) = PING.split_at(1);
    send(&mut socket, first).await;
    send(&mut socket, rest).await;
    assert_eq!(read(&mut socket, 2).await, PONG);

    // Over plain MQTT the same identity takes over, and the other way round.
    let plain = world.connect("d", &key).in_now().await;
    ended(socket).await;
    let (mut socket, _) = open(&world, path, "mqtt").await.unwrap();
    send(&mut socket, &hello).await;
    assert_eq!(read(&mut socket, 4).await, ACCEPTED, "let in; a clean session has nothing to find");
    plain.closed().await;
    drop(socket);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_mqtt_is_turned_away() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let good = token(&client_resource("d"), &key, None);
    let told = refusal(&world, "/$iothub/websocket", "AMQPWSB10").await;
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("only `mqtt` is served here"), "{told}");
    let told = refusal(&world, "/devices", "mqtt").await;
    assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("api-version"), "an ordinary request: {told}");

    // A text, a frame that is too large, a client that is not let in: only their own connection ends.
    let (mut socket, _) = open(&world, "/%24iothub/websocket", "mqtt").await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    ended(socket).await;
    let (mut socket, _) = open(&world, "/$iothub/websocket", "mqtt").await.unwrap();
    drop(socket.send(Message::binary(vec![0x10; 600 << 10])).await);
    ended(socket).await;
    let (mut socket, _) = open(&world, "/$iothub/websocket", "mqtt").await.unwrap();
    send(&mut socket, &connect(4, "d", "other.test/d/?api-version=1", &good)).await;
    assert_eq!(read(&mut socket, 4).await, [0x20, 2, 0, 5]);
    ended(socket).await;

    // The hub stops under an open WebSocket, and is not held up by it.
    let (mut socket, _) = open(&world, "/$iothub/websocket", "mqtt").await.unwrap();
    send(&mut socket, &connect(4, "d", "hub.test/d/?api-version=1", &good)).await;
    assert_eq!(read(&mut socket, 4).await, ACCEPTED);
    world.stop().await;
    ended(socket).await;
}
