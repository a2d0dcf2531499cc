//! What goes to the parent and comes from it, as topics and bodies: the nested dialect of a Hemline parent, and the plain
//! topics of an IoT Hub.

use bytes::Bytes;
use hemline_hub_core::{
    message::Message,
    upstream::{AskId, Dialect, Receipt, Said, ToParent, TwinCopy},
};
use hemline_model::id::ClientId;
use hemline_protocol::{
    properties::Properties,
    topic::{
        self, TopicError,
        nested::{self, FromChild, ToChild},
    },
};
use serde_json::{Map, Value};

/// Properties that say whose a message is where all of them come from `$edgeHub`.
const DEVICE: &str = "hemline-device";
const MODULE: &str = "hemline-module";

/// Something that the parent said and that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclear {
    /// The topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The body.
    #[error("the body is not what the topic promises")]
    Body(#[from] serde_json::Error),
    /// A number that this side never gave.
    #[error("it answers a question that was not asked")]
    Question,
    /// It must be acknowledged, and has no packet id.
    #[error("it cannot be acknowledged")]
    Receipt,
}

/// The topic of a message on its way to the parent.
pub(super) fn message(dialect: Dialect, hub: &ClientId, message: &Message) -> String {
    match dialect {
        Dialect::Nested => nested::telemetry(&message.sender, &message.properties),
        Dialect::Plain => topic::telemetry(hub, &signed(message)),
    }
}

/// With the sender among the properties, since the parent takes `$edgeHub` for it.
fn signed(message: &Message) -> Properties {
    let mut properties = message.properties.clone();
    // An output is a matter between a module and the routes of its own hub.
    properties.system.output_name = None;
    properties.application.retain(|(name, _)| name != DEVICE && name != MODULE);
    properties.application.push((DEVICE.to_owned(), Some(message.sender.device.to_string())));
    if let Some(module) = &message.sender.module {
        properties.application.push((MODULE.to_owned(), Some(module.to_string())));
    }
    properties
}

/// Everything else that goes to the parent: topic and body. `None` for what is no PUBLISH.
pub(super) fn said_to(hub: &ClientId, what: ToParent) -> Option<(String, Bytes)> {
    let (client, said, body) = match what {
        ToParent::Message { .. } | ToParent::Publish { .. } | ToParent::Acknowledge(_) => return None,
        ToParent::Scope { ask, after } => {
            let edge = ClientId::device(hub.device.clone());
            (edge, FromChild::ScopeGet { rid: rid(ask), after }, Bytes::new())
        }
        ToParent::Topics { filters } => {
            let edge = ClientId::device(hub.device.clone());
            (edge, FromChild::TopicsWanted, Bytes::from(Value::from(filters).to_string()))
        }
        ToParent::Twin { client, ask } => (client, FromChild::TwinGet { rid: rid(ask) }, Bytes::new()),
        ToParent::Report { client, ask, patch } => {
            (client, FromChild::ReportedPatch { rid: rid(ask) }, patch)
        }
        ToParent::MethodResult { client, rid, status, payload } => {
            (client, FromChild::MethodResult { status, rid }, payload)
        }
        ToParent::MethodFailed { client, rid, code } => {
            (client, FromChild::MethodFailed { code, rid }, Bytes::new())
        }
    };
    Some((said.topic(&client), body))
}

fn rid(ask: AskId) -> String {
    format!("{:x}", ask.0)
}

fn asked(rid: &str) -> Result<AskId, Unclear> {
    u64::from_str_radix(rid, 16).map(AskId).map_err(|_| Unclear::Question)
}

/// What the parent published.
pub(super) struct Heard {
    pub(super) topic: String,
    /// By which it wants to hear that it arrived.
    pub(super) id: Option<u16>,
    pub(super) retained: bool,
    pub(super) body: Bytes,
}

/// What the parent said. `None`: nothing that a hub listens to.
pub(super) fn said(heard: &Heard) -> Result<Option<Said>, Unclear> {
    let Heard { topic, id, retained, body } = heard;
    if topic::is_user_topic(topic) {
        let (topic, receipt, retained) = (topic.clone(), id.map(Receipt), *retained);
        return Ok(Some(Said::Published { topic, receipt, retained, body: body.clone() }));
    }
    let Some((client, said)) = ToChild::parse(topic)? else { return Ok(None) };
    Ok(Some(match said {
        ToChild::Refused => Said::Refused(client),
        ToChild::Scope { rid } => Said::Scope { ask: asked(&rid)?, page: serde_json::from_slice(body)? },
        ToChild::ScopeChanged => Said::ScopeChanged,
        ToChild::TopicsRefused => Said::TopicsRefused(serde_json::from_slice(body)?),
        ToChild::TwinResponse { status, rid } => {
            let twin = if status == 200 { Some(twin(body)?) } else { None };
            Said::Twin { ask: asked(&rid)?, status, twin }
        }
        ToChild::DesiredPatch { version } => {
            Said::Desired { client, version, patch: serde_json::from_slice(body)? }
        }
        ToChild::MethodCall { name, rid, connect, response } => {
            Said::Call { client, rid, name, payload: body.clone(), connect, response }
        }
        ToChild::CloudToDevice { properties } => Said::CloudToDevice {
            device: client.device,
            receipt: Receipt(id.ok_or(Unclear::Receipt)?),
            properties: Box::new(properties),
            body: body.clone(),
        },
    }))
}

/// The answer to a twin request.
fn twin(body: &[u8]) -> Result<TwinCopy, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Document {
        desired: Map<String, Value>,
        reported: Map<String, Value>,
    }
    let Document { desired, reported } = serde_json::from_slice(body)?;
    let desired_version = desired.get("$version").and_then(Value::as_u64).unwrap_or(1);
    Ok(TwinCopy { desired, desired_version, reported })
}
