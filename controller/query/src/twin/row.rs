//! What a twin-dialect expression reads: one row of JSON, or a twin in the pieces in which its owner holds it.
//!
//! Whoever asks a hundred conditions about a hundred thousand twins should not have to copy each twin into one JSON value.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::ast::{Path, Step};
use crate::value::Datum;

/// Something that paths lead into.
pub(crate) trait Row<'a>: Copy {
    /// The value at the end of a path; undefined when it leads nowhere.
    fn datum(self, path: &Path) -> Datum<'a>;
}

/// A device twin in pieces, as a target condition sees it. It has these members and no others.
#[derive(Debug, Clone, Copy)]
pub struct DeviceTwin<'a> {
    /// `deviceId`.
    pub device_id: &'a str,
    /// `status`: `enabled` or `disabled`.
    pub enabled: bool,
    /// `capabilities.iotEdge`.
    pub edge: bool,
    /// `tags`.
    pub tags: &'a Map<String, Value>,
    /// `properties.desired`.
    pub desired: &'a Map<String, Value>,
    /// `properties.reported`; an empty object where nothing is known.
    pub reported: Option<&'a Value>,
}

/// What stands for members that are only there to hold others.
static OBJECT: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

// === impl Row ===

impl<'a> Row<'a> for &'a Value {
    fn datum(self, path: &Path) -> Datum<'a> {
        look_up(path, self).map_or(Datum::Undefined, Datum::from)
    }
}

impl<'a> Row<'a> for DeviceTwin<'a> {
    fn datum(self, path: &Path) -> Datum<'a> {
        let steps = path.resolved.as_slice();
        match steps {
            [] => Datum::Object(&OBJECT),
            [Step::Name(name), rest @ ..] => match (name.as_str(), rest) {
                ("deviceId", []) => Datum::Text(self.device_id),
                ("status", []) => Datum::Text(if self.enabled { "enabled" } else { "disabled" }),
                ("capabilities" | "properties", []) => Datum::Object(&OBJECT),
                ("capabilities", [Step::Name(name)]) if name == "iotEdge" => Datum::Bool(self.edge),
                ("tags", rest) => within(self.tags, rest),
                ("properties", [Step::Name(name), rest @ ..]) => match name.as_str() {
                    "desired" => within(self.desired, rest),
                    "reported" => match self.reported {
                        Some(reported) => walk(rest, reported).map_or(Datum::Undefined, Datum::from),
                        None => within(&OBJECT, rest),
                    },
                    _ => Datum::Undefined,
                },
                (_, _) => Datum::Undefined,
            },
            [Step::Index(_), ..] => Datum::Undefined,
        }
    }
}

/// The JSON value that a path leads to.
pub(crate) fn look_up<'a>(path: &Path, row: &'a Value) -> Option<&'a Value> {
    walk(&path.resolved, row)
}

fn walk<'a>(steps: &[Step], from: &'a Value) -> Option<&'a Value> {
    steps.iter().try_fold(from, |value, step| match step {
        Step::Name(name) => value.as_object()?.get(name.as_str()),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

fn within<'a>(object: &'a Map<String, Value>, steps: &[Step]) -> Datum<'a> {
    match steps {
        [] => Datum::Object(object),
        [Step::Name(name), rest @ ..] => object
            .get(name.as_str())
            .and_then(|value| walk(rest, value))
            .map_or(Datum::Undefined, Datum::from),
        [Step::Index(_), ..] => Datum::Undefined,
    }
}
