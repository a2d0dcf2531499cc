//! What the hub publishes (reference device-protocol §4.4, §4.5): printed by the hub, parsed by the agent.
//!
//! The printed form is the one that satisfies every known receiver: `$rid` first and raw, one `?`, a slash after an
//! input name, a bag that is never empty.

use hemline_model::id::{ClientId, DeviceId, ModuleId};

use super::{TopicError, query};
use crate::{bag, properties::Properties};

/// A topic that the hub published to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubTopic {
    /// Answer to a twin request.
    TwinResponse {
        /// 200, 204, 400 …
        status: u16,
        /// Of the request.
        rid: String,
        /// New reported version after a patch.
        version: Option<u64>,
    },
    /// Desired properties changed.
    DesiredPatch {
        /// The new desired version.
        version: Option<u64>,
    },
    /// A direct method is called.
    MethodCall {
        /// Its name.
        name: String,
        /// For the answer.
        rid: String,
    },
    /// A message for a module input.
    Input {
        /// Its name.
        input: String,
        /// From the bag.
        properties: Properties,
    },
    /// A cloud-to-device message.
    CloudToDevice {
        /// From the bag.
        properties: Properties,
    },
}

impl HubTopic {
    /// Reads a topic that the hub sent to `client`.
    ///
    /// # Errors
    /// When the hub sends no such topic to this client.
    pub fn parse(topic: &str, client: &ClientId) -> Result<Self, TopicError> {
        match topic.strip_prefix("$iothub/") {
            Some(rest) => Self::parse_request(topic, rest),
            None => Self::parse_message(topic, client),
        }
    }

    fn parse_request(topic: &str, rest: &str) -> Result<Self, TopicError> {
        let (path, asked) = rest.split_once('?').unwrap_or((rest, ""));
        let (rid, version) = query(asked);
        let version = version.and_then(|text| text.parse().ok());
        let rid = rid.map(str::to_owned).ok_or_else(|| TopicError::MissingRequestId(topic.to_owned()));
        if path == "twin/PATCH/properties/desired/" {
            return Ok(Self::DesiredPatch { version });
        }
        if let Some(status) = path.strip_prefix("twin/res/") {
            let status = status.trim_end_matches('/').parse();
            let status =
                status.map_err(|_| TopicError::NotANumber { topic: topic.to_owned(), what: "the status" })?;
            return Ok(Self::TwinResponse { status, rid: rid?, version });
        }
        match path.strip_prefix("methods/POST/").map(|name| name.trim_end_matches('/')) {
            Some(name) => Ok(Self::MethodCall { name: bag::decode(name)?, rid: rid? }),
            None => Err(TopicError::Unknown(topic.to_owned())),
        }
    }

    fn parse_message(topic: &str, client: &ClientId) -> Result<Self, TopicError> {
        let unknown = || TopicError::Unknown(topic.to_owned());
        match &client.module {
            None => {
                let rest = topic.strip_prefix(&c2d_prefix(&client.device)).ok_or_else(unknown)?;
                Ok(Self::CloudToDevice { properties: bag::parse(rest)? })
            }
            Some(module) => {
                let rest = topic.strip_prefix(&input_prefix(&client.device, module)).ok_or_else(unknown)?;
                let (input, bag) = rest.split_once('/').unwrap_or((rest, ""));
                Ok(Self::Input { input: bag::decode(input)?, properties: bag::parse(bag)? })
            }
        }
    }
}

fn c2d_prefix(device: &DeviceId) -> String {
    format!("devices/{device}/messages/devicebound/")
}

fn input_prefix(device: &DeviceId, module: &ModuleId) -> String {
    format!("devices/{device}/modules/{module}/inputs/")
}

/// Topic of a twin response.
#[must_use]
pub fn twin_response(status: u16, rid: &str, version: Option<u64>) -> String {
    match version {
        None => format!("$iothub/twin/res/{status}/?$rid={rid}"),
        Some(version) => format!("$iothub/twin/res/{status}/?$rid={rid}&$version={version}"),
    }
}

/// Topic of a desired patch.
#[must_use]
pub fn desired_patch(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Topic of a direct method call.
#[must_use]
pub fn method_call(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{}/?$rid={rid}", bag::encode(name))
}

/// Topic of a message for an input of a module.
#[must_use]
pub fn input(device: &DeviceId, module: &ModuleId, input: &str, properties: &Properties) -> String {
    let to = format!("/devices/{device}/modules/{module}/inputs/{input}");
    format!("{}{}/{}", input_prefix(device, module), bag::encode(input), bag::to_client(&to, properties))
}

/// Topic of a cloud-to-device message.
#[must_use]
pub fn cloud_to_device(device: &DeviceId, properties: &Properties) -> String {
    let to = format!("/devices/{device}/messages/devicebound");
    format!("{}{}", c2d_prefix(device), bag::to_client(&to, properties))
}
