//! Clients with certificates, through real handshakes: MQTT, MQTT over WebSocket and HTTPS judge them alike, after the
//! handshake and in the words of each protocol (reference device-protocol §1.2, §3.2).

use std::{fs, sync::Arc};

use futures_util::{SinkExt as _, StreamExt as _};
use hemline_hub::{device_ca, x509::DeviceAuthorities};
use hemline_hub_core::{
    credential::Chain,
    service::{Authentication, DeviceSettings, IfMatch, ServiceRequest},
    throttle::Rate,
};
use hemline_model::id::DeviceId;
use hemline_testkit::{eventually, within};
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{
    wire::connect,
    world::{SOON, World, client_resource, token},
};

// === certificates ===

/// What a client shows, its own certificate first, and the key it signs with.
#[derive(Clone)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: String,
}

/// From when until when, in days from today.
type Days = (i64, i64);
const GOOD: Days = (-10, 10);

fn params(name: &str, days: Days, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let date = |days: i64| {
        let at = Timestamp::now() + SignedDuration::from_hours(24 * days);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (date(days.0), date(days.1));
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    params
}

fn self_signed(name: &str, days: Days) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, days, false).self_signed(&key).unwrap();
    Shown { chain: vec![certificate.der().clone()], key: key.serialize_pem() }
}

/// An authority: its certificate and those above it that a client sends along, and what it signs with.
struct Authority {
    pem: String,
    above: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params(name, GOOD, true);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, above: Vec::new(), issuer: Issuer::new(params, key) }
    }

    fn below(&self, name: &str, days: Days, is_ca: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params(name, days, is_ca);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let above = [certificate.der().clone()].into_iter().chain(self.above.clone()).collect();
        Self { pem: certificate.pem(), above, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, days: Days) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, days, false).signed_by(&key, &self.issuer).unwrap();
        let chain = [certificate.der().clone()].into_iter().chain(self.above.clone()).collect();
        Shown { chain, key: key.serialize_pem() }
    }
}

impl Shown {
    fn thumbprint(&self, length: usize) -> String {
        let found = DeviceAuthorities::default().examine(&self.chain, Timestamp::now()).unwrap();
        match length {
            40 => found.sha1,
            _ => found.sha256.to_uppercase(),
        }
    }
}

// === connections ===

fn roots(world: &World) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.ca_pem.as_bytes()).unwrap()).unwrap();
    roots
}

