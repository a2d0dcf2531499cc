//! One client at work: each feature tried from both sides, the client through its script, the service through `hem`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value, json};

use super::{
    client::{Client, Kind, Place, Transport},
    feature::{Feature, PROPERTIES, Property},
    mail::Mail,
    table::Cell,
};
use crate::{hem::Hem, script::Script};

/// How long a token lives whose end is waited for.
const SHORT: u32 = 4;
/// The one name that methods are called by, and of the output that a route leads back to an input of the same name.
const ECHO: &str = "echo";
pub(super) const LOOP: &str = "loop";

/// What all clients share.
pub(super) struct World {
    pub(super) hem: Hem,
    pub(super) mail: Mail,
}

/// One client.
pub(super) struct Session {
    pub(super) client: Client,
    script: Script,
    device: String,
    module: Option<String>,
    /// How many things were tried: what makes each value another one.
    turn: u32,
}

impl Session {
    pub(super) fn new(client: Client, script: Script) -> Self {
        let (device, module) = client.identity();
        Self { client, script, device, module, turn: 0 }
    }

    /// Tries one feature; what goes wrong is in the cell.
    pub(super) fn cell(&mut self, feature: Feature, world: &World) -> Cell {
        if let Some(reason) = feature.absent(self.client) {
            return Cell::Absent(reason);
        }
        match catch_unwind(AssertUnwindSafe(|| self.attempt(feature, world))) {
            Ok(()) => Cell::Works,
            Err(panic) => {
                let text = panic.downcast::<String>().map_or_else(|_| "a panic".to_owned(), |text| *text);
                Cell::Fails(text)
            }
        }
    }

    fn attempt(&mut self, feature: Feature, world: &World) {
        match feature {
            Feature::Connect => self.open(world),
            Feature::TwinGet => self.twin_get(world),
            Feature::Reported => self.reported(world),
            Feature::Desired => self.desired(world),
            Feature::Method => self.method(world),
            Feature::Telemetry => self.telemetry(world),
            Feature::CloudToDevice => {
                let body = self.send_to_device(world);
                self.receive(&body);
            }
            Feature::InputOutput => self.input_output(world),
            Feature::Upload => self.upload(world),
            Feature::Reconnect => self.reconnect(world),
            Feature::Renewal => self.renewal(world),
            Feature::Restart => {
                self.until_connected(world, true);
                self.everything(world);
            }
        }
    }

    /// All that must still work after the connection was another one.
    fn everything(&mut self, world: &World) {
        for feature in [
            Feature::Method,
            Feature::Desired,
            Feature::Telemetry,
            Feature::CloudToDevice,
            Feature::InputOutput,
        ] {
            if feature.absent(self.client).is_none() {
                self.attempt(feature, world);
            }
        }
    }

    fn open(&mut self, world: &World) {
        self.script.ask(&json!({"do": "open"}));
        self.script.ask(&json!({"do": "watch"}));
        self.until_connected(world, true);
    }

    fn twin_get(&mut self, world: &World) {
        let value = self.next("known");
        self.patch(world, &json!({"known": value}));
        let twin = self.script.ask(&json!({"do": "twin"}));
        assert_eq!(twin["desired"]["known"], json!(value), "{twin}");
        assert!(twin["reported"].is_object(), "{twin}");
    }

    fn reported(&mut self, world: &World) {
        let value = self.next("firmware");
        self.script.ask(&json!({"do": "report", "patch": {"firmware": value, "nested": {"a": value}}}));
        let twin = self.twin(world);
        let reported = &twin["properties"]["reported"];
        assert_eq!((&reported["firmware"], &reported["nested"]), (&json!(value), &json!({"a": value})));
    }

    fn desired(&mut self, world: &World) {
        if Feature::Method.absent(self.client).is_none() {
            // Some SDKs do not wait until their subscriptions hold; that of methods is their last.
            self.method(world);
        }
        let value = self.next("pace");
        self.patch(world, &json!({"pace": value}));
        self.script.event("the desired patch", |event| {
            event["event"] == "desired" && event["patch"]["pace"] == json!(value)
        });
    }

    fn method(&mut self, world: &World) {
        let payload = json!({"n": self.next("call")});
        let text = payload.to_string();
        let mut call = vec!["method", "invoke"];
        call.extend(self.whose());
        call.extend([ECHO, "--payload", &text, "--connect-timeout", "30"]);
        let answer = world.hem.json(&call);
        assert_eq!(answer, json!({"status": 200, "payload": {"echo": payload}}));
        self.script.event("the call", |event| event["event"] == "method" && event["payload"] == payload);
    }

    fn telemetry(&mut self, world: &World) {
        let (sent, body) = self.message(Client::can_say);
        self.script.ask(&sent);
        self.arrived(world, &sent, &body);
    }

    fn input_output(&mut self, world: &World) {
        let (mut sent, body) = self.message(Client::can_say);
        sent["output"] = json!(LOOP);
        self.script.ask(&sent);
        self.arrived(world, &sent, &body);
        let got = self.script.event("the message on the input", |event| {
            event["event"] == "input" && parsed(&event["body"]) == body
        });
        assert_eq!(got["input"], LOOP);
        self.carries(&got, &sent);
    }

