//! `kind: TwinConfiguration`: desired properties for the devices or modules that a condition selects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, Metadata, Object, is_default};

/// Desired properties for the devices or modules that a condition selects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": "hemline.dev/v1alpha1", "kind": "TwinConfiguration", "metadata": {"name": "telemetry"},
    "spec": {"targetCondition": "tags.site = 'lyon'", "priority": 10, "desired": {"telemetryInterval": 30}}
}, {
    "apiVersion": "hemline.dev/v1alpha1", "kind": "TwinConfiguration", "metadata": {"name": "slow-cameras"},
    "spec": {"targetCondition": "FROM devices.modules WHERE moduleId = 'camera'", "desired": {"fps": 2}}
}]))]
pub struct TwinConfiguration {
    /// API group and version.
    pub api_version: ApiVersion,
    /// The kind of this document.
    pub kind: TwinConfigurationKind,
    /// Name and labels.
    pub metadata: Metadata,
    /// Which properties, and where.
    pub spec: TwinConfigurationSpec,
    /// Written by Hemline only; ignored when a document is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Object>,
}

/// The one kind of a `TwinConfiguration` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TwinConfigurationKind {
    /// A configuration.
    #[default]
    TwinConfiguration,
}

/// Which properties, and where. There are no tags here: conditions read them, so only `Device` documents give them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TwinConfigurationSpec {
    /// Which twins get them: a condition over devices (`*` for all, edge devices too; `capabilities.iotEdge = false` leaves
    /// those out), or `FROM devices.modules WHERE` and a condition over the modules that deployments bring, such as
    /// `moduleId = 'camera'`.
    #[schemars(extend("examples" = [
        "tags.site = 'lyon'", "capabilities.iotEdge = false", "FROM devices.modules WHERE moduleId = 'camera'", "*"
    ]))]
    pub target_condition: String,
    /// Where several configurations say the same property, the highest priority wins; two of the same priority that disagree
    /// are an error. A `Device` document's own `desired` wins over every configuration, and a configuration wins over the
    /// `desired` that a deployment gives to its modules.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u32,
    /// Desired properties, merged by path into what other documents say; at most 32 KiB. Removed again when no document
    /// says them any longer.
    #[schemars(extend("examples" = [{"telemetryInterval": 30}]))]
    pub desired: Object,
}
