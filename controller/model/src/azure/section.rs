//! One entry of `modulesContent`: `properties.desired` and dotted keys below it, put together as one tree whose values
//! still know where they stand.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Notes,
    notes::{escape, words},
};
use crate::text::Limits;

const DESIRED: &str = "properties.desired";

/// The desired properties that a manifest gives to one module.
pub(super) struct Section {
    pub(super) value: Map<String, Value>,
    /// Is there a plain `properties.desired`?
    pub(super) whole: bool,
    /// Is there a dotted key?
    pub(super) dotted: bool,
    at: String,
    /// Pointer in the tree → pointer in the manifest.
    origins: BTreeMap<String, String>,
}

impl Section {
    pub(super) fn read(entry: &Value, at: &str, notes: &mut Notes<'_>) -> Self {
        let mut section = Self {
            value: Map::new(),
            whole: false,
            dotted: false,
            at: at.to_owned(),
            origins: BTreeMap::from([(String::new(), at.to_owned())]),
        };
        let Value::Object(entry) = entry else {
            let message = format!("an object with \"{DESIRED}\" belongs here, this is {}", words(entry));
            notes.error("azure-value", at, message);
            return section;
        };
        // The whole comes first, so that dotted keys change it whatever their order.
        if let Some(value) = entry.get(DESIRED) {
            let pointer = format!("{at}/{DESIRED}");
            section.origins.insert(String::new(), pointer.clone());
            match value {
                Value::Object(map) => {
                    section.whole = true;
                    section.value = map.clone();
                }
                other => drop(notes.error("azure-value", &pointer, expected("an object", other))),
            }
        }
        for (key, value) in entry.iter().filter(|(key, _)| *key != DESIRED) {
            let pointer = format!("{at}/{}", escape(key));
            let Some(path) = key.strip_prefix(DESIRED).and_then(|rest| rest.strip_prefix('.')) else {
                notes.unknown(std::iter::once((key, pointer)), &[DESIRED]);
                continue;
            };
            section.dotted = true;
            let steps: Vec<&str> = path.split('.').collect();
            if steps.iter().any(|step| step.is_empty()) {
                notes.error("azure-value", &pointer, "the path has an empty step");
                continue;
            }
            if steps.len() > Limits::default().depth {
                let message = format!(
                    "the path has {} steps, at most {} are read",
                    steps.len(),
                    Limits::default().depth
                );
                notes.error("azure-value", &pointer, message);
                continue;
            }
            section.origins.insert(steps.iter().map(|step| format!("/{}", escape(step))).collect(), pointer);
            plant(&mut section.value, &steps, value.clone());
        }
        section
    }

    /// Where the entry stands.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Where a value of the tree stands in the manifest.
    pub(super) fn pointer(&self, tree: &str) -> String {
        let found = upwards(tree).find_map(|above| {
            let rest = tree.get(above.len()..)?;
            self.origins.get(above).map(|pointer| format!("{pointer}{rest}"))
        });
        found.unwrap_or_else(|| self.at.clone())
    }

    /// Was this value given as a whole, and not as pieces with dotted keys?
    pub(super) fn is_whole(&self, tree: &str) -> bool {
        let said = |above: &str| if above.is_empty() { self.whole } else { self.origins.contains_key(above) };
        upwards(tree).any(said)
    }

    /// The whole tree became this part of the document.
    pub(super) fn trail(&self, document: &str, notes: &mut Notes<'_>) {
        for (tree, pointer) in &self.origins {
            notes.came(format!("{document}{tree}"), pointer.clone());
        }
    }

    pub(super) fn root(&self) -> Part<'_> {
        Part { section: self, map: &self.value, tree: String::new() }
    }
}

/// An object inside a section.
pub(super) struct Part<'a> {
    section: &'a Section,
    pub(super) map: &'a Map<String, Value>,
    tree: String,
}

impl<'a> Part<'a> {
    /// Pointer in the tree.
    pub(super) fn tree(&self) -> &str {
        &self.tree
    }

    /// This object became this part of the document, with the steps below it, also where dotted keys say them.
    pub(super) fn trail(&self, document: &str, notes: &mut Notes<'_>) {
        notes.came(document, self.section.pointer(&self.tree));
        let below = self.section.origins.iter().filter_map(|(tree, pointer)| {
            let rest = tree.strip_prefix(&self.tree).filter(|rest| rest.starts_with('/'))?;
            // `settings` is no step of a document.
            Some((rest.strip_prefix("/settings").unwrap_or(rest), pointer))
        });
        for (rest, pointer) in below.filter(|(rest, _)| !rest.is_empty()) {
            notes.came(format!("{document}{rest}"), pointer.clone());
        }
    }

    /// Where a member stands in the manifest.
    pub(super) fn pointer(&self, key: &str) -> String {
        self.section.pointer(&format!("{}/{}", self.tree, escape(key)))
    }

    /// A member that says something; `null` says nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn object(&self, key: &str, notes: &mut Notes<'_>) -> Option<Self> {
        match self.get(key)? {
            Value::Object(map) => {
                Some(Self { section: self.section, map, tree: format!("{}/{}", self.tree, escape(key)) })
            }
            other => {
                notes.error("azure-value", &self.pointer(key), expected("an object", other));
                None
            }
        }
    }

    pub(super) fn text(&self, key: &str, notes: &mut Notes<'_>) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            other => {
                notes.error("azure-value", &self.pointer(key), expected("a text", other));
                None
            }
        }
    }

    pub(super) fn whole_number(&self, key: &str, notes: &mut Notes<'_>) -> Option<i64> {
        let value = self.get(key)?;
        if value.as_i64().is_none() {
            notes.error("azure-value", &self.pointer(key), expected("a whole number", value));
        }
        value.as_i64()
    }

    /// One of a few words; the runtime does not mind capitals.
    pub(super) fn choice<T: DeserializeOwned>(
        &self,
        key: &str,
        allowed: &str,
        notes: &mut Notes<'_>,
    ) -> Option<T> {
        let text = self.text(key, notes)?;
        let read = serde_json::from_value(Value::String(text.to_ascii_lowercase())).ok();
        if read.is_none() {
            let message = format!("{text:?} is not known; use {allowed}");
            notes.error("azure-value", &self.pointer(key), message);
        }
        read
    }

    /// Says which members nobody reads.
    pub(super) fn unknown(&self, known: &[&str], notes: &mut Notes<'_>) {
        notes.unknown(self.map.keys().map(|key| (key, self.pointer(key))), known);
    }
}

/// A pointer and all its parents, the root last.
fn upwards(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| pointer.get(..pointer.rfind('/')?))
}

fn expected(what: &str, found: &Value) -> String {
    format!("{what} belongs here, this is {}", words(found))
}

fn plant(map: &mut Map<String, Value>, steps: &[&str], value: Value) {
    match steps {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = map.entry((*first).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                plant(inner, rest, value);
            }
        }
    }
}
