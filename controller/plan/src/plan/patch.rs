//! Merge patches with ownership: what the documents say, and what they said before.

use hemline_model::twin;
use serde_json::{Map, Value};

/// The patch that makes `there` say what `want` says. Other members stay, except those that the documents `said` before.
/// Empty when nothing has to change.
pub(super) fn owned(
    there: &Map<String, Value>,
    want: &Map<String, Value>,
    said: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    // Two revisions share what both say.
    if std::ptr::eq(there, want) {
        return patch;
    }
    for (key, value) in want {
        match (there.get(key), value) {
            (Some(have), value) if have == value => {}
            (Some(Value::Object(have)), Value::Object(value)) => {
                let said = said.and_then(|said| said.get(key)).and_then(Value::as_object);
                let inner = owned(have, value, said);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (_, value) => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in said.into_iter().flat_map(Map::keys) {
        if !want.contains_key(key) && there.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

/// The patch that makes `there` equal to `want`.
pub(super) fn whole(there: &Map<String, Value>, want: &Map<String, Value>) -> Map<String, Value> {
    twin::diff(there, want)
}

/// What a patch makes of `there`.
pub(super) fn patched(there: &Map<String, Value>, patch: &Map<String, Value>) -> Map<String, Value> {
    let mut after = there.clone();
    twin::merge(&mut after, patch);
    after
}
