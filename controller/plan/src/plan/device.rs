//! One device: identity, tags and twins, compared and turned into actions and steps. Its modules: `modules.rs`.

use std::{collections::BTreeSet, sync::Arc};

use hemline_model::{document::Auth, id::DeviceId};
use serde_json::{Map, Value};

use super::{
    Action, DevicePlan, IdentityStep, Planned, Reason, Sight, Step, modules::Pairs, patch, side::Side,
};
use crate::{
    Effective,
    change::{Change, changes},
};

/// Plans one device. Without `desired` it is a device that the documents said before and say no longer.
pub(super) fn plan(
    id: &DeviceId,
    desired: Option<&Effective>,
    sight: &Sight<'_>,
    pairs: &mut Pairs,
) -> DevicePlan {
    let mut plan = DevicePlan { device: id.clone(), actions: Vec::new(), steps: Vec::new() };
    match (desired, sight.there) {
        (None, None) => {}
        (None, Some(_)) => {
            plan.actions.push(documents(Action::DeleteDevice));
            plan.steps.push(Step::DeleteDevice { device: id.clone() });
        }
        (Some(effective), there) => device(effective, there, sight.said, pairs, &mut plan),
    }
    // That a new device gets its first configuration goes without saying.
    if plan.actions.iter().any(|planned| matches!(planned.action, Action::CreateDevice { .. })) {
        plan.actions
            .retain(|planned| !matches!(planned.action, Action::ConfigureAgent | Action::ConfigureHub));
    }
    if !plan.actions.is_empty()
        && let Some(subjects) = changed_by_documents(id, desired, sight, pairs)
    {
        for planned in &mut plan.actions {
            if !subjects.contains(&planned.action.subject()) {
                Arc::make_mut(planned).reason = Reason::Drift;
            }
        }
    }
    plan.actions.sort();
    plan
}

fn documents(action: Action) -> Arc<Planned> {
    Arc::new(Planned { action, reason: Reason::Documents })
}

/// What the documents themselves change on the device: subjects of a plan from what they said to what they say. `None`
/// when that cannot be told from what is there.
fn changed_by_documents(
    id: &DeviceId,
    desired: Option<&Effective>,
    sight: &Sight<'_>,
    pairs: &mut Pairs,
) -> Option<BTreeSet<String>> {
    if !sight.live {
        return None;
    }
    let said = sight.said?;
    let documents = Sight { there: Some(said), said: Some(said), live: false };
    let plan = plan(id, desired, &documents, pairs);
    Some(plan.actions.iter().map(|planned| planned.action.subject()).collect())
}

fn device(
    effective: &Effective,
    there: Option<Side<'_>>,
    said: Option<Side<'_>>,
    pairs: &mut Pairs,
    plan: &mut DevicePlan,
) {
    identity(effective, there, plan);
    let part = pairs.part(effective, there, said);
    plan.actions.extend(part.actions.iter().cloned());
    plan.steps.extend(part.steps(&plan.device));
    let nothing = Map::new();
    let (have_tags, have_desired) =
        there.map_or((&nothing, &nothing), |there| (there.tags(), there.desired()));
    let tags = patch::owned(have_tags, &effective.twins.tags, said.map(Side::tags));
    let desired = patch::owned(have_desired, &effective.twins.device, said.map(Side::desired));
    if !tags.is_empty() {
        plan.actions.push(documents(Action::PatchTags { changes: changed("tags", have_tags, &tags) }));
    }
    if !desired.is_empty() {
        let changes = changed("desired", have_desired, &desired);
        plan.actions.push(documents(Action::PatchTwin { module: None, changes }));
    }
    if !(tags.is_empty() && desired.is_empty()) {
        plan.steps.push(Step::PatchTwin {
            device: plan.device.clone(),
            module: None,
            tags: some(tags),
            desired: some(desired).map(Arc::new),
        });
    }
}

fn identity(effective: &Effective, there: Option<Side<'_>>, plan: &mut DevicePlan) {
    let want = &effective.identity;
    let device = plan.device.clone();
    let Some(there) = there else {
        plan.actions.push(documents(Action::CreateDevice { edge: want.edge }));
        let identity = IdentityStep {
            enabled: Some(want.enabled),
            edge: Some(want.edge),
            parent: Some(want.parent.clone()),
            auth: Some(want.auth.clone()),
        };
        plan.steps.push(Step::CreateDevice { device, identity });
        return;
    };
    let mut changes = Vec::new();
    let mut identity = IdentityStep::default();
    let mut differs = |path: &str, from: Value, to: Value| {
        let present = |value: &Value| !value.is_null();
        changes.push(Change::new(path, Some(&from).filter(|v| present(v)), Some(&to).filter(|v| present(v))));
    };
    if there.enabled() != want.enabled {
        differs("enabled", there.enabled().into(), want.enabled.into());
        identity.enabled = Some(want.enabled);
    }
    if there.edge() != want.edge {
        differs("edge", there.edge().into(), want.edge.into());
        identity.edge = Some(want.edge);
    }
    if there.parent() != want.parent.as_ref() {
        let name = |parent: Option<&DeviceId>| parent.map_or(Value::Null, |id| id.as_str().into());
        differs("parent", name(there.parent()), name(want.parent.as_ref()));
        identity.parent = Some(want.parent.clone());
    }
    // Thumbprints are equal in either case.
    if there.auth() != &want.auth && auth_value(there.auth()) != auth_value(&want.auth) {
        differs("auth", auth_value(there.auth()), auth_value(&want.auth));
        identity.auth = Some(want.auth.clone());
    }
    if !identity.is_empty() {
        plan.actions.push(documents(Action::UpdateDevice { changes }));
        plan.steps.push(Step::UpdateDevice { device, identity });
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
