//! `kind: Secret`: values that stand in the repository encrypted, for the devices that have a key.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, EnvScalar, Metadata, Object, is_default};

/// Values that stand in the repository encrypted by SOPS for age keys. A module's environment names them with `secretRef`.
/// Only the agent of a device opens them, with the key that it alone has; pull request, controller and hub do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Secret", extend("examples" = [{
    "apiVersion": "hemline.dev/v1alpha1", "kind": "Secret", "metadata": {"name": "cam"},
    "stringData": {"token": "ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]"},
    "sops": {
        "age": [{"recipient": "age1x", "enc": "-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n"}],
        "lastmodified": "2026-01-02T03:04:05Z", "mac": "ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
        "encrypted_regex": "^(data|stringData)$"
    }
}]))]
pub struct SecretDocument {
    /// API group and version.
    pub api_version: ApiVersion,
    /// The kind of this document.
    pub kind: SecretKind,
    /// Name and labels.
    pub metadata: Metadata,
    /// Texts by key, encrypted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub string_data: BTreeMap<String, EnvScalar>,
    /// The same in Base64, as `kubectl create secret` writes it, and then encrypted. Where a key stands in both, `stringData`
    /// counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data: BTreeMap<String, EnvScalar>,
    /// Written by `sops --encrypt`: who can open the values, and a proof that nobody changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sops: Option<Object>,
}

/// The one kind of a `Secret` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SecretKind {
    /// A secret.
    #[default]
    Secret,
}
