//! A hub, its disk and a clock, and a script of what happened: what scenario tests are written with.

use bytes::Bytes;
use hemline_hub_core::{
    core::{Core, CoreConfig},
    credential::Credential,
    effect::{CloseReason, Effect, Nested, Notice, Outbound},
    event::{
        AckToken, Caller, Connect, ConnectionId, DeliveryId, Departure, Entropy, Event, Feature, Grant, Qos,
        RequestId,
    },
    limits::Limits,
    message::{Endpoint, QueueEntry},
    service::{DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply, ServiceRequest},
    upstream::{FromParent, LinkId, Parent, ToParent},
    write::Write,
};
use hemline_model::{
    id::{ClientId, DeviceId, ModuleId},
    twin::canonical,
};
use hemline_protocol::{
    properties::Properties,
    sas::{SasToken, SymmetricKey},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::disk::Disk;

pub(crate) const HUB: &str = "hub.local";

/// The numbers of calls begin so much further on with each start.
pub(crate) const CALLS_OF_A_RUN: u64 = 0x1000;

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) disk: Disk,
    pub(crate) now: Timestamp,
    pub(crate) log: String,
    config: CoreConfig,
    last: u64,
}

pub(crate) fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

pub(crate) fn device(text: &str) -> DeviceId {
    text.parse().unwrap()
}

pub(crate) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// Keys that tests know without asking.
pub(crate) fn key(seed: u8) -> SymmetricKey {
    SymmetricKey::from_bytes(vec![seed; 32]).unwrap()
}

