//! One device: identity, tags, twins and modules, compared and turned into actions and steps.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    document::Auth,
    id::{DeviceId, ModuleId},
};
use serde_json::{Map, Value};

use super::{Action, DevicePlan, IdentityStep, Planned, Reason, Sight, Step, edge, patch};
use crate::{
    Effective, MANAGED_BY, ObservedDevice, ObservedModule,
    change::{Change, changes},
};

/// Plans one device. Without `desired` it is a device that the documents said before and say no longer.
pub(super) fn plan(id: &DeviceId, desired: Option<&Effective>, sight: &Sight<'_>) -> DevicePlan {
    let mut plan = DevicePlan { device: id.clone(), actions: Vec::new(), steps: Vec::new() };
    let mut actions = Vec::new();
    match (desired, sight.there) {
        (None, None) => {}
        (None, Some(_)) => {
            actions.push(Action::DeleteDevice);
            plan.steps.push(Step::DeleteDevice { device: id.clone() });
        }
        (Some(effective), there) => {
            let mut work = Work { id, sight, actions: &mut actions, steps: &mut plan.steps };
            work.device(effective, there);
        }
    }
    // That a new device gets its first configuration goes without saying.
    if actions.iter().any(|action| matches!(action, Action::CreateDevice { .. })) {
        actions.retain(|action| !matches!(action, Action::ConfigureAgent | Action::ConfigureHub));
    }
    let changed = changed_by_documents(id, desired, sight);
    plan.actions = actions
        .into_iter()
        .map(|action| {
            let drift = changed.as_ref().is_some_and(|subjects| !subjects.contains(&action.subject()));
            Planned { action, reason: if drift { Reason::Drift } else { Reason::Documents } }
        })
        .collect();
    plan.actions.sort();
    plan
}

/// What the documents themselves change on the device: subjects of a plan from what they said to what they say. `None`
/// when that cannot be told from what is there.
fn changed_by_documents(
    id: &DeviceId,
    desired: Option<&Effective>,
    sight: &Sight<'_>,
) -> Option<BTreeSet<String>> {
    if !sight.live {
        return None;
    }
    let said = sight.said?;
    let documents = Sight { there: Some(said), said: Some(said), live: false };
    Some(plan(id, desired, &documents).actions.iter().map(|planned| planned.action.subject()).collect())
}

/// Puts the difference between two system twins into words.
type Explain = fn(&Map<String, Value>, &Map<String, Value>) -> Vec<Action>;

struct Work<'a> {
    id: &'a DeviceId,
    sight: &'a Sight<'a>,
    actions: &'a mut Vec<Action>,
    steps: &'a mut Vec<Step>,
}

