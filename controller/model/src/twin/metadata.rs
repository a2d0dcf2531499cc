//! `$metadata` of a twin section: when each value was last written, and for desired properties by which version.
//!
//! The tree mirrors the section; a leaf is an object with just the two marks (reference service-api §6).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dotnet_time;

const UPDATED: &str = "$lastUpdated";
const VERSION: &str = "$lastUpdatedVersion";

/// The `$metadata` object of one section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Metadata of an empty section. `version` is given for desired properties only.
    #[must_use]
    pub fn new(at: Timestamp, version: Option<u64>) -> Self {
        Self(Marks::new(at, version).node())
    }

    /// Metadata of a section that was replaced as a whole.
    #[must_use]
    pub fn of(section: &Map<String, Value>, at: Timestamp, version: Option<u64>) -> Self {
        let mut metadata = Self::new(at, version);
        metadata.touch(section, at, version);
        metadata
    }

    /// Follows a merge patch that was applied to the section: every value it names gets new marks, with all levels
    /// above; what it deletes goes.
    pub fn touch(&mut self, patch: &Map<String, Value>, at: Timestamp, version: Option<u64>) {
        touch(&mut self.0, patch, &Marks::new(at, version));
    }

    /// The object as it is printed under `$metadata`.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// As it was printed.
impl From<Map<String, Value>> for Metadata {
    fn from(printed: Map<String, Value>) -> Self {
        Self(printed)
    }
}

struct Marks {
    updated: Value,
    version: Option<Value>,
}

impl Marks {
    fn new(at: Timestamp, version: Option<u64>) -> Self {
        Self { updated: Value::String(dotnet_time(at)), version: version.map(Value::from) }
    }

    fn node(&self) -> Map<String, Value> {
        let mut node = Map::new();
        self.set(&mut node);
        node
    }

    fn set(&self, node: &mut Map<String, Value>) {
        node.insert(UPDATED.to_owned(), self.updated.clone());
        if let Some(version) = &self.version {
            node.insert(VERSION.to_owned(), version.clone());
        }
    }
}

fn touch(node: &mut Map<String, Value>, patch: &Map<String, Value>, marks: &Marks) {
    marks.set(node);
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        match value {
            Value::Null => {
                node.remove(key);
            }
            Value::Object(inner) => {
                let child = node.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(child) = child {
                    touch(child, inner, marks);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                node.insert(key.clone(), Value::Object(marks.node()));
            }
        }
    }
}
