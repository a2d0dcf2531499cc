//! The workload API over a raw socket, byte for byte as hand-written HTTP clients of SDKs see it, and its certificates in
//! real TLS handshakes.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_agent::{
    module::{Identities, Identity, ModuleKey, ModuleKind},
    shim::records::{ModuleDir, ProcessMark, RunRecord},
    tls,
    workload::{RunDir, Workload, WorkloadConfig},
};
use hemline_model::Secret;
use hemline_testkit::within;
use jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(10);

const VERSION: &str = "api-version=2021-12-07";

fn identities() -> Identities {
    let identity = |generation: &str| Identity {
        generation_id: generation.to_owned(),
        key: Secret::new("c2VjcmV0IGtleSBvZiBhIG1vZHVsZSwgMzIgYnl0ZXM="),
    };
    BTreeMap::from([("sensor".to_owned(), identity("g1")), ("other".to_owned(), identity("g1"))])
}

fn key(kind: ModuleKind, name: &str) -> ModuleKey {
    ModuleKey { kind, name: name.to_owned() }
}

/// The agent of a device, as far as the workload API goes: two container modules have sockets.
fn serve(folder: &Path) -> Workload {
    let config = WorkloadConfig {
        place: RunDir::open(folder).unwrap(),
        data_dir: folder.to_owned(),
        processes: folder.join("modules"),
        hub: "hub.test".to_owned(),
        device: "press-01".to_owned(),
        ca_pem: hub_ca(),
    };
    let mut workload = Workload::new(config, CancellationToken::new());
    workload.set_identities(identities());
    for module in ["sensor", "other"] {
        workload.serve(&key(ModuleKind::Docker, module)).unwrap();
    }
    workload
}

/// Any certificate stands for the hub's.
fn hub_ca() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["hub.test".to_owned()]).unwrap();
    made.cert.pem()
}

async fn ask(workload: &Workload, request: &str) -> String {
    ask_on(workload, "sensor", request).await
}

