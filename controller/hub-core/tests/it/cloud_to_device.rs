//! Cloud-to-device messages as scenarios: what is stored, sent, told, and what is refused.

use bytes::Bytes;
use hemline_hub_core::{
    cloud_to_device::{LockToken, Settlement},
    event::{Caller, Event, Feature, Qos},
    limits::Limits,
    service::{DeviceSettings, IfMatch, ServiceError, ServiceReply, ServiceRequest},
};
use hemline_protocol::properties::{Properties, SystemProperties};
use jiff::SignedDuration;

use super::world::{HUB, World, device, id};

impl World {
    /// A device `d` that nobody has connected yet; the log starts here.
    pub(crate) fn with_device(limits: Limits) -> Self {
        let mut world = Self::with(limits);
        world.add_device("d", DeviceSettings::default());
        world.log.clear();
        world
    }

    pub(crate) fn command(&mut self, name: &str, ack: &str) -> Result<ServiceReply, ServiceError> {
        let system = SystemProperties {
            message_id: Some(name.to_owned()),
            ack: Some(ack.to_owned()),
            ..SystemProperties::default()
        };
        self.command_with(Properties { system, application: Vec::new() }, name)
    }

    fn command_with(&mut self, properties: Properties, body: &str) -> Result<ServiceReply, ServiceError> {
        let (body, properties) = (Bytes::from(body.to_owned()), Box::new(properties));
        self.call(ServiceRequest::SendCloudToDevice { device: device("d"), properties, body })
    }

    /// The lock of the next message, as over HTTPS.
    pub(crate) fn poll(&mut self) -> Option<(u64, LockToken)> {
        let Ok(ServiceReply::CloudToDevice(found)) = self.call(ServiceRequest::ReceiveCloudToDevice(id("d")))
        else {
            panic!("no answer to a poll")
        };
        found.map(|received| (received.message.sequence.0, received.lock))
    }

    pub(crate) fn settle(
        &mut self,
        lock: LockToken,
        settlement: Settlement,
    ) -> Result<ServiceReply, ServiceError> {
        self.call(ServiceRequest::SettleCloudToDevice { client: id("d"), lock, settlement })
    }

    pub(crate) fn take_feedback(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(ServiceReply::Feedback(Some(batch))) = self.call(ServiceRequest::ReceiveFeedback) {
            told.extend(batch.records.iter().map(|r| format!("{} {}", r.message_id, r.outcome.as_str())));
            let settlement = Settlement::Complete;
            self.call(ServiceRequest::SettleFeedback { lock: batch.lock, settlement }).unwrap();
        }
        told
    }
}

#[test]
fn over_a_connection() {
    let mut world = World::with_device(Limits::default());
    world.note("sent to a device that is away: kept");
    world.command("first", "full").unwrap();
    world.command("second", "none").unwrap();
    world.note("it comes and listens: everything at once, in order");
    let connection = world.connect("d");
    world.subscribe(connection, Feature::CloudToDevice, Qos::AtLeastOnce);
    world.note("one acknowledgement, then the connection is lost");
    world.acknowledge(connection, 1);
    world.leave(connection);
    world.note("sent meanwhile");
    world.command("third", "positive").unwrap();
    world.note("it comes back without subscribing again: what was not acknowledged comes again");
    let connection = world.connect("d");
    world.note("another one while it is there");
    world.command("fourth", "none").unwrap();
    world.note("a newer connection takes over; an acknowledgement of the old one says nothing");
    let newer = world.connect("d");
    world.acknowledge(connection, 2);
    world.acknowledge(newer, 1);
    world.acknowledge(newer, 1);
    world.restart();
    world.note("what was on its way is sent again, and nobody knows that it was sent before");
    world.connect("d");
    insta::assert_snapshot!(world.log);
}

#[test]
fn without_acknowledgement() {
    let mut world = World::with_device(Limits::default());
    let connection = world.connect("d");
    world.subscribe(connection, Feature::CloudToDevice, Qos::AtMostOnce);
    world.command("fleeting", "full").unwrap();
    insta::assert_snapshot!(world.log);
}

