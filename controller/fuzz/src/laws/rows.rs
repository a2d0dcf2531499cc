//! A few twins and a message, for what is parsed to be evaluated on.

use hemline_query::route::RouteMessage;
use serde_json::{Value, json};

/// Twins with the members that queries like to name, of every type.
pub(crate) fn rows() -> Vec<Value> {
    vec![
        json!({"deviceId": "a", "version": 3, "capabilities": {"iotEdge": true}, "tags": {"a": 1, "site": "lyon", "x": [1, {"y": null}]},
            "properties": {"desired": {"$version": 1}, "reported": {"t": -1.5e300, "s": "", "b": true}}}),
        json!({"deviceId": "b", "moduleId": "m", "tags": {"a": "1", "site": null}, "lastActivityTime": "2026-01-01T00:00:00Z"}),
        json!({"deviceId": "é", "tags": {}, "configurations": {"my id": {"status": "Applied"}}}),
        json!({}),
    ]
}

/// A message with properties, a body and a twin.
pub(crate) struct Message {
    body: Value,
    twin: Value,
}

pub(crate) fn message() -> Message {
    Message {
        body: json!({"a": [1, {"b": "x"}], "t": 21.5, "flag": true, "nothing": null, "s": "lyon"}),
        twin: json!({"tags": {"site": "lyon"}, "properties": {"reported": {"t": 1}}}),
    }
}

impl RouteMessage for Message {
    fn source(&self) -> &str {
        "/messages/modules/m/outputs/o/"
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        match name.to_ascii_lowercase().as_str() {
            "a" => Some(Some("1")),
            "site" => Some(Some("lyon")),
            "empty" => Some(None),
            _ => None,
        }
    }

    fn system(&self, name: &str) -> Option<&str> {
        match name {
            "connectionDeviceId" => Some("d"),
            "contentType" => Some("application/json"),
            _ => None,
        }
    }

    fn body(&self) -> Option<&Value> {
        Some(&self.body)
    }

    fn twin(&self) -> Option<&Value> {
        Some(&self.twin)
    }
}
