//! Clients that say what is right, one byte at a time: each has the time that anybody has, and not a moment more.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use hemline_testkit::{eventually, within};
use rustls::ClientConnection;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    wire::connect,
    world::{Client, SOON, World, client_resource, token},
};

/// What each step may take.
const LIMIT: Duration = Duration::from_secs(2);
/// One byte in this time: nothing that they say is over before the limit is.
const PACE: Duration = Duration::from_millis(25);
/// As many of each kind.
const EACH: usize = 6;
/// Nobody else waits longer for an acknowledgement.
const PROMPT: Duration = Duration::from_secs(5);

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Where they stop being quick.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// In the handshake, at the port for MQTT or that for HTTPS.
    Hello { https: bool },
    /// In CONNECT.
    Mqtt,
    /// In the head of a request.
    Head,
    /// In the frame that holds CONNECT.
    Frame,
}

const KINDS: [Kind; 5] =
    [Kind::Hello { https: false }, Kind::Hello { https: true }, Kind::Mqtt, Kind::Head, Kind::Frame];

async fn tcp(world: &World, https: bool) -> TcpStream {
    let to = if https { world.hub.https_addr()[0] } else { world.mqtt() };
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn tls(world: &World, https: bool) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(Arc::new(world.tls()));
    connector.connect("127.0.0.1".try_into().unwrap(), tcp(world, https).await).await.unwrap()
}

/// A connection that got so far quickly, and what it has to say next.
async fn begin(world: &World, kind: Kind, hello: &[u8]) -> (Box<dyn Stream>, Vec<u8>) {
    match kind {
        Kind::Hello { https } => {
            let name = "127.0.0.1".try_into().unwrap();
            let mut connection = ClientConnection::new(Arc::new(world.tls()), name).unwrap();
            let mut bytes = Vec::new();
            connection.write_tls(&mut bytes).unwrap();
            (Box::new(tcp(world, https).await), bytes)
        }
        Kind::Mqtt => (Box::new(tls(world, false).await), hello.to_vec()),
        Kind::Head => {
            let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nx-filler: {}\r\n\r\n", "x".repeat(300));
            (Box::new(tls(world, true).await), head.into_bytes())
        }
        Kind::Frame => {
            let mut stream = tls(world, true).await;
            let request = "GET /$iothub/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Protocol: mqtt\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                assert_ne!(within(SOON, "the upgrade", stream.read_buf(&mut answer)).await.unwrap(), 0);
            }
            assert!(answer.starts_with(b"HTTP/1.1 101 "));
            // A mask of zeros changes nothing.
            let mut frame = vec![0x82, 0x80 | 126];
            frame.extend((hello.len() as u16).to_be_bytes());
            frame.extend([0; 4]);
            frame.extend(hello);
            (Box::new(stream), frame)
        }
    }
}

/// Sends byte after byte until the hub closes, or up to `most` of them. How long the hub took; `None` when it did not close.
async fn drip(mut stream: Box<dyn Stream>, bytes: &[u8], most: usize) -> Option<Duration> {
    let begun = Instant::now();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    let mut room = [0; 256];
    while sent < most {
        tokio::select! {
            read = stream.read(&mut room) => if matches!(read, Ok(0) | Err(_)) {
                return Some(begun.elapsed());
            },
            _ = pace.tick() => {
                assert!(sent < bytes.len(), "there is more to say than there is time for");
                if stream.write_all(&bytes[sent..=sent]).await.is_err() || stream.flush().await.is_err() {
                    return Some(begun.elapsed());
                }
                sent += 1;
            }
        }
    }
    None
}

/// Publishes without pause; the longest that an acknowledgement took.
async fn witness(client: &mut Client) -> Duration {
    let mut longest = Duration::ZERO;
    let until = Instant::now() + 3 * LIMIT;
    while Instant::now() < until {
        let began = Instant::now();
        client.publish("devices/witness/messages/events/", "{}").await;
        longest = longest.max(began.elapsed());
    }
    longest
}

#[tokio::test]
async fn who_speaks_slowly_has_no_more_time_than_others() {
    let adjust = |config: &mut hemline_hub::HubConfig| {
        config.limits.handshake = LIMIT;
        config.limits.connect = LIMIT;
        config.limits.head_read = LIMIT;
    };
    let world = World::start(Arc::new(tempfile::tempdir().unwrap()), adjust, None).await;
    let (key, slow) = (world.device("witness", false).await, world.device("slow", false).await);
    let hello =
        connect(4, "slow", "hub.test/slow/?api-version=1", &token(&client_resource("slow"), &slow, None));
    let mut client = world.connect("witness", &key).in_now().await;

    // All of them at the same time; of each kind some give up half-way instead, without a word.
    let drips =
        KINDS.iter().flat_map(|kind| (0..EACH).map(move |number| (*kind, number))).map(|(kind, number)| {
            let (world, hello) = (&world, &hello);
            async move {
                let (stream, bytes) = begin(world, kind, hello).await;
                let gives_up = number % 2 == 1;
                let most = if gives_up { number * 2 } else { usize::MAX };
                (kind, gives_up, drip(stream, &bytes, most).await)
            }
        });
    let (ended, longest) = tokio::join!(join_all(drips), witness(&mut client));
    for (kind, gave_up, took) in ended {
        match took {
            Some(took) if !gave_up => {
                assert!(took > LIMIT / 2 && took < LIMIT + PROMPT, "{kind:?} was closed after {took:?}");
            }
            None if gave_up => {}
            other => panic!("{kind:?}, gave up {gave_up}: {other:?}"),
        }
    }
    assert!(longest < PROMPT, "the witness waited {longest:?}");
    // Nothing is kept of any of them, and the witness never lost its connection.
    eventually(SOON, "everybody to be gone", || async {
        let found = world.handle.head_statistics();
        ((found.mqtt_connections, found.https_connections) == (1, 0)).then_some(())
    })
    .await;
    client.publish("devices/witness/messages/events/", "{}").await;
    world.stop().await;
}
