//! Clients that must not get in, and clients that talk nonsense: each hurts only itself.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rumqttc::mqttbytes::v4::ConnectReturnCode;

use crate::{
    hem::Hem,
    wire::{Credentials, Login, Wire},
};

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-1}
spec: {}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-2}
spec: {}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-off}
spec: {enabled: false}
";

fn ready() -> (Hem, Vec<u8>, Credentials) {
    let hem = Hem::up(&[("fleet.yaml", FLEET)]);
    for device in ["meter-1", "meter-2", "meter-off"] {
        hem.eventually("the device is in the registry", |hem| {
            hem.command(&["connection-string", "--device", device])
                .output()
                .ok()?
                .status
                .success()
                .then_some(())
        });
    }
    let ca = hem.text(&["ca"]).into_bytes();
    let credentials = Credentials::of(&hem, "meter-1");
    (hem, ca, credentials)
}

#[test]
fn whoever_may_not_connect_gets_code_5() {
    let (hem, ca, meter) = ready();
    let in_an_hour = Timestamp::now() + SignedDuration::from_secs(3600);
    let long_ago = Timestamp::now() - SignedDuration::from_secs(3600);
    let resource = format!("{}/devices/meter-1", meter.host);
    let other = Credentials::of(&hem, "meter-2");
    let off = Credentials::of(&hem, "meter-off");
    let good = meter.login();
    let wrong_key =
        Credentials { key: other.key.clone(), host: meter.host.clone(), device: meter.device.clone() };
    let cases: Vec<(&str, Login)> = vec![
        ("wrong key", wrong_key.login()),
        ("expired token", meter.login_for(&resource, long_ago)),
        ("token for another host", meter.login_for("elsewhere.example/devices/meter-1", in_an_hour)),
        ("token for another device", meter.login_for(&format!("{}/devices/meter-2", meter.host), in_an_hour)),
        (
            "user name with another host",
            Login {
                user_name: "elsewhere.example/meter-1/?api-version=2021-04-12".to_owned(),
                ..good.clone()
            },
        ),
        ("client id of someone else", Login { client_id: "meter-2".to_owned(), ..good.clone() }),
        ("unknown device", {
            let unknown = Credentials {
                device: "meter-9".to_owned(),
                host: meter.host.clone(),
                key: meter.key.clone(),
            };
            unknown.login()
        }),
        ("disabled device", off.login()),
        ("no token at all", Login { password: "let me in".to_owned(), ..good.clone() }),
        ("empty password", Login { password: String::new(), ..good.clone() }),
    ];
    for (what, login) in cases {
        let (_, code) =
            Wire::connect(hem.address(), &ca, &login).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(code, ConnectReturnCode::NotAuthorized, "{what}");
    }
    let (mut wire, code) = Wire::connect(hem.address(), &ca, &good).expect("the hub answers");
    assert_eq!(code, ConnectReturnCode::Success);
    wire.publish_acknowledged("devices/meter-1/messages/events/", "{}").expect("the good one still works");
}

#[test]
fn nonsense_closes_its_own_connection_only() {
    let (hem, ca, meter) = ready();
    let (mut bystander, code) = Wire::connect(hem.address(), &ca, &Credentials::of(&hem, "meter-2").login())
        .expect("the hub answers");
    assert_eq!(code, ConnectReturnCode::Success);
    let mut alive = |after: &str| {
        bystander
            .publish_acknowledged("devices/meter-2/messages/events/", "{}")
            .unwrap_or_else(|error| panic!("after {after} the other connection is broken: {error}"));
    };

    // Before CONNECT.
    for (what, bytes) in [
        ("noise", b"\x00\xff\x13\x37 definitely not MQTT".as_slice()),
        ("an HTTP request", b"GET / HTTP/1.1\r\n\r\n"),
        ("PINGREQ first", b"\xc0\x00"),
        ("a length of five bytes", b"\x10\xff\xff\xff\xff\xff"),
        ("a CONNECT of 256 MB", b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x04"),
        ("a CONNECT cut short", b"\x10\x04\x00\x04MQ"),
    ] {
        let mut wire = Wire::open(hem.address(), &ca).expect("TLS works");
        wire.send_raw(bytes).expect("the connection is open");
        assert!(wire.closed_by_the_hub(), "{what} is left open");
        alive(what);
    }

    // After CONNECT.
    let mut second_connect = vec![0x10, 0x0c, 0, 4];
    second_connect.extend(b"MQTT\x04\x00\x00\x3c\x00\x00");
    for (what, bytes) in [
        ("a PUBLISH of 256 MB", b"\x30\xff\xff\xff\x7f\x00\x02ab".to_vec()),
        ("a second CONNECT", second_connect),
        ("packet type 15", b"\xf0\x00".to_vec()),
        ("QoS 3", b"\x36\x05\x00\x01a\x00\x01".to_vec()),
        ("a topic that is not UTF-8", b"\x30\x04\x00\x02\xc3\x28".to_vec()),
        ("a topic longer than its packet", b"\x30\x04\x00\x7fab".to_vec()),
        ("SUBSCRIBE without filters", b"\x82\x02\x00\x01".to_vec()),
    ] {
        let (mut wire, code) = Wire::connect(hem.address(), &ca, &meter.login()).expect("the hub answers");
        assert_eq!(code, ConnectReturnCode::Success);
        wire.send_raw(&bytes).expect("the connection is open");
        assert!(wire.closed_by_the_hub(), "{what} is left open");
        alive(what);
    }

    // Not even TLS.
    let mut plain = TcpStream::connect((hem.address(), 8883)).expect("the hub listens");
    plain.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    plain.write_all(&[0x55; 600]).expect("the connection is open");
    let mut rest = Vec::new();
    let ended = plain.read_to_end(&mut rest);
    assert!(
        ended.as_ref().err().is_none_or(|error| error.kind() != std::io::ErrorKind::WouldBlock),
        "a connection without TLS is left open"
    );
    alive("a connection without TLS");
    assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(3));
}

#[test]
fn wrong_keys_get_401_over_https() {
    let (hem, _, _) = ready();
    let owner = hem.text(&["connection-string", "--policy", "iothubowner"]);
    let key = owner.trim().rsplit_once("SharedAccessKey=").expect("a key").1;
    let mut wrong: Vec<char> = key.chars().collect();
    wrong[3] = if wrong[3] == 'A' { 'B' } else { 'A' };
    let wrong: String = wrong.into_iter().collect();
    let name = hem.address();
    for (what, server) in [
        ("wrong key", format!("HostName={name};SharedAccessKeyName=iothubowner;SharedAccessKey={wrong}")),
        ("unknown policy", format!("HostName={name};SharedAccessKeyName=nobody;SharedAccessKey={key}")),
        (
            "a policy that may not read the registry",
            hem.text(&["connection-string", "--policy", "device"]).trim().to_owned(),
        ),
    ] {
        let output = hem.command(&["get", "devices"]).env("HEM_SERVER", server).output().expect("hem starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains("401"), "{what}: {said}");
    }
}
