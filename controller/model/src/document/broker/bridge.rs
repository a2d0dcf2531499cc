//! Which user-defined topics a nested device exchanges with its parent, and under which names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one endpoint that there is: the parent of the device.
pub const UPSTREAM: &str = "$upstream";

/// Topics that are exchanged with another hub.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bridge {
    /// `$upstream`, the parent.
    #[schemars(extend("examples" = ["$upstream"]))]
    pub endpoint: String,
    /// Which topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<BridgeSetting>,
}

/// Topics of one kind. `inPrefix` belongs to the side that a message comes from, `outPrefix` to the side that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BridgeSetting {
    /// Which way.
    pub direction: BridgeDirection,
    /// Topic filter, without the prefix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("examples" = ["alerts/#"]))]
    pub topic: String,
    /// What topics begin with where the message comes from; it is taken off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub in_prefix: String,
    /// What topics begin with where the message goes to; it is put in front.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub out_prefix: String,
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeDirection {
    /// From the parent.
    In,
    /// To the parent.
    Out,
    /// Both ways.
    Both,
}
