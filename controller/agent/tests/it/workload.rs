//! The workload API over a raw socket, byte for byte as hand-written HTTP clients of SDKs see it.

use std::{collections::BTreeMap, time::Duration};

use hemline_agent::{
    module::{Identities, Identity},
    workload::{RunDir, Workload},
};
use hemline_model::Secret;
use hemline_testkit::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(10);

fn identities() -> Identities {
    let identity = Identity {
        generation_id: "g1".to_owned(),
        key: Secret::new("c2VjcmV0IGtleSBvZiBhIG1vZHVsZSwgMzIgYnl0ZXM="),
    };
    BTreeMap::from([("sensor".to_owned(), identity.clone()), ("other".to_owned(), identity)])
}

fn serve(folder: &std::path::Path) -> Workload {
    let place = RunDir::open(folder).unwrap();
    let mut workload =
        Workload::new(place, "-----BEGIN CERTIFICATE-----\n".to_owned(), CancellationToken::new());
    workload.set_identities(identities());
    workload.serve("sensor").unwrap();
    workload
}

async fn ask(workload: &Workload, request: &str) -> String {
    let mut stream = UnixStream::connect(workload.socket("sensor")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(LIMIT, "the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Without the date, which every answer carries.
fn undated(answer: &str) -> String {
    answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn answers_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let get = |path: &str| {
        format!("GET {path}?api-version=2018-06-28 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    };
    let sign = "/modules/sensor/genid/g1/sign?api-version=2019-01-30";
    let mut transcript = String::new();
    for request in [
        get("/trust-bundle"),
        get("/modules"),
        post(sign, r#"{"keyId": "primary", "algo": "HMACSHA256", "data": "aHViCjE3MDA="}"#),
        post(&sign.replace("sensor", "%73ensor"), r#"{"data": "aHViCjE3MDA="}"#),
        post(&sign.replace("g1", "g2"), r#"{"data": ""}"#),
        post(&sign.replace("sensor", "other"), r#"{"data": ""}"#),
        post(sign, r#"{"data": "?"}"#),
        post(sign, "nonsense"),
        get("/nothing"),
    ] {
        let (line, _) = request.split_once("\r\n").unwrap();
        transcript.push_str(&format!("> {line}\n{}\n\n", undated(&ask(&workload, &request).await)));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let mut stream = UnixStream::connect(workload.socket("sensor")).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /trust-bundle HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut buffer = vec![0; 4096];
        let length = within(LIMIT, "the answer", stream.read(&mut buffer)).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn too_much_is_refused_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let big = post("/modules/sensor/genid/g1/sign", &"x".repeat(100_000));
    assert!(ask(&workload, &big).await.starts_with("HTTP/1.1 400"));
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(UnixStream::connect(workload.socket("sensor")).await.unwrap());
    }
    assert!(
        ask(&workload, "GET /modules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .contains("200 OK")
    );
}

#[tokio::test]
async fn a_new_agent_takes_over_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let first = serve(folder.path());
    let path = first.socket("sensor");
    first.close().await;
    assert!(path.exists(), "modules go on looking there");
    let mut second = serve(folder.path());
    assert_eq!(second.socket("sensor"), path);
    assert!(
        ask(&second, "GET /modules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .contains("200 OK")
    );
    second.retain(|_| false);
    assert!(!path.exists());
}