/// A lock lasts a minute, whatever the clock shows; a message that was to be there until an instant is there until then.
#[test]
fn a_clock_that_is_set_while_a_lock_is_held() {
    let hours = SignedDuration::from_hours;
    for (by, expired) in [(hours(-24), false), (hours(24), true)] {
        let mut world = World::with_device(Limits::default());
        let set = |world: &mut World| {
            world.now += by;
            world.handle(Event::ClockSet { by });
        };
        for name in ["held", "slow"] {
            world.command(name, "full").unwrap();
        }
        let (_, held) = world.poll().unwrap();
        let (number, slow) = world.poll().unwrap();
        set(&mut world);
        world.wait(59);
        world.settle(held, Settlement::Complete).unwrap();
        world.wait(1);
        assert_eq!(world.settle(slow, Settlement::Complete), Err(ServiceError::LockLost), "too late");
        // The hour that it was to wait is over on a clock that went forward.
        assert_eq!(world.poll().map(|(again, _)| again), (!expired).then_some(number), "{by}");
        let feedback: &[&str] = if expired { &["held Success", "slow Expired"] } else { &["held Success"] };
        assert_eq!(world.take_feedback(), feedback, "{by}");
    }
}

#[test]
fn on_request() {
    let mut world = World::with_device(Limits::default());
    assert_eq!(world.poll(), None);
    for name in ["a", "b", "c"] {
        world.command(name, "full").unwrap();
    }
    let (first, complete) = world.poll().unwrap();
    let (second, reject) = world.poll().unwrap();
    let (third, abandon) = world.poll().unwrap();
    assert!(first < second && second < third);
    assert_eq!(world.poll(), None, "all are held");
    world.settle(complete, Settlement::Complete).unwrap();
    world.settle(reject, Settlement::Reject).unwrap();
    assert_eq!(world.settle(complete, Settlement::Complete), Err(ServiceError::LockLost), "settled already");
    world.settle(abandon, Settlement::Abandon).unwrap();
    assert_eq!(world.settle(abandon, Settlement::Complete), Err(ServiceError::LockLost), "given back");
    let (again, slow) = world.poll().unwrap();
    assert_eq!(again, third);
    world.wait(60);
    assert_eq!(world.settle(slow, Settlement::Complete), Err(ServiceError::LockLost), "too late");
    let (again, held) = world.poll().unwrap();
    assert_eq!(again, third);
    world.restart();
    assert_eq!(world.settle(held, Settlement::Complete), Err(ServiceError::LockLost), "locks are not kept");
    let (again, _) = world.poll().unwrap();
    assert_eq!(again, third);
    assert_eq!(world.take_feedback(), ["a Success", "b Rejected"]);
    insta::assert_snapshot!(world.log);
}

#[test]
fn a_lost_lock_goes_to_whoever_listens() {
    let mut world = World::with_device(Limits::default());
    world.command("x", "none").unwrap();
    world.poll().unwrap();
    let connection = world.connect("d");
    let effects = world.subscribe(connection, Feature::CloudToDevice, Qos::AtLeastOnce);
    assert_eq!(effects.len(), 2, "session and SUBACK, no message: {effects:?}");
    world.wait(60);
    insta::assert_snapshot!(world.log);
}

#[test]
fn given_back_too_often() {
    let mut world = World::with_device(Limits::default());
    world.command("hot", "negative").unwrap();
    let mut times = 0;
    while let Some((_, lock)) = world.poll() {
        times += 1;
        world.settle(lock, Settlement::Abandon).unwrap();
        if times == 5 {
            world.restart();
        }
    }
    assert_eq!(times, 10);
    assert_eq!(world.take_feedback(), ["hot DeliveryCountExceeded"]);
    assert!(world.disk.cloud.is_empty());
}

