//! What stands around `modulesContent`: nothing, `content`, or a configuration of the hub (reference service-api §4.6).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    AGENT, ImportOptions, Notes,
    notes::{escape, words},
};
use crate::{id::DocumentName, text::SourceFile};

/// Written by the hub; says nothing about what should run.
const BY_THE_HUB: [&str; 8] = [
    "schemaVersion",
    "contentType",
    "createdTimeUtc",
    "lastUpdatedTimeUtc",
    "etag",
    "systemMetrics",
    "$schema",
    "$schema-template",
];

/// The parts of a manifest.
pub(super) struct Envelope<'a> {
    root: &'a Map<String, Value>,
    /// Entries of `modulesContent` by module.
    pub(super) modules: &'a Map<String, Value>,
    /// Where `modulesContent` stands.
    pub(super) pointer: String,
}

impl<'a> Envelope<'a> {
    /// `None` when this is no manifest; the reason is among the notes.
    pub(super) fn read(value: &'a Value, notes: &mut Notes<'_>) -> Option<Self> {
        let root = value.as_object()?;
        let (holder, at) = match root.get("content") {
            Some(Value::Object(content)) => (content, "/content"),
            Some(other) => {
                let message = format!("content is an object, this is {}", words(other));
                notes.error("azure-manifest", "/content", message);
                return None;
            }
            None => (root, ""),
        };
        let mut known = vec!["modulesContent", "moduleContent"];
        if at.is_empty() {
            known.extend(BY_THE_HUB);
        } else {
            let own = ["id", "priority", "targetCondition", "labels", "metrics", "content"];
            let known: Vec<&str> = own.into_iter().chain(BY_THE_HUB).collect();
            notes.unknown(root.keys().map(|key| (key, format!("/{}", escape(key)))), &known);
        }
        let (key, modules) = Self::content(holder, at, notes)?;
        notes.unknown(holder.keys().map(|key| (key, format!("{at}/{}", escape(key)))), &known);
        let queries = root.get("metrics").and_then(|metrics| metrics.get("queries"));
        if !at.is_empty() && queries.and_then(Value::as_object).is_some_and(|queries| !queries.is_empty()) {
            notes.dropped("/metrics", "the metrics are left out").hint =
                Some("ask with `hem query` instead".to_owned());
        }
        Some(Self { root, modules, pointer: format!("{at}/{key}") })
    }

    fn content(
        holder: &'a Map<String, Value>,
        at: &str,
        notes: &mut Notes<'_>,
    ) -> Option<(&'static str, &'a Map<String, Value>)> {
        let found = ["modulesContent", "moduleContent"].into_iter().find(|key| holder.contains_key(*key));
        let Some(key) = found else {
            let (pointer, message, hint) = if holder.contains_key("deviceContent") {
                let message = "this configures devices, not the modules of edge devices";
                (
                    format!("{at}/deviceContent"),
                    message,
                    "write the properties into a TwinConfiguration document",
                )
            } else {
                let hint = "an edge deployment starts with {\"modulesContent\": {\"$edgeAgent\": …";
                (at.to_owned(), "this is no deployment manifest: it has no modulesContent", hint)
            };
            notes.error("azure-manifest", &pointer, message).hint = Some(hint.to_owned());
            return None;
        };
        let pointer = format!("{at}/{key}");
        let Some(Value::Object(modules)) = holder.get(key) else {
            notes.error("azure-manifest", &pointer, format!("{key} is not an object"));
            return None;
        };
        if key == "moduleContent" {
            if modules.keys().any(|name| name.starts_with("properties.desired")) {
                let message = "this configures one module's twin, it deploys nothing";
                notes.error("azure-manifest", &pointer, message).hint =
                    Some("write the properties into a TwinConfiguration document".to_owned());
                return None;
            }
            notes.note("azure-old-name", &pointer, "moduleContent is the old name of modulesContent");
        }
        if !modules.contains_key(AGENT) && modules.is_empty() {
            notes.warning("azure-manifest", &pointer, "the manifest deploys nothing");
        }
        Some((key, modules))
    }

