//! Properties of a message: the system ones by name, the application ones in the order they came.
//!
//! Not here: how they are spelled in an MQTT topic (`bag.rs`) or an HTTP header (the hub's HTTP head).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// System properties, one field each (reference device-protocol §4.2). Unknown `$.x` keys are kept in `other`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemProperties {
    /// `$.mid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `$.cid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// `$.uid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// `$.to`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `$.exp`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
    /// `$.ct`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `$.ce`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `$.on`: the output of a module that the message leaves by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// `$.ctime`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    /// `$.schema`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_schema: Option<String>,
    /// `$.ifid`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_id: Option<String>,
    /// `$.sub`: component of a Plug and Play model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// `$.cdid`: stamped by the hub, never taken from a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_device_id: Option<String>,
    /// `$.cmid`: stamped by the hub, never taken from a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_module_id: Option<String>,
    /// `iothub-MessageType`: stamped by the hub, never taken from a client. `Will` for the last will of one that vanished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
    /// `iothub-ack`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<String>,
    /// Keys that start with `$.` and are none of the above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<(String, String)>,
}

/// All properties of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// The system properties.
    pub system: SystemProperties,
    /// Application properties in wire order; a key without `=` has no value.
    pub application: Vec<(String, Option<String>)>,
}

/// Of equal names only the last one stays, where it stands. In one go, because one topic or batch can carry tens of thousands
/// of names, and looking each of them up among the others would take seconds.
pub fn keep_last<V>(pairs: &mut Vec<(String, V)>) {
    if pairs.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(pairs.len());
    let keep: Vec<bool> = pairs.iter().rev().map(|(name, _)| seen.insert(name.as_str())).collect();
    let mut keep = keep.into_iter().rev();
    pairs.retain(|_| keep.next().unwrap_or(true));
}