/// Everything that ends a message, who hears of it, and that a restart changes nothing.
#[test]
fn outcomes_and_feedback() {
    let mut told = String::new();
    for ack in ["none", "positive", "negative", "full"] {
        for end in ["complete", "reject", "expire", "purge", "delete"] {
            let mut world = World::with_device(Limits::default());
            world.command("m", ack).unwrap();
            match end {
                "complete" | "reject" => {
                    let (_, lock) = world.poll().unwrap();
                    let settlement =
                        if end == "complete" { Settlement::Complete } else { Settlement::Reject };
                    world.settle(lock, settlement).unwrap();
                }
                "expire" => world.wait(3_600),
                "purge" => {
                    let purged = world.call(ServiceRequest::PurgeCloudToDevice(device("d")));
                    assert_eq!(purged, Ok(ServiceReply::Purged { device: device("d"), count: 1 }));
                }
                _ => {
                    let if_match = IfMatch::Absent;
                    world.call(ServiceRequest::DeleteIdentity { client: id("d"), if_match }).unwrap();
                }
            }
            assert!(world.disk.cloud.is_empty(), "{ack} {end}");
            world.restart();
            told.push_str(&format!("{ack:9} {end:9} {:?}\n", world.take_feedback()));
            assert!(world.disk.feedback.is_empty());
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn feedback_is_lent() {
    let mut world = World::with_device(Limits { lock_seconds: 60, ..Limits::default() });
    for round in 0..70 {
        world.command(&format!("m{round}"), "full").unwrap();
        let (_, lock) = world.poll().unwrap();
        world.settle(lock, Settlement::Complete).unwrap();
    }
    let receive = |world: &mut World| match world.call(ServiceRequest::ReceiveFeedback) {
        Ok(ServiceReply::Feedback(batch)) => batch.map(|batch| (batch.lock, batch.records.len())),
        other => panic!("{other:?}"),
    };
    let settle =
        |world: &mut World, lock, settlement| world.call(ServiceRequest::SettleFeedback { lock, settlement });
    let (first, size) = receive(&mut world).unwrap();
    assert_eq!(size, 64, "a batch is bounded");
    let (second, size) = receive(&mut world).unwrap();
    assert_eq!((size, receive(&mut world)), (6, None));
    settle(&mut world, second, Settlement::Abandon).unwrap();
    let (second, size) = receive(&mut world).unwrap();
    assert_eq!(size, 6, "given back");
    world.wait(60);
    assert_eq!(settle(&mut world, first, Settlement::Complete), Err(ServiceError::LockLost));
    assert_eq!(settle(&mut world, second, Settlement::Complete), Err(ServiceError::LockLost));
    world.restart();
    assert_eq!(world.take_feedback().len(), 70);
    assert!(world.disk.feedback.is_empty());
}

#[test]
fn feedback_that_nobody_takes() {
    let mut world = World::with_device(Limits { feedback_records: 2, ..Limits::default() });
    world.command("a", "full").unwrap();
    world.command("b", "full").unwrap();
    assert_eq!(world.command("c", "full"), Err(ServiceError::AllQueuesFull), "a place for every outcome");
    world.command("quiet", "none").unwrap();
    world.wait(3_600);
    assert_eq!(world.disk.feedback.len(), 2);
    assert_eq!(world.command("c", "full"), Err(ServiceError::AllQueuesFull));
    world.wait(48 * 3_600);
    assert_eq!(world.disk.feedback.len(), 0);
    assert_eq!(world.core.counters().feedback_expired, 2);
    world.command("c", "full").unwrap();
}

#[test]
fn what_is_refused() {
    let mut world = World::with_device(Limits::default());
    let system = |change: &dyn Fn(&mut SystemProperties)| {
        let mut system = SystemProperties::default();
        change(&mut system);
        Properties { system, application: Vec::new() }
    };
    let mut told = String::new();
    for (what, properties, body) in [
        ("ack", system(&|s| s.ack = Some("maybe".into())), 1),
        ("expiry", system(&|s| s.expiry = Some("tomorrow".into())), 1),
        ("past", system(&|s| s.expiry = Some("2025-12-31T23:59:59Z".into())), 1),
        ("far", system(&|s| s.expiry = Some("2026-01-03T00:00:01Z".into())), 1),
        ("two days", system(&|s| s.expiry = Some("2026-01-03T00:00:00".into())), 1),
        ("id", system(&|s| s.message_id = Some("a b".into())), 1),
        ("long id", system(&|s| s.message_id = Some("a".repeat(129))), 1),
        ("empty", system(&|_| {}), 0),
        ("64 KiB with its properties", system(&|s| s.user_id = Some("u".repeat(16))), 65_000),
        ("64 KiB", system(&|_| {}), 65_536),
        ("properties", system(&|s| s.user_id = Some("u".repeat(16_385))), 1),
    ] {
        let reply = world.command_with(properties, &"x".repeat(body));
        let reply = reply.map(|reply| match reply {
            ServiceReply::Sent { expires, .. } => format!("sent, until {expires}"),
            other => format!("{other:?}"),
        });
        told.push_str(&format!("{what}: {}\n", reply.unwrap_or_else(|error| error.to_string())));
    }
    let mut world = World::with_device(Limits { cloud_bytes_total: 2_000, ..Limits::default() });
    let nobody = ServiceRequest::PurgeCloudToDevice(device("nobody"));
    told.push_str(&format!("nobody: {}\n", world.call(nobody).unwrap_err()));
    let reply = (0..100).find_map(|_| world.command("m", "none").err());
    told.push_str(&format!("too much for all: {}\n", reply.unwrap()));
    insta::assert_snapshot!(told);
}

#[test]
fn fifty_wait_and_the_twin_says_so() {
    let mut world = World::with_device(Limits::default());
    for _ in 0..50 {
        world.command("m", "none").unwrap();
    }
    world.poll().unwrap();
    assert_eq!(world.command("m", "none"), Err(ServiceError::QueueFull(device("d"))));
    let identity = world.document(ServiceRequest::GetDevice(device("d")));
    assert_eq!(identity["cloudToDeviceMessageCount"], 50);
    assert_eq!(world.twin("d")["cloudToDeviceMessageCount"], 50);
    world.restart();
    assert_eq!(world.twin("d")["cloudToDeviceMessageCount"], 50);
    assert_eq!(world.command("m", "none"), Err(ServiceError::QueueFull(device("d"))));
    world.wait(3_600);
    assert_eq!(world.twin("d")["cloudToDeviceMessageCount"], 0);
    world.command("m", "none").unwrap();
}

#[test]
fn one_that_is_never_acknowledged_does_not_wait_for_ever() {
    let mut world = World::with_device(Limits::default());
    let connection = world.connect("d");
    world.subscribe(connection, Feature::CloudToDevice, Qos::AtLeastOnce);
    world.command("m", "full").unwrap();
    world.wait(3_599);
    assert_eq!(world.twin("d")["cloudToDeviceMessageCount"], 1, "nothing is sent twice on one connection");
    world.wait(1);
    assert_eq!(world.take_feedback(), ["m Expired"]);
    world.acknowledge(connection, 1);
    assert_eq!(world.take_feedback(), [""; 0]);
}

#[test]
fn who_may() {
    let mut world = World::with_device(Limits::default());
    world.add_device("e", DeviceSettings::default());
    let own = world.device_token("d");
    let other = world.device_token("e");
    let hub = |world: &mut World, policy: &str| world.policy_token(policy, HUB);
    let tokens = [
        ("d itself", own),
        ("e", other),
        ("device", hub(&mut world, "device")),
        ("service", hub(&mut world, "service")),
        ("registryReadWrite", hub(&mut world, "registryReadWrite")),
        ("device, for d only", world.policy_token("device", &format!("{HUB}/devices/d"))),
        ("device, for e only", world.policy_token("device", &format!("{HUB}/devices/e"))),
    ];
    let mut told = String::new();
    for (who, token) in tokens {
        let lock = LockToken([7; 16]);
        for (what, operation) in [
            (
                "send telemetry",
                ServiceRequest::SendTelemetry {
                    client: id("d"),
                    messages: vec![(Properties::default(), Bytes::new())],
                },
            ),
            ("receive", ServiceRequest::ReceiveCloudToDevice(id("d"))),
            (
                "settle",
                ServiceRequest::SettleCloudToDevice {
                    client: id("d"),
                    lock,
                    settlement: Settlement::Complete,
                },
            ),
            (
                "send",
                ServiceRequest::SendCloudToDevice {
                    device: device("d"),
                    properties: Box::default(),
                    body: Bytes::new(),
                },
            ),
            ("purge", ServiceRequest::PurgeCloudToDevice(device("d"))),
            ("feedback", ServiceRequest::ReceiveFeedback),
            ("settle feedback", ServiceRequest::SettleFeedback { lock, settlement: Settlement::Complete }),
        ] {
            let answer = match world.call_as(Caller::Token(token.clone()), operation) {
                Err(ServiceError::Unauthorised(failure)) => failure.to_string(),
                Ok(_) | Err(_) => "yes".to_owned(),
            };
            told.push_str(&format!("{who}: {what}: {answer}\n"));
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn telemetry_on_request() {
    let mut world = World::with_device(Limits::default());
    let send = |world: &mut World, sizes: &[usize]| {
        let messages =
            sizes.iter().map(|size| (Properties::default(), Bytes::from(vec![b'x'; *size]))).collect();
        world.call(ServiceRequest::SendTelemetry { client: id("d"), messages })
    };
    assert_eq!(send(&mut world, &[1, 2]), Ok(ServiceReply::Done));
    assert_eq!(world.disk.events.len(), 2);
    let limit = 256 * 1024;
    assert_eq!(send(&mut world, &[1, limit + 1]), Err(ServiceError::MessageTooLarge(limit)));
    assert_eq!(world.disk.events.len(), 2, "none of a batch when one is too large");
    let seen = world.document(ServiceRequest::GetDevice(device("d")));
    assert_eq!(seen["lastActivityTime"], "2026-01-01T00:00:00.0000000Z");
    assert_eq!(seen["connectionState"], "Disconnected");
}
