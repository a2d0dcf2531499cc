//! A running hub whose clock somebody sets by a day, forward and back: libfaketime stands between it and the clock of the system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use rumqttc::mqttbytes::{
    QoS,
    v4::{Packet, Subscribe},
};

use crate::{
    faults::{connected, fleet},
    hem::Hem,
    wire::{Credentials, Login, Wire},
};

/// Where Debian puts the library, whatever the machine.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists())
}

/// What the clock of the hub is off by.
struct Offset(PathBuf);

impl Offset {
    /// As a whole: the hub reads it with every look at the clock.
    fn set(&self, text: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).expect("writable");
        fs::rename(&beside, &self.0).expect("writable");
    }
}

/// How often the hub has said that its clock was set.
fn steps(hem: &Hem) -> usize {
    hem.said().matches("hemline_hub::task: the clock of this machine was set").count()
}

/// Somebody who listens for method calls.
fn listening(hem: &Hem, ca: &[u8], login: &Login) -> Wire {
    let mut wire = connected(hem.address(), ca, login);
    let mut bytes = bytes::BytesMut::new();
    let mut subscribe = Subscribe::new("$iothub/methods/POST/#", QoS::AtMostOnce);
    subscribe.pkid = 1;
    subscribe.write(&mut bytes).expect("a packet");
    wire.send_raw(&bytes).expect("it is open");
    assert!(matches!(wire.receive(), Ok(Packet::SubAck(_))));
    wire
}

/// A call that is on its way: its client, and the number that the callee is asked by.
fn called(hem: &Hem, wire: &mut Wire, timeout: &str) -> (Child, String) {
    let mut call = hem.command(&["method", "invoke", "callee", "ping", "--timeout", timeout]);
    let child = call.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("hem starts");
    let Ok(Packet::Publish(asked)) = wire.receive() else { panic!("no call came") };
    let (_, rid) = asked.topic.split_once("$rid=").expect("a number");
    (child, rid.to_owned())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("fleet")).expect("a new folder");
    let documents = fleet(&["meter", "callee", "brief"]);
    fs::write(folder.path().join("fleet/fleet.yaml"), documents).expect("writable");
    folder
}

fn up(library: &Path) -> (Hem, Offset) {
    let folder = folder();
    let offset = Offset(folder.path().join("offset"));
    offset.set("+0");
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.0.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // Only the clock that people set. The name of the variable has changed with a version.
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ];
    let source = folder.path().join("fleet").display().to_string();
    (Hem::up_in(folder, &source, &["--no-agents"], &environment), offset)
}

#[test]
fn a_clock_that_is_set_under_a_running_hub_hurts_nobody() {
    let library = library();
    if !hemline_testkit::require("libfaketime", library.is_some(), "apt-get install faketime") {
        return;
    }
    let (hem, offset) = up(&library.expect("asked above"));
    let ca = hem.text(&["ca"]).into_bytes();
    let login = |device: &str, days: i64| {
        let credentials = hem.eventually("the device is in the registry", |hem| {
            let known = hem.command(&["connection-string", "--device", device]).output().ok()?;
            known.status.success().then(|| Credentials::of(hem, device))
        });
        let resource = format!("{}/devices/{device}", credentials.host);
        let expiry = Timestamp::now() + SignedDuration::from_hours(24 * days + 1);
        credentials.login_for(&resource, expiry)
    };
    // Before the clocks differ: the commands go by that of this machine, and their tokens with it.
    let months = login("meter", 30);
    let mut meter = connected(hem.address(), &ca, &months);
    let mut callee = listening(&hem, &ca, &login("callee", 30));
    let brief = connected(hem.address(), &ca, &login("brief", 0));
    let mut count = 0;
    let mut publish = |meter: &mut Wire| {
        count += 1;
        let topic = format!("devices/meter/messages/events/n={count}");
        meter.publish_acknowledged(&topic, "{}").expect("the connection of before");
    };
    let set = |text: &str, total: usize| {
        offset.set(text);
        hem.eventually("the hub notices", |hem| (steps(hem) == total).then_some(()));
    };
    publish(&mut meter);

    // A day ahead: whoever is in stays in, but for the one whose token is over. A call goes on.
    let (call, rid) = called(&hem, &mut callee, "60");
    set("+1d", 1);
    publish(&mut meter);
    callee.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "{}").expect("the connection of before");
    let answer = call.wait_with_output().expect("our child");
    let told = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.status.success() && told.starts_with("status 200"), "{told}");
    assert!(matches!(callee.receive(), Ok(Packet::PubAck(_))));
    assert!(brief.closed_by_the_hub(), "its token was for an hour");
    // The token of before is good for those who come now, too.
    publish(&mut connected(hem.address(), &ca, &months));
    let mut meter = connected(hem.address(), &ca, &months);

    // Back again, and a day behind: a call that nobody answers ends when it was to.
    set("+0", 2);
    publish(&mut meter);
    let (mut call, _) = called(&hem, &mut callee, "5");
    let began = Instant::now();
    set("-1d", 3);
    publish(&mut meter);
    let status = hem.eventually("the call ends", |_| call.try_wait().expect("our child"));
    let took = began.elapsed();
    assert!(!status.success(), "{status}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    set("+0", 4);
    publish(&mut meter);

    // What was acknowledged is there, in the order in which it came.
    let mut messages = hem.messages(&["meter", "--from-start"]);
    let mut next = || {
        let message = messages.next().expect("watching does not end by itself");
        message["properties"]["n"].as_str().and_then(|n| n.parse::<u32>().ok()).expect("a number")
    };
    let found: Vec<u32> = (0..count).map(|_| next()).collect();
    assert_eq!(found, (1..=count).collect::<Vec<_>>());
    assert_eq!(steps(&hem), 4, "nobody set it but us");
}
