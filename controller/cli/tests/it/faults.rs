//! A hub under those who mean it no good, and one whose disk is full: how much memory it takes, whether the others notice, and
//! whether what was acknowledged is there afterwards.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hemline_testkit::Disk;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, Packet};
use rustix::{
    net::{AddressFamily, SocketType, bind, connect, socket},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{
    hem::{Hem, SOON, eventually},
    wire::{Credentials, Login, Wire},
};

/// Half-open connections, where the limit of open files is that high.
const CROWD: u64 = 50_000;
/// As many of them the hub keeps.
const KEPT: u64 = 8_192;
/// Fewer than this are no crowd.
const ENOUGH: u64 = 9_000;
/// Bytes for each that it keeps: 16 KiB were seen where half of them had begun a handshake.
const EACH: u64 = 24 << 10;
/// A crowd takes no longer to gather; then it is as large as it is.
const GATHERING: Duration = Duration::from_secs(7);
/// File descriptors for everything else.
const OTHERS: u64 = 500;
/// Connections from one address: far from all of its ports.
const FROM_ONE: u64 = 2_000;
/// No answer takes longer, whoever crowds the door.
const PROMPT: Duration = Duration::from_secs(5);

pub(crate) fn fleet(names: &[&str]) -> String {
    let device = |name: &&str| {
        format!("apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{}}\n")
    };
    names.iter().map(device).collect::<Vec<_>>().join("---\n")
}

fn login(hem: &Hem, device: &str) -> Login {
    hem.eventually("the device is in the registry", |hem| {
        let known = hem.command(&["connection-string", "--device", device]).output().ok()?;
        known.status.success().then(|| Credentials::of(hem, device).login())
    })
}

pub(crate) fn connected(address: Ipv4Addr, ca: &[u8], login: &Login) -> Wire {
    let (wire, code) = Wire::connect(address, ca, login).expect("the hub answers");
    assert_eq!(code, ConnectReturnCode::Success);
    wire
}

/// A well-behaved client that publishes without pause and measures how long each acknowledgement takes.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<(usize, Duration)>>,
}

impl Witness {
    fn watch(hem: &Hem, ca: &[u8], device: &str) -> Self {
        let mut wire = connected(hem.address(), ca, &login(hem, device));
        let stop = Arc::new(AtomicBool::new(false));
        let topic = format!("devices/{device}/messages/events/");
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let (mut count, mut longest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    wire.publish_acknowledged(&topic, "{}")?;
                    (count, longest) = (count + 1, longest.max(began.elapsed()));
                }
                Ok((count, longest))
            }
        });
        Self { stop, thread }
    }

    /// Every message was acknowledged; how many there were, and the longest that one of them took.
    fn told(self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic").expect("the witness keeps its connection")
    }
}

/// As many open files as the system lets this process have; `hem` inherits it.
fn open_files() -> u64 {
    let wanted = CROWD + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let all = Rlimit { current: Some(wanted.max(most)), maximum: Some(wanted.max(most)) };
    // More than the hard limit is for root only, and not everywhere.
    if most < wanted && setrlimit(Resource::Nofile, all).is_ok() {
        return wanted;
    }
    let most = most.min(wanted.max(limit.current.unwrap_or(u64::MAX)));
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })
        .expect("up to the hard limit");
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A connection from an address of this machine; nothing is said on it.
fn half_open(from: Ipv4Addr, to: SocketAddrV4) -> rustix::io::Result<OwnedFd> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    connect(socket.as_fd(), &to)?;
    Ok(socket)
}