fn tls(world: &World, version: &'static SupportedProtocolVersion, shown: Option<&Shown>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(world));
    match shown {
        Some(shown) => {
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
            // Without a look at what it shows: clients are not kinder than that.
            let key = ring::sign::any_supported_type(&key).unwrap();
            let certified = Arc::new(CertifiedKey::new(shown.chain.clone(), key));
            builder.with_client_cert_resolver(Arc::new(Shows(certified)))
        }
        None => builder.with_no_client_auth(),
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(hints.is_empty(), "a hint keeps clients from showing what the hub would take");
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

async fn dial(address: std::net::SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = "127.0.0.1".try_into().unwrap();
    within(SOON, "the handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// The code of the CONNACK; `None` when the connection ended without one.
async fn mqtt(world: &World, config: ClientConfig, packet: &[u8]) -> Option<u8> {
    let mut stream = dial(world.mqtt(), config).await.ok()?;
    stream.write_all(packet).await.ok()?;
    let mut answer = [0; 4];
    within(SOON, "the CONNACK", stream.read_exact(&mut answer)).await.ok()?;
    Some(answer[3])
}

async fn websocket(world: &World, config: ClientConfig, packet: &[u8]) -> Option<u8> {
    let stream = dial(world.hub.https_addr()[0], config).await.ok()?;
    let mut request = "wss://127.0.0.1/$iothub/websocket".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
    let (mut socket, _) = client_async(request, stream).await.ok()?;
    socket.send(Message::binary(packet.to_vec())).await.ok()?;
    match within(SOON, "the CONNACK", socket.next()).await? {
        Ok(Message::Binary(answer)) => answer.get(3).copied(),
        _ => None,
    }
}

/// Status and body of a device's question for messages.
async fn https(world: &World, config: ClientConfig, id: &str) -> (u16, String) {
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build().unwrap();
    let url = format!(
        "https://{}/devices/{id}/messages/devicebound?api-version=2021-04-12",
        world.hub.https_addr()[0]
    );
    let answer = within(SOON, "an answer", client.get(url).send()).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn add(world: &World, id: &str, authentication: Authentication) {
    let operation = ServiceRequest::PutDevice {
        device: DeviceId::new(id).unwrap(),
        settings: DeviceSettings {
            authentication: Some(authentication),
            enabled: Some(id != "off"),
            ..DeviceSettings::default()
        },
        if_match: IfMatch::Absent,
    };
    world.handle.call(operation).await.unwrap();
}

fn connect_packet(id: &str, password: &str) -> Vec<u8> {
    connect(4, id, &format!("hub.test/{id}/?api-version=2021-04-12"), password)
}

async fn world_with(authority: &Authority) -> World {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join(device_ca::FOLDER)).unwrap();
    fs::write(folder.path().join(device_ca::FOLDER).join("root.pem"), &authority.pem).unwrap();
    // The tables below fail more often than any client may.
    let lenient = |config: &mut hemline_hub::HubConfig| {
        let often = Rate { burst: 10_000, period_ms: 1 };
        (config.limits.door.failures, config.limits.door.failures_of_identity) = (often, often);
    };
    World::start(folder, lenient, None).await
}

#[tokio::test]
async fn every_head_judges_alike() {
    let root = Authority::root("devices of the plant");
    let line = root.below("line 1", GOOD, true);
    let world = world_with(&root).await;
    let fixture = |end: &str| {
        fs::read_to_string(format!("{}/tests/certificates/first-version.{end}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    let old = Shown {
        chain: vec![CertificateDer::from_pem_slice(fixture("pem").as_bytes()).unwrap()],
        key: fixture("key"),
    };
    let (first, second, expired, early) = (
        self_signed("any", GOOD),
        self_signed("", GOOD),
        self_signed("past", (-10, -2)),
        self_signed("next", (2, 10)),
    );
    let prints = |primary: &Shown, secondary: &Shown, length: usize| Authentication::SelfSigned {
        primary: Some(primary.thumbprint(length)),
        secondary: Some(secondary.thumbprint(length)),
    };
    add(&world, "sha1", prints(&first, &second, 40)).await;
    add(&world, "sha256", prints(&first, &second, 64)).await;
    add(&world, "dates", prints(&expired, &early, 64)).await;
    add(&world, "old", prints(&old, &second, 40)).await;
    add(&world, "off", prints(&first, &second, 64)).await;
    add(&world, "signed", Authentication::CertificateAuthority).await;
    let key = world.device("keyed", false).await;

    let impostor = Authority::root("devices of the plant");
    let mut without_line = line.sign("signed", GOOD);
    without_line.chain.truncate(1);
    let by_device = root.below("press", GOOD, false).sign("signed", GOOD);
    let late_line = root.below("line 2", (-10, -2), true);
    for (what, id, shown, is_let_in) in [
        ("the primary, SHA-1", "sha1", Some(&first), true),
        ("the secondary, SHA-1", "sha1", Some(&second), true),
        ("the primary, SHA-256", "sha256", Some(&first), true),
        ("the secondary, SHA-256", "sha256", Some(&second), true),
        ("of the first version of X.509", "old", Some(&old), true),
        ("another one", "sha256", Some(&expired), false),
        ("none", "sha256", None, false),
        ("expired", "dates", Some(&expired), false),
        ("not good yet", "dates", Some(&early), false),
        ("of a disabled device", "off", Some(&first), false),
        ("of a device with keys", "keyed", Some(&first), false),
        ("signed", "signed", Some(&root.sign("signed", GOOD)), true),
        ("signed below the root", "signed", Some(&line.sign("signed", GOOD)), true),
        ("of another device", "signed", Some(&root.sign("sha1", GOOD)), false),
        ("without a name", "signed", Some(&root.sign("", GOOD)), false),
        ("the one between is missing", "signed", Some(&without_line), false),
        ("signed and expired", "signed", Some(&root.sign("signed", (-10, -2))), false),
        ("the one between is expired", "signed", Some(&late_line.sign("signed", GOOD)), false),
        ("signed by somebody else", "signed", Some(&Authority::root("x").sign("signed", GOOD)), false),
        ("signed by the same name", "signed", Some(&impostor.sign("signed", GOOD)), false),
        ("signed by a device", "signed", Some(&by_device), false),
        ("signed by itself", "signed", Some(&self_signed("signed", GOOD)), false),
    ] {
        let code = Some(if is_let_in { 0 } else { 5 });
        let packet = connect_packet(id, "");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = tls(&world, version, shown);
            assert_eq!(mqtt(&world, config, &packet).await, code, "{what} over MQTT, {version:?}");
        }
        let config = || tls(&world, &rustls::version::TLS12, shown);
        assert_eq!(websocket(&world, config(), &packet).await, code, "{what} over WebSocket");
        let (status, body) = https(&world, config(), id).await;
        assert_eq!(status, if is_let_in { 204 } else { 401 }, "{what} over HTTPS: {body}");
        assert!(is_let_in || body.contains("ErrorCode:IotHubUnauthorizedAccess"), "{what}: {body}");
    }

    // A password is what counts when there is one, good or bad.
    let good = token(&client_resource("keyed"), &key, None);
    for (what, id, password, code) in [
        ("a good token beside a certificate", "keyed", &*good, 0),
        ("a token of another beside the right certificate", "sha256", &*good, 5),
    ] {
        let config = tls(&world, &rustls::version::TLS13, Some(&first));
        assert_eq!(mqtt(&world, config, &connect_packet(id, password)).await, Some(code), "{what}");
    }
}

#[tokio::test]
async fn somebody_elses_certificate_without_its_key_does_not_pass_the_handshake() {
    let world = World::new().await;
    let (owner, thief) = (self_signed("d", GOOD), self_signed("d", GOOD));
    let thumbprint = Some(owner.thumbprint(64));
    add(&world, "d", Authentication::SelfSigned { primary: thumbprint, secondary: None }).await;
    let stolen = Shown { chain: owner.chain.clone(), key: thief.key };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let told = mqtt(&world, tls(&world, version, Some(&stolen)), &connect_packet("d", "")).await;
        assert_eq!(told, None, "{version:?}");
        let told = mqtt(&world, tls(&world, version, Some(&owner)), &connect_packet("d", "")).await;
        assert_eq!(told, Some(0), "{version:?}");
    }
    assert_eq!(world.handle.head_statistics().handshakes_failed, 2);
}

#[tokio::test]
async fn authorities_come_and_go_while_the_hub_runs() {
    let (first, second) = (Authority::root("first"), Authority::root("second"));
    let world = &world_with(&first).await;
    add(world, "d", Authentication::CertificateAuthority).await;
    let asks = |authority: &Authority, code: u8| {
        let shown = authority.sign("d", GOOD);
        async move {
            let config = tls(world, &rustls::version::TLS13, Some(&shown));
            (mqtt(world, config, &connect_packet("d", "")).await == Some(code)).then_some(())
        }
    };
    assert!(asks(&first, 0).await.is_some() && asks(&second, 5).await.is_some());
    let folder = world.path().join(device_ca::FOLDER);
    fs::write(folder.join("second.crt"), &second.pem).unwrap();
    eventually(SOON, "the second authority to count", || asks(&second, 0)).await;
    assert!(asks(&first, 0).await.is_some(), "the first goes on");
    fs::remove_file(folder.join("root.pem")).unwrap();
    eventually(SOON, "the first authority to be gone", || asks(&first, 5)).await;
}

#[test]
fn an_authority_counts_between_its_own_dates() {
    let root = Authority::root("r");
    let known: DeviceAuthorities =
        hemline_hub::x509::DeviceAuthority::from_pem(root.pem.as_bytes()).unwrap().into_iter().collect();
    // The device's certificate outlives its authority.
    let shown = root.sign("d", (-20, 20));
    let now = Timestamp::now();
    for (days, expected) in [
        (-15, Chain::Unregistered),
        (0, Chain::Registered),
        (9, Chain::Registered),
        (15, Chain::Unregistered),
    ] {
        let at = now + SignedDuration::from_hours(24 * days);
        assert_eq!(known.examine(&shown.chain, at).unwrap().chain, expected, "day {days}");
    }
    let many = std::iter::repeat_n(shown.chain[0].clone(), 12).collect::<Vec<_>>();
    assert_eq!(known.examine(&many, now).unwrap().chain, Chain::Unregistered, "too many to look through");
    assert!(known.examine(&[CertificateDer::from(vec![0x30, 0])], now).is_none());
}

#[test]
fn files_of_authorities() {
    use hemline_hub::x509::DeviceAuthority;
    let (root, leaf) = (Authority::root("plant"), Authority::root("x").below("press", GOOD, false));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let told: Vec<String> = [
        root.pem.clone(),
        root.pem.clone() + &root.pem,
        String::new(),
        "no certificate".into(),
        leaf.pem.clone(),
        root.pem.clone() + broken,
        root.pem.repeat(101),
    ]
    .iter()
    .map(|text| match DeviceAuthority::from_pem(text.as_bytes()) {
        Ok(found) => found.iter().map(|known| known.subject.clone()).collect::<Vec<_>>().join(" and "),
        // What the library says of broken ones is its own wording.
        Err(error) => error.to_string().split(": ").next().unwrap().to_owned(),
    })
    .collect();
    assert_eq!(
        told,
        [
            "CN=plant",
            "CN=plant and CN=plant",
            "there is no certificate in it",
            "there is no certificate in it",
            "certificate 1 (CN=press) is no certificate of an authority",
            "certificate 2 cannot be read",
            "there are more than 100 certificates in it",
        ]
    );
}
