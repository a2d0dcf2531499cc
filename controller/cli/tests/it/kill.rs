//! `kill -9` of `hem` in the middle of traffic: nothing acknowledged is lost, modules are found again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rumqttc::mqttbytes::v4::{ConnectReturnCode, Packet};

use crate::{
    hem::{Hem, SOON, eventually},
    quickstart,
    wire::{Login, Wire},
};

const PUBLISHER: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: publisher}
spec: {}
";
/// How often the hub is killed.
const KILLS: u64 = 5;
/// How many messages are on their way at the same time.
const WINDOW: usize = 20;

/// Publishes numbered messages without end and remembers which of them the hub acknowledged.
#[derive(Default)]
struct Publisher {
    stop: AtomicBool,
    sent: Mutex<u64>,
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl Publisher {
    fn run(&self, address: Ipv4Addr, ca: &[u8], login: &Login) {
        while !self.stop.load(Ordering::Relaxed) {
            // A dead hub ends a connection with an error: that is the point of this test. Try again with new numbers;
            // what was on its way and not acknowledged may or may not be there, nobody promised.
            if self.one_connection(address, ca, login).is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn one_connection(&self, address: Ipv4Addr, ca: &[u8], login: &Login) -> io::Result<()> {
        let (mut wire, code) = Wire::connect(address, ca, login)?;
        assert!(
            matches!(code, ConnectReturnCode::Success | ConnectReturnCode::ServiceUnavailable),
            "{code:?} to a client with the right key: SDKs would give up for good"
        );
        if code == ConnectReturnCode::ServiceUnavailable {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut on_their_way = BTreeMap::new();
        loop {
            let stop = self.stop.load(Ordering::Relaxed);
            while !stop && on_their_way.len() < WINDOW {
                let number = {
                    let mut sent = self.sent.lock().expect("not poisoned");
                    *sent += 1;
                    *sent
                };
                let topic = format!("devices/publisher/messages/events/n={number}");
                on_their_way.insert(wire.publish(&topic, "{}")?, number);
            }
            if on_their_way.is_empty() {
                return Ok(());
            }
            if let Packet::PubAck(ack) = wire.receive()? {
                let number = on_their_way.remove(&ack.pkid).expect("an acknowledgement of what was sent");
                self.acknowledged.lock().expect("not poisoned").insert(number);
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("not poisoned").len()
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_modules_are_found_again() {
    let folder = quickstart::copy();
    fs::write(folder.path().join("fleet/publisher.yaml"), PUBLISHER).expect("writable");
    let mut hem = Hem::up_on(folder, &[]);
    let before = quickstart::wait_for_modules(&hem);
    let login = hem.eventually("the publisher is in the registry", |hem| {
        let known = hem.command(&["connection-string", "--device", "publisher"]).output().ok()?;
        known.status.success().then(|| crate::wire::Credentials::of(hem, "publisher").login())
    });
    let ca = hem.text(&["ca"]).into_bytes();
    let publisher = Arc::new(Publisher::default());
    let thread = {
        let (publisher, ca, login, address) = (publisher.clone(), ca.clone(), login.clone(), hem.address());
        std::thread::spawn(move || publisher.run(address, &ca, &login))
    };

    // Different moments in each run; printed, so that a failure can be looked at.
    let seed = u64::from(std::process::id());
    let mut random = seed.wrapping_mul(6_364_136_223_846_793_005) | 1;
    for round in 0..KILLS {
        let wanted = publisher.count() + 100;
        eventually(SOON, "traffic flows", || (publisher.count() >= wanted).then_some(()));
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The moment of the kill is the one thing here that time alone decides.
        std::thread::sleep(Duration::from_micros(random % 150_000));
        hem.kill();
        let down = Instant::now();
        hem.start_again();
        println!(
            "kill {round}: {} acknowledged so far, up again after {:?}",
            publisher.count(),
            down.elapsed()
        );
    }
    let wanted = publisher.count() + 100;
    eventually(SOON, "traffic flows after the last restart", || (publisher.count() >= wanted).then_some(()));
    publisher.stop.store(true, Ordering::Relaxed);
    thread.join().expect("the publisher did not panic");
    let (mut wire, code) = Wire::connect(hem.address(), &ca, &login).expect("the hub answers");
    assert_eq!(code, ConnectReturnCode::Success);
    wire.publish_acknowledged("devices/publisher/messages/events/n=0", "{}").expect("an acknowledgement");

    // The log, up to the last message (number 0).
    let mut times_seen: BTreeMap<u64, usize> = BTreeMap::new();
    let mut messages = hem.messages(&["publisher", "--from-start"]);
    loop {
        let message = messages.next().expect("watching does not end by itself");
        let number = message["properties"]["n"].as_str().and_then(|n| n.parse().ok()).expect("a number");
        if number == 0 {
            break;
        }
        *times_seen.entry(number).or_default() += 1;
    }
    let acknowledged = publisher.acknowledged.lock().expect("not poisoned");
    let lost: Vec<u64> = acknowledged.iter().filter(|n| !times_seen.contains_key(n)).copied().collect();
    let twice: Vec<u64> = times_seen.iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
    println!(
        "{} sent, {} acknowledged, {} in the log, {} lost, {KILLS} kills (seed {seed})",
        publisher.sent.lock().expect("not poisoned"),
        acknowledged.len(),
        times_seen.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "acknowledged but not in the log: {lost:?}");
    assert!(twice.is_empty(), "sent once but in the log more than once: {twice:?}");

    assert_eq!(
        quickstart::wait_for_modules(&hem),
        before,
        "modules were started anew instead of found again"
    );
    let newest =
        hem.messages(&["press-01", "--count", "1"]).next().expect("the modules' messages still arrive");
    assert_eq!(newest["moduleId"], "filter", "{newest}");
}
