//! A hub by hand, as far as an agent needs one: twins and methods of `$edgeAgent` over MQTT, module identities over HTTPS.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use hemline_agent::tls;
use hemline_model::{id::ClientId, twin};
use hemline_protocol::{
    sas::{SasToken, SymmetricKey},
    topic::{self, ClientTopic},
    username::Username,
};
use hemline_testkit::within;
use rumqttc::{ConnAck, ConnectReturnCode, Packet, Publish, QoS, SubAck, SubscribeReasonCode};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

const LIMIT: Duration = Duration::from_secs(20);

/// Containers carry the name of their hub: several runs of these tests may share one engine.
pub(crate) static HUB: LazyLock<String> = LazyLock::new(|| format!("hub-{}.test", std::process::id()));
pub(crate) const DEVICE: &str = "press-01";
pub(crate) const KEY: &str = "ZGV2aWNlIGtleSBmb3IgdGhlIHRlc3RzLCAzMiBieXRlcw==";

/// What the hub knows; the fields are for tests to look at.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) desired: Map<String, Value>,
    pub(crate) version: u64,
    pub(crate) modules: Vec<Value>,
    /// Every reported patch as it came.
    pub(crate) patches: Vec<Value>,
    pub(crate) connects: usize,
}

enum Order {
    Desired(u64, Value),
    Method(String, Value, oneshot::Sender<(i32, Value)>),
}

pub(crate) struct FakeHub {
    pub(crate) mqtt_port: u16,
    pub(crate) https_port: u16,
    pub(crate) ca_pem: String,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) reported: watch::Receiver<Map<String, Value>>,
    orders: mpsc::Sender<Order>,
    current: Arc<Mutex<CancellationToken>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

struct Shared {
    known: Arc<Mutex<Known>>,
    reported: watch::Sender<Map<String, Value>>,
    orders: tokio::sync::Mutex<mpsc::Receiver<Order>>,
    current: Arc<Mutex<CancellationToken>>,
}

impl FakeHub {
    pub(crate) async fn start(desired: Value) -> Self {
        let (acceptor, ca_pem) = certificates();
        tls::client_config(&ca_pem).unwrap();
        let mqtt = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let https = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mqtt_port, https_port) = (mqtt.local_addr().unwrap().port(), https.local_addr().unwrap().port());
        let desired = desired.as_object().cloned().unwrap();
        let known = Arc::new(Mutex::new(Known { version: 2, desired, ..Known::default() }));
        let (reported_in, reported) = watch::channel(Map::new());
        let (orders, orders_out) = mpsc::channel(8);
        let current = Arc::new(Mutex::new(CancellationToken::new()));
        let shared = Arc::new(Shared {
            known: Arc::clone(&known),
            reported: reported_in,
            orders: tokio::sync::Mutex::new(orders_out),
            current: Arc::clone(&current),
        });
        let serve_mqtt = tokio::spawn(accept_mqtt(mqtt, acceptor.clone(), shared));
        let serve_https = tokio::spawn(accept_https(https, acceptor, Arc::clone(&known)));
        let tasks = vec![AbortOnDropHandle::new(serve_mqtt), AbortOnDropHandle::new(serve_https)];
        Self { mqtt_port, https_port, ca_pem, known, reported, orders, current, _tasks: tasks }
    }

    /// Gives a module an identity.
    pub(crate) fn identity(&self, name: &str, generation: &str) {
        let mut known = self.known.lock().unwrap();
        known.modules.retain(|module| module["moduleId"] != name);
        known.modules.push(json!({
            "moduleId": name, "deviceId": DEVICE, "generationId": generation,
            "authentication": {"type": "sas", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}},
        }));
    }

    /// Changes desired properties and tells the agent.
    pub(crate) async fn patch(&self, patch: Value) {
        let version = {
            let mut known = self.known.lock().unwrap();
            twin::merge(&mut known.desired, patch.as_object().unwrap());
            known.version += 1;
            known.version
        };
        self.orders.send(Order::Desired(version, patch)).await.unwrap();
    }

    /// Changes desired properties and tells nobody.
    pub(crate) fn patch_in_secret(&self, patch: &Value) {
        let mut known = self.known.lock().unwrap();
        twin::merge(&mut known.desired, patch.as_object().unwrap());
        known.version += 1;
    }

    pub(crate) async fn method(&self, name: &str, payload: Value) -> (i32, Value) {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Method(name.to_owned(), payload, reply)).await.unwrap();
        within(LIMIT, "the answer to a method", answer).await.unwrap()
    }

    /// Cuts the current connection.
    pub(crate) fn cut(&self) {
        self.current.lock().unwrap().cancel();
    }

    /// Waits until the reported properties are as asked.
    pub(crate) async fn until(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let mut reported = self.reported.clone();
        let waited = reported.wait_for(|reported| good(&Value::Object(reported.clone())));
        match tokio::time::timeout(LIMIT, waited).await {
            Ok(outcome) => Value::Object(outcome.unwrap().clone()),
            Err(_) => {
                let have = Value::Object(self.reported.borrow().clone());
                panic!("{what}: not within {LIMIT:?}; reported is {have:#}");
            }
        }
    }
}

fn certificates() -> (TlsAcceptor, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}