#[test]
fn a_crowd_that_says_nothing_costs_little_and_hurts_nobody() {
    let crowd = CROWD.min(open_files().saturating_sub(OTHERS));
    // More than the hub keeps, or nobody has to make room.
    if !hemline_testkit::require("a limit of 10 000 open files", crowd > ENOUGH, "raise it with ulimit -n") {
        return;
    }
    let hem = Hem::up(&[("fleet.yaml", &fleet(&["witness", "late"]))]);
    let ca = hem.text(&["ca"]).into_bytes();
    let late = login(&hem, "late");
    let witness = Witness::watch(&hem, &ca, "witness");
    let before = hem.resident();

    let began = Instant::now();
    let to = SocketAddrV4::new(hem.address(), 8883);
    // The first bytes of a ClientHello that never ends: every other one begins a handshake.
    let beginning = [0x16, 3, 1, 2, 0, 1];
    let mut sockets = Vec::new();
    for number in (0..crowd).take_while(|_| began.elapsed() < GATHERING) {
        let from = Ipv4Addr::new(127, 200, (number / FROM_ONE) as u8, 1);
        let socket = half_open(from, to).unwrap_or_else(|error| panic!("connection {number}: {error}"));
        if number % 2 == 0 {
            // It may be closed already; that is what is to be seen.
            drop(fs::File::from(socket.try_clone().expect("a descriptor")).write_all(&beginning));
        }
        sockets.push(socket);
    }
    let (crowd, opened) = (sockets.len(), began.elapsed());
    assert!(crowd as u64 > ENOUGH, "only {crowd} in {GATHERING:?}");
    let full = hem.resident();
    // Whoever comes now comes in while all of them are still there.
    let began = Instant::now();
    eventually(SOON, "a newcomer is let in", || {
        let (mut wire, code) = Wire::connect(hem.address(), &ca, &late).ok()?;
        assert_eq!(code, ConnectReturnCode::Success);
        wire.publish_acknowledged("devices/late/messages/events/", "{}").ok()
    });
    let (waited, (count, longest)) = (began.elapsed(), witness.told());
    println!(
        "{crowd} half-open connections in {opened:?}: {} KiB before, {} KiB more with them; the witness was answered {count} \
         times, at the longest after {longest:?}; a newcomer was let in after {waited:?}",
        before >> 10,
        full.saturating_sub(before) >> 10
    );
    assert!(full.saturating_sub(before) < KEPT * EACH, "{} MiB more", full.saturating_sub(before) >> 20);
    assert!(longest < PROMPT, "the witness waited {longest:?}");
    assert!(waited < PROMPT, "the newcomer waited {waited:?}");
    drop(sockets);
}