impl Work<'_> {
    fn device(&mut self, effective: &Effective, there: Option<&ObservedDevice>) {
        let fresh = ObservedDevice::default();
        self.identity(effective, there);
        let there = there.unwrap_or(&fresh);
        if effective.identity.edge {
            self.modules(effective, there);
        } else {
            self.remove_modules(effective, there);
        }
        let said = self.sight.said;
        let tags = patch::owned(&there.tags, &effective.twins.tags, said.map(|said| &said.tags));
        let desired = patch::owned(&there.desired, &effective.twins.device, said.map(|said| &said.desired));
        if !tags.is_empty() {
            self.actions.push(Action::PatchTags { changes: changed("tags", &there.tags, &tags) });
        }
        if !desired.is_empty() {
            self.actions.push(Action::PatchTwin {
                module: None,
                changes: changed("desired", &there.desired, &desired),
            });
        }
        self.patch(None, some(tags), some(desired));
    }

    fn identity(&mut self, effective: &Effective, there: Option<&ObservedDevice>) {
        let want = &effective.identity;
        let device = self.id.clone();
        let Some(there) = there else {
            self.actions.push(Action::CreateDevice { edge: want.edge });
            let identity = IdentityStep {
                enabled: Some(want.enabled),
                edge: Some(want.edge),
                parent: Some(want.parent.clone()),
                auth: Some(want.auth.clone()),
            };
            self.steps.push(Step::CreateDevice { device, identity });
            return;
        };
        let mut changes = Vec::new();
        let mut identity = IdentityStep::default();
        let mut differs = |path: &str, from: Value, to: Value| {
            let differs = from != to;
            if differs {
                let present = |value: &Value| !value.is_null();
                changes.push(Change::new(
                    path,
                    Some(&from).filter(|v| present(v)),
                    Some(&to).filter(|v| present(v)),
                ));
            }
            differs
        };
        if differs("enabled", there.enabled.into(), want.enabled.into()) {
            identity.enabled = Some(want.enabled);
        }
        if differs("edge", there.edge.into(), want.edge.into()) {
            identity.edge = Some(want.edge);
        }
        let name = |parent: &Option<DeviceId>| parent.as_ref().map_or(Value::Null, |id| id.as_str().into());
        if differs("parent", name(&there.parent), name(&want.parent)) {
            identity.parent = Some(want.parent.clone());
        }
        if differs("auth", auth_value(&there.auth), auth_value(&want.auth)) {
            identity.auth = Some(want.auth.clone());
        }
        if !identity.is_empty() {
            self.actions.push(Action::UpdateDevice { changes });
            self.steps.push(Step::UpdateDevice { device, identity });
        }
    }

    fn modules(&mut self, effective: &Effective, there: &ObservedDevice) {
        let wanted = &effective.twins.modules;
        let nothing = ObservedModule::default();
        for (module, desired) in wanted.iter().filter(|(module, _)| !module.is_system()) {
            let have = there.modules.get(module);
            if have.is_none() {
                self.steps.push(Step::CreateModule { device: self.id.clone(), module: module.clone() });
            }
            let said = self.sight.said.and_then(|said| said.modules.get(module)).map(|said| &said.desired);
            let have = have.unwrap_or(&nothing);
            let patch = patch::owned(&have.desired, desired, said);
            if !patch.is_empty() {
                let changes = changed("desired", &have.desired, &patch);
                self.actions.push(Action::PatchTwin { module: Some(module.clone()), changes });
                self.patch(Some(module), None, Some(patch));
            }
        }
        self.system(&ModuleId::edge_agent(), wanted, there, edge::agent);
        self.system(&ModuleId::edge_hub(), wanted, there, edge::hub);
        self.remove_modules(effective, there);
    }

    /// `$edgeAgent` or `$edgeHub`: replaced as a whole, explained in parts.
    fn system(
        &mut self,
        module: &ModuleId,
        wanted: &BTreeMap<ModuleId, Map<String, Value>>,
        there: &ObservedDevice,
        explain: Explain,
    ) {
        let empty = Map::new();
        let Some(want) = wanted.get(module) else { return };
        let have = there.modules.get(module).map_or(&empty, |module| &module.desired);
        let patch = patch::whole(have, want);
        if !patch.is_empty() {
            self.actions.extend(explain(have, want));
            self.patch(Some(module), None, Some(patch));
        }
    }

    /// Identities that Hemline made and no document asks for. After the agent's twin, so that it stops them first.
    fn remove_modules(&mut self, effective: &Effective, there: &ObservedDevice) {
        let ours = |module: &ObservedModule| module.managed_by.as_deref() == Some(MANAGED_BY);
        for (module, have) in &there.modules {
            if module.is_system() || effective.twins.modules.contains_key(module) || !ours(have) {
                continue;
            }
            let action = Action::RemoveModule { module: module.clone() };
            if !self.actions.contains(&action) {
                self.actions.push(action);
            }
            self.steps.push(Step::DeleteModule { device: self.id.clone(), module: module.clone() });
        }
    }

    fn patch(
        &mut self,
        module: Option<&ModuleId>,
        tags: Option<Map<String, Value>>,
        desired: Option<Map<String, Value>>,
    ) {
        if tags.is_some() || desired.is_some() {
            let (device, module) = (self.id.clone(), module.cloned());
            self.steps.push(Step::PatchTwin { device, module, tags, desired });
        }
    }
}

/// The single changes that a patch makes.
fn changed(prefix: &str, there: &Map<String, Value>, patch: &Map<String, Value>) -> Vec<Change> {
    changes(prefix, there, &patch::patched(there, patch))
}

fn some(patch: Map<String, Value>) -> Option<Map<String, Value>> {
    (!patch.is_empty()).then_some(patch)
}

fn auth_value(auth: &Auth) -> Value {
    // Thumbprints are public; a text per field reads better in a plan than an object.
    let Auth { kind, primary_thumbprint, secondary_thumbprint } = auth;
    let kind = serde_json::to_value(kind).unwrap_or_default();
    let parts = [primary_thumbprint.as_deref(), secondary_thumbprint.as_deref()];
    let mut text = kind.as_str().unwrap_or_default().to_owned();
    for part in parts.into_iter().flatten() {
        text.push(' ');
        text.push_str(&part.to_ascii_uppercase());
    }
    text.into()
}
