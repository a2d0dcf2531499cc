//! The nested dialect: one connection of a child hub carries what everybody beneath it says and hears, on topics
//! `$iothub/{device}[/{module}]/…` (reference edge-runtime §6.2, device-protocol §4.8).
//!
//! The words `refused`, `methods/failed`, `scope` and `topics` are Hemline's own: the broker that the dialect comes from said those
//! things elsewhere. Not here: who may speak for whom, which only the parent's registry knows.

use hemline_model::id::{ClientId, DeviceId, ModuleId};

use super::{MAX_REQUEST_ID, TopicError, query};
use crate::{bag, properties::Properties};

/// Filter by which a child hub asks for everything that is for those beneath it: one part of the dialect stands for all, as
/// one input of a module stands for all inputs. Wider ones would cover what is said to the child hub itself, too.
pub const EVERYTHING: &str = "$iothub/+/twin/#";

/// What a child hub says for one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, and nearly always telemetry: a box would cost more"
)]
pub enum FromChild {
    /// A message, routed already.
    Telemetry {
        /// From the bag.
        properties: Properties,
    },
    /// The twin is wanted.
    TwinGet {
        /// To be echoed.
        rid: String,
    },
    /// The identity reports properties.
    ReportedPatch {
        /// To be echoed.
        rid: String,
    },
    /// The identity answers a direct method.
    MethodResult {
        /// Any 32-bit number.
        status: i32,
        /// As in the call.
        rid: String,
    },
    /// A direct method did not reach the identity, or was not answered.
    MethodFailed {
        /// The error code of IoT Hub, such as 404103.
        code: u32,
        /// As in the call.
        rid: String,
    },
    /// Who is beneath the edge device? Asked for the edge device itself.
    ScopeGet {
        /// To be echoed.
        rid: String,
        /// Only what comes after this id.
        after: Option<ClientId>,
    },
    /// Which user-defined topics the child hub wants from its parent, in place of those before: filters in the body.
    TopicsWanted,
}

/// What a parent hub says to one identity through its child hub.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "moved once: a box would cost more")]
pub enum ToChild {
    /// Answer to a twin request.
    TwinResponse {
        /// 200, 204, 400, 404 …
        status: u16,
        /// Of the request.
        rid: String,
    },
    /// Desired properties changed.
    DesiredPatch {
        /// The new desired version.
        version: u64,
    },
    /// A direct method is called.
    MethodCall {
        /// Its name.
        name: String,
        /// For the answer.
        rid: String,
        /// Seconds to wait for the identity to come.
        connect: u32,
        /// Seconds to wait for its answer.
        response: u32,
    },
    /// A cloud-to-device message.
    CloudToDevice {
        /// From the bag.
        properties: Properties,
    },
    /// A message of this identity was not taken: it is not beneath the edge device, or the message is too large.
    Refused,
    /// A page of those beneath the edge device.
    Scope {
        /// Of the request.
        rid: String,
    },
    /// Somebody came, changed or went beneath the edge device.
    ScopeChanged,
    /// The answer to [`FromChild::TopicsWanted`]: filters that the policy refuses, in the body.
    TopicsRefused,
}

const ROOT: &str = "$iothub/";

/// Splits a topic into the identity and what follows it. The words that follow are few, so it is clear whether the second
/// segment is a module, whatever devices and modules are called.
fn split<'a, T>(
    topic: &'a str,
    read: impl Fn(&'a str) -> Result<Option<T>, TopicError>,
) -> Result<Option<(ClientId, T)>, TopicError> {
    let Some(rest) = topic.strip_prefix(ROOT) else { return Ok(None) };
    let Some((device, rest)) = rest.split_once('/') else { return Ok(None) };
    let unknown = |_| TopicError::Unknown(topic.to_owned());
    if let Some(found) = read(rest)? {
        return Ok(Some((ClientId::device(DeviceId::new(device).map_err(unknown)?), found)));
    }
    let Some((module, rest)) = rest.split_once('/') else { return Ok(None) };
    match read(rest)? {
        Some(found) => {
            let device = DeviceId::new(device).map_err(unknown)?;
            Ok(Some((ClientId::module(device, ModuleId::new(module).map_err(unknown)?), found)))
        }
        None => Ok(None),
    }
}

impl FromChild {
    /// Reads a topic that a child hub published to. `None` when it is none of this dialect.
    ///
    /// # Errors
    /// When it is, and is incomplete.
    pub fn parse(topic: &str) -> Result<Option<(ClientId, Self)>, TopicError> {
        split(topic, |rest| Self::read(topic, rest))
    }

    fn read(topic: &str, rest: &str) -> Result<Option<Self>, TopicError> {
        if let Some(bag) = rest.strip_prefix("messages/events/") {
            return Ok(Some(Self::Telemetry { properties: bag::parse(bag)? }));
        }
        let (path, asked) = rest.split_once('?').unwrap_or((rest, ""));
        let (rid, _) = query(asked);
        // It comes back in the topic of the answer.
        let rid = || match rid {
            None => Err(TopicError::MissingRequestId(topic.to_owned())),
            Some(rid) if rid.len() > MAX_REQUEST_ID => Err(TopicError::RequestIdTooLong(rid.len())),
            Some(rid) => Ok(rid.to_owned()),
        };
        Ok(Some(match path {
            "twin/get/" => Self::TwinGet { rid: rid()? },
            "twin/reported/" => Self::ReportedPatch { rid: rid()? },
            "topics/wanted/" => Self::TopicsWanted,
            "scope/get/" => {
                let after = asked.split('&').find_map(|pair| pair.strip_prefix("$after="));
                let unknown = |_| TopicError::Unknown(topic.to_owned());
                Self::ScopeGet {
                    rid: rid()?,
                    after: after.map(|after| after.parse().map_err(unknown)).transpose()?,
                }
            }
            path => {
                let number = |word: &str| path.strip_prefix(word)?.strip_suffix('/');
                if let Some(status) = number("methods/res/").filter(|text| !text.contains('/')) {
                    Self::MethodResult { status: parsed(topic, "the status", status)?, rid: rid()? }
                } else if let Some(code) = number("methods/failed/").filter(|text| !text.contains('/')) {
                    Self::MethodFailed { code: parsed(topic, "the code", code)?, rid: rid()? }
                } else {
                    return Ok(None);
                }
            }
        }))
    }

