//! A hub on loopback with everything a test needs to talk to it: clients, keys, tokens.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::Router;
use hemline_hub::{Hub, HubConfig, HubHandle, pki, store::Store};
use hemline_hub_core::service::{DeviceSettings, IfMatch, ModuleSettings, ServiceReply, ServiceRequest};
use hemline_model::id::{ClientId, DeviceId};
use hemline_protocol::sas::{SasToken, SymmetricKey};
use hemline_testkit::within;
use jiff::{SignedDuration, Timestamp};
use rumqttc::{
    AsyncClient, ConnectReturnCode, MqttOptions, Packet, Publish, QoS, TlsConfiguration, Transport,
};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes longer, unless it never happens.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) handle: HubHandle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) ca_pem: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap())).await
    }

    pub(crate) async fn on(folder: Arc<TempDir>) -> Self {
        Self::start(folder, |_| {}, None).await
    }

    pub(crate) async fn start(
        folder: Arc<TempDir>,
        adjust: impl FnOnce(&mut HubConfig),
        store: Option<Box<dyn Store>>,
    ) -> Self {
        let names = vec!["hub.test".to_owned(), "127.0.0.1".to_owned()];
        let pki = pki::open(folder.path(), &names, Timestamp::now()).unwrap();
        let mut config = HubConfig::new(folder.path(), names, pki.server_config());
        config.mqtt = vec!["127.0.0.1:0".parse().unwrap()];
        config.https = vec!["127.0.0.1:0".parse().unwrap()];
        adjust(&mut config);
        let shutdown = CancellationToken::new();
        let extra = |_| Router::new().route("/healthz", axum::routing::get(|| async { "ok" }));
        let hub = match store {
            Some(store) => Hub::start_on(store, config, extra, shutdown.clone()).await,
            None => Hub::start(config, extra, shutdown.clone()).await,
        };
        let hub = hub.unwrap();
        let handle = hub.handle();
        Self { hub, handle, shutdown, folder, ca_pem: pki.ca_pem }
    }

    /// Stops the hub in order and hands the data directory over.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        self.shutdown.cancel();
        within(SOON, "the hub to stop", self.hub.join()).await.unwrap();
        self.folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.hub.mqtt_addr()[0]
    }

    /// Makes a device and returns its primary key.
    pub(crate) async fn device(&self, id: &str, edge: bool) -> String {
        let operation = ServiceRequest::PutDevice {
            device: DeviceId::new(id).unwrap(),
            settings: DeviceSettings { edge: Some(edge), ..DeviceSettings::default() },
            if_match: IfMatch::Absent,
        };
        primary_key(self.handle.call(operation).await.unwrap())
    }

    pub(crate) async fn module(&self, id: &str) -> String {
        let operation = ServiceRequest::PutModule {
            client: id.parse().unwrap(),
            settings: ModuleSettings::default(),
            if_match: IfMatch::Absent,
        };
        primary_key(self.handle.call(operation).await.unwrap())
    }

    pub(crate) fn tls(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A TLS connection to the MQTT port on which a test says what it likes.
    pub(crate) async fn raw(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.mqtt()).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        TlsConnector::from(Arc::new(self.tls())).connect(name, stream).await.unwrap()
    }

    pub(crate) fn connect(&self, id: &str, key: &str) -> Client {
        self.connect_with(id, &token(&client_resource(id), key, None), false)
    }

    /// A client that acknowledges nothing by itself.
    pub(crate) fn connect_mute(&self, id: &str, key: &str) -> Client {
        let mut options = self.options(id, &token(&client_resource(id), key, None), false);
        options.set_manual_acks(true);
        Client::start(options)
    }

    /// A client with a last will: topic, body, retain.
    pub(crate) fn connect_leaving(
        &self,
        id: &str,
        key: &str,
        (topic, body, retain): (&str, &str, bool),
    ) -> Client {
        let mut options = self.options(id, &token(&client_resource(id), key, None), false);
        options.set_last_will(rumqttc::LastWill::new(topic, body, QoS::AtLeastOnce, retain));
        Client::start(options)
    }

    pub(crate) fn connect_with(&self, id: &str, password: &str, clean: bool) -> Client {
        Client::start(self.options(id, password, clean))
    }

    fn options(&self, id: &str, password: &str, clean: bool) -> MqttOptions {
        let address = self.mqtt();
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_credentials(format!("hub.test/{id}/?api-version=2021-04-12"), password);
        options.set_clean_session(clean);
        options.set_max_packet_size(400 << 10, 400 << 10);
        let tls = TlsConfiguration::Rustls(Arc::new(self.tls()));
        options.set_transport(Transport::tls_with_config(tls));
        options
    }

    pub(crate) async fn rest(&self, policy: &str) -> Rest {
        let reply = self.handle.call(ServiceRequest::GetPolicy(policy.into())).await.unwrap();
        let ServiceReply::Policy(found) = reply else { panic!("{reply:?}") };
        self.rest_with(token("hub.test", &found.primary_key, Some(policy)))
    }

    pub(crate) fn rest_with(&self, authorization: String) -> Rest {
        let client = reqwest::Client::builder().tls_backend_preconfigured(self.tls()).build().unwrap();
        Rest { client, base: format!("https://{}", self.hub.https_addr()[0]), authorization }
    }
}

