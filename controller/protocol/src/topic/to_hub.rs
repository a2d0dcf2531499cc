//! What clients publish (reference device-protocol §4.3).

use hemline_model::id::ClientId;

use super::{MAX_REQUEST_ID, TopicError, is_user_topic, query};
use crate::{bag, properties::Properties};

/// A topic that a client published to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, and nearly always telemetry: a box would cost more"
)]
pub enum ClientTopic {
    /// A message; a module output when `output_name` is set.
    Telemetry {
        /// From the bag.
        properties: Properties,
    },
    /// The client wants its twin.
    TwinGet {
        /// To be echoed.
        rid: String,
    },
    /// The client reports properties.
    ReportedPatch {
        /// Absent: processed, not answered.
        rid: Option<String>,
        /// Only when the reported version is this.
        if_version: Option<u64>,
    },
    /// The client answers a direct method.
    MethodResult {
        /// Any 32-bit number.
        status: i32,
        /// As in the call.
        rid: String,
    },
    /// A topic that clients made up among themselves; whether this one may use it is another question.
    User,
}

const TWIN_GET: &str = "$iothub/twin/GET/";
const REPORTED: &str = "$iothub/twin/PATCH/properties/reported/";
const METHOD_RESULT: &str = "$iothub/methods/res/";

/// Reads a topic that `client` published to.
///
/// # Errors
/// When the client may not publish there, or the topic is incomplete.
pub fn parse(topic: &str, client: &ClientId) -> Result<ClientTopic, TopicError> {
    if topic.starts_with("devices/") {
        return parse_telemetry(topic, client);
    }
    if is_user_topic(topic) {
        return Ok(ClientTopic::User);
    }
    let (path, asked) = topic.split_once('?').unwrap_or((topic, ""));
    let (rid, version) = query(asked);
    if let Some(rid) = rid.filter(|rid| rid.len() > MAX_REQUEST_ID) {
        return Err(TopicError::RequestIdTooLong(rid.len()));
    }
    match path {
        TWIN_GET => {
            let rid = rid.ok_or_else(|| TopicError::MissingRequestId(topic.to_owned()))?;
            Ok(ClientTopic::TwinGet { rid: rid.to_owned() })
        }
        REPORTED => {
            let if_version = match version {
                None => None,
                Some(text) => Some(number(topic, "$version", text)?),
            };
            Ok(ClientTopic::ReportedPatch { rid: rid.map(str::to_owned), if_version })
        }
        _ => {
            let status = path
                .strip_prefix(METHOD_RESULT)
                .and_then(|rest| rest.strip_suffix('/'))
                .filter(|status| !status.contains('/'))
                .ok_or_else(|| TopicError::Unknown(topic.to_owned()))?;
            let status = number(topic, "the status", status)?;
            let rid = rid.ok_or_else(|| TopicError::MissingRequestId(topic.to_owned()))?;
            Ok(ClientTopic::MethodResult { status, rid: rid.to_owned() })
        }
    }
}

fn parse_telemetry(topic: &str, client: &ClientId) -> Result<ClientTopic, TopicError> {
    let unknown = || TopicError::Unknown(topic.to_owned());
    let rest = topic.strip_prefix("devices/").ok_or_else(unknown)?;
    let (device, rest) = rest.split_once('/').ok_or_else(unknown)?;
    let (module, rest) = match rest.strip_prefix("modules/") {
        Some(rest) => {
            let (module, rest) = rest.split_once('/').ok_or_else(unknown)?;
            (Some(module), rest)
        }
        None if rest.starts_with("messages/events") => (None, rest),
        // How clients of IoT Edge 1.2 may write it.
        None => rest.split_once('/').map(|(module, rest)| (Some(module), rest)).ok_or_else(unknown)?,
    };
    let bag = match rest.strip_prefix("messages/events") {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').ok_or_else(unknown)?,
        None => return Err(unknown()),
    };
    if device != client.device.as_str() || module != client.module.as_ref().map(|module| module.as_str()) {
        return Err(TopicError::ForeignIdentity { topic: topic.to_owned(), client: client.to_string() });
    }
    Ok(ClientTopic::Telemetry { properties: bag::parse(bag)? })
}

fn number<N: std::str::FromStr>(topic: &str, what: &'static str, text: &str) -> Result<N, TopicError> {
    text.parse().map_err(|_| TopicError::NotANumber { topic: topic.to_owned(), what })
}

/// Topic for a message of `client`.
#[must_use]
pub fn telemetry(client: &ClientId, properties: &Properties) -> String {
    let bag = bag::to_hub(properties);
    match &client.module {
        None => format!("devices/{}/messages/events/{bag}", client.device),
        Some(module) => format!("devices/{}/modules/{module}/messages/events/{bag}", client.device),
    }
}

/// Topic that asks for the twin.
#[must_use]
pub fn twin_get(rid: &str) -> String {
    format!("{TWIN_GET}?$rid={rid}")
}

/// Topic that reports properties.
#[must_use]
pub fn reported_patch(rid: &str) -> String {
    format!("{REPORTED}?$rid={rid}")
}

/// Topic that answers a direct method.
#[must_use]
pub fn method_result(status: i32, rid: &str) -> String {
    format!("{METHOD_RESULT}{status}/?$rid={rid}")
}
