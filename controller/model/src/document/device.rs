//! `kind: Device`: one identity in the hub's registry with its tags and twin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, Metadata, Object, is_default, yes};

/// One device: an identity in the hub's registry with its tags and desired properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "press-07"},
    "spec": {"edge": true, "tags": {"site": "lyon", "ring": "canary"}, "desired": {"telemetryInterval": 30}}
}]))]
pub struct Device {
    /// API group and version.
    pub api_version: ApiVersion,
    /// The kind of this document.
    pub kind: DeviceKind,
    /// Name and labels.
    pub metadata: Metadata,
    /// What the device should be.
    #[serde(default)]
    pub spec: DeviceSpec,
    /// Written by Hemline only; ignored when a document is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Object>,
}

/// The one kind of a `Device` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeviceKind {
    /// A device.
    #[default]
    Device,
}

/// What a device should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceSpec {
    /// IoT Hub device id, when it is not the document's name (upper case, `_`, `:` and so on).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 128, "examples" = ["Press_07"]))]
    pub device_id: Option<String>,
    /// IoT Edge capability: `true` runs modules, `false` (default) is a plain device.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edge: bool,
    /// May the device connect? `false` refuses it and keeps its twin.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Name of the edge device that this one connects through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["gateway-1"]))]
    pub parent: Option<String>,
    /// Tags of the twin, for target conditions and queries; at most 8 KiB. The device never sees them.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[schemars(extend("examples" = [{"site": "lyon", "ring": "canary"}]))]
    pub tags: Object,
    /// How the device proves who it is; a shared key (`sas`) unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auth: Auth,
    /// Desired properties of the device twin; at most 32 KiB.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[schemars(extend("examples" = [{"telemetryInterval": 30}]))]
    pub desired: Object,
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self {
            device_id: None,
            edge: false,
            enabled: true,
            parent: None,
            tags: Object::new(),
            auth: Auth::default(),
            desired: Object::new(),
        }
    }
}

/// How a device proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// `sas`: a shared key; `selfSigned`: a certificate known by thumbprint; `certificateAuthority`: one signed by a
    /// CA that the hub knows.
    #[serde(default, rename = "type")]
    pub kind: AuthType,
    /// Hex SHA-1 or SHA-256 thumbprint of the certificate, for `selfSigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_thumbprint: Option<String>,
    /// A second thumbprint, so that a certificate can be replaced without a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_thumbprint: Option<String>,
}

/// Ways for a device to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuthType {
    /// A shared access key, made by the hub.
    #[default]
    Sas,
    /// A self-signed X.509 certificate, known by its thumbprint.
    SelfSigned,
    /// An X.509 certificate signed by a certificate authority that the hub knows.
    CertificateAuthority,
}
