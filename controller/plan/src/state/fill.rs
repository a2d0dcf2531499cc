//! Masked values → what documents say in their place, and the form of the twins that the planner compares with.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{edge::AgentDesired, id::ModuleId};
use serde_json::{Map, Value};

use crate::{
    ObservedDevice,
    change::{changes, join, redacted},
    desired::without_null,
};

/// Fills what is masked on a device with what documents say about it, except where that is known to differ.
pub(super) fn device(device: &mut ObservedDevice, hint: &ObservedDevice, except: &BTreeSet<String>) {
    let mut filling = Filling { except, path: "tags".to_owned() };
    filling.fill(&mut device.tags, &hint.tags, &redacted("tags", &hint.tags));
    filling.path = "desired".to_owned();
    filling.fill(&mut device.desired, &hint.desired, &redacted("desired", &hint.desired));
    for (id, module) in &mut device.modules {
        let nothing = Map::new();
        let said = hint.modules.get(id).map_or(&nothing, |module| &module.desired);
        let readable = super::readable(id, said);
        filling.path = format!("{id}.desired");
        filling.fill(&mut module.desired, &readable, &redacted("desired", &readable));
    }
}

struct Filling<'a> {
    except: &'a BTreeSet<String>,
    /// Of the object that is filled.
    path: String,
}

impl Filling<'_> {
    /// Takes every value of `hint` that looks, when masked, as the one that is there.
    fn fill(
        &mut self,
        there: &mut Map<String, Value>,
        hint: &Map<String, Value>,
        masked: &Map<String, Value>,
    ) {
        for (key, value) in there {
            let length = self.path.len();
            self.path = join(&self.path, key);
            match (value, hint.get(key), masked.get(key)) {
                (Value::Object(there), Some(Value::Object(hint)), Some(Value::Object(masked))) => {
                    self.fill(there, hint, masked);
                }
                (value, Some(hint), Some(masked)) if value == masked && !self.except.contains(&self.path) => {
                    *value = hint.clone();
                }
                (_, _, _) => {}
            }
            self.path.truncate(length);
        }
    }
}

/// The paths of values that look alike when they are masked, and are not the same.
pub(super) fn differs(there: &ObservedDevice, wanted: &ObservedDevice) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    compare("tags", "tags", &there.tags, &wanted.tags, &mut found);
    compare("desired", "desired", &there.desired, &wanted.desired, &mut found);
    for (id, module) in &there.modules {
        let Some(wanted) = wanted.modules.get(id) else { continue };
        let (there, wanted) = (super::readable(id, &module.desired), super::readable(id, &wanted.desired));
        compare("desired", &format!("{id}.desired"), &there, &wanted, &mut found);
    }
    found
}

fn compare(
    prefix: &str,
    name: &str,
    there: &Map<String, Value>,
    wanted: &Map<String, Value>,
    found: &mut BTreeSet<String>,
) {
    // The prefix decides what is a secret, the name is what the path is called.
    for change in changes(prefix, there, wanted) {
        if change.from.is_some() && change.from == change.to {
            let rest = change.path.strip_prefix(prefix).unwrap_or(&change.path);
            found.insert(format!("{name}{rest}"));
        }
    }
}

/// The twins as a hub has them: `createOptions` are text on the wire.
pub(super) fn on_the_wire(modules: &mut BTreeMap<ModuleId, crate::ObservedModule>) {
    let Some(agent) = modules.get_mut(&ModuleId::edge_agent()) else { return };
    let options = agent.desired.get_mut("modules").and_then(Value::as_object_mut);
    for module in options.into_iter().flat_map(|modules| modules.values_mut()) {
        if let Some(env) = module.get_mut("env").and_then(Value::as_object_mut) {
            // Names of secrets stand there as they are on the wire.
            for value in env.values_mut().filter(|value| value.get("secretRef").is_none()) {
                *value = serde_json::json!({"value": value.take()});
            }
        }
        let Some(settings) = module.get_mut("settings").and_then(Value::as_object_mut) else { continue };
        if let Some(options @ Value::Object(_)) = settings.get_mut("createOptions") {
            *options = Value::String(options.to_string());
        }
    }
    // Written as the documents' own twins are, so that only a difference in meaning is one.
    if let Ok(desired) = AgentDesired::parse(&agent.desired) {
        agent.desired = without_null(&desired.to_map());
    }
}
