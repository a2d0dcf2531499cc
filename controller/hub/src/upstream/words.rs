//! What goes to the parent and comes from it, as topics and bodies: the nested dialect of a Hemline parent, and the plain
//! topics of an IoT Hub.

use hemline_hub_core::{
    message::Message,
    upstream::{Dialect, Said},
};
use hemline_model::id::ClientId;
use hemline_protocol::{
    properties::Properties,
    topic::{
        self, TopicError,
        nested::{self, ToChild},
    },
};

/// Properties that say whose a message is where all of them come from `$edgeHub`.
const DEVICE: &str = "hemline-device";
const MODULE: &str = "hemline-module";

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

/// What the parent said. `None`: nothing that a hub listens to.
pub(super) fn said(topic: &str) -> Result<Option<Said>, TopicError> {
    Ok(match ToChild::parse(topic)? {
        Some((client, ToChild::Refused)) => Some(Said::Refused(client)),
        Some((
            _,
            ToChild::TwinResponse { .. }
            | ToChild::DesiredPatch { .. }
            | ToChild::MethodCall { .. }
            | ToChild::CloudToDevice { .. }
            | ToChild::Scope { .. }
            | ToChild::ScopeChanged,
        ))
        | None => None,
    })
}
