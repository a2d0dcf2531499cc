//! What a hub holds that the documents did not say: somebody changed a twin or an identity outside the source.
//!
//! Asked only of devices for which there is something to do: where the hub holds what the documents want there is no drift.
//! What documents changed themselves, done already or still to do, is none either.

use std::collections::BTreeMap;

use hemline_model::{document::DriftMode, id::ModuleId};
use serde_json::Value;

use super::{DriftKind, Found, rules, short};
use crate::{
    Action, Change, Json, Observed, Plan, Resolution,
    change::join,
    plan::{TwinOf, back_to},
};

/// The place of a device that the hub has no more.
pub(super) const DEVICE: &str = "device";

/// Differences between what the documents `said` last and what is there, of the devices of a `plan` that leads to
/// `desired`.
#[must_use]
pub fn desired(plan: &Plan, desired: &Resolution, said: &Resolution, observed: &Observed) -> Vec<Found> {
    let mut found = Vec::new();
    for work in &plan.devices {
        let id = &work.device;
        let (Some(wanted), Some(before)) = (desired.devices.get(id), said.devices.get(id)) else { continue };
        let there = observed.devices.get(id);
        let to_do = values(work.actions.iter().map(|planned| &planned.action));
        let back = back_to(id, before, there);
        let off = values(back.actions.iter().map(|planned| &planned.action));
        // What is not to do is there already: the documents brought it, and somebody stopped them on the way.
        // And what is half gone is not missed where it is to go, nor is what is half there too much where it is to come.
        let own = |path: &String, off: &Off| to_do.get(path).is_some_and(|to_do| to_do.there == off.there);
        let drifted: Vec<_> = off.into_iter().filter(|(path, off)| own(path, off)).collect();
        if drifted.is_empty() {
            continue;
        }
        let rules = rules(wanted);
        found.extend(drifted.into_iter().map(|(path, Off { module, there: _, expected, found })| Found {
            device: id.clone(),
            module,
            kind: DriftKind::Desired,
            // A device that is not there cannot be left as it is: it is made again.
            mode: if path == DEVICE { DriftMode::Heal } else { rules.mode_of(&path) },
            path,
            expected,
            found,
            by: None,
            since: None,
            healed: None,
        }));
    }
    found
}

/// One value that is off.
pub(crate) struct Off {
    pub(crate) module: Option<ModuleId>,
    /// Is the whole thing to be there? `None` where it is about one value of it.
    pub(crate) there: Option<bool>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// The single values of actions by their paths in the words of the documents.
pub(crate) fn values<'a>(actions: impl Iterator<Item = &'a Action>) -> BTreeMap<String, Off> {
    let mut all = BTreeMap::new();
    for action in actions {
        let (prefix, module) = place(action);
        let there = whole(action);
        let mut add = |path: String, expected: String, found: String| {
            all.insert(path, Off { module: module.clone(), there, expected, found });
        };
        let text = |value: Option<&Json>, none: &str| value.map_or_else(|| none.to_owned(), plain);
        match action {
            Action::CreateDevice { .. }
            | Action::CreateModule { .. }
            | Action::ConfigureAgent
            | Action::ConfigureHub => add(prefix, "there".to_owned(), "removed".to_owned()),
            Action::DeleteDevice | Action::RemoveModule { .. } => {
                add(prefix, "not there".to_owned(), "added".to_owned());
            }
            Action::AddRoute { change, .. } => {
                add(prefix, text(change.to.as_ref(), "there"), "removed".to_owned());
            }
            Action::RemoveRoute { change, .. } => {
                add(prefix, "not there".to_owned(), text(change.from.as_ref(), "added"));
            }
            Action::StartModule { .. } => {
                add(join(&prefix, "status"), "running".to_owned(), "stopped".to_owned());
            }
            Action::StopModule { .. } => {
                add(join(&prefix, "status"), "stopped".to_owned(), "running".to_owned());
            }
            Action::RecreateModule { because: changes, .. }
            | Action::UpdateModule { changes, .. }
            | Action::UpdateDevice { changes }
            | Action::SetRoute { changes, .. }
            | Action::UpdateHub { changes }
            | Action::UpdateAgent { changes }
            | Action::PatchTwin { changes, .. }
            | Action::PatchTags { changes } => {
                for Change { path, from, to, .. } in changes {
                    add(join(&prefix, path), text(to.as_ref(), "not set"), text(from.as_ref(), "not set"));
                }
            }
        }
    }
    all
}

/// Does an action bring the whole of what it is about, or take it away?
fn whole(action: &Action) -> Option<bool> {
    match action {
        Action::CreateDevice { .. }
        | Action::CreateModule { .. }
        | Action::ConfigureAgent
        | Action::ConfigureHub
        | Action::AddRoute { .. } => Some(true),
        Action::DeleteDevice | Action::RemoveModule { .. } | Action::RemoveRoute { .. } => Some(false),
        Action::StartModule { .. }
        | Action::StopModule { .. }
        | Action::RecreateModule { .. }
        | Action::UpdateModule { .. }
        | Action::UpdateDevice { .. }
        | Action::SetRoute { .. }
        | Action::UpdateHub { .. }
        | Action::UpdateAgent { .. }
        | Action::PatchTwin { .. }
        | Action::PatchTags { .. } => None,
    }
}

/// The subject of an action in the words of the documents, and its module.
fn place(action: &Action) -> (String, Option<ModuleId>) {
    match action {
        Action::DeleteDevice | Action::CreateDevice { .. } => (DEVICE.to_owned(), None),
        Action::RemoveModule { module }
        | Action::CreateModule { module, .. }
        | Action::RecreateModule { module, .. }
        | Action::StartModule { module }
        | Action::StopModule { module }
        | Action::UpdateModule { module, .. } => (format!("modules.{module}"), Some(module.clone())),
        Action::RemoveRoute { route, .. }
        | Action::AddRoute { route, .. }
        | Action::SetRoute { route, .. } => (format!("routes.{route}"), None),
        Action::ConfigureHub | Action::UpdateHub { .. } => (ModuleId::edge_hub().to_string(), None),
        Action::ConfigureAgent | Action::UpdateAgent { .. } => (ModuleId::edge_agent().to_string(), None),
        Action::PatchTwin { .. } | Action::PatchTags { .. } | Action::UpdateDevice { .. } => {
            match action.twin() {
                Some(TwinOf::Module(module)) => (format!("modules.{module}"), Some(module.clone())),
                Some(TwinOf::Device) | None => (String::new(), None),
            }
        }
    }
}

fn plain(Json(value): &Json) -> String {
    match value {
        Value::String(text) => short(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            short(&hemline_model::twin::canonical(value))
        }
    }
}
