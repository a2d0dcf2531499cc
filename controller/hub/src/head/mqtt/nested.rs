//! The nested dialect on the connection of a child hub: its packets as acts of those beneath it, and what they are told as
//! topics (reference edge-runtime §6.2). Who may speak for whom is decided in the core.

use bytes::Bytes;
use hemline_hub_core::{effect::Nested, upstream::Act};
use hemline_model::id::{ClientId, ModuleId};
use hemline_protocol::topic::{
    TopicError,
    nested::{FromChild, ToChild},
};

use super::{codec::PublishPacket, session::mark};

/// What the hub of an edge device says for somebody. `None`: the topic is none of this dialect, or this is no such hub.
pub(super) fn heard(hub: &ClientId, packet: &PublishPacket) -> Result<Option<(ClientId, Act)>, TopicError> {
    if hub.module.as_ref() != Some(&ModuleId::edge_hub()) {
        return Ok(None);
    }
    let Some((client, said)) = FromChild::parse(&packet.topic)? else { return Ok(None) };
    let act = match said {
        FromChild::Telemetry { mut properties } => {
            mark(&mut properties, packet.retain, packet.duplicate);
            Act::Telemetry { properties, body: packet.body.clone() }
        }
        FromChild::TwinGet { .. }
        | FromChild::ReportedPatch { .. }
        | FromChild::MethodResult { .. }
        | FromChild::MethodFailed { .. }
        | FromChild::ScopeGet { .. } => return Ok(None),
    };
    Ok(Some((client, act)))
}

/// What somebody beneath a child hub is told: topic and body.
pub(super) fn said(client: &ClientId, what: &Nested) -> (String, Bytes) {
    match what {
        Nested::Refused => (ToChild::Refused.topic(client), Bytes::new()),
    }
}
