//! Twin arithmetic: merge patches, differences, a canonical text, limits and metadata (reference device-protocol §5.3).
//!
//! Not here: versions and ETags of a stored twin (`hub-core`).

pub mod limits;
mod metadata;
mod time;

pub use limits::{TwinLimit, Which};
pub use metadata::Metadata;
pub use time::dotnet_time;

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Applies a JSON merge patch: objects recurse, `null` deletes, everything else replaces. Unlike RFC 7396, members of a
/// new object that are `null` are dropped too, at any depth, so the result never holds `null` members of objects.
pub fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => match target.get_mut(key) {
                Some(Value::Object(have)) => merge(have, inner),
                Some(other) => *other = Value::Object(fresh(inner)),
                None => {
                    target.insert(key.clone(), Value::Object(fresh(inner)));
                }
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

fn fresh(patch: &Map<String, Value>) -> Map<String, Value> {
    let mut object = Map::new();
    merge(&mut object, patch);
    object
}

/// The merge patch that leads from `old` to `new`: `merge(old, diff(old, new)) == new` for every `new` without `null`
/// members of objects. Empty when they are equal.
#[must_use]
pub fn diff(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match (old.get(key), value) {
            (Some(have), value) if have == value => {}
            (Some(Value::Object(have)), Value::Object(want)) => {
                patch.insert(key.clone(), Value::Object(diff(have, want)));
            }
            (_, value) => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    patch
}

/// One text per value: keys in order, no white space. Equal values have equal texts, whatever order they were written in.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

/// The same of an object.
#[must_use]
pub fn canonical_object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_members(map, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_members(map, out),
        Value::String(text) => write_text(text, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => drop(write!(out, "{value}")),
    }
}

fn write_members(map: &Map<String, Value>, out: &mut String) {
    let mut first = true;
    let mut member = |(key, item): (&String, &Value)| {
        out.push(if std::mem::take(&mut first) { '{' } else { ',' });
        write_text(key, out);
        out.push(':');
        write_canonical(item, out);
    };
    // Sorted here, because another crate of the build may switch serde_json to insertion order.
    if map.keys().is_sorted() {
        map.iter().for_each(member);
    } else {
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.into_iter().for_each(&mut member);
    }
    out.push_str(if map.is_empty() { "{}" } else { "}" });
}

fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // Escapes are those of serde_json.
        out.push_str(&Value::from(text).to_string());
    }
}
