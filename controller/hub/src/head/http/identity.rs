//! Device and module documents as clients write them, turned into settings (reference service-api §4.1).

use hemline_hub_core::service::{Authentication, DeviceSettings, ModuleSettings};
use hemline_model::id::DeviceId;
use hemline_protocol::error::ErrorCode;
use serde::Deserialize;

use super::error::RestError;

/// Everything before the device id in a scope.
const SCOPE: &str = "ms-azure-iot-edge://";

/// A device or a module: they share their members. Unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IdentityDocument {
    device_id: Option<String>,
    module_id: Option<String>,
    status: Option<String>,
    status_reason: Option<String>,
    authentication: Option<AuthenticationDocument>,
    capabilities: Option<Capabilities>,
    device_scope: Option<String>,
    parent_scopes: Option<Vec<String>>,
    managed_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Capabilities {
    iot_edge: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationDocument {
    symmetric_key: Option<Pair>,
    x509_thumbprint: Option<Pair>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl std::fmt::Debug for AuthenticationDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthenticationDocument").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Keys or thumbprints.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pair {
    #[serde(alias = "primaryThumbprint")]
    primary_key: Option<String>,
    #[serde(alias = "secondaryThumbprint")]
    secondary_key: Option<String>,
}

impl IdentityDocument {
    /// Settings of a device, when the document speaks of this one.
    pub(super) fn device(self, device: &DeviceId) -> Result<DeviceSettings, RestError> {
        same("deviceId", self.device_id.as_deref(), device.as_str())?;
        let edge = self.capabilities.as_ref().and_then(|capabilities| capabilities.iot_edge);
        let parent = self.parent(device, edge)?;
        let enabled = match self.status.as_deref() {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("enabled") => Some(true),
            Some(text) if text.eq_ignore_ascii_case("disabled") => Some(false),
            Some(other) => return Err(invalid(format!("status {other:?} is neither enabled nor disabled"))),
        };
        let authentication = self.authentication.map(AuthenticationDocument::read).transpose()?;
        Ok(DeviceSettings { enabled, status_reason: self.status_reason, authentication, edge, parent })
    }

    /// Settings of a module, when the document speaks of this one.
    pub(super) fn module(self, device: &DeviceId, module: &str) -> Result<ModuleSettings, RestError> {
        same("deviceId", self.device_id.as_deref(), device.as_str())?;
        same("moduleId", self.module_id.as_deref(), module)?;
        let authentication = self.authentication.map(AuthenticationDocument::read).transpose()?;
        Ok(ModuleSettings { authentication, managed_by: self.managed_by })
    }

    /// For an edge device `parentScopes` decides, its `deviceScope` is its own; for a leaf `deviceScope` decides and
    /// `parentScopes` is a mirror that may be stale.
    fn parent(&self, device: &DeviceId, edge: Option<bool>) -> Result<Option<Option<DeviceId>>, RestError> {
        if edge == Some(true) {
            return self.named_parent();
        }
        match self.device_scope.as_deref().map(scope_device).transpose()? {
            // Its own scope: an edge device whose document leaves the capability out.
            Some(Some(own)) if own == *device => self.named_parent(),
            Some(decided) => Ok(Some(decided)),
            // An empty mirror of a scope that is not named says nothing.
            None => Ok(self.named_parent()?.filter(Option::is_some)),
        }
    }

    fn named_parent(&self) -> Result<Option<Option<DeviceId>>, RestError> {
        match self.parent_scopes.as_deref() {
            None => Ok(None),
            Some([]) => Ok(Some(None)),
            Some([scope]) => scope_device(scope).map(Some),
            Some(_) => Err(invalid("parentScopes names more than one parent".into())),
        }
    }
}

/// The device of a scope: what stands between the prefix and the last dash. Empty means none.
fn scope_device(scope: &str) -> Result<Option<DeviceId>, RestError> {
    if scope.is_empty() {
        return Ok(None);
    }
    let id = scope.strip_prefix(SCOPE).and_then(|rest| rest.rsplit_once('-')).map(|(id, _)| id);
    match id.map(DeviceId::new) {
        Some(Ok(device)) => Ok(Some(device)),
        Some(Err(_)) | None => Err(invalid(format!("{scope:?} is not the scope of a device"))),
    }
}

impl AuthenticationDocument {
    fn read(self) -> Result<Authentication, RestError> {
        let thumbprints = self.x509_thumbprint.unwrap_or_default();
        let primary = thumbprints.primary_key.filter(|text| !text.is_empty());
        let secondary = thumbprints.secondary_key.filter(|text| !text.is_empty());
        // Without a type thumbprints decide (Node's older form).
        let inferred = if primary.is_some() || secondary.is_some() { "selfSigned" } else { "sas" };
        let kind = self.kind.as_deref().unwrap_or(inferred).to_ascii_lowercase();
        match kind.as_str() {
            "sas" => {
                let keys = self.symmetric_key.unwrap_or_default();
                let (primary, secondary) = (keys.primary_key, keys.secondary_key);
                Ok(Authentication::Sas {
                    primary: primary.unwrap_or_default(),
                    secondary: secondary.unwrap_or_default(),
                })
            }
            "selfsigned" => Ok(Authentication::SelfSigned { primary, secondary }),
            "certificateauthority" => Ok(Authentication::CertificateAuthority),
            "none" => Ok(Authentication::None),
            _ => Err(invalid(format!(
                "authentication type {kind:?} is none of sas, selfSigned, certificateAuthority, none"
            ))),
        }
    }
}

fn same(member: &str, given: Option<&str>, expected: &str) -> Result<(), RestError> {
    match given {
        Some(given) if given != expected => {
            Err(invalid(format!("{member} is {given:?} in the body and {expected:?} in the path")))
        }
        Some(_) | None => Ok(()),
    }
}

fn invalid(message: String) -> RestError {
    RestError::new(ErrorCode::ArgumentInvalid, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &serde_json::Value) -> String {
        let device = DeviceId::new("d").unwrap();
        match serde_json::from_value::<IdentityDocument>(body.clone()).unwrap().device(&device) {
            Ok(settings) => {
                let keys = match &settings.authentication {
                    Some(Authentication::Sas { primary, secondary }) => {
                        format!(" keys {primary:?} {secondary:?}")
                    }
                    _ => String::new(),
                };
                format!("{body}\n    {settings:?}{keys}")
            }
            Err(error) => format!("{body}\n    {error:?}"),
        }
    }

    #[test]
    fn documents_of_clients() {
        let edge = "ms-azure-iot-edge://gate-1-637";
        let bodies = [
            json!({}),
            json!({"deviceId": "d", "starts": 1, "status": "Enabled", "statusReason": null}),
            json!({"deviceId": "other"}),
            json!({"status": "off"}),
            json!({"authentication": {}}),
            json!({"authentication": {"symmetricKey": {"primaryKey": "", "secondaryKey": null}}}),
            json!({"authentication": {"type": "sas", "symmetricKey": {"primaryKey": "QQ==", "secondaryKey": "Qg=="},
                "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null}}}),
            json!({"authentication": {"x509Thumbprint": {"primaryThumbprint": "AB"}}}),
            json!({"authentication": {"type": "CertificateAuthority"}}),
            json!({"authentication": {"type": "magic"}}),
            json!({"capabilities": {"iotEdge": true}, "deviceScope": "ms-azure-iot-edge://d-1", "parentScopes": [edge]}),
            json!({"capabilities": {"iotEdge": true}, "parentScopes": []}),
            json!({"capabilities": {"iotEdge": false}, "deviceScope": edge, "parentScopes": ["stale"]}),
            json!({"deviceScope": edge}),
            json!({"deviceScope": "", "parentScopes": [edge]}),
            json!({"deviceScope": "ms-azure-iot-edge://d-1", "parentScopes": [edge]}),
            json!({"parentScopes": []}),
            json!({"deviceScope": "gate-1"}),
            json!({"parentScopes": [edge, edge]}),
        ];
        insta::assert_snapshot!(bodies.each_ref().map(read).join("\n"));
    }
}