#[test]
fn readers_that_read_nothing_cost_little_and_hurt_nobody() {
    const SLOW: usize = 20;
    let names: Vec<String> = (0..SLOW).map(|number| format!("slow-{number}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("witness");
    let hem = Hem::up(&[("fleet.yaml", &fleet(&all))]);
    let ca = hem.text(&["ca"]).into_bytes();
    let logins: Vec<Login> = names.iter().map(|name| login(&hem, name)).collect();
    let witness = Witness::watch(&hem, &ca, "witness");
    let before = hem.resident();
    let report = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    let large = format!(r#"{{"a":"{0}","b":"{0}","c":"{0}"}}"#, "x".repeat(4_000));
    let ask = b"\x30\x1a\x00\x18$iothub/twin/GET/?$rid=1".repeat(1_000);
    let mut wires = Vec::new();
    for login in &logins {
        let mut wire = connected(hem.address(), &ca, login);
        wire.publish(report, &large).expect("it is open");
        // Twin after twin is asked for and none is read, until nothing more is taken, or it is closed.
        wire.patience(Duration::from_millis(300));
        let asked = (0..1_000).take_while(|_| wire.send_raw(&ask).is_ok()).count();
        assert!(asked < 1_000, "the hub answers without end to somebody who does not listen");
        wires.push(wire);
    }
    let more = hem.resident().saturating_sub(before);
    let (count, longest) = witness.told();
    println!(
        "{SLOW} clients that read nothing: {} KiB more; the witness was answered {count} times, at the longest after {longest:?}",
        more >> 10
    );
    assert!(more < (SLOW as u64) * (4 << 20), "{} MiB more", more >> 20);
    assert!(longest < PROMPT, "the witness waited {longest:?}");
    drop(wires);
}

#[test]
fn questions_without_end_over_https_cost_little() {
    let hem = Hem::up(&[("fleet.yaml", &fleet(&["witness"]))]);
    let ca = hem.text(&["ca"]).into_bytes();
    let witness = Witness::watch(&hem, &ca, "witness");
    let before = hem.resident();
    let port = u16::try_from(hem.https_port()).expect("a port");
    // The shortest questions with the shortest answers, so that as many as possible wait.
    let ask = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    let mut wires = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::open_at(hem.address(), port, &ca).expect("TLS works");
        wire.patience(Duration::from_millis(500));
        let asked = (0..2_000).take_while(|_| wire.send_raw(&ask).is_ok()).count();
        assert!(asked < 2_000, "the hub answers without end to somebody who does not listen");
        wires.push(wire);
    }
    let more = hem.resident().saturating_sub(before);
    let (count, longest) = witness.told();
    println!(
        "{} KiB more; the witness was answered {count} times, at the longest after {longest:?}",
        more >> 10
    );
    assert!(more < 64 << 20, "{} MiB more", more >> 20);
    assert!(longest < PROMPT, "the witness waited {longest:?}");
    drop(wires);
}

#[test]
fn strangers_with_large_bodies_cost_little() {
    const STRANGERS: usize = 200;
    const BYTES: usize = 500 << 10;
    let hem = Hem::up(&[("fleet.yaml", &fleet(&["witness"]))]);
    let ca = hem.text(&["ca"]).into_bytes();
    let witness = Witness::watch(&hem, &ca, "witness");
    let before = hem.resident();
    let port = u16::try_from(hem.https_port()).expect("a port");
    let path = "/devices/witness/messages/events?api-version=2021-04-12";
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", BYTES + 1);
    // All of it but the last byte, so that nothing is over while they are there.
    let request = [head.as_bytes(), &vec![b'x'; BYTES]].concat();
    let mut wires = Vec::new();
    for number in 0..STRANGERS {
        let mut wire = Wire::open_at(hem.address(), port, &ca).expect("TLS works");
        // Those who are told to come later may be closed before they are done.
        let sent = wire.send_raw(&request);
        assert!(sent.is_ok() || number > 10, "{sent:?}");
        wires.push(wire);
    }
    let more = hem.resident().saturating_sub(before);
    let (count, longest) = witness.told();
    println!(
        "{STRANGERS} strangers with {} KiB each: {} KiB more; the witness was answered {count} times, at the longest after \
         {longest:?}",
        BYTES >> 10,
        more >> 10
    );
    // 151 KiB each were seen, buffers of TLS and HTTP; what they send would be more than three times that.
    assert!(more < (STRANGERS as u64) * (250 << 10), "{} MiB more", more >> 20);
    assert!(longest < PROMPT, "the witness waited {longest:?}");
    drop(wires);
}

#[test]
fn a_disk_that_fills_under_telemetry_loses_nothing_acknowledged() {
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let disk = Disk::mount(&folder.path().join("data"), "24m");
    if !hemline_testkit::require("the right to mount", disk.is_some(), "run it as root") {
        return;
    }
    let disk = disk.expect("asked above");
    fs::create_dir(folder.path().join("fleet")).expect("a new folder");
    fs::write(folder.path().join("fleet/fleet.yaml"), fleet(&["meter"])).expect("writable");
    let mut hem = Hem::up_on(folder, &[]);
    let (ca, login) = (hem.text(&["ca"]).into_bytes(), login(&hem, "meter"));
    let mut wire = connected(hem.address(), &ca, &login);
    let body = format!("\"{}\"", "x".repeat(100_000));
    let mut acknowledged = BTreeSet::new();
    // Until the disk is full: some are on their way then, of which nobody promised anything.
    let mut sent = 0;
    let ended = loop {
        sent += 1;
        assert!(sent < 1_000, "the disk does not fill");
        let topic = format!("devices/meter/messages/events/n={sent}");
        let answer = wire.publish(&topic, &body).and_then(|id| match wire.receive()? {
            Packet::PubAck(ack) if ack.pkid == id => Ok(()),
            other => panic!("{other:?} instead of an acknowledgement"),
        });
        match answer {
            Ok(()) => drop(acknowledged.insert(sent)),
            Err(error) => break error,
        }
    };
    println!("{} messages acknowledged, then: {ended}", acknowledged.len());
    assert!(acknowledged.len() > 20, "{acknowledged:?}");
    // Memory would be ahead of the disk, so the hub stops, and says why.
    let status = hem.ended();
    assert!(!status.success(), "{status}");
    assert!(hem.said().contains("is full"), "{}", hem.said());

    assert!(disk.resize("64m"));
    hem.start_again();
    let mut wire = connected(hem.address(), &ca, &login);
    wire.publish_acknowledged("devices/meter/messages/events/n=0", "{}").expect("an acknowledgement");
    let mut messages = hem.messages(&["meter", "--from-start"]);
    let mut found = BTreeSet::new();
    loop {
        let message = messages.next().expect("watching does not end by itself");
        let number: u64 = message["properties"]["n"].as_str().and_then(|n| n.parse().ok()).expect("a number");
        if number == 0 {
            break;
        }
        assert!(found.insert(number), "{number} is there twice");
    }
    let lost: Vec<&u64> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    drop(messages);
    assert_eq!(hem.interrupt().code(), Some(0));
    // Before the folder that it lies in.
    drop(disk);
}