    /// The name of the document.
    pub(super) fn name(&self, file: &SourceFile, options: &ImportOptions, notes: &mut Notes<'_>) -> String {
        if let Some(name) = &options.name {
            return name.clone();
        }
        let Some(id) = self.root.get("id").and_then(Value::as_str) else {
            let name = file.path.rsplit(['/', '\\']).next().unwrap_or_default();
            let name = [".json", ".template", ".yaml", ".yml"]
                .iter()
                .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            return dns_name(name);
        };
        let name = dns_name(id);
        if name != id {
            let message = format!("{id:?} cannot be the name of a document; it becomes {name:?}");
            notes.warning("azure-name", "/id", message).hint = Some("choose one with --name".to_owned());
        }
        notes.came("/metadata/name", "/id");
        name
    }

    /// The target condition. Without one the document must select something, but nothing by accident.
    pub(super) fn target(&self, name: &str, options: &ImportOptions, notes: &mut Notes<'_>) -> String {
        if let Some(condition) = &options.target_condition {
            return condition.clone();
        }
        if let Some(condition) = self.written_target(notes) {
            return condition;
        }
        let condition = format!("tags.deployment = '{name}'");
        let message =
            format!("the manifest does not say which devices it is for; the document waits for {condition}");
        notes.warning("azure-no-target", "/targetCondition", message).hint =
            Some("say it with --target".to_owned());
        condition
    }

    pub(super) fn priority(&self, layered: bool, options: &ImportOptions, notes: &mut Notes<'_>) -> u32 {
        if let Some(priority) = options.priority {
            return priority;
        }
        if let Some(priority) = self.written_priority(notes) {
            return priority;
        }
        if layered {
            let message = "a layer lies above its base: the priority of the base must be lower than 1";
            notes.warning("azure-no-priority", "", message).hint = Some("say it with --priority".to_owned());
        }
        u32::from(layered)
    }

    /// The target condition of the configuration.
    pub(super) fn written_target(&self, notes: &mut Notes<'_>) -> Option<String> {
        match self.root.get("targetCondition")? {
            Value::String(text) if !text.trim().is_empty() => {
                notes.came("/spec/targetCondition", "/targetCondition");
                Some(text.clone())
            }
            Value::Null | Value::String(_) => None,
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                let message = format!("a target condition is a text, this is {}", words(other));
                notes.error("azure-value", "/targetCondition", message);
                None
            }
        }
    }

    /// The priority of the configuration, moved to the nearest that a document can have.
    pub(super) fn written_priority(&self, notes: &mut Notes<'_>) -> Option<u32> {
        let value = self.root.get("priority").filter(|value| !value.is_null())?;
        notes.came("/spec/priority", "/priority");
        Some(match value.as_i64().map(u32::try_from) {
            Some(Ok(priority)) => priority,
            Some(Err(_)) => {
                let message = format!("the priority {value} becomes 0, the lowest that a document can have");
                notes.warning("azure-priority", "/priority", message);
                0
            }
            None => {
                let message = format!("a priority is a whole number, this is {value}");
                notes.error("azure-value", "/priority", message);
                0
            }
        })
    }

    pub(super) fn labels(&self, notes: &mut Notes<'_>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        match self.root.get("labels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(written)) => {
                for (name, value) in written {
                    match value {
                        Value::Null => {}
                        Value::String(text) => drop(labels.insert(name.clone(), text.clone())),
                        other => {
                            let message =
                                format!("a label is a text, this is {}; it is left out", words(other));
                            notes.dropped(&format!("/labels/{}", escape(name)), message);
                        }
                    }
                }
            }
            Some(other) => {
                notes.dropped("/labels", format!("labels are an object, this is {}", words(other)));
            }
        }
        labels
    }
}

/// A text as a DNS-1123 name: what cannot stand in one becomes `-`.
fn dns_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.to_lowercase().chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
        // A part between two dots starts and ends with a letter or digit.
        if c == '.' {
            name.truncate(name.trim_end_matches('-').len());
        }
        if c.is_ascii_alphanumeric() || !(name.is_empty() || name.ends_with('.') || name.ends_with('-')) {
            name.push(c);
        }
    }
    name.truncate(253);
    name.truncate(name.trim_end_matches(['-', '.']).len());
    if DocumentName::new(&name).is_ok() { name } else { "imported".to_owned() }
}
