//! A hub by hand: TLS, MQTT packets, and nothing that happens by itself.

use std::sync::Arc;

use bytes::BytesMut;
use hemline_protocol::{properties::Properties, topic};
use hemline_testkit::within;
use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, Subscribe, SubscribeReasonCode,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{LIMIT, environment};

pub(crate) struct FakeHub {
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// One connected client.
pub(crate) struct Peer {
    pub(crate) connect: Connect,
    /// Reports are taken by the way, whenever they come.
    pub(crate) takes_reports: bool,
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl FakeHub {
    pub(crate) async fn new() -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let ca_pem = ca_certificate.pem();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, ca_pem, listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// The next connection that is made: TLS, CONNECT, CONNACK.
    pub(crate) async fn accept(&self) -> Peer {
        within(LIMIT, "a connection", self.try_accept()).await.expect("TLS and CONNECT")
    }

    /// None when the client does not like this hub.
    pub(crate) async fn try_accept(&self) -> Option<Peer> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = self.acceptor.accept(stream).await.ok()?;
        let mut buffer = BytesMut::new();
        let Packet::Connect(connect) = read(&mut stream, &mut buffer).await? else { return None };
        let mut peer = Peer { connect, takes_reports: false, stream, buffer };
        peer.write(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, true))).await;
        Some(peer)
    }
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

fn report_id(packet: &Packet) -> Option<String> {
    let Packet::Publish(publish) = packet else { return None };
    publish.topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?$rid=").map(str::to_owned)
}

impl Peer {
    /// None when the connection has ended.
    pub(crate) async fn read(&mut self) -> Option<Packet> {
        read(&mut self.stream, &mut self.buffer).await
    }

    async fn next(&mut self) -> Packet {
        loop {
            let packet = within(LIMIT, "a packet", self.read()).await.expect("connection is open");
            match report_id(&packet) {
                Some(rid) if self.takes_reports => self.answer(204, &rid, "").await,
                Some(_) | None => return packet,
            }
        }
    }

    async fn write(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, 1 << 20).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn send(&mut self, topic: String, qos: QoS, packet: u16, body: &str) {
        let mut publish = Publish::new(topic, qos, body);
        publish.pkid = packet;
        self.write(Packet::Publish(publish)).await;
    }

    /// SUBSCRIBE, then the first GET. Gives the filters after those of the twin.
    pub(crate) async fn ready(&mut self, twin: &str) -> Vec<String> {
        let mut filters = self.subscribed().await;
        let others = filters.split_off(2);
        assert_eq!(filters, [topic::TWIN_RESPONSES, topic::DESIRED_PATCHES]);
        self.answer_get(twin).await;
        others
    }

    pub(crate) async fn subscribed(&mut self) -> Vec<String> {
        let Packet::Subscribe(Subscribe { pkid, filters }) = self.next().await else {
            panic!("no SUBSCRIBE")
        };
        let granted = filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
        self.write(Packet::SubAck(SubAck::new(pkid, granted))).await;
        filters.into_iter().map(|filter| filter.path).collect()
    }

    pub(crate) async fn publish(&mut self) -> Publish {
        match self.next().await {
            Packet::Publish(publish) => publish,
            other => panic!("no PUBLISH: {other:?}"),
        }
    }

    pub(crate) async fn answer_get(&mut self, twin: &str) {
        let publish = self.publish().await;
        let rid = publish.topic.strip_prefix("$iothub/twin/GET/?$rid=").expect("a twin GET").to_owned();
        self.answer(200, &rid, twin).await;
    }

    pub(crate) async fn report(&mut self) -> (String, Value) {
        let packet = self.next().await;
        let rid = report_id(&packet).expect("a report");
        let Packet::Publish(publish) = packet else { panic!("no PUBLISH") };
        (rid, serde_json::from_slice(&publish.payload).unwrap())
    }

    pub(crate) async fn answer(&mut self, status: u16, rid: &str, body: &str) {
        self.send(topic::twin_response(status, rid, None), QoS::AtMostOnce, 0, body).await;
    }

    pub(crate) async fn desired(&mut self, version: u64, body: &str) {
        self.send(topic::desired_patch(version), QoS::AtMostOnce, 0, body).await;
    }

    pub(crate) async fn input(&mut self, packet: u16, input: &str, body: &str) {
        let environment = environment("/a", "b", 1);
        let mut properties = Properties::default();
        properties.system.content_type = Some("application/json".to_owned());
        let topic = topic::input(&environment.client.device, &environment.module, input, &properties);
        self.send(topic, QoS::AtLeastOnce, packet, body).await;
    }

    pub(crate) async fn acknowledge(&mut self, packet: u16) {
        self.write(Packet::PubAck(PubAck::new(packet))).await;
    }

    pub(crate) async fn acknowledged(&mut self) -> u16 {
        match self.next().await {
            Packet::PubAck(ack) => ack.pkid,
            other => panic!("no PUBACK: {other:?}"),
        }
    }

    /// Waits for DISCONNECT or the end of the connection; what else comes is passed over.
    pub(crate) async fn disconnected(&mut self) -> bool {
        loop {
            match within(LIMIT, "the end", self.read()).await {
                Some(Packet::Disconnect) | None => return true,
                Some(_) => {}
            }
        }
    }
}
