//! The nested dialect on the connection of a child hub: its packets as acts of those beneath it, and what they are told as
//! topics (reference edge-runtime §6.2). Who may speak for whom is decided in the core.

use bytes::Bytes;
use hemline_hub_core::{effect::Nested, event::DeliveryId, upstream::Act};
use hemline_model::id::{ClientId, ModuleId};
use hemline_protocol::topic::{
    TopicError,
    nested::{self, FromChild, ToChild},
};

use super::{codec::PublishPacket, session::mark};

/// What the hub of an edge device says for somebody. `None`: the topic is none of this dialect, or this is no such hub.
pub(super) fn heard(hub: &ClientId, packet: &PublishPacket) -> Result<Option<(ClientId, Act)>, TopicError> {
    if hub.module.as_ref() != Some(&ModuleId::edge_hub()) {
        return Ok(None);
    }
    let Some((client, said)) = FromChild::parse(&packet.topic)? else { return Ok(None) };
    let body = packet.body.clone();
    let act = match said {
        FromChild::Telemetry { mut properties } => {
            mark(&mut properties, packet.retain, packet.duplicate);
            Act::Telemetry { properties, body }
        }
        FromChild::TwinGet { rid } => Act::TwinGet { rid },
        FromChild::ReportedPatch { rid } => Act::ReportedPatch { rid, patch: body },
        FromChild::MethodResult { status, rid } => Act::MethodResult { rid, status, payload: body },
        FromChild::MethodFailed { code, rid } => Act::MethodFailed { rid, code },
        FromChild::ScopeGet { rid, after } => Act::ScopeGet { rid, after },
        FromChild::TopicsWanted => {
            let filters = serde_json::from_slice(&body);
            Act::TopicsWanted { filters: filters.map_err(|_| TopicError::Unknown(packet.topic.clone()))? }
        }
    };
    Ok(Some((client, act)))
}

/// What somebody beneath a child hub is told: topic, body, and the delivery that the child must acknowledge.
pub(super) fn said(client: &ClientId, what: Nested) -> (String, Bytes, Option<DeliveryId>) {
    let (said, body) = match what {
        Nested::Refused => (ToChild::Refused, Bytes::new()),
        Nested::TwinResponse { rid, status, body } => (ToChild::TwinResponse { status, rid }, body),
        Nested::DesiredPatch { version, body } => (ToChild::DesiredPatch { version }, body),
        Nested::MethodCall { rid, name, payload, connect, response } => {
            (ToChild::MethodCall { name, rid, connect, response }, payload)
        }
        Nested::CloudToDevice { delivery, message } => {
            let topic = nested::cloud_to_device(client, &message.properties);
            return (topic, message.body.clone(), delivery);
        }
        Nested::Scope { rid, page } => (ToChild::Scope { rid }, page),
        Nested::ScopeChanged => (ToChild::ScopeChanged, Bytes::new()),
        Nested::TopicsRefused { filters } => {
            (ToChild::TopicsRefused, Bytes::from(serde_json::Value::from(filters).to_string()))
        }
    };
    (said.topic(client), body, None)
}