pub(crate) fn grant(feature: Feature, qos: Qos) -> Grant {
    let filter = match feature {
        Feature::TwinResponses => "$iothub/twin/res/#",
        Feature::DesiredPatches => "$iothub/twin/PATCH/properties/desired/#",
        Feature::Methods => "$iothub/methods/POST/#",
        Feature::CloudToDevice => "devices/d/messages/devicebound/#",
        Feature::Inputs => "devices/d/modules/m/inputs/#",
        Feature::Nested => "$iothub/+/twin/#",
    };
    Grant { filter: filter.to_owned(), qos, features: vec![feature] }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let config = CoreConfig {
            names: vec![HUB.to_owned(), "127.0.0.1".to_owned()],
            limits,
            ..CoreConfig::default()
        };
        let disk = Disk::default();
        let core = Core::restore(config.clone(), disk.load());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut world = Self { core, disk, now, log: String::new(), config, last: 0 };
        let mut seed = 100;
        let effects = world.core.bootstrap([(); 5].map(|()| {
            seed += 1;
            Entropy([seed; 64])
        }));
        world.carry_out(&effects);
        world.log.clear();
        world
    }

    /// The same hub under these names.
    pub(crate) fn called(mut self, names: &[&str]) -> Self {
        self.config.names = names.iter().map(|name| (*name).to_owned()).collect();
        self.restart();
        self.log.clear();
        self
    }

    /// The same hub, told to tell of changes.
    pub(crate) fn telling(mut self) -> Self {
        self.config.change_events = true;
        self.restart();
        self.log.clear();
        self
    }

    /// The hub of the edge device `d`, beneath a parent.
    pub(crate) fn beneath(mut self, dialect: hemline_hub_core::upstream::Dialect) -> Self {
        self.config.parent = Some(Parent { device: device("d"), dialect });
        self.restart();
        self.log.clear();
        self
    }

    pub(crate) fn link(&mut self, link: u64, happened: FromParent) -> Vec<Effect> {
        self.handle(Event::Upstream { link: LinkId(link), happened })
    }

    /// Power off, power on.
    pub(crate) fn restart(&mut self) {
        self.config.calls_from += CALLS_OF_A_RUN;
        self.core = Core::restore(self.config.clone(), self.disk.load());
        self.log.push_str("== restart\n");
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.log.push_str(&format!("== {seconds} s later\n"));
        self.handle(Event::Tick);
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.log.push_str(&format!("-- {text}\n"));
    }

    pub(crate) fn handle(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.core.handle(event, self.now);
        self.carry_out(&effects);
        effects
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Persist(write) = effect {
                self.disk.apply(write);
            }
            self.log.push_str(&format!("   {}\n", print(effect)));
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn token(&mut self) -> AckToken {
        AckToken(u32::try_from(self.next()).unwrap())
    }

    pub(crate) fn ask(&mut self, caller: Caller, operation: ServiceRequest) -> (RequestId, Vec<Effect>) {
        let request = RequestId(self.next());
        let mut entropy = Entropy([u8::try_from(request.0 % 100).unwrap(); 64]);
        if request.0 >= 100 {
            // Never the same twice, however long the test.
            entropy.0[..8].copy_from_slice(&request.0.to_be_bytes());
        }
        let effects = self.handle(Event::Service { request, caller, operation, entropy });
        (request, effects)
    }

    /// An operation of the hub's own process.
    pub(crate) fn call(&mut self, operation: ServiceRequest) -> Result<ServiceReply, ServiceError> {
        self.call_as(Caller::Internal, operation)
    }

    pub(crate) fn call_as(
        &mut self,
        caller: Caller,
        operation: ServiceRequest,
    ) -> Result<ServiceReply, ServiceError> {
        let (asked, effects) = self.ask(caller, operation);
        let replies: Vec<_> = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Reply { request, reply } if request == asked => Some(*reply),
                _ => None,
            })
            .collect();
        let [reply] = replies.try_into().expect("exactly one reply");
        reply
    }

    pub(crate) fn document(&mut self, operation: ServiceRequest) -> Value {
        match self.call(operation).unwrap() {
            ServiceReply::Identity { document, .. } | ServiceReply::Twin { document, .. } => document,
            other => panic!("{other:?} is no document"),
        }
    }

    pub(crate) fn add_device(&mut self, name: &str, settings: DeviceSettings) {
        self.call(ServiceRequest::PutDevice { device: device(name), settings, if_match: IfMatch::Absent })
            .unwrap();
    }

    pub(crate) fn add_module(&mut self, client: &str) {
        self.call(ServiceRequest::PutModule {
            client: id(client),
            settings: ModuleSettings::default(),
            if_match: IfMatch::Absent,
        })
        .unwrap();
    }

    /// An edge device `d` with modules and routes; the log starts after that.
    pub(crate) fn edge(limits: Limits, modules: &[&str], routes: Value) -> Self {
        let mut world = Self::with(limits);
        world.add_device("d", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
        for module in modules {
            world.add_module(&format!("d/{module}"));
        }
        let mut desired = json!({"schemaVersion": "1.1"});
        desired["routes"] = routes;
        world.desire("d/$edgeHub", desired);
        world.log.clear();
        world
    }

    pub(crate) fn desire(&mut self, client: &str, desired: Value) -> Value {
        self.document(ServiceRequest::PatchTwin {
            client: id(client),
            tags: None,
            desired: Some(map(desired)),
            if_match: IfMatch::Absent,
        })
    }

    pub(crate) fn twin(&mut self, client: &str) -> Value {
        self.document(ServiceRequest::GetTwin(id(client)))
    }

    /// A token of the device's own primary key, good for an hour.
    pub(crate) fn device_token(&mut self, client: &str) -> String {
        let document = self.document(ServiceRequest::GetDevice(id(client).device));
        let text = document["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
        let key = SymmetricKey::from_base64(text).unwrap();
        let expiry = self.now + SignedDuration::from_hours(1);
        SasToken::sign(&key, &format!("{HUB}/devices/{}", id(client).device), expiry, None)
    }

    pub(crate) fn policy_token(&mut self, policy: &str, resource: &str) -> String {
        let Ok(ServiceReply::Policy(policy)) = self.call(ServiceRequest::GetPolicy(policy.to_owned())) else {
            panic!("there is no policy {policy}");
        };
        let key = SymmetricKey::from_base64(&policy.primary_key).unwrap();
        let expiry = self.now + SignedDuration::from_hours(1);
        SasToken::sign(&key, resource, expiry, Some(&policy.name))
    }

    pub(crate) fn connect_with(
        &mut self,
        client: &str,
        token: String,
        clean: bool,
    ) -> (ConnectionId, Vec<Effect>) {
        self.connect_as(client, token, clean, None)
    }

    pub(crate) fn connect_as(
        &mut self,
        client: &str,
        token: String,
        clean: bool,
        model_id: Option<String>,
    ) -> (ConnectionId, Vec<Effect>) {
        let connection = ConnectionId(self.next());
        let effects = self.handle(Event::Connect(Connect {
            connection,
            host: HUB.to_owned(),
            client: id(client),
            credential: Credential::Token(token),
            clean,
            model_id,
            will: None,
            peer: "test".to_owned(),
        }));
        (connection, effects)
    }

    pub(crate) fn connect(&mut self, client: &str) -> ConnectionId {
        let before = self.log.clone();
        let token = self.device_token(client);
        self.log = before;
        self.connect_with(client, token, false).0
    }

    pub(crate) fn subscribe(&mut self, connection: ConnectionId, feature: Feature, qos: Qos) -> Vec<Effect> {
        let token = self.token();
        self.handle(Event::Subscribe { connection, grants: vec![grant(feature, qos)], token })
    }

    /// A connected module that listens on its inputs.
    pub(crate) fn listen(&mut self, client: &str) -> ConnectionId {
        let connection = self.connect(client);
        self.subscribe(connection, Feature::Inputs, Qos::AtLeastOnce);
        connection
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, output: &str, body: &str) -> Vec<Effect> {
        let mut properties = Properties::default();
        properties.system.output_name = (!output.is_empty()).then(|| output.to_owned());
        self.send_with(connection, properties, body)
    }

    pub(crate) fn send_with(
        &mut self,
        connection: ConnectionId,
        properties: Properties,
        body: &str,
    ) -> Vec<Effect> {
        let token = Some(self.token());
        self.handle(Event::Telemetry { connection, properties, body: Bytes::from(body.to_owned()), token })
    }

    pub(crate) fn acknowledge(&mut self, connection: ConnectionId, delivery: u64) -> Vec<Effect> {
        self.handle(Event::Delivered { connection, delivery: DeliveryId(delivery) })
    }

    pub(crate) fn leave(&mut self, connection: ConnectionId) -> Vec<Effect> {
        self.handle(Event::Disconnected { connection, departure: Departure::Vanished })
    }
}

/// On many lines, members in order whatever serde_json is built with.
pub(crate) fn pretty(value: &Value) -> String {
    let sorted: Value = serde_json::from_str(&canonical(value)).unwrap();
    serde_json::to_string_pretty(&sorted).unwrap()
}

pub(crate) fn closed(effects: &[Effect]) -> Option<CloseReason> {
    effects.iter().find_map(|effect| match effect {
        Effect::Close { reason, .. } => Some(*reason),
        _ => None,
    })
}

fn text(bytes: &Bytes) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => canonical(&value),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// One effect on one line, without what tests do not care about.
pub(crate) fn print(effect: &Effect) -> String {
    match effect {
        Effect::Persist(write) => format!("persist {}", print_write(write)),
        Effect::Accept { connection, client, session_present } => {
            format!("accept c{} as {client}, session present: {session_present}", connection.0)
        }
        Effect::Refuse { connection, refusal } => format!("refuse c{}: {refusal}", connection.0),
        Effect::Close { connection, reason } => format!("close c{}: {reason}", connection.0),
        Effect::Granted { connection, token, qos } => {
            let told = qos.iter().map(|qos| qos.map_or("refused".to_owned(), |qos| format!("{qos:?}")));
            format!("granted c{} t{} [{}]", connection.0, token.0, told.collect::<Vec<_>>().join(", "))
        }
        Effect::Revoked { connection, token } => format!("revoked c{} t{}", connection.0, token.0),
        Effect::Ack { connection, token } => format!("ack c{} t{}", connection.0, token.0),
        Effect::Send { connection, outbound } => {
            format!("send c{} {}", connection.0, print_outbound(outbound))
        }
        Effect::Reply { request, reply } => match &**reply {
            Ok(ServiceReply::Identity { .. }) => format!("reply r{}: identity", request.0),
            Ok(ServiceReply::Twin { .. }) => format!("reply r{}: twin", request.0),
            Ok(ServiceReply::Method { status, payload }) => {
                format!("reply r{}: method {status} {payload}", request.0)
            }
            Ok(ServiceReply::Sent { sequence, message_id, expires }) => {
                format!("reply r{}: sent #{} as {message_id} until {expires}", request.0, sequence.0)
            }
            Ok(ServiceReply::CloudToDevice(None)) => format!("reply r{}: nothing waits", request.0),
            Ok(ServiceReply::CloudToDevice(Some(received))) => {
                let (message, back) = (&received.message, received.deliveries);
                let (sequence, body) = (message.sequence.0, text(&message.body));
                format!("reply r{}: cloud #{sequence} {body:?} given back {back}", request.0)
            }
            Ok(ServiceReply::Feedback(batch)) => {
                let records = batch.iter().flat_map(|batch| &batch.records);
                let told: Vec<String> = records
                    .map(|record| format!("{} {}", record.message_id, record.outcome.as_str()))
                    .collect();
                format!("reply r{}: feedback {told:?}", request.0)
            }
            Ok(other) => format!("reply r{}: {other:?}", request.0),
            Err(error) => format!("reply r{}: error {error}", request.0),
        },
        Effect::Notify(notice) => match notice {
            Notice::Message(message) => format!("notify message #{}", message.sequence.0),
            Notice::Connection { client, connected } => format!("notify {client} connected: {connected}"),
            Notice::Reported { client } => format!("notify {client} reported"),
            Notice::Registry { client, .. } => format!("notify {client} changed"),
            Notice::Change(event) => {
                let (source, operation) = (event.source().as_str(), event.operation());
                format!("notify {source} {operation} {} {}", event.client, canonical(&event.body()))
            }
            Notice::Upstream { connected } => format!("notify upstream connected: {connected}"),
        },
        Effect::Upstream { link, what } => format!("up l{} {}", link.0, print_to_parent(what)),
    }
}

fn print_to_parent(what: &ToParent) -> String {
    match what {
        ToParent::Message { delivery, message } => {
            let (sequence, sender) = (message.sequence.0, &message.sender);
            format!("message #{sequence} of {sender} {:?} delivery {}", text(&message.body), delivery.0)
        }
        ToParent::Scope { ask, after } => {
            let after = after.as_ref().map(|after| format!(" after {after}")).unwrap_or_default();
            format!("a{}: who is beneath{after}?", ask.0)
        }
        ToParent::Twin { client, ask } => format!("a{}: twin of {client}?", ask.0),
        ToParent::Report { client, ask, patch } => format!("a{}: {client} reports {}", ask.0, text(patch)),
        ToParent::MethodResult { client, rid, status, payload } => {
            format!("{client} answers {rid} {status} {}", text(payload))
        }
        ToParent::MethodFailed { client, rid, code } => format!("{client} did not answer {rid}: {code}"),
        ToParent::Acknowledge(receipt) => format!("receipt {}", receipt.0),
        ToParent::Publish { delivery, message, retain } => {
            let (topic, body) = (&message.topic, text(&message.body));
            format!(
                "topic {topic} delivery {}{} {body:?}",
                delivery.0,
                if *retain { " retained" } else { "" }
            )
        }
        ToParent::Topics { filters } => format!("wants topics {}", filters.join(" ")),
    }
}

fn print_nested(what: &Nested) -> String {
    match what {
        Nested::Refused => "refused".to_owned(),
        Nested::TwinResponse { rid, status, body } => {
            format!("twin response {rid} {status} {}", text(body))
        }
        Nested::DesiredPatch { version, body } => format!("desired v{version} {}", text(body)),
        Nested::MethodCall { rid, name, payload, connect, response } => {
            format!("call {name} rid {rid} within {connect} + {response} s {}", text(payload))
        }
        Nested::CloudToDevice { delivery, message } => {
            let delivery = delivery.map(|delivery| format!(" delivery {}", delivery.0)).unwrap_or_default();
            format!("cloud #{} {:?}{delivery}", message.sequence.0, text(&message.body))
        }
        Nested::Scope { rid, page } => {
            let page: hemline_hub_core::scope::ScopePage = serde_json::from_slice(page).unwrap();
            let told: Vec<String> = page.identities.iter().map(|told| told.client.to_string()).collect();
            format!("scope {rid} {}{}", told.join(" "), if page.more { " and more" } else { "" })
        }
        Nested::ScopeChanged => "scope changed".to_owned(),
        Nested::TopicsRefused { filters } => format!("topics refused {}", filters.join(" ")),
    }
}

fn print_write(write: &Write) -> String {
    match write {
        Write::PutIdentity(identity) => format!("identity {}", identity.client),
        Write::DeleteIdentity(client) => format!("no identity {client}"),
        Write::PutTwin(twin) => {
            format!(
                "twin {} desired v{} reported v{}",
                twin.client, twin.desired.version, twin.reported.version
            )
        }
        Write::PutSession(session) => {
            let filters: Vec<&str> = session.grants.iter().map(|grant| grant.filter.as_str()).collect();
            let away = session.away.map(|away| format!(", away for {} days", away.days)).unwrap_or_default();
            format!("session {} {filters:?}{away}", session.client)
        }
        Write::DeleteSession(client) => format!("no session {client}"),
        Write::Append { message, entries } => {
            let places: Vec<String> = entries.iter().map(print_entry).collect();
            format!("message #{} {:?} in {}", message.sequence.0, text(&message.body), places.join(", "))
        }
        Write::Remove { endpoint, sequence, input } => {
            let (place, input) = (print_endpoint(endpoint), input.as_deref().unwrap_or("-"));
            format!("no message #{} in {place}/{input}", sequence.0)
        }
        Write::TrimEvents { keep_from } => format!("events from #{}", keep_from.0),
        Write::PutCloudToDevice { message, deliveries } => {
            let back = if *deliveries == 0 { String::new() } else { format!(" given back {deliveries}") };
            format!("cloud #{} {:?} for {}{back}", message.sequence.0, text(&message.body), message.device)
        }
        Write::RemoveCloudToDevice(sequence) => format!("no cloud #{}", sequence.0),
        Write::PutFeedback(record) => {
            format!("feedback #{} {} {}", record.sequence.0, record.message_id, record.outcome.as_str())
        }
        Write::PutFileNotice(notice) => format!("file #{} {}", notice.sequence.0, notice.file.name),
        Write::RemoveFileNotice(sequence) => format!("no file #{}", sequence.0),
        Write::RemoveFeedback(sequence) => format!("no feedback #{}", sequence.0),
        Write::PutRetained { device, message } => {
            format!("retained {} {:?} on {device}", message.topic, text(&message.body))
        }
        Write::RemoveRetained { device, topic } => format!("nothing retained {topic} on {device}"),
        Write::PutTopicMessage { message, receivers } => {
            let receivers: Vec<String> =
                receivers.iter().map(|receiver| receiver.client.to_string()).collect();
            let (sequence, body) = (message.sequence.0, text(&message.body));
            format!("topic #{sequence} {} {body:?} for {}", message.topic, receivers.join(", "))
        }
        Write::RemoveTopicMessage { client, sequence } => format!("no topic #{} for {client}", sequence.0),
        Write::PutPolicy(policy) => format!("policy {}", policy.name),
    }
}

fn print_endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Events => "events".to_owned(),
        Endpoint::Upstream => "upstream".to_owned(),
        Endpoint::Module(module) => module.module.as_ref().map(ModuleId::to_string).unwrap_or_default(),
    }
}