    /// What the service side sees of a message.
    fn arrived(&self, world: &World, sent: &Value, body: &Value) {
        let message = world.mail.wait(&sent.to_string(), |message| message["body"] == *body);
        assert_eq!(message["deviceId"], self.device.as_str());
        assert_eq!(message.get("moduleId").and_then(Value::as_str), self.module.as_deref());
        assert_eq!(message["properties"], sent["properties"], "{message}");
        let system = &message["systemProperties"];
        for (name, value) in [
            ("messageId", &sent["id"]),
            ("correlationId", &sent["correlation"]),
            ("contentType", &json!("application/json")),
            ("contentEncoding", &json!("utf-8")),
        ] {
            assert_eq!(&system[name], value, "{message}");
        }
    }

    /// A message to the device, with everything in it.
    fn send_to_device(&mut self, world: &World) -> Value {
        let (sent, _) = self.message(Client::can_hear);
        let text = |name: &str| sent[name].as_str().unwrap_or_default();
        let mut send = vec!["message", "send", &self.device, "--body", text("body")];
        send.extend(["--message-id", text("id"), "--correlation-id", text("correlation")]);
        let pairs: Vec<String> = sent["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        for pair in &pairs {
            send.extend(["--property", pair]);
        }
        world.hem.text(&send);
        sent
    }

    fn receive(&mut self, sent: &Value) {
        let got = self.script.event("the message to the device", |event| {
            event["event"] == "message" && event["body"] == sent["body"]
        });
        self.carries(&got, sent);
    }

    /// Everything that was sent is in what came, whatever else is.
    fn carries(&self, got: &Value, sent: &Value) {
        assert_eq!((&got["id"], &got["correlation"]), (&sent["id"], &sent["correlation"]), "{got}");
        for (name, value) in sent["properties"].as_object().into_iter().flatten() {
            let there = got["properties"].get(name);
            assert_eq!(there, Some(value), "property {name:?} of {got}");
        }
    }

    fn upload(&mut self, world: &World) {
        let (name, content) = (format!("logs/{}.txt", self.client.id()), self.next("content ✓"));
        self.script.ask(&json!({"do": "upload", "name": name, "content": content}));
        let kept = world.hem.text(&["file", "get", &self.device, &name, "--to", "-"]);
        assert_eq!(kept, content);
    }

    fn reconnect(&mut self, world: &World) {
        self.script.ask(&json!({"do": "disconnect"}));
        self.until_connected(world, false);
        let waits = Feature::CloudToDevice.absent(self.client).is_none().then(|| self.send_to_device(world));
        self.script.ask(&json!({"do": "connect"}));
        self.until_connected(world, true);
        if let Some(sent) = waits {
            self.receive(&sent);
        }
        self.everything(world);
    }

    fn renewal(&mut self, world: &World) {
        self.script.ask(&json!({"do": "renew", "seconds": SHORT}));
        self.script.event("a new token in use", |event| event["event"] == "renewed");
        self.everything(world);
        // Back to tokens of an hour.
        self.open(world);
    }

    // === The service side ===

    fn patch(&self, world: &World, desired: &Value) {
        let text = desired.to_string();
        let mut patch = vec!["twin", "patch"];
        patch.extend(self.whose());
        patch.extend(["--desired", &text]);
        world.hem.text(&patch);
    }

    fn twin(&self, world: &World) -> Value {
        let mut get = vec!["twin", "get"];
        get.extend(self.whose());
        world.hem.json(&get)
    }

    fn until_connected(&self, world: &World, wanted: bool) {
        if self.client.transport == Transport::Http {
            return;
        }
        let state = if wanted { "Connected" } else { "Disconnected" };
        world.hem.eventually(&format!("{} is {state}", self.client.id()), |_| {
            (self.twin(world)["connectionState"] == state).then_some(())
        });
    }

    fn whose(&self) -> Vec<&str> {
        std::iter::once(self.device.as_str()).chain(self.module.as_deref()).collect()
    }

    // === Values ===

    /// A value that was not used before.
    fn next(&mut self, what: &str) -> String {
        self.turn += 1;
        format!("{what} {}", self.turn)
    }

    /// The command to send a message with these kinds of properties, and its body as JSON.
    fn message(&mut self, fits: fn(Client, Property) -> bool) -> (Value, Value) {
        let value = self.next("message");
        let body = json!({"from": self.client.id(), "value": value});
        let mut properties = Map::new();
        for property in PROPERTIES {
            if fits(self.client, property) {
                let (name, value) = property.pair();
                properties.insert(name.to_owned(), json!(value));
            }
        }
        let id = format!("{}:{}", self.client.id(), self.turn);
        let sent = json!({
            "do": "send", "body": body.to_string(), "id": id, "correlation": format!("of {id}"),
            "properties": properties,
        });
        (sent, body)
    }
}

impl Client {
    /// Can it take such a property, and can the service side send it?
    fn can_hear(self, property: Property) -> bool {
        match property {
            Property::Unicode | Property::Reserved => self.transport != Transport::Http,
            // `hem message send` has no way to say it.
            Property::Missing => false,
            // The SDK throws the message away (reference device-protocol §4.2).
            Property::Empty => self.kind != Kind::Java || self.place != Place::Device,
            Property::Plus | Property::Percent | Property::Dollar => true,
        }
    }
}

/// A body that is JSON; programs reorder nothing, but it is compared as what it means.
fn parsed(body: &Value) -> Value {
    body.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
