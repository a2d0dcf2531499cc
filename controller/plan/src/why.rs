//! Why a device is what it is: every effective value with the document, the layer and the line that it comes from.
//!
//! Lower layers that say something else, or the same, are named with each value. Values that no document says (the defaults of IoT Edge) are not listed. Secrets are masked as in a plan.

use std::collections::BTreeSet;

use hemline_model::{
    DeviceDoc, Fleet,
    id::{DeviceId, DocumentName},
};
use hemline_query::near;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Change, Effective, LayerKind, Opinion, Provenance,
    change::{Json, join},
    print,
    resolve::configurations,
};

/// Names that a hint lists when none of them is near.
const LISTED_AT_MOST: usize = 8;

/// One effective value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Because {
    /// Which value: `modules.camera.image`, `tags.site`.
    pub path: String,
    /// The value; secrets are `***`.
    pub value: Json,
    /// Name of the document that says so.
    pub document: DocumentName,
    /// What that document is to the device.
    pub layer: LayerKind,
    /// File as the source named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What else the documents say there, the nearest one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Overridden>,
}

/// A value that another document says there, and that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overridden {
    /// Which value: mostly that of the one that won; else a part of it, or what is around it.
    pub path: String,
    /// The value; secrets are `***`.
    pub value: Json,
    /// Name of the document that says so.
    pub document: DocumentName,
    /// What that document is to the device.
    pub layer: LayerKind,
    /// File as the source named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A name that is not there, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What there is instead: `did you mean "camera"?`. Empty when nothing is known.
    pub hint: String,
}

/// All values of a device at or below a path (all of them without one), in order of path.
///
/// `modules.` may be left out: `camera.image` is found when nothing else has that path.
///
/// # Errors
///
/// [`Unknown`] when no document says anything there.
pub fn why(
    fleet: &Fleet,
    device: &DeviceDoc,
    effective: &Effective,
    path: Option<&str>,
) -> Result<Vec<Because>, Unknown> {
    let all = every(fleet, device, effective);
    let Some(path) = path else { return Ok(all) };
    for wanted in [path.to_owned(), join("modules", path)] {
        let below = format!("{wanted}.");
        let found: Vec<Because> = all
            .iter()
            .filter(|because| because.path == wanted || because.path.starts_with(&below))
            .cloned()
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(Unknown { hint: hint(path, &all) })
}

/// What may have been meant by a device that no document names.
#[must_use]
pub fn unknown_device<'a>(wanted: &str, devices: impl Iterator<Item = &'a DeviceId>) -> Unknown {
    let names: Vec<&str> = devices.map(DeviceId::as_str).collect();
    Unknown { hint: meant("", wanted, &names) }
}

// === impl Because ===

impl Because {
    fn new(provenance: &Provenance) -> Self {
        let Provenance { said, overrides } = provenance;
        let Overridden { path, value, document, layer, file, line, column } = Overridden::new(said);
        let overrides = overrides.iter().map(Overridden::new).collect();
        Self { path, value, document, layer, file, line, column, overrides }
    }

    /// The value on one line, long ones cut.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.path, &self.value)
    }
}

// === impl Overridden ===

impl Overridden {
    fn new(opinion: &Opinion) -> Self {
        let Opinion { path, document, layer, value, position } = opinion;
        Self {
            path: path.clone(),
            value: Change::new(path.as_str(), None, Some(value)).to.unwrap_or(Json(Value::Null)),
            document: document.clone(),
            layer: *layer,
            file: position.file.to_string(),
            line: position.line,
            column: position.column,
        }
    }

    /// The value on one line, long ones cut.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.path, &self.value)
    }
}

fn shown(path: &str, value: &Json) -> String {
    let route = match &value.0 {
        // A route that says nothing else is its text.
        Value::Object(map) if path.starts_with("routes.") && map.len() == 1 => map.get("route"),
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => None,
    };
    print::short(&route.map_or_else(|| value.clone(), |text| Json(text.clone())))
}

// === impl LayerKind ===

impl LayerKind {
    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Base => "base",
            Self::Layer => "layer",
            Self::Configuration => "configuration",
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------

fn every(fleet: &Fleet, device: &DeviceDoc, effective: &Effective) -> Vec<Because> {
    let mut all = Vec::new();
    let own = |path: &str, pointer: &str, value: &Value| {
        let said = Opinion {
            path: path.to_owned(),
            document: device.name.clone(),
            layer: LayerKind::Device,
            value: value.clone(),
            position: device.position(pointer),
        };
        Because::new(&Provenance { said, overrides: Vec::new() })
    };
    let identity = &effective.identity;
    for (name, value) in [("edge", identity.edge), ("enabled", identity.enabled)] {
        let pointer = format!("/spec/{name}");
        // What the document does not say has the place of what is around it.
        if device.position(&pointer) != device.position("/spec") {
            all.push(own(name, &pointer, &value.into()));
        }
    }
    if let Some(parent) = &identity.parent {
        all.push(own("parent", "/spec/parent", &parent.as_str().into()));
    }
    let own_twin = effective.configurations.is_empty().then_some(("desired", &effective.twins.device));
    for (name, object) in std::iter::once(("tags", &effective.twins.tags)).chain(own_twin) {
        leaves(name, &format!("/spec/{name}"), object, &mut |path, pointer, value| {
            all.push(own(path, pointer, value));
        });
    }
    if !effective.configurations.is_empty() {
        all.extend(configurations::device_provenance(fleet, device, effective).values().map(Because::new));
    }
    all.extend(configurations::provenance(fleet, effective).values().map(Because::new));
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

/// Calls with path, JSON pointer and value of every leaf.
fn leaves(path: &str, pointer: &str, object: &Map<String, Value>, each: &mut dyn FnMut(&str, &str, &Value)) {
    for (key, value) in object {
        let path = join(path, key);
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        match value {
            Value::Object(inner) if !inner.is_empty() => leaves(&path, &pointer, inner, each),
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => each(&path, &pointer, value),
        }
    }
}

/// Follows the wanted path as far as it leads, and looks there for something near.
fn hint(wanted: &str, all: &[Because]) -> String {
    let root = children("", all);
    // `modules.` may be left out, but a slip in it is nearer than a module of that name.
    let at_root = root.contains(first(wanted)) || near(first(wanted), root.iter().copied()).is_some();
    let mut known = if at_root || !root.contains("modules") { String::new() } else { "modules".to_owned() };
    let mut rest = wanted;
    loop {
        let step = first(rest);
        let here = children(&known, all);
        if !here.contains(step) {
            return meant(&known, step, &here.into_iter().collect::<Vec<_>>());
        }
        known = join(&known, step);
        rest = rest.get(step.len() + 1..).unwrap_or("");
    }
}

fn meant(known: &str, wanted: &str, names: &[&str]) -> String {
    if let Some(name) = near(wanted, names.iter().copied()) {
        return format!("did you mean {:?}?", join(known, name));
    }
    let listed = names.iter().take(LISTED_AT_MOST).copied().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(LISTED_AT_MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match (names, known) {
        ([], _) => String::new(),
        ([only], "") => format!("there is only {only}"),
        (_, "") => format!("there are {listed}{more}"),
        (_, known) => format!("{known} has {listed}{more}"),
    }
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// The next steps of all paths below one.
fn children<'a>(known: &str, all: &'a [Because]) -> BTreeSet<&'a str> {
    let below = |path: &'a str| match known {
        "" => Some(path),
        known => path.strip_prefix(known)?.strip_prefix('.'),
    };
    all.iter().filter_map(|because| below(&because.path)).map(first).collect()
}