fn print_entry(entry: &QueueEntry) -> String {
    let place = print_endpoint(&entry.endpoint);
    let input = entry.input.as_ref().map(|input| format!("/{input}")).unwrap_or_default();
    let priority = if entry.priority > 9 { String::new() } else { format!(" p{}", entry.priority) };
    let expires = entry.expires.map(|at| format!(" until {at}")).unwrap_or_default();
    format!("{place}{input}{priority}{expires}")
}

fn print_outbound(outbound: &Outbound) -> String {
    match outbound {
        Outbound::TwinResponse { rid, status, version, body } => {
            let version = version.map(|version| format!(" v{version}")).unwrap_or_default();
            format!("twin response {rid} {status}{version} {}", text(body))
        }
        Outbound::DesiredPatch { version, body, qos } => format!("desired v{version} {qos:?} {}", text(body)),
        Outbound::MethodCall { rid, name, payload, qos } => {
            format!("call {name} rid {rid} {qos:?} {}", text(payload))
        }
        Outbound::Input { delivery, input, message, duplicate } => {
            let delivery = delivery.map(|delivery| format!(" delivery {}", delivery.0)).unwrap_or_default();
            let again = if *duplicate { " again" } else { "" };
            format!("input {input} #{} {:?}{delivery}{again}", message.sequence.0, text(&message.body))
        }
        Outbound::CloudToDevice { delivery, message, duplicate } => {
            let delivery = delivery.map(|delivery| format!(" delivery {}", delivery.0)).unwrap_or_default();
            let again = if *duplicate { " again" } else { "" };
            format!("cloud #{} {:?}{delivery}{again}", message.sequence.0, text(&message.body))
        }
        Outbound::Topic { delivery, message, retained, duplicate } => {
            let delivery = delivery.map(|delivery| format!(" delivery {}", delivery.0)).unwrap_or_default();
            let again = if *duplicate { " again" } else { "" };
            let retained = if *retained { " retained" } else { "" };
            let (topic, body) = (&message.topic, text(&message.body));
            format!("topic {topic} #{} {body:?}{delivery}{retained}{again}", message.sequence.0)
        }
        Outbound::Nested { client, what } => format!("nested {client} {}", print_nested(what)),
    }
}
