//! Requests of people that nobody knows: they hear so from the head alone, and their bodies cost nothing.

use std::sync::Arc;

use hemline_testkit::{eventually, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::world::{SOON, World, client_resource, token};

const EVENTS: &str = "/devices/d/messages/events?api-version=2021-04-12";

type Stream = TlsStream<TcpStream>;

async fn tls(world: &World) -> Stream {
    let stream = TcpStream::connect(world.hub.https_addr()[0]).await.unwrap();
    let connector = TlsConnector::from(Arc::new(world.tls()));
    connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap()
}

fn head(verb: &str, path: &str, headers: &[String], bytes: usize) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{verb} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n{headers}\r\n")
}

/// One answer: its status line, and its body.
async fn answer(stream: &mut Stream) -> (String, String) {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let announced = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= announced.unwrap_or(0) {
                break (head.lines().next().unwrap().to_owned(), body.to_owned());
            }
        }
        let more = within(SOON, "an answer", stream.read_buf(&mut read)).await.unwrap();
        assert_ne!(more, 0, "closed after {text:?}");
    }
}

fn authorization(token: &str) -> String {
    format!("Authorization: {token}")
}

#[tokio::test]
async fn nobody_is_waited_for_whom_the_hub_does_not_know() {
    let world = World::new().await;
    let (key, other) = (world.device("d", true).await, world.device("e", false).await);
    world.module("d/m").await;
    let wrong = authorization(&token(&client_resource("d"), &other, None));
    let module = "x-ms-edge-moduleId: d/m".to_owned();
    let forbidden = "HTTP/1.1 403 Forbidden";
    let unauthorised = "HTTP/1.1 401 Unauthorized";
    for (what, verb, path, headers, status) in [
        ("no credential", "POST", EVENTS, vec![], unauthorised),
        ("a wrong key", "POST", EVENTS, vec![wrong.clone()], unauthorised),
        ("no token at all", "POST", EVENTS, vec![authorization("Bearer x")], unauthorised),
        ("a twin", "PATCH", "/twins/d?api-version=2021-04-12", vec![wrong.clone()], unauthorised),
        ("a query", "POST", "/devices/query?api-version=2021-04-12", vec![], unauthorised),
        ("a module", "POST", "/twins/d/methods", vec![wrong.clone(), module], unauthorised),
        ("our own API", "POST", "/api/v1/apply", vec![], unauthorised),
        ("nowhere", "POST", "/nowhere", vec![], unauthorised),
        ("a file", "PUT", "/files/d/a.txt?comp=block&blockid=MQ==", vec![], forbidden),
    ] {
        // The answer comes though not one byte of the body does.
        let mut stream = tls(&world).await;
        stream.write_all(head(verb, path, &headers, 400_000).as_bytes()).await.unwrap();
        let (told, body) = answer(&mut stream).await;
        assert_eq!(told, status, "{what}: {body}");
        if path == "/twins/d/methods" {
            assert_eq!(body, r#"{"message":"Unauthorized"}"#);
        }

        // Whoever asks whether to go on is told not to, and hears no more.
        let mut stream = tls(&world).await;
        let headers: Vec<String> = headers.into_iter().chain(["Expect: 100-continue".to_owned()]).collect();
        stream.write_all(head(verb, path, &headers, 400_000).as_bytes()).await.unwrap();
        let (told, body) = answer(&mut stream).await;
        assert_eq!(told, status, "{what}, with a question before: {body}");
        let mut rest = Vec::new();
        drop(within(SOON, "the end", stream.read_to_end(&mut rest)).await);
        assert_eq!(rest, b"", "{what}");
    }
    // Somebody who is known is told to go on, and is heard.
    let mut stream = tls(&world).await;
    let own = authorization(&token(&client_resource("d"), &key, None));
    let headers = [own, "Expect: 100-continue".to_owned()];
    stream.write_all(head("POST", EVENTS, &headers, 5).as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, "HTTP/1.1 100 Continue");
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(answer(&mut stream).await.0, "HTTP/1.1 204 No Content");
    world.stop().await;
}

#[tokio::test]
async fn who_is_refused_may_say_all_of_it_and_hears_why() {
    let world = World::new().await;
    let (key, other) = (world.device("d", false).await, world.device("e", false).await);
    let (own, wrong) = (token(&client_resource("d"), &key, None), token(&client_resource("d"), &other, None));
    let body = vec![b'x'; 200_000];
    let mut stream = tls(&world).await;
    for (credential, status) in [
        (&wrong, "HTTP/1.1 401 Unauthorized"),
        (&own, "HTTP/1.1 204 No Content"),
        // Having been known once does not let in what came after.
        (&wrong, "HTTP/1.1 401 Unauthorized"),
        (&own, "HTTP/1.1 204 No Content"),
        (&own, "HTTP/1.1 204 No Content"),
    ] {
        // As SDKs do: everything is sent before an answer is read.
        let head = head("POST", EVENTS, &[authorization(credential)], body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(answer(&mut stream).await.0, status);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let world = World::new().await;
    let mut stream = tls(&world).await;
    let filler = format!("x-filler: {}\r\n", "x".repeat(1_000)).repeat(90);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{filler}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (told, _) = answer(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    world.stop().await;
}

#[tokio::test]
async fn the_places_are_for_those_who_are_known() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(folder, |config| config.limits.https_connections = 3, None).await;
    let key = world.device("d", false).await;
    let own = authorization(&token(&client_resource("d"), &key, None));
    let ask = async |stream: &mut Stream, headers: &[String]| {
        stream.write_all(head("GET", "/healthz", headers, 0).as_bytes()).await.unwrap();
        answer(stream).await.0
    };
    // Before its body is read it is known, so there is nothing to wait for.
    let say = async |stream: &mut Stream| {
        let head = head("POST", EVENTS, std::slice::from_ref(&own), 1);
        stream.write_all(format!("{head}x").as_bytes()).await.unwrap();
        answer(stream).await.0
    };
    // All places are taken by people who ask what everybody may ask, and stay.
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stranger = tls(&world).await;
        assert_eq!(ask(&mut stranger, &[]).await, "HTTP/1.1 200 OK");
        strangers.push(stranger);
    }
    // A credential that is none changes nothing.
    let bad = [authorization("SharedAccessSignature sr=x")];
    assert_eq!(ask(&mut strangers[0], &bad).await, "HTTP/1.1 200 OK");
    let mut known = Vec::new();
    for stranger in strangers {
        let mut device = tls(&world).await;
        assert_eq!(say(&mut device).await, "HTTP/1.1 204 No Content");
        known.push(device);
        let mut stranger = stranger;
        let mut byte = [0];
        let end = within(SOON, "the end of the oldest", stranger.read(&mut byte)).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        let turned_away = || world.handle.head_statistics().connections_turned_away;
        eventually(SOON, "the count", || async { (turned_away() == known.len() as u64).then_some(()) }).await;
    }
    // Nobody who is known goes for a newcomer, who waits until one of them leaves.
    let mut waiting = Box::pin(tls(&world));
    for device in &mut known {
        let answered = tokio::select! {
            biased;
            answered = say(device) => answered,
            _ = waiting.as_mut() => panic!("there is no place"),
        };
        assert_eq!(answered, "HTTP/1.1 204 No Content");
    }
    drop(known.pop());
    let mut newcomer = within(SOON, "a place", waiting).await;
    assert_eq!(ask(&mut newcomer, &[]).await, "HTTP/1.1 200 OK");
    world.stop().await;
}