fn primary_key(reply: ServiceReply) -> String {
    let ServiceReply::Identity { document, .. } = reply else { panic!("{reply:?}") };
    document["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap().to_owned()
}

/// `hub.test/devices/d[/modules/m]`
pub(crate) fn client_resource(id: &str) -> String {
    let client: ClientId = id.parse().unwrap();
    match client.module {
        Some(module) => format!("hub.test/devices/{}/modules/{module}", client.device),
        None => format!("hub.test/devices/{}", client.device),
    }
}

pub(crate) fn token(resource: &str, key: &str, policy: Option<&str>) -> String {
    let expiry = Timestamp::now() + SignedDuration::from_hours(1);
    SasToken::sign(&SymmetricKey::from_base64(key).unwrap(), resource, expiry, policy)
}

// === MQTT ===

/// An MQTT client whose connection is driven by a task; it does not reconnect.
pub(crate) struct Client {
    pub(crate) mqtt: AsyncClient,
    packets: mpsc::UnboundedReceiver<Packet>,
    driver: JoinHandle<()>,
}

impl Client {
    fn start(options: MqttOptions) -> Self {
        let (mqtt, mut events) = AsyncClient::new(options, 64);
        let (sender, packets) = mpsc::unbounded_channel();
        let driver = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(rumqttc::Event::Incoming(packet)) => {
                        if sender.send(packet).is_err() {
                            return;
                        }
                    }
                    Ok(rumqttc::Event::Outgoing(_)) => {}
                    Err(rumqttc::ConnectionError::ConnectionRefused(code)) => {
                        drop(sender.send(Packet::ConnAck(rumqttc::ConnAck::new(code, false))));
                        return;
                    }
                    Err(_) => return,
                }
            }
        });
        Self { mqtt, packets, driver }
    }

    /// The next packet; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        within(SOON, "a packet", self.packets.recv()).await
    }

    /// Waits for the CONNACK: code and session present.
    pub(crate) async fn connected(&mut self) -> (ConnectReturnCode, bool) {
        match self.next().await {
            Some(Packet::ConnAck(ack)) => (ack.code, ack.session_present),
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    pub(crate) async fn in_now(mut self) -> Self {
        assert_eq!(self.connected().await.0, ConnectReturnCode::Success);
        self
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.mqtt.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        match self.next().await {
            Some(Packet::SubAck(_)) => {}
            other => panic!("no SUBACK but {other:?}"),
        }
    }

    /// Publishes at QoS 1 and waits for the PUBACK; what came before it is returned.
    pub(crate) async fn publish(&mut self, topic: &str, body: &str) -> Vec<Publish> {
        self.mqtt.publish(topic, QoS::AtLeastOnce, false, body).await.unwrap();
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Some(Packet::PubAck(_)) => return before,
                Some(Packet::Publish(publish)) => before.push(publish),
                other => panic!("no PUBACK but {other:?}"),
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Publish {
        loop {
            match self.next().await {
                Some(Packet::Publish(publish)) => return publish,
                Some(Packet::PubAck(_) | Packet::PingResp) => {}
                other => panic!("no PUBLISH but {other:?}"),
            }
        }
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(mut self) {
        while self.next().await.is_some() {}
        within(SOON, "the connection to end", self.driver).await.unwrap();
    }

    /// Drops the socket without a DISCONNECT.
    pub(crate) async fn vanish(self) {
        self.driver.abort();
        drop(self.driver.await);
    }
}

// === REST ===

pub(crate) struct Rest {
    client: reqwest::Client,
    base: String,
    pub(crate) authorization: String,
}

/// What a test looks at.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) all_headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Rest {
    pub(crate) async fn send(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        self.send_text(verb, path, headers, body.map(|body| body.to_string())).await
    }

    pub(crate) async fn send_text(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.client.request(verb.parse().unwrap(), format!("{}{path}", self.base));
        if !self.authorization.is_empty() {
            request = request.header("authorization", &self.authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        answer(request).await
    }

    /// A body whose length is not announced.
    pub(crate) async fn send_chunks(&self, path: &str, chunks: &[&str]) -> Answer {
        let chunks: Vec<_> = chunks.iter().map(|c| Ok::<_, std::io::Error>((*c).to_owned())).collect();
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let request = self.client.post(format!("{}{path}", self.base));
        answer(request.header("authorization", &self.authorization).body(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("{path}?api-version=2021-04-12"), &[], None).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = within(SOON, "an HTTP answer", request.send()).await.unwrap();
    let status = response.status().as_u16();
    let told = ["content-type", "etag", "iothub-errorcode", "x-ms-continuation", "x-ms-item-type", "allow"];
    let headers = told.iter().filter_map(|name| {
        let value = response.headers().get(*name)?;
        Some(((*name).to_owned(), value.to_str().unwrap().to_owned()))
    });
    let headers = headers.collect();
    let all = response.headers().iter();
    let all_headers = all
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Answer { status, headers, all_headers, body: response.text().await.unwrap() }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Status, headers and body with everything masked that differs from run to run.
    pub(crate) fn told(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| match name.as_str() {
            "etag" => "etag: \"***\"".to_owned(),
            _ => format!("{name}: {value}"),
        });
        let headers: Vec<String> = headers.collect();
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(mut value) => {
                mask(&mut value);
                serde_json::to_string_pretty(&value).unwrap()
            }
            Err(_) => self.body.clone(),
        };
        format!("{}\n{}\n{body}", self.status, headers.join("\n"))
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let varies = ["Id", "Key", "Time", "Utc", "tag"].iter().any(|end| name.ends_with(end))
                    && !["deviceId", "moduleId", "modelId", "trackingId"].contains(&name.as_str());
                let fixed = value.as_str().is_none_or(|text| text.starts_with("0001-01-01"));
                if name == "$lastUpdated" || (varies && !fixed) {
                    *value = "***".into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => *text = mask_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Tracking ids, timestamps and the ticks of a scope.
fn mask_text(text: &str) -> String {
    let mut masked = text.to_owned();
    if let Some(rest) = text.strip_prefix("ms-azure-iot-edge://") {
        let id = rest.rsplit_once('-').map_or(rest, |(id, _)| id);
        return format!("ms-azure-iot-edge://{id}-***");
    }
    if text.starts_with("Tracking ID:") {
        return "Tracking ID:***".into();
    }
    if let Ok(Value::Object(mut inner)) = serde_json::from_str(text) {
        for name in ["trackingId", "timestampUtc"] {
            if inner.contains_key(name) {
                inner.insert(name.into(), "***".into());
            }
        }
        masked = Value::Object(inner).to_string();
    }
    masked
}
