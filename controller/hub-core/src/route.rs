//! Routes of one edge device: compiled once from its `$edgeHub` desired properties, evaluated per message
//! (reference query-language §8, edge-runtime §5.4).
//!
//! Each endpoint gets one copy of a message, with the best priority of the routes that chose it and that route's time
//! to live. Not here: whether the endpoint exists or has room (`telemetry.rs`).

use std::{cell::OnceCell, collections::BTreeMap};

use hemline_model::{
    edge::HubDesired,
    id::{ClientId, DeviceId, ModuleId},
    twin::dotnet_time,
};
use hemline_query::{
    Scratch,
    route::{Route, RouteMessage, Sink, json_body},
};
use serde_json::{Map, Value};

use crate::{
    authorization::AuthorizationPolicy,
    bridge::Bridges,
    clock::later,
    message::{AuthMethod, DEFAULT_PRIORITY, Endpoint, Message, QueueEntry},
};

/// Seconds that a message waits when neither the route nor the hub settings say (reference query-language §8.3).
const DEFAULT_TIME_TO_LIVE: i64 = 7200;

/// Longest description that is reported; a twin value has at most 4096 bytes.
const MAX_DESCRIPTION: usize = 1000;

/// The routes in force on one edge device.
#[derive(Debug)]
pub(crate) struct RouteTable {
    routes: Vec<Compiled>,
    /// What they were made from, to be reported when a later set is refused.
    pub(crate) source: HubDesired,
    pub(crate) version: u64,
    /// Who may use user-defined topics; nobody when the set says nothing about it.
    pub(crate) policy: Option<AuthorizationPolicy>,
    /// Which of those topics are exchanged with the parent.
    pub(crate) bridges: Bridges,
}

#[derive(Debug)]
struct Compiled {
    route: Route,
    target: Target,
    priority: u32,
    time_to_live: TimeToLive,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Upstream,
    Input { module: ClientId, input: String },
}

/// Where `$upstream` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Above {
    /// Nowhere: this hub is the authority, and its event log is the end of the way.
    EventLog,
    /// The parent of this hub.
    Parent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeToLive {
    Forever,
    Seconds(i64),
}

/// Why a set of routes was refused, as it goes into `lastDesiredStatus`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub(crate) struct RoutesRefused {
    pub(crate) code: u16,
    pub(crate) description: String,
}

impl RouteTable {
    /// Compiles the desired properties of `$edgeHub`. One bad route refuses the whole set.
    pub(crate) fn compile(
        device: &DeviceId,
        desired: &Map<String, Value>,
        version: u64,
    ) -> Result<Self, RoutesRefused> {
        let source = HubDesired::parse(desired)
            .map_err(|error| RoutesRefused { code: error.code(), description: shorten(error.to_string()) })?;
        let everywhere = match source.store_and_forward_configuration.as_ref().map(|c| c.time_to_live_secs) {
            Some(seconds) if seconds < 0 => TimeToLive::Forever,
            Some(seconds) if seconds > 0 => TimeToLive::Seconds(seconds),
            Some(_) | None => TimeToLive::Seconds(DEFAULT_TIME_TO_LIVE),
        };
        let mut routes = Vec::with_capacity(source.routes.len());
        for (name, settings) in &source.routes {
            let refused = |why: String| RoutesRefused {
                code: 400,
                description: shorten(format!(
                    "Error while parsing desired properties - Error parsing route {name} - {why}"
                )),
            };
            let route = Route::parse(&settings.route).map_err(|diagnostics| {
                let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                refused(texts.join("; "))
            })?;
            let target = match route.sink() {
                Sink::Upstream => Target::Upstream,
                Sink::Module { module, input } => {
                    let module = ModuleId::new(module).map_err(|error| refused(error.to_string()))?;
                    Target::Input { module: ClientId::module(device.clone(), module), input: input.clone() }
                }
            };
            routes.push(Compiled {
                route,
                target,
                priority: settings.priority.unwrap_or(DEFAULT_PRIORITY),
                time_to_live: match settings.time_to_live_secs {
                    None | Some(0) => everywhere,
                    Some(seconds) => TimeToLive::Seconds(i64::try_from(seconds).unwrap_or(i64::MAX)),
                },
            });
        }
        let policy = source.mqtt_broker.as_ref().map(AuthorizationPolicy::compile).transpose();
        let broken = |why: String| RoutesRefused {
            code: 400,
            description: shorten(format!("Error while parsing desired properties - mqttBroker - {why}")),
        };
        let policy = policy.map_err(|why| broken(why.to_string()))?;
        let bridges = source.mqtt_broker.as_ref().map(Bridges::compile).transpose();
        let bridges = bridges.map_err(|why| broken(why.to_string()))?.unwrap_or_default();
        Ok(Self { routes, source, version, policy, bridges })
    }