async fn ask_on(workload: &Workload, socket: &str, request: &str) -> String {
    let mut stream = UnixStream::connect(workload.socket(socket)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(LIMIT, "the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path}?{VERSION} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    let path = if path.contains('?') { path.to_owned() } else { format!("{path}?{VERSION}") };
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Status and body of a POST on a module's own socket.
async fn call(workload: &Workload, module: &str, path: &str, body: &Value) -> (u16, Value) {
    let path = format!("/modules/{module}/{path}");
    let answer = ask_on(workload, module, &post(&path, &body.to_string())).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{answer:?}: {error}")))
}

async fn trust_bundle(workload: &Workload) -> String {
    let answer = ask(workload, &get("/trust-bundle")).await;
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    body["certificate"].as_str().unwrap().to_owned()
}

/// Without the date, which every answer carries.
fn undated(answer: &str) -> String {
    answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn answers_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let module = "/modules/sensor/genid/g1";
    let sign = "/modules/sensor/genid/g1/sign?api-version=2019-01-30";
    let vector = r#""initializationVector": "aXY=""#;
    let mut transcript = String::new();
    for request in [
        get("/modules"),
        get("/manifest-trust-bundle"),
        get("/manifest-trust-bundle").replace("2021-12-07", "2019-11-05"),
        get("/trust-bundle").replace(VERSION, ""),
        get("/trust-bundle").replace("2021-12-07", "2018-06-27"),
        get("/nothing"),
        get(&format!("{module}/sign")),
        post(sign, r#"{"keyId": "primary", "algo": "HMACSHA256", "data": "aHViCjE3MDA="}"#),
        post(&sign.replace("sensor", "%73ensor"), r#"{"data": "aHViCjE3MDA="}"#),
        post(&sign.replace("g1", "g2"), r#"{"data": ""}"#),
        post(&sign.replace("sensor", "other"), r#"{"data": ""}"#),
        post(&sign.replace("sensor", "nobody"), r#"{"data": ""}"#),
        post(sign, r#"{"data": "?"}"#),
        post(sign, "nonsense"),
        post(&format!("{module}/encrypt"), r#"{"plaintext": "eA=="}"#),
        post(&format!("{module}/encrypt"), r#"{"plaintext": "eA==", "initializationVector": ""}"#),
        post(&format!("{module}/encrypt"), &format!(r#"{{"plaintext": "?", {vector}}}"#)),
        post(&format!("{module}/decrypt"), &format!(r#"{{"ciphertext": "AA==", {vector}}}"#)),
        post(&format!("{module}/decrypt"), r#"{"ciphertext": "AA==", "initializationVector": "!"}"#),
        post("/modules/sensor/genid/g2/decrypt", &format!(r#"{{"ciphertext": "AA==", {vector}}}"#)),
        post("/modules/other/genid/g1/decrypt", &format!(r#"{{"ciphertext": "AA==", {vector}}}"#)),
        post(&format!("{module}/certificate/server"), "{}"),
        post(&format!("{module}/certificate/server"), r#"{"commonName": "*.local"}"#),
        post("/modules/sensor/genid/g2/certificate/server", r#"{"commonName": "gateway.local"}"#),
        post("/modules/other/certificate/identity", "{}"),
    ] {
        let (line, rest) = request.split_once("\r\n").unwrap();
        let body = rest.rsplit_once("\r\n\r\n").unwrap().1;
        transcript.push_str(&format!("> {line}\n> {body}\n{}\n\n", undated(&ask(&workload, &request).await)));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let mut stream = UnixStream::connect(workload.socket("sensor")).await.unwrap();
    for _ in 0..3 {
        let request = format!("GET /modules?{VERSION} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 4096];
        let length = within(LIMIT, "the answer", stream.read(&mut buffer)).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn too_much_is_refused_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    for (call, size) in [("sign", 65_537), ("certificate/server", 65_537), ("encrypt", 262_145)] {
        let path = format!("/modules/sensor/genid/g1/{call}");
        let answer = ask(&workload, &post(&path, &"x".repeat(size))).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let answer = ask(&workload, &post(&path, &"x".repeat(size - 1))).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let headers: String = (0..65).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = get("/modules").replace("Connection", &format!("{headers}Connection"));
    assert!(ask(&workload, &many).await.starts_with("HTTP/1.1 431 "));
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(UnixStream::connect(workload.socket("sensor")).await.unwrap());
    }
    assert!(ask(&workload, &get("/modules")).await.contains("200 OK"));
    // One more than there are places waits until one of them leaves.
    idle.push(UnixStream::connect(workload.socket("sensor")).await.unwrap());
    let mut late = UnixStream::connect(workload.socket("sensor")).await.unwrap();
    late.write_all(get("/modules").as_bytes()).await.unwrap();
    idle.truncate(9);
    let mut answer = String::new();
    within(LIMIT, "the answer", late.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
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
    assert!(ask(&second, &get("/modules")).await.contains("200 OK"));
    second.retain(|_| false);
    assert!(!path.exists());
}

/// What was encrypted opens for the same module, generation and vector, after a restart too, and for nothing else.
#[tokio::test]
async fn encrypted_texts_open_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let plain = STANDARD.encode([0, 159, 146, 150, 255]);
    // As long as edgeHub's: the nonce of the cipher would be twelve bytes.
    let vector = STANDARD.encode("9ab8b1ed04b944d3b7a2ed6f42a3a0f6");
    let wish = json!({"plaintext": plain, "initializationVector": vector});
    let (status, text) = call(&workload, "sensor", "genid/g1/encrypt", &wish).await;
    assert_eq!(status, 200, "{text}");
    workload.close().await;

    let mut workload = serve(folder.path());
    let open = |vector: &str| json!({"ciphertext": text["ciphertext"], "initializationVector": vector});
    let (status, opened) = call(&workload, "sensor", "genid/g1/decrypt", &open(&vector)).await;
    assert_eq!((status, &opened["plaintext"]), (200, &Value::String(plain)), "{opened}");
    let refused = |what: &str, (status, body): (u16, Value)| {
        assert_eq!(status, 500, "{what}: {body}");
        assert!(body["message"].as_str().unwrap().contains("cannot be opened"), "{what}: {body}");
    };
    refused("vector", call(&workload, "sensor", "genid/g1/decrypt", &open("aXY=")).await);
    refused("module", call(&workload, "other", "genid/g1/decrypt", &open(&vector)).await);
    let mut bytes = STANDARD.decode(text["ciphertext"].as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let tampered = json!({"ciphertext": STANDARD.encode(bytes), "initializationVector": vector});
    refused("tampered", call(&workload, "sensor", "genid/g1/decrypt", &tampered).await);
    // The identity is made anew: what the old one had encrypted stays closed.
    let mut known = identities();
    known.get_mut("sensor").unwrap().generation_id = "g2".to_owned();
    workload.set_identities(known);
    refused("generation", call(&workload, "sensor", "genid/g2/decrypt", &open(&vector)).await);
    assert_eq!(call(&workload, "sensor", "genid/g1/decrypt", &open(&vector)).await.0, 404);
    workload.retain(|_| false);
}

#[tokio::test]
async fn a_damaged_key_is_told_to_the_module_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    fs::write(folder.path().join("workload.key"), "damaged").unwrap();
    let wish = json!({"plaintext": "", "initializationVector": "aXY="});
    let (status, body) = call(&workload, "sensor", "genid/g1/encrypt", &wish).await;
    assert_eq!(status, 500);
    assert!(body["message"].as_str().unwrap().contains("workload.key holds no key"), "{body}");
    assert_eq!(fs::read_to_string(folder.path().join("workload.key")).unwrap(), "damaged");
}

// === Certificates ===

/// Chain and key of an answer.
fn certified(body: &Value) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    assert_eq!(body["privateKey"]["type"], "key", "{body}");
    let until: Timestamp = body["expiration"].as_str().unwrap().parse().unwrap();
    assert!(until > Timestamp::now());
    let chain = CertificateDer::pem_slice_iter(body["certificate"].as_str().unwrap().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(body["privateKey"]["bytes"].as_str().unwrap().as_bytes());
    (chain.map(Result::unwrap).collect(), key.unwrap())
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// Both ends of a handshake, and a word through it: what the client heard, or why there was nothing to hear.
async fn handshake(server: ServerConfig, client: rustls::ClientConfig, name: &str) -> Result<String, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = async {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await?;
        stream.write_all(b"welcome").await?;
        stream.shutdown().await
    };
    let asking = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, near).await?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await?;
        Ok::<_, std::io::Error>(heard)
    };
    let (served, heard) = within(LIMIT, "the handshake", async { tokio::join!(serving, asking) }).await;
    served.map_err(|error| error.to_string())?;
    heard.map_err(|error| error.to_string())
}

fn server(certificate: &Value) -> ServerConfig {
    let (chain, key) = certified(certificate);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// A leaf or another module that has the trust bundle can trust what a module serves, under the names it asked for.
#[tokio::test]
async fn a_server_certificate_is_trusted_by_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let bundle = trust_bundle(&workload).await;
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "the hub's and the device's: {bundle}");
    let trusting = |bundle: &str| (*tls::client_config(bundle).unwrap()).clone();
    for (common_name, dialled, trusted) in [
        ("gateway.local", "gateway.local", true),
        ("gateway.local", "sensor", true),
        ("gateway.local", "other.local", false),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "127.0.0.2", false),
    ] {
        let wish = json!({"commonName": common_name, "expiration": "2020-01-01T00:00:00Z"});
        let (status, made) = call(&workload, "sensor", "genid/g1/certificate/server", &wish).await;
        assert_eq!(status, 201, "{made}");
        let heard = handshake(server(&made), trusting(&bundle), dialled).await;
        assert_eq!(heard.is_ok(), trusted, "{common_name} as {dialled}: {heard:?}");
    }
    // A restarted agent is the same authority, and another device is another one.
    let wish = json!({"commonName": "gateway.local"});
    workload.close().await;
    let again = serve(folder.path());
    let (_, made) = call(&again, "sensor", "genid/g1/certificate/server", &wish).await;
    assert_eq!(handshake(server(&made), trusting(&bundle), "gateway.local").await.as_deref(), Ok("welcome"));
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = trust_bundle(&serve(elsewhere.path())).await;
    assert!(handshake(server(&made), trusting(&stranger), "gateway.local").await.is_err());
    assert!(handshake(server(&made), trusting(&hub_ca()), "gateway.local").await.is_err());
}

#[tokio::test]
async fn an_identity_certificate_is_for_clients() {
    let folder = tempfile::tempdir().unwrap();
    let workload = serve(folder.path());
    let bundle = trust_bundle(&workload).await;
    let (status, served) =
        call(&workload, "other", "genid/g1/certificate/server", &json!({"commonName": "gateway.local"}))
            .await;
    assert_eq!(status, 201, "{served}");
    let (status, identity) = call(&workload, "sensor", "certificate/identity", &json!({})).await;
    assert_eq!(status, 201, "{identity}");
    for (shown, accepted) in [(&identity, true), (&served, false)] {
        let provider = || Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = certified(&served);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&bundle)), provider());
        let asking_for_it = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let (chain, key) = certified(shown);
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&bundle))
            .with_client_auth_cert(chain, key)
            .unwrap();
        let heard = handshake(asking_for_it, client, "gateway.local").await;
        assert_eq!(heard.is_ok(), accepted, "{heard:?}");
    }
}

// === Who asks ===

/// All processes run as one user, so the kernel has to say which of them asks.
#[tokio::test]
async fn a_process_module_is_answered_on_its_own_socket_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut workload = serve(folder.path());
    let own = ProcessMark::own().unwrap();
    let mut idle = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let other = ProcessMark::of(idle.id().unwrap()).unwrap();
    // The test is the process of `sensor`, and `other` is somebody else.
    for (module, child) in [("sensor", own.clone()), ("other", other)] {
        let dir = folder.path().join("modules").join(module);
        fs::create_dir_all(&dir).unwrap();
        let record = RunRecord { shim: own.clone(), child, started: Timestamp::now() };
        ModuleDir::new(dir).write_run(&record).unwrap();
        workload.serve(&key(ModuleKind::Process, module)).unwrap();
    }
    let calls = [
        ("genid/g1/sign", json!({"data": ""}), 200),
        ("genid/g1/encrypt", json!({"plaintext": "", "initializationVector": "aXY="}), 200),
        ("genid/g1/decrypt", json!({"ciphertext": "", "initializationVector": "aXY="}), 500),
        ("genid/g1/certificate/server", json!({"commonName": "gateway.local"}), 201),
        ("certificate/identity", json!({}), 201),
    ];
    for (path, body, expected) in &calls {
        assert_eq!(call(&workload, "sensor", path, body).await.0, *expected, "{path}");
        let (status, refused) = call(&workload, "other", path, body).await;
        assert_eq!(status, 403, "{path}: {refused}");
        let text = refused["message"].as_str().unwrap();
        assert!(text.contains("only processes of module \"other\""), "{text}");
    }
    // Public things are for whoever finds the socket (reference edge-runtime §4.1).
    for path in ["/trust-bundle", "/modules", "/manifest-trust-bundle"] {
        assert!(ask_on(&workload, "other", &get(path)).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    // Moved to a container, the module's socket is for whatever is in there, and still not for process modules.
    workload.serve(&key(ModuleKind::Docker, "other")).unwrap();
    let (path, body, _) = &calls[0];
    assert_eq!(call(&workload, "other", path, body).await.0, 403, "the test is the process module `sensor`");
    fs::remove_dir_all(folder.path().join("modules/sensor")).unwrap();
    assert_eq!(call(&workload, "other", path, body).await.0, 200);
    idle.kill().await.unwrap();
}