fn authorised(token: &str) -> bool {
    let key = SymmetricKey::from_base64(KEY).unwrap();
    SasToken::parse(token).is_ok_and(|token| {
        token.verify(&key)
            && token.resource().host() == *HUB
            && token.resource().path() == ["devices", DEVICE]
    })
}

async fn accept_mqtt(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(stream) = acceptor.accept(stream).await else { continue };
        let cut = CancellationToken::new();
        *shared.current.lock().unwrap() = cut.clone();
        // One agent, one connection at a time.
        tokio::select! {
            () = serve(stream, &shared) => {}
            () = cut.cancelled() => {}
        }
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, shared: &Shared) {
    let mut orders = shared.orders.lock().await;
    let mut buffer = BytesMut::new();
    let mut calls: HashMap<String, oneshot::Sender<(i32, Value)>> = HashMap::new();
    let who: ClientId = format!("{DEVICE}/$edgeAgent").parse().unwrap();
    loop {
        tokio::select! {
            packet = read(&mut stream, &mut buffer) => {
                let Some(packet) = packet else { return };
                if !answer(packet, &mut stream, shared, &who, &mut calls).await {
                    return;
                }
            }
            order = orders.recv() => match order {
                None => return,
                Some(Order::Desired(version, mut patch)) => {
                    patch["$version"] = json!(version);
                    publish(&mut stream, topic::desired_patch(version), &patch.to_string()).await;
                }
                Some(Order::Method(name, payload, reply)) => {
                    let rid = format!("{}", calls.len() + 1);
                    publish(&mut stream, topic::method_call(&name, &rid), &payload.to_string()).await;
                    calls.insert(rid, reply);
                }
            }
        }
    }
}

async fn answer(
    packet: Packet,
    stream: &mut TlsStream<TcpStream>,
    shared: &Shared,
    who: &ClientId,
    calls: &mut HashMap<String, oneshot::Sender<(i32, Value)>>,
) -> bool {
    match packet {
        Packet::Connect(connect) => {
            let login = connect.login.unwrap();
            let name = Username::parse(&login.username).unwrap();
            assert_eq!(
                (name.host.as_str(), &name.client, connect.client_id.as_str()),
                (HUB.as_str(), who, who.to_string().as_str())
            );
            assert!(!connect.clean_session && authorised(&login.password));
            shared.known.lock().unwrap().connects += 1;
            write(stream, Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))).await;
        }
        Packet::Subscribe(subscribe) => {
            let granted =
                subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
            write(stream, Packet::SubAck(SubAck::new(subscribe.pkid, granted))).await;
        }
        Packet::PingReq => write(stream, Packet::PingResp).await,
        Packet::Disconnect => return false,
        Packet::Publish(message) => match topic::parse(&message.topic, who).unwrap() {
            ClientTopic::TwinGet { rid } => {
                let body = {
                    let known = shared.known.lock().unwrap();
                    let mut desired = known.desired.clone();
                    desired.insert("$version".to_owned(), json!(known.version));
                    let mut reported = shared.reported.borrow().clone();
                    reported.insert("$version".to_owned(), json!(1));
                    json!({ "desired": desired, "reported": reported }).to_string()
                };
                publish(stream, topic::twin_response(200, &rid, None), &body).await;
            }
            ClientTopic::ReportedPatch { rid, .. } => {
                let patch: Value = serde_json::from_slice(&message.payload).unwrap();
                shared.known.lock().unwrap().patches.push(patch.clone());
                shared.reported.send_modify(|reported| twin::merge(reported, patch.as_object().unwrap()));
                publish(stream, topic::twin_response(204, &rid.unwrap(), Some(2)), "").await;
            }
            ClientTopic::MethodResult { status, rid } => {
                let payload = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
                calls.remove(&rid).unwrap().send((status, payload)).unwrap();
            }
            ClientTopic::Telemetry { .. } | ClientTopic::User => panic!("an agent sends no telemetry"),
        },
        other => panic!("unexpected {other:?}"),
    }
    true
}

async fn read(stream: &mut TlsStream<TcpStream>, buffer: &mut BytesMut) -> Option<Packet> {
    loop {
        match Packet::read(buffer, 1 << 20) {
            Ok(packet) => return Some(packet),
            Err(rumqttc::Error::InsufficientBytes(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn write(stream: &mut TlsStream<TcpStream>, packet: Packet) {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, 1 << 20).unwrap();
    // The agent may be gone, which the test notices elsewhere.
    drop(stream.write_all(&bytes).await);
    drop(stream.flush().await);
}

async fn publish(stream: &mut TlsStream<TcpStream>, topic: String, body: &str) {
    write(stream, Packet::Publish(Publish::new(topic, QoS::AtMostOnce, body))).await;
}

async fn accept_https(listener: TcpListener, acceptor: TlsAcceptor, known: Arc<Mutex<Known>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
        let request = String::from_utf8(request).unwrap();
        let token = request.lines().find_map(|line| line.strip_prefix("authorization: "));
        assert!(request.starts_with("GET /devices/press%2D01/modules?api-version="), "{request}");
        let (status, body) = if token.is_some_and(authorised) {
            ("200 OK", Value::Array(known.lock().unwrap().modules.clone()).to_string())
        } else {
            ("401 Unauthorized", "{}".to_owned())
        };
        let answer =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        drop(stream.write_all(answer.as_bytes()).await);
        drop(stream.shutdown().await);
    }
}
