//! The digest of a plan, without its text in memory at once.

use std::{collections::HashMap, sync::Arc};

use hemline_model::twin;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{DevicePlan, Plan, Planned};

/// `sha256:…` over the canonical JSON of the plan.
pub(super) fn of(plan: &Plan) -> String {
    let mut hash = Sha256::new();
    let mut texts = Texts::default();
    let Plan { base, head, devices, already, stays, summary } = plan;
    // Everything but the devices is small. They are taken out, and written in their place.
    let (base, head) = (base.clone(), head.clone());
    let some = |list: &[DevicePlan]| list.first().map(without_actions).into_iter().collect();
    let rest = Plan {
        base,
        head,
        devices: some(devices),
        already: some(already),
        stays: stays.clone(),
        summary: *summary,
    };
    members(&value(&rest), &mut hash, &mut |name, hash| {
        let list = match name {
            "devices" => devices,
            "already" => already,
            _ => return false,
        };
        array(list, hash, |device, hash| {
            members(&value(&without_actions(device)), hash, &mut |name, hash| {
                if name == "actions" {
                    array(&device.actions, hash, |planned, hash| texts.write(planned, hash));
                }
                name == "actions"
            });
        });
        true
    });
    format!("sha256:{:x}", hash.finalize())
}

fn without_actions(device: &DevicePlan) -> DevicePlan {
    DevicePlan { device: device.device.clone(), actions: Vec::new(), steps: Vec::new() }
}

/// Hashes a mapping. `special` writes the values of members that it knows, and says so.
fn members(value: &Value, hash: &mut Sha256, special: &mut dyn FnMut(&str, &mut Sha256) -> bool) {
    let mut members: Vec<_> = value.as_object().into_iter().flatten().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    for (place, (name, value)) in members.into_iter().enumerate() {
        hash.update(if place == 0 { "{" } else { "," });
        hash.update(twin::canonical(&Value::from(name.as_str())));
        hash.update(":");
        if !special(name, hash) {
            hash.update(twin::canonical(value));
        }
    }
    hash.update("}");
}

fn array<T>(items: &[T], hash: &mut Sha256, mut item: impl FnMut(&T, &mut Sha256)) {
    hash.update("[");
    for (place, each) in items.iter().enumerate() {
        hash.update(if place == 0 { "" } else { "," });
        item(each, hash);
    }
    hash.update("]");
}

/// The canonical text of actions that several devices share.
#[derive(Default)]
struct Texts(HashMap<*const Planned, String>);

impl Texts {
    fn write(&mut self, planned: &Arc<Planned>, hash: &mut Sha256) {
        let text = || twin::canonical(&value(planned));
        if Arc::strong_count(planned) == 1 {
            hash.update(text());
        } else {
            hash.update(self.0.entry(Arc::as_ptr(planned)).or_insert_with(text));
        }
    }
}

fn value<T: Serialize>(what: &T) -> Value {
    serde_json::to_value(what).unwrap_or_default()
}
