//! `$edgeHub` desired and reported properties (reference edge-runtime §1.6, §2.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{DesiredStatus, EdgeError, Version};
use crate::document::Broker;

/// Routes and queues of an edge device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubDesired {
    /// `1.0` to `1.3`.
    pub schema_version: String,
    /// Routes by name; their text is not parsed here.
    #[serde(default)]
    pub routes: BTreeMap<String, HubRoute>,
    /// How long messages wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_and_forward_configuration: Option<StoreAndForward>,
    /// Policy for user-defined topics and bridges (reference edge-runtime §6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt_broker: Option<Broker>,
}

/// One route. On the wire a bare text when it has no settings, else an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRoute {
    /// `FROM … INTO …`.
    pub route: String,
    /// 0 (first) to 9; none comes last.
    pub priority: Option<u32>,
    /// Seconds that a message waits for its receiver; none or 0 means the hub's own.
    pub time_to_live_secs: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HubRouteObject {
    route: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_to_live_secs: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum HubRouteWire {
    Text(String),
    Object(HubRouteObject),
}

impl Serialize for HubRoute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { route, priority, time_to_live_secs } = self.clone();
        if priority.is_none() && time_to_live_secs.is_none() {
            HubRouteWire::Text(route).serialize(serializer)
        } else {
            HubRouteWire::Object(HubRouteObject { route, priority, time_to_live_secs }).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for HubRoute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match HubRouteWire::deserialize(deserializer)? {
            HubRouteWire::Text(route) => Self { route, priority: None, time_to_live_secs: None },
            HubRouteWire::Object(HubRouteObject { route, priority, time_to_live_secs }) => {
                Self { route, priority, time_to_live_secs }
            }
        })
    }
}

/// How long messages wait for a receiver that is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreAndForward {
    /// Seconds; negative means for ever.
    pub time_to_live_secs: i64,
    /// Bounds of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_limits: Option<StoreLimits>,
}

/// Bounds of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreLimits {
    /// Bytes.
    pub max_size_bytes: u64,
}

/// What the hub of an edge device reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubReported {
    /// `1.0`.
    pub schema_version: String,
    /// Program version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// `$version` of the desired properties that were read last.
    #[serde(default)]
    pub last_desired_version: u64,
    /// What came of them.
    pub last_desired_status: DesiredStatus,
}

impl HubDesired {
    /// Reads the desired section of the twin; `$version` and `$metadata` are passed over. An empty section is empty
    /// routes, as a fresh device has them. Blank routes of schema 1.0 are dropped.
    ///
    /// # Errors
    /// With the code that `lastDesiredStatus` should carry. Route texts are not parsed here.
    pub fn parse(desired: &Map<String, Value>) -> Result<Self, EdgeError> {
        let section: Map<String, Value> = desired
            .iter()
            .filter(|(key, _)| !key.starts_with('$'))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if section.is_empty() {
            return Err(EdgeError::Empty);
        }
        let found = section.get("schemaVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut parts = found.split('.').map(|part| part.parse::<u32>().ok());
        let minor = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(1), Some(minor @ 0..=3)) => minor,
            (_, _) => return Err(EdgeError::SchemaVersion { found, supported: "1.0, 1.1, 1.2 or 1.3" }),
        };
        let mut parsed: Self = serde_json::from_value(Value::Object(section))
            .map_err(|why| EdgeError::Format(format!("Error while parsing desired properties - {why}")))?;
        if minor == 0 {
            parsed.routes.retain(|_, route| !route.route.trim().is_empty());
        }
        for (name, route) in &parsed.routes {
            let wrong = |why: &str| EdgeError::Format(format!("Error parsing route {name} - {why}"));
            if route.route.trim().is_empty() {
                return Err(wrong("the route is blank"));
            }
            if route.priority.is_some_and(|priority| priority > 9) {
                return Err(wrong("the priority is not 0 to 9"));
            }
        }
        if let Some(fault) = parsed.mqtt_broker.as_ref().and_then(|broker| broker.faults().into_iter().next())
        {
            let place = fault.at.replace('/', ".");
            return Err(EdgeError::Format(format!("Error parsing mqttBroker{place} - {}", fault.message)));
        }
        Ok(parsed)
    }

    /// The desired section of the twin.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        super::object(self)
    }
}