    /// The topic for what `client` says.
    #[must_use]
    pub fn topic(&self, client: &ClientId) -> String {
        match self {
            Self::Telemetry { properties } => telemetry(client, properties),
            Self::TwinGet { rid } => format!("{ROOT}{client}/twin/get/?$rid={rid}"),
            Self::ReportedPatch { rid } => format!("{ROOT}{client}/twin/reported/?$rid={rid}"),
            Self::MethodResult { status, rid } => {
                format!("{ROOT}{client}/methods/res/{status}/?$rid={rid}")
            }
            Self::MethodFailed { code, rid } => format!("{ROOT}{client}/methods/failed/{code}/?$rid={rid}"),
            Self::ScopeGet { rid, after: None } => format!("{ROOT}{client}/scope/get/?$rid={rid}"),
            Self::ScopeGet { rid, after: Some(after) } => {
                format!("{ROOT}{client}/scope/get/?$rid={rid}&$after={after}")
            }
            Self::TopicsWanted => format!("{ROOT}{client}/topics/wanted/"),
        }
    }
}

/// Topic for a message of `client`.
#[must_use]
pub fn telemetry(client: &ClientId, properties: &Properties) -> String {
    format!("{ROOT}{client}/messages/events/{}", bag::to_hub(properties))
}

impl ToChild {
    /// Reads a topic that a parent hub published to. `None` when it is none of this dialect.
    ///
    /// # Errors
    /// When it is, and is incomplete.
    pub fn parse(topic: &str) -> Result<Option<(ClientId, Self)>, TopicError> {
        split(topic, |rest| Self::read(topic, rest))
    }

    fn read(topic: &str, rest: &str) -> Result<Option<Self>, TopicError> {
        if let Some(bag) = rest.strip_prefix("messages/c2d/post/") {
            return Ok(Some(Self::CloudToDevice { properties: bag::parse(bag)? }));
        }
        let (path, asked) = rest.split_once('?').unwrap_or((rest, ""));
        let (rid, version) = query(asked);
        let rid = || rid.map(str::to_owned).ok_or_else(|| TopicError::MissingRequestId(topic.to_owned()));
        Ok(Some(match path {
            "twin/desired/" => {
                Self::DesiredPatch { version: parsed(topic, "the version", version.unwrap_or_default())? }
            }
            "messages/refused/" => Self::Refused,
            "scope/res/" => Self::Scope { rid: rid()? },
            "scope/changed/" => Self::ScopeChanged,
            "topics/refused/" => Self::TopicsRefused,
            path => {
                let word = |word: &str| {
                    path.strip_prefix(word)?.strip_suffix('/').filter(|text| !text.contains('/'))
                };
                if let Some(status) = word("twin/res/") {
                    Self::TwinResponse { status: parsed(topic, "the status", status)?, rid: rid()? }
                } else if let Some(name) = word("methods/post/") {
                    let seconds =
                        |name: &str| asked.split('&').find_map(|pair| pair.strip_prefix(name)?.parse().ok());
                    Self::MethodCall {
                        name: bag::decode(name)?,
                        rid: rid()?,
                        connect: seconds("$connect=").unwrap_or(0),
                        response: seconds("$response=").unwrap_or(30),
                    }
                } else {
                    return Ok(None);
                }
            }
        }))
    }

    /// The topic for what `client` is told.
    #[must_use]
    pub fn topic(&self, client: &ClientId) -> String {
        match self {
            Self::TwinResponse { status, rid } => format!("{ROOT}{client}/twin/res/{status}/?$rid={rid}"),
            Self::DesiredPatch { version } => format!("{ROOT}{client}/twin/desired/?$version={version}"),
            Self::MethodCall { name, rid, connect, response } => format!(
                "{ROOT}{client}/methods/post/{}/?$rid={rid}&$connect={connect}&$response={response}",
                bag::encode(name)
            ),
            Self::CloudToDevice { properties } => cloud_to_device(client, properties),
            Self::Refused => format!("{ROOT}{client}/messages/refused/"),
            Self::Scope { rid } => format!("{ROOT}{client}/scope/res/?$rid={rid}"),
            Self::ScopeChanged => format!("{ROOT}{client}/scope/changed/"),
            Self::TopicsRefused => format!("{ROOT}{client}/topics/refused/"),
        }
    }
}

/// Topic of a cloud-to-device message for `client`.
#[must_use]
pub fn cloud_to_device(client: &ClientId, properties: &Properties) -> String {
    let to = format!("/devices/{}/messages/devicebound", client.device);
    format!("{ROOT}{client}/messages/c2d/post/{}", bag::to_client(&to, properties))
}

fn parsed<N: std::str::FromStr>(topic: &str, what: &'static str, text: &str) -> Result<N, TopicError> {
    text.parse().map_err(|_| TopicError::NotANumber { topic: topic.to_owned(), what })
}
