//! The JSON documents of identities and twins as the service side sees them (reference service-api §4.1, §6).

use hemline_model::twin::dotnet_time;
use hemline_protocol::etag;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    service::Authentication,
    session::Presence,
    write::{Collection, Identity, TwinRecord},
};

/// A time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device or module identity, keys included.
pub(crate) fn identity(identity: &Identity, parent_scope: Option<&str>, presence: Presence) -> Value {
    let Identity {
        client,
        generation,
        etag: counter,
        enabled,
        status_reason,
        status_updated,
        authentication,
        edge,
        device_scope,
        parent: _,
        managed_by,
        from_parent: _,
    } = identity;
    let etag = etag::identity(*counter);
    match &client.module {
        None => json!({
            "deviceId": client.device,
            "generationId": generation,
            "etag": etag,
            "connectionState": connection_state(presence),
            "status": status(*enabled),
            "statusReason": status_reason,
            "connectionStateUpdatedTime": time(presence.since),
            "statusUpdatedTime": time(*status_updated),
            "lastActivityTime": time(presence.active),
            "cloudToDeviceMessageCount": presence.cloud_messages,
            "authentication": keys(authentication),
            "capabilities": {"iotEdge": edge},
            "deviceScope": device_scope.as_deref().unwrap_or_default(),
            "parentScopes": parent_scopes(parent_scope),
        }),
        Some(module) => json!({
            "moduleId": module,
            "managedBy": managed_by,
            "deviceId": client.device,
            "generationId": generation,
            "etag": etag,
            "connectionState": connection_state(presence),
            "connectionStateUpdatedTime": time(presence.since),
            "lastActivityTime": time(presence.active),
            "cloudToDeviceMessageCount": presence.cloud_messages,
            "authentication": keys(authentication),
        }),
    }
}

/// A twin with what the registry knows of its identity.
pub(crate) fn twin(
    identity: &Identity,
    parent_scope: Option<&str>,
    record: &TwinRecord,
    presence: Presence,
) -> Value {
    let client = &identity.client;
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("deviceId", json!(client.device));
    if let Some(module) = &client.module {
        put("moduleId", json!(module));
    }
    put("etag", json!(etag::twin(record.etag)));
    put("deviceEtag", json!(etag::identity(identity.etag)));
    if client.module.is_none() {
        put("status", json!(status(identity.enabled)));
        put("statusReason", json!(identity.status_reason));
        // Twins spell it this way, identities and some readers of twins the other (reference service-api §6).
        put("statusUpdateTime", time(identity.status_updated));
        put("statusUpdatedTime", time(identity.status_updated));
    }
    put("connectionState", json!(connection_state(presence)));
    put("lastActivityTime", time(presence.active));
    put("cloudToDeviceMessageCount", json!(presence.cloud_messages));
    put("authenticationType", json!(authentication_type(&identity.authentication)));
    put("x509Thumbprint", thumbprints(&identity.authentication));
    put("modelId", json!(record.model_id));
    put("version", json!(record.version));
    if !record.tags.is_empty() {
        put("tags", Value::Object(record.tags.open()));
    }
    put("properties", properties(record));
    if client.module.is_none() {
        put("capabilities", json!({"iotEdge": identity.edge}));
        put("deviceScope", json!(identity.device_scope.as_deref().unwrap_or_default()));
        put("parentScopes", parent_scopes(parent_scope));
    }
    Value::Object(document)
}

/// Desired and reported properties with their metadata and versions.
pub(crate) fn properties(record: &TwinRecord) -> Value {
    json!({"desired": collection(&record.desired), "reported": collection(&record.reported)})
}

fn collection(collection: &Collection) -> Value {
    let mut section = collection.properties.open();
    section.insert("$metadata".to_owned(), Value::Object(collection.metadata.open()));
    section.insert("$version".to_owned(), collection.version.into());
    Value::Object(section)
}

/// Edge devices show the scope of their parent; so do leaves, whose own scope is the same.
fn parent_scopes(parent_scope: Option<&str>) -> Value {
    Value::Array(parent_scope.into_iter().map(Value::from).collect())
}

fn keys(authentication: &Authentication) -> Value {
    let (primary, secondary) = match authentication {
        Authentication::Sas { primary, secondary } => (Some(primary), Some(secondary)),
        Authentication::SelfSigned { .. } | Authentication::CertificateAuthority | Authentication::None => {
            (None, None)
        }
    };
    json!({
        "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
        "x509Thumbprint": thumbprints(authentication),
        "type": authentication_type(authentication),
    })
}

fn thumbprints(authentication: &Authentication) -> Value {
    let (primary, secondary) = match authentication {
        Authentication::SelfSigned { primary, secondary } => (primary.as_ref(), secondary.as_ref()),
        Authentication::Sas { .. } | Authentication::CertificateAuthority | Authentication::None => {
            (None, None)
        }
    };
    json!({"primaryThumbprint": primary, "secondaryThumbprint": secondary})
}

fn authentication_type(authentication: &Authentication) -> &'static str {
    match authentication {
        Authentication::Sas { .. } => "sas",
        Authentication::SelfSigned { .. } => "selfSigned",
        Authentication::CertificateAuthority => "certificateAuthority",
        Authentication::None => "none",
    }
}

fn status(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn connection_state(presence: Presence) -> &'static str {
    if presence.connected { "Connected" } else { "Disconnected" }
}

fn time(at: Option<Timestamp>) -> Value {
    Value::String(at.map_or_else(|| NEVER.to_owned(), dotnet_time))
}