    /// Where a message goes. Empty: no route wants it.
    pub(crate) fn destinations(&self, message: &Message, above: Above) -> Vec<QueueEntry> {
        let seen = Seen::new(message);
        let mut scratch = Scratch::default();
        let mut chosen: BTreeMap<&Target, &Compiled> = BTreeMap::new();
        for compiled in self.routes.iter().filter(|c| c.route.matches_in(&seen, &mut scratch)) {
            let best = chosen.entry(&compiled.target).or_insert(compiled);
            if compiled.priority < best.priority {
                *best = compiled;
            }
        }
        chosen.into_values().map(|compiled| compiled.entry(message, above)).collect()
    }
}

impl Compiled {
    fn entry(&self, message: &Message, above: Above) -> QueueEntry {
        let expires = match self.time_to_live {
            TimeToLive::Forever => None,
            TimeToLive::Seconds(seconds) => Some(later(message.enqueued, seconds)),
        };
        let (endpoint, input, expires) = match (&self.target, above) {
            // The event log has its own retention.
            (Target::Upstream, Above::EventLog) => (Endpoint::Events, None, None),
            (Target::Upstream, Above::Parent) => (Endpoint::Upstream, None, expires),
            (Target::Input { module, input }, Above::EventLog | Above::Parent) => {
                (Endpoint::Module(module.clone()), Some(input.clone()), expires)
            }
        };
        QueueEntry { endpoint, sequence: message.sequence, input, priority: self.priority, expires }
    }
}

/// The place of a message that no route decides over.
pub(crate) fn straight_up(message: &Message, above: Above) -> Vec<QueueEntry> {
    let (endpoint, expires) = match above {
        Above::EventLog => (Endpoint::Events, None),
        Above::Parent => (Endpoint::Upstream, Some(later(message.enqueued, DEFAULT_TIME_TO_LIVE))),
    };
    vec![QueueEntry {
        endpoint,
        sequence: message.sequence,
        input: None,
        priority: DEFAULT_PRIORITY,
        expires,
    }]
}

fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_DESCRIPTION) {
        text.truncate(end);
    }
    text
}

/// A message as routes see it. The body is parsed when the first route asks for it.
struct Seen<'a> {
    message: &'a Message,
    source: String,
    enqueued: OnceCell<String>,
    body: OnceCell<Option<Value>>,
}

impl<'a> Seen<'a> {
    fn new(message: &'a Message) -> Self {
        let source = match (&message.sender.module, &message.properties.system.output_name) {
            (None, _) => "/messages/".to_owned(),
            (Some(module), None) => format!("/messages/modules/{module}/"),
            (Some(module), Some(output)) => format!("/messages/modules/{module}/outputs/{output}/"),
        };
        Self { message, source, enqueued: OnceCell::new(), body: OnceCell::new() }
    }
}

