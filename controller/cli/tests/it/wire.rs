//! An MQTT client that does exactly what it is told, also what no well-behaved client would do.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use hemline_protocol::sas::{SasToken, SymmetricKey};
use jiff::{SignedDuration, Timestamp};
use rumqttc::mqttbytes::{
    self, QoS,
    v4::{self, ConnectReturnCode, Packet, Publish},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::hem::Hem;

/// How long a client waits for the hub to say or do something.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest packet that a hub may send us.
const MAX_PACKET: usize = 1024 * 1024;

/// What a client says to get in; every part can be made wrong.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) password: String,
}

/// The parts of a connection string.
pub(crate) struct Credentials {
    pub(crate) host: String,
    pub(crate) device: String,
    pub(crate) key: String,
}

impl Credentials {
    /// As `hem connection-string --device` prints them.
    pub(crate) fn of(hem: &Hem, device: &str) -> Self {
        let text = hem.text(&["connection-string", "--device", device]);
        let field = |name: &str| {
            text.trim()
                .split(';')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_else(|| panic!("no {name} in {text}"))
                .to_owned()
        };
        Self { host: field("HostName"), device: field("DeviceId"), key: field("SharedAccessKey") }
    }

    /// What the hub accepts.
    pub(crate) fn login(&self) -> Login {
        let resource = format!("{}/devices/{}", self.host, self.device);
        self.login_for(&resource, Timestamp::now() + SignedDuration::from_secs(3600))
    }

    /// With a token for that resource and that expiry, signed with our key.
    pub(crate) fn login_for(&self, resource: &str, expiry: Timestamp) -> Login {
        let key = SymmetricKey::from_base64(&self.key).expect("a key");
        Login {
            client_id: self.device.clone(),
            user_name: format!("{}/{}/?api-version=2021-04-12", self.host, self.device),
            password: SasToken::sign(&key, resource, expiry, None),
        }
    }
}

/// One TLS connection.
pub(crate) struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: BytesMut,
    next_id: u16,
}

impl Wire {
    /// TLS as a client with the hub's authority does it; no packet is sent.
    pub(crate) fn open(address: Ipv4Addr, ca_pem: &[u8]) -> io::Result<Self> {
        Self::open_at(address, 8883, ca_pem)
    }

    /// The same at another port.
    pub(crate) fn open_at(address: Ipv4Addr, port: u16, ca_pem: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(std::net::IpAddr::from(address).into());
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect((address, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self { stream: StreamOwned::new(tls, socket), received: BytesMut::new(), next_id: 0 })
    }

    /// Opens and says CONNECT; what the hub answers.
    pub(crate) fn connect(
        address: Ipv4Addr,
        ca_pem: &[u8],
        login: &Login,
    ) -> io::Result<(Self, ConnectReturnCode)> {
        let mut wire = Self::open(address, ca_pem)?;
        wire.send_connect(login)?;
        match wire.receive()? {
            Packet::ConnAck(answer) => Ok((wire, answer.code)),
            other => Err(io::Error::other(format!("{other:?} instead of CONNACK"))),
        }
    }

    /// CONNECT with clean session 0, as every SDK does.
    pub(crate) fn send_connect(&mut self, login: &Login) -> io::Result<()> {
        let mut connect = v4::Connect::new(&login.client_id);
        connect.keep_alive = 60;
        connect.clean_session = false;
        connect.set_login(&login.user_name, &login.password);
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).map_err(io::Error::other)?;
        self.send_raw(&bytes)
    }

    /// How long the next steps may take.
    pub(crate) fn patience(&self, limit: Duration) {
        self.stream.sock.set_read_timeout(Some(limit)).expect("a socket");
        self.stream.sock.set_write_timeout(Some(limit)).expect("a socket");
    }

    /// Any bytes.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// A QoS 1 PUBLISH, not waited for; its packet id.
    pub(crate) fn publish(&mut self, topic: &str, body: &str) -> io::Result<u16> {
        self.next_id = self.next_id % 60_000 + 1;
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        publish.pkid = self.next_id;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).map_err(io::Error::other)?;
        self.send_raw(&bytes)?;
        Ok(self.next_id)
    }

    /// The next packet of the hub.
    pub(crate) fn receive(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.received, MAX_PACKET) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&chunk[..read]);
        }
    }

    /// Publishes and waits for the PUBACK.
    pub(crate) fn publish_acknowledged(&mut self, topic: &str, body: &str) -> io::Result<()> {
        let id = self.publish(topic, body)?;
        match self.receive()? {
            Packet::PubAck(ack) if ack.pkid == id => Ok(()),
            other => Err(io::Error::other(format!("{other:?} instead of PUBACK {id}"))),
        }
    }

    /// Does the hub close this connection (and not merely stay silent)?
    pub(crate) fn closed_by_the_hub(mut self) -> bool {
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(error) => {
                    return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }
}
