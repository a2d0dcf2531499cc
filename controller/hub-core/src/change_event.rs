//! What happened to an identity, as a message that routes can be about (reference service-api §8.3).
//!
//! Made only where `CoreConfig::change_events` asks for it: nobody pays for what nobody reads. The value holds what changed;
//! the message is written when somebody wants it.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::{
    id::ClientId,
    twin::{Metadata, dotnet_time},
};
use hemline_protocol::{
    etag,
    properties::{Properties, SystemProperties},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{view, write::TwinRecord};

type Section = Map<String, Value>;

/// Which of IoT Hub's sources an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeSource {
    /// Twins: `twinChangeEvents`
    Twin,
    /// Identities: `deviceLifecycleEvents`
    Lifecycle,
    /// Connections: `deviceConnectionStateEvents`
    ConnectionState,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// To whom.
    pub client: ClientId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: Change,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It connected. The number grows with every event of this kind, also over restarts as long as the clock does.
    Connected(u128),
    /// Its connection ended and no other took its place.
    Disconnected(u128),
    /// The identity was made, with this twin.
    Created(Arc<TwinRecord>),
    /// The identity was removed; this was its twin.
    Deleted(Arc<TwinRecord>),
    /// Parts of the twin changed.
    TwinUpdated(TwinUpdate),
    /// The service put another twin in its place.
    TwinReplaced(Arc<TwinRecord>),
}

/// The parts of a twin that changed, as patches: `null` for what is gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TwinUpdate {
    /// Of the twin, after the change.
    pub version: u64,
    /// Tags, if they were named.
    pub tags: Option<Section>,
    /// Desired properties and their version, if they were named.
    pub desired: Option<(Section, u64)>,
    /// Reported properties and their version, if they were named.
    pub reported: Option<(Section, u64)>,
}

impl ChangeSource {
    /// As in `iothub-message-source`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twin => "twinChangeEvents",
            Self::Lifecycle => "deviceLifecycleEvents",
            Self::ConnectionState => "deviceConnectionStateEvents",
        }
    }

    /// As in `iothub-message-schema`.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::Twin => "twinChangeNotification",
            Self::Lifecycle => "deviceLifecycleNotification",
            Self::ConnectionState => "deviceConnectionStateNotification",
        }
    }
}

impl ChangeEvent {
    /// Which source it belongs to.
    #[must_use]
    pub fn source(&self) -> ChangeSource {
        match self.change {
            Change::Connected(_) | Change::Disconnected(_) => ChangeSource::ConnectionState,
            Change::Created(_) | Change::Deleted(_) => ChangeSource::Lifecycle,
            Change::TwinUpdated(_) | Change::TwinReplaced(_) => ChangeSource::Twin,
        }
    }

    /// As in `opType`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match (&self.change, self.client.module.is_some()) {
            (Change::Connected(_), false) => "deviceConnected",
            (Change::Connected(_), true) => "moduleConnected",
            (Change::Disconnected(_), false) => "deviceDisconnected",
            (Change::Disconnected(_), true) => "moduleDisconnected",
            (Change::Created(_), false) => "createDeviceIdentity",
            (Change::Created(_), true) => "createModuleIdentity",
            (Change::Deleted(_), false) => "deleteDeviceIdentity",
            (Change::Deleted(_), true) => "deleteModuleIdentity",
            (Change::TwinUpdated(_), _) => "updateTwin",
            (Change::TwinReplaced(_), _) => "replaceTwin",
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Value {
        match &self.change {
            Change::Connected(number) | Change::Disconnected(number) => {
                json!({"sequenceNumber": format!("{number:064X}")})
            }
            Change::Created(twin) | Change::Deleted(twin) | Change::TwinReplaced(twin) => self.whole(twin),
            Change::TwinUpdated(update) => update.body(self.at),
        }
    }

    /// The message: what routes see, and what goes out. `correlation` is the caller's choice.
    #[must_use]
    pub fn message(&self, hub: &str, correlation: String) -> (Properties, Bytes) {
        let module = self.client.module.as_ref().map(ToString::to_string);
        let system = SystemProperties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            correlation_id: Some(correlation),
            user_id: Some(hub.to_owned()),
            connection_device_id: Some(self.client.device.to_string()),
            connection_module_id: module.clone(),
            other: vec![("iothub-message-source".to_owned(), self.source().as_str().to_owned())],
            ..SystemProperties::default()
        };
        let mut application = vec![
            ("deviceId", self.client.device.to_string()),
            ("hubName", hub.to_owned()),
            ("iothub-message-schema", self.source().schema().to_owned()),
            ("operationTimestamp", dotnet_time(self.at)),
            ("opType", self.operation().to_owned()),
        ];
        if let Some(module) = module {
            application.insert(1, ("moduleId", module));
        }
        let application =
            application.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect();
        (Properties { system, application }, Bytes::from(self.body().to_string()))
    }

    fn whole(&self, twin: &TwinRecord) -> Value {
        let mut body = Map::new();
        body.insert("deviceId".to_owned(), json!(self.client.device));
        if let Some(module) = &self.client.module {
            body.insert("moduleId".to_owned(), json!(module));
        }
        body.insert("etag".to_owned(), json!(etag::twin(twin.etag)));
        body.insert("version".to_owned(), twin.version.into());
        if !twin.tags.is_empty() {
            body.insert("tags".to_owned(), Value::Object(twin.tags.open()));
        }
        body.insert("properties".to_owned(), view::properties(twin));
        Value::Object(body)
    }
}

impl TwinUpdate {
    fn body(&self, at: Timestamp) -> Value {
        let Self { version, tags, desired, reported } = self;
        let mut body = Map::from_iter([("version".to_owned(), (*version).into())]);
        if let Some(tags) = tags {
            body.insert("tags".to_owned(), Value::Object(tags.clone()));
        }
        let mut properties = Map::new();
        for (name, changed, counts) in [("desired", desired, true), ("reported", reported, false)] {
            let Some((patch, version)) = changed else { continue };
            // Reported properties carry no version in their metadata, as in the twin itself.
            let metadata = Metadata::of(patch, at, counts.then_some(*version));
            let mut section = patch.clone();
            section.insert("$metadata".to_owned(), Value::Object(metadata.as_map().clone()));
            section.insert("$version".to_owned(), (*version).into());
            properties.insert(name.to_owned(), Value::Object(section));
        }
        if !properties.is_empty() {
            body.insert("properties".to_owned(), Value::Object(properties));
        }
        Value::Object(body)
    }
}