impl RouteMessage for Seen<'_> {
    fn source(&self) -> &str {
        &self.source
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        let mut application = self.message.properties.application.iter();
        let (_, value) = application.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.as_deref())
    }

    fn system(&self, name: &str) -> Option<&str> {
        let system = &self.message.properties.system;
        match name {
            "messageId" => system.message_id.as_deref(),
            "enqueuedTime" => Some(self.enqueued.get_or_init(|| dotnet_time(self.message.enqueued))),
            "to" => system.to.as_deref(),
            "cid" | "correlationId" => system.correlation_id.as_deref(),
            "userId" => system.user_id.as_deref(),
            "ack" => system.ack.as_deref(),
            "connectionDeviceId" => system.connection_device_id.as_deref(),
            "connectionModuleId" => system.connection_module_id.as_deref(),
            "connectionDeviceGenerationId" => Some(&self.message.generation),
            "connectionAuthMethod" => Some(auth_method(self.message.auth)),
            "messageType" | "iothub-MessageType" => system.message_type.as_deref(),
            "outputName" => system.output_name.as_deref(),
            "contentType" => system.content_type.as_deref(),
            "contentEncoding" => system.content_encoding.as_deref(),
            "messageSchema" => system.message_schema.as_deref(),
            "creationTime" | "creation-time-utc" => system.creation_time.as_deref(),
            "dt-subject" => system.component.as_deref(),
            "iothub-interface-id" => system.interface_id.as_deref(),
            other => {
                let mut kept = system.other.iter();
                kept.find(|(known, _)| known.strip_prefix("$.") == Some(other))
                    .map(|(_, value)| value.as_str())
            }
        }
    }

    fn body(&self) -> Option<&Value> {
        let system = &self.message.properties.system;
        let (kind, encoding) = (system.content_type.as_deref(), system.content_encoding.as_deref());
        self.body.get_or_init(|| json_body(kind, encoding, &self.message.body).ok()).as_ref()
    }
}

/// `iothub-connection-auth-method` (reference device-protocol §4.3).
fn auth_method(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::DeviceSas => {
            r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
        }
        AuthMethod::ModuleSas => {
            r#"{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
        }
        AuthMethod::PolicySas => {
            r#"{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
        }
        AuthMethod::DeviceX509 => {
            r#"{"scope":"device","type":"x509","issuer":"iothub","acceptingIpFilterRule":null}"#
        }
        AuthMethod::ModuleX509 => {
            r#"{"scope":"module","type":"x509","issuer":"iothub","acceptingIpFilterRule":null}"#
        }
    }
}

/// What `$edgeHub` reports about the set it was given last. A refused set names the one that stays in force, so that a
/// restarted hub finds it again.
pub(crate) fn report(
    version: u64,
    outcome: Result<(), &RoutesRefused>,
    in_force: Option<&RouteTable>,
) -> Map<String, Value> {
    let (code, description) = match outcome {
        Ok(()) => (200, String::new()),
        Err(refused) => (refused.code, refused.description.clone()),
    };
    let in_force = match (outcome, in_force) {
        (Err(_), Some(table)) => {
            serde_json::json!({"version": table.version, "desired": table.source.to_map()})
        }
        (Ok(()), _) | (Err(_), None) => Value::Null,
    };
    let mut patch = Map::new();
    patch.insert("schemaVersion".to_owned(), "1.0".into());
    patch.insert("lastDesiredVersion".to_owned(), version.into());
    patch.insert(
        "lastDesiredStatus".to_owned(),
        serde_json::json!({"code": code, "description": description}),
    );
    patch.insert("inForce".to_owned(), in_force);
    patch
}

/// The set that a report named as still in force.
pub(crate) fn reported_in_force(device: &DeviceId, reported: &Map<String, Value>) -> Option<RouteTable> {
    let in_force = reported.get("inForce")?;
    let version = in_force.get("version")?.as_u64()?;
    RouteTable::compile(device, in_force.get("desired")?.as_object()?, version).ok()
}
