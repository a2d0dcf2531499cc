//! `broker:` of a deployment: who may use which user-defined MQTT topics, and which of them are exchanged with the parent
//! (reference edge-runtime §6.4, §6.5).
//!
//! The same shape goes to the hub in the desired properties of `$edgeHub`, where IoT Edge 1.2 has it. Not here: what the
//! rules say about a document (`valid/broker.rs`), and what a policy decides (`hub-core`).

mod bridge;
mod check;
mod template;

pub use bridge::{Bridge, BridgeDirection, BridgeSetting, UPSTREAM};
pub use check::{BrokerFault, BrokerPart};
pub use template::{Piece, Template, TemplateError, Variable};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Policy for user-defined MQTT topics: the first rule that fits decides, and what no rule speaks of is denied. Topics of
/// the hub itself (`$iothub/…`, `devices/…`) need no rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Broker {
    /// Statements, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorizations: Vec<Authorization>,
    /// Topics that are exchanged with the parent of a nested device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<Bridge>,
}

/// One statement of the policy. Its denials come before its permissions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// Whom it is about: `device`, `device/module`, either of them behind `hub/`, or texts with variables such as
    /// `{{iot:identity}}`, which is everybody.
    #[serde(default)]
    #[schemars(extend("examples" = [["{{iot:identity}}"]]))]
    pub identities: Vec<String>,
    /// What they may not do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<AuthorizationRule>,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AuthorizationRule>,
}

/// Operations, and the topics they are about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationRule {
    /// Which operations.
    #[serde(default)]
    pub operations: Vec<BrokerOperation>,
    /// Topic filters, with variables where that helps; `mqtt:connect` needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["alerts/#", "by-device/{{iot:device_id}}/+"]]))]
    pub resources: Vec<String>,
}

/// What a client does with user-defined topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BrokerOperation {
    /// Use them at all.
    #[serde(rename = "mqtt:connect")]
    Connect,
    /// Publish to a topic.
    #[serde(rename = "mqtt:publish")]
    Publish,
    /// Subscribe to a filter, and receive what it matches.
    #[serde(rename = "mqtt:subscribe")]
    Subscribe,
}
