//! What a hub is started with. Every bound of the I/O side stands here, so that "how much" has one answer.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hemline_hub_core::throttle::Rate;

/// Everything that `Hub::start` needs.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Folder of `hub.sqlite` and `files/`. Must exist.
    pub data_dir: PathBuf,
    /// Hub names accepted in user names and tokens, compared without case; the first is the advertised one.
    pub names: Vec<String>,
    /// Addresses of the MQTT listener; port 0 takes a free one. The first is a must; without the others the hub warns
    /// and goes on.
    pub mqtt: Vec<SocketAddr>,
    /// A port on 127.0.0.1 where MQTT is spoken without TLS; 0 takes a free one. Only a port, because nothing else than this
    /// machine may ever reach it.
    pub plain_mqtt: Option<u16>,
    /// Addresses of the HTTPS listener, as those of `mqtt`.
    pub https: Vec<SocketAddr>,
    /// Certificate and key of both listeners, see `pki`.
    pub tls: Arc<rustls::ServerConfig>,
    /// Folder of the authorities whose signature on a device's certificate counts, see `device_ca`. May be missing.
    pub device_ca: PathBuf,
    /// Bounds of sockets and queues towards sockets.
    pub limits: Limits,
    /// Bounds of everything that the core keeps.
    pub core: hemline_hub_core::limits::Limits,
    /// Bounds of uploaded files.
    pub files: hemline_hub_core::files::Bounds,
    /// The hub above this one. With it this is the hub of one edge device, and what goes upstream goes there.
    pub upstream: Option<crate::upstream::UpstreamConfig>,
}

/// Bounds of the I/O side. The defaults suit one machine; tests make them smaller.
#[derive(Debug, Clone)]
pub struct Limits {
    /// MQTT connections at a time; more are closed at once.
    pub mqtt_connections: usize,
    /// HTTPS connections at a time. For more of them those make room that are not let in yet; when there is none, they wait in
    /// the backlog of the socket.
    pub https_connections: usize,
    /// Bounds of what comes to the door and is not let in yet.
    pub door: DoorLimits,
    /// TLS handshakes that are worked on at a time, per listener. They cost CPU, so a flood of them must not starve the rest.
    /// Those that wait for their client do not count.
    pub handshakes: usize,
    /// A TLS handshake takes at most that long.
    pub handshake: Duration,
    /// An MQTT CONNECT comes within this time (reference device-protocol §3.3).
    pub connect: Duration,
    /// Longest silence of an MQTT client, and that of one with keep-alive 0 (reference device-protocol §3.3).
    pub keep_alive_cap: Duration,
    /// A client that takes no bytes for so long is closed.
    pub write_stall: Duration,
    /// Packets that wait for one client before it counts as too slow and is closed.
    pub client_queue: usize,
    /// Bytes that wait for one client before it counts as too slow and is closed.
    pub client_queue_bytes: usize,
    /// Outgoing packets without acknowledgement per connection.
    pub unacknowledged: usize,
    /// Largest MQTT packet: 256 KiB of body plus 64 KiB for topic and properties.
    pub packet_bytes: usize,
    /// Largest HTTP request body.
    pub body_bytes: usize,
    /// Largest HTTP request head: as much as topic and properties have over MQTT.
    pub head_bytes: usize,
    /// An HTTP request head comes within this time.
    pub head_read: Duration,
    /// An HTTP request is answered within this time; direct methods add their own timeouts.
    pub request: Duration,
    /// Connections get this long to finish at shutdown.
    pub drain: Duration,
}

/// Bounds of what comes to the door, for all listeners together, and of attempts to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections that are not let in yet: MQTT before CONNACK, HTTPS before a request that shows a credential which is
    /// somebody's. When one more comes the oldest is dropped.
    pub half_open: usize,
    /// Those of one address; more are dropped.
    pub half_open_per_address: usize,
    /// TLS handshakes of one address that are worked on at a time; more of them wait.
    pub handshakes_per_address: usize,
    /// New connections of one address; more are dropped before a byte is read.
    pub connections: Rate,
    /// Failed attempts from one address; who goes on hears "not now" (CONNACK 3, HTTP 429) unasked.
    pub failures: Rate,
    /// Failed attempts at one identity from one address, likewise.
    pub failures_of_identity: Rate,
    /// Addresses, and identities at addresses, that are remembered in each of the three.
    pub remembered: usize,
    /// Connections from this machine are neither few nor counted; failures are.
    pub spares_loopback: bool,
}

impl Default for DoorLimits {
    /// A factory behind one address comes back within seconds of a power cut; somebody who guesses the key of a
    /// device gets one attempt in five seconds.
    fn default() -> Self {
        Self {
            half_open: 8_192,
            half_open_per_address: 1_024,
            handshakes_per_address: 64,
            connections: Rate { burst: 5_000, period_ms: 5 },
            failures: Rate { burst: 500, period_ms: 100 },
            failures_of_identity: Rate { burst: 30, period_ms: 5_000 },
            remembered: 65_536,
            spares_loopback: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mqtt_connections: 50_000,
            https_connections: 4_096,
            door: DoorLimits::default(),
            handshakes: 256,
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(60),
            keep_alive_cap: Duration::from_secs(1_767),
            write_stall: Duration::from_secs(30),
            client_queue: 512,
            client_queue_bytes: 8 << 20,
            unacknowledged: 4_096,
            packet_bytes: (256 + 64) << 10,
            body_bytes: 512 << 10,
            head_bytes: 64 << 10,
            head_read: Duration::from_secs(15),
            request: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

impl HubConfig {
    /// A hub that listens nowhere yet.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, names: Vec<String>, tls: Arc<rustls::ServerConfig>) -> Self {
        let data_dir = data_dir.into();
        Self {
            device_ca: data_dir.join(crate::device_ca::FOLDER),
            data_dir,
            names,
            mqtt: Vec::new(),
            plain_mqtt: None,
            https: Vec::new(),
            tls,
            limits: Limits::default(),
            core: hemline_hub_core::limits::Limits::default(),
            files: hemline_hub_core::files::Bounds::default(),
            upstream: None,
        }
    }
}
