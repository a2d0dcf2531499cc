//! Device, edge hub, authority hub, as processes: an unchanged SDK comes through the gateway, the wire between the hubs is
//! cut, the authority is killed, the edge hub is killed, and in the end everything is where it belongs.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::{Value, json};

use crate::{
    hem::Hem,
    script::{Script, python},
    sdk::{start_client, start_service},
};

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: gate-1}
spec: {edge: true}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-1}
spec: {parent: gate-1}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: gates}
spec:
  targetCondition: deviceId = 'gate-1'
  priority: 1
  modules:
    idle: {type: process, command: [/bin/sleep, infinity]}
  routes:
    up: FROM /messages/* INTO $upstream
";

/// The MQTT port of a hub.
const MQTT: u16 = 8883;

/// The wire to a hub: a port beside it that leads there, until it is cut.
struct Wire {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    /// Both ends of every connection; what has ended stays here, and is shut down once more.
    open: Vec<TcpStream>,
}

impl Wire {
    fn beside(hub: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((hub, 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                lead(&near, SocketAddr::from((hub, MQTT)), &shared).unwrap_or_default();
            }
        });
        Self { port, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut = true;
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }

    fn mend(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).cut = false;
    }
}

/// Joins a connection to the hub, if the wire is whole.
fn lead(near: &TcpStream, hub: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if state.cut {
        return Ok(());
    }
    let far = TcpStream::connect(hub)?;
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far.try_clone()?, near.try_clone()?)] {
        thread::spawn(move || {
            io::copy(&mut from, &mut to).unwrap_or_default();
            to.shutdown(Shutdown::Both).unwrap_or_default();
        });
    }
    state.open.extend([near.try_clone()?, far]);
    Ok(())
}

/// An authority, the edge hub beneath it, a device beneath that, and the wire between the hubs.
struct Chain<'a> {
    python: &'a Path,
    authority: Hem,
    wire: Wire,
    edge: Hem,
    client: Script,
}

impl<'a> Chain<'a> {
    fn up(python: &'a Path) -> Self {
        let authority = Hem::up_with(&[("fleet.yaml", FLEET)], &["--no-agents"]);
        let string_of = |device: &str| {
            authority.eventually("the device is in the registry", |hem| {
                let asked = hem.command(&["connection-string", "--device", device]).output().ok()?;
                asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
            })
        };
        let (gate, meter) = (string_of("gate-1"), string_of("meter-1"));
        let ca = authority.ca_file().display().to_string();
        let wire = Wire::beside(authority.address());
        let port = wire.port.to_string();
        // No document of its own: what it knows it has from the authority.
        let options = ["--no-agents", "--upstream", &gate, "--upstream-ca", &ca, "--upstream-port", &port];
        let edge = Hem::up_with(&[], &options);
        edge.eventually("the device and the routes at the edge hub", |hem| {
            hem.command(&["connection-string", "--device", "meter-1"])
                .output()
                .ok()?
                .status
                .success()
                .then_some(())?;
            let asked = hem.command(&["twin", "get", "gate-1", "$edgeHub", "-o", "json"]).output().ok()?;
            let twin: Value = serde_json::from_slice(&asked.stdout).ok()?;
            twin.pointer("/properties/desired/routes/up").map(|_| ())
        });
        // The name of the hub is the authority's, what is dialled is the gateway.
        let through = format!("{meter};GatewayHostName={}", edge.address());
        let mut client = start_client(python, &edge, &through, "mqtt");
        client.ask(&json!({"do": "connect"}));
        client.event("connected", |event| event["connected"] == true);
        client.ask(&json!({"do": "watch"}));
        Self { python, authority, wire, edge, client }
    }

    /// The device sends; the edge hub has it when this returns.
    fn send(&mut self, numbers: impl IntoIterator<Item = i64>) {
        for number in numbers {
            self.client.ask(&json!({"do": "send", "body": {"n": number}, "properties": {"ö": "%&="}}));
        }
    }

    fn report(&mut self, patch: &Value) {
        self.client.ask(&json!({"do": "report", "patch": patch}));
    }

    /// Waits until the authority has this among the reported properties.
    fn reported(&self, name: &str, wanted: &Value) {
        self.authority.eventually("the report at the authority", |hem| {
            let twin = hem.json(&["twin", "get", "meter-1"]);
            (twin["properties"]["reported"][name] == *wanted).then_some(())
        });
    }

    /// Numbers that arrived at the authority so far, once `last` did: in order, those that came again included.
    fn numbers(&self, last: i64) -> Vec<i64> {
        let mut seen = Vec::new();
        let mut messages = self.authority.messages(&["meter-1", "--from-start"]);
        while seen.last() != Some(&last) {
            let message = messages.next().expect("the watch goes on");
            assert_eq!(message["deviceId"], "meter-1", "{message}");
            assert_eq!(message["properties"], json!({"ö": "%&="}), "{message}");
            seen.push(message["body"]["n"].as_i64().expect("a number"));
        }
        seen
    }

    fn desire(&mut self, service: &mut Script, day: &str) {
        service.call("desired", &json!(["meter-1", null, {"day": day}]));
    }

    /// The service side reaches the device through both hubs.
    fn reaches(&mut self, day: &str) {
        let mut service = start_service(self.python, &self.authority);
        self.desire(&mut service, day);
        self.client.event("the desired patch", |event| event["patch"]["day"] == day);
        let answer = service.call("invoke", &json!(["meter-1", null, "reboot", {"day": day}]));
        assert_eq!((&answer["status"], &answer["payload"]), (&json!(200), &json!({"echo": {"day": day}})));
        self.command(day);
        self.commanded(day);
    }

    /// The service side sends a message to the device.
    fn command(&self, body: &str) {
        self.authority.text(&["message", "send", "meter-1", "--body", body, "--property", "a=b c"]);
    }

    /// The desired patch and the message that waited arrive, whichever comes first.
    fn catches_up(&mut self, day: &str) {
        let is_message = |event: &Value| event["event"] == "message" && event["body"] == day;
        let is_patch = |event: &Value| event["patch"]["day"] == day;
        let first = self.client.event("what waited", |event| is_message(event) || is_patch(event));
        if is_patch(&first) {
            self.client.event("the message", is_message);
        } else {
            self.client.event("the desired patch", is_patch);
        }
    }

    fn commanded(&mut self, body: &str) {
        let message =
            self.client.event("the message", |event| event["event"] == "message" && event["body"] == body);
        assert_eq!(message["properties"], json!({"a": "b c"}));
    }
}

/// What arrived: each number once and in order, and the ones that came again only from among `allowed`, which were on their way
/// when a side died.
fn judge(arrived: &[i64], last: i64, allowed: &[i64]) {
    let mut firsts = Vec::new();
    for number in arrived {
        if firsts.contains(number) {
            assert!(allowed.contains(number), "{number} came again: {arrived:?}");
        } else {
            firsts.push(*number);
        }
    }
    assert_eq!(firsts, (0..=last).collect::<Vec<i64>>(), "{arrived:?}");
}

#[test]
fn nothing_is_lost_between_device_edge_hub_and_authority() {
    let Some(python) = python() else { return };
    let mut chain = Chain::up(&python);
    chain.send([0]);
    chain.report(&json!({"firmware": "1"}));
    chain.reported("firmware", &json!("1"));
    chain.reaches("monday");
    judge(&chain.numbers(0), 0, &[]);

    // The wire is cut. Each side takes what it is given; only a method fails, at once.
    chain.wire.cut();
    chain.send(1..=10);
    chain.report(&json!({"firmware": "2", "bootedBy": "rtc"}));
    let mut service = start_service(&python, &chain.authority);
    chain.desire(&mut service, "tuesday");
    chain.command("tuesday");
    let failed = service.answer(&json!({"do": "invoke", "args": ["meter-1", null, "reboot", {}]}));
    assert_eq!(failed["status"], 404, "{failed}");
    chain.wire.mend();
    chain.catches_up("tuesday");
    chain.reported("bootedBy", &json!("rtc"));
    judge(&chain.numbers(10), 10, &[]);

    // The authority dies under way: what it had not acknowledged comes again. Then the edge hub dies as well: what it
    // acknowledged it has on its disk, the report too, and it knows the device without asking.
    chain.send(11..=20);
    chain.authority.kill();
    chain.send(21..=30);
    chain.report(&json!({"firmware": "3", "bootedBy": null}));
    chain.edge.kill();
    chain.client.event("disconnected", |event| event["connected"] == false);
    chain.edge.start_again();
    chain.client.event("connected again by itself", |event| event["connected"] == true);
    chain.send(31..=35);
    let twin = chain.client.ask(&json!({"do": "twin"}));
    assert_eq!((&twin["desired"]["day"], &twin["reported"]["firmware"]), (&json!("tuesday"), &json!("3")));

    chain.authority.start_again();
    let on_their_way: Vec<i64> = (11..=20).collect();
    judge(&chain.numbers(35), 35, &on_their_way);
    chain.reported("firmware", &json!("3"));
    let twin = chain.authority.json(&["twin", "get", "meter-1"]);
    assert_eq!(twin["properties"]["reported"]["bootedBy"], Value::Null, "{twin}");
    chain.reaches("wednesday");
    chain.client.ask(&json!({"do": "shutdown"}));
}
