//! What stands around `modulesContent`, `moduleContent` or `deviceContent`: nothing, `content`, or a configuration of the hub
//! (reference service-api §4.6).

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

/// The members that hold what a configuration is about; there is one of them.
const CONTENTS: [&str; 3] = ["modulesContent", "moduleContent", "deviceContent"];

/// The parts of a manifest.
pub(super) struct Envelope<'a> {
    root: &'a Map<String, Value>,
    /// What the content is about.
    pub(super) about: About,
    /// The entries of the content: of `modulesContent` by module, else properties.
    pub(super) entries: &'a Value,
    /// Where they stand.
    pub(super) pointer: String,
}

/// What a manifest is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The modules of edge devices.
    Deployment,
    /// Desired properties of devices.
    Devices,
    /// Desired properties of modules.
    Modules,
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
        let (key, about, entries) = Self::content(holder, at, notes)?;
        let mut known = vec!["modulesContent", "moduleContent", key];
        if at.is_empty() {
            known.extend(BY_THE_HUB);
        } else {
            let own = ["id", "priority", "targetCondition", "labels", "metrics", "content"];
            let known: Vec<&str> = own.into_iter().chain(BY_THE_HUB).collect();
            notes.unknown(root.keys().map(|key| (key, format!("/{}", escape(key)))), &known);
        }
        notes.unknown(holder.keys().map(|key| (key, format!("{at}/{}", escape(key)))), &known);
        let queries = root.get("metrics").and_then(|metrics| metrics.get("queries"));
        if !at.is_empty() && queries.and_then(Value::as_object).is_some_and(|queries| !queries.is_empty()) {
            notes.dropped("/metrics", "the metrics are left out").hint =
                Some("ask with `hem query` instead".to_owned());
        }
        Some(Self { root, about, entries, pointer: format!("{at}/{key}") })
    }

    /// The same when it says what runs, which is all that an `EdgeDeployment` can take over.
    pub(super) fn deploying(self, notes: &mut Notes<'_>) -> Option<Self> {
        let message = match self.about {
            About::Deployment => return Some(self),
            About::Devices => "this configures devices, not the modules of edge devices",
            About::Modules => "this configures the twins of modules, it deploys nothing",
        };
        notes.error("azure-manifest", &self.pointer, message).hint =
            Some("make a TwinConfiguration document of it: hem import".to_owned());
        None
    }

    /// The entries by module, of a deployment.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.entries.as_object().into_iter().flatten()
    }

    fn content(
        holder: &'a Map<String, Value>,
        at: &str,
        notes: &mut Notes<'_>,
    ) -> Option<(&'static str, About, &'a Value)> {
        let found = CONTENTS.into_iter().find_map(|key| Some((key, holder.get(key)?)));
        let Some((key, content)) = found else {
            let message = "this is no deployment manifest: it has no modulesContent";
            let hint = "an edge deployment starts with {\"modulesContent\": {\"$edgeAgent\": …";
            notes.error("azure-manifest", at, message).hint = Some(hint.to_owned());
            return None;
        };
        let pointer = format!("{at}/{key}");
        let Value::Object(modules) = content else {
            notes.error("azure-manifest", &pointer, format!("{key} is not an object"));
            return None;
        };
        if key == "deviceContent" {
            return Some((key, About::Devices, content));
        }
        if key == "moduleContent" {
            if modules.keys().any(|name| name.starts_with("properties.desired")) {
                return Some((key, About::Modules, content));
            }
            notes.note("azure-old-name", &pointer, "moduleContent is the old name of modulesContent");
        }
        if !modules.contains_key(AGENT) && modules.is_empty() {
            notes.warning("azure-manifest", &pointer, "the manifest deploys nothing");
        }
        Some((key, About::Deployment, content))
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
        let of_devices = format!("tags.deployment = '{name}'");
        let condition = match self.about {
            About::Deployment | About::Devices => of_devices,
            About::Modules => format!("FROM devices.modules WHERE {of_devices}"),
        };
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
