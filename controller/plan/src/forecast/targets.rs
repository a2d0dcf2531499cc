//! Which deployments reach which device, before and after: a changed condition, tag or priority may move a device without
//! touching any module that it names.

use hemline_model::id::{DeviceId, DocumentName};

use super::{
    Scene,
    danger::{DangerKind, Found},
};
use crate::Effective;

/// Values of a lost layer that are named.
const VALUES_NAMED: usize = 3;

/// Finds devices that lose a deployment or change their base, and deployments whose priority moves.
pub(super) fn compare(scene: &Scene<'_>, found: &mut Found) {
    let Some(before) = scene.before else { return };
    for (id, was) in &before.resolution.devices {
        if let Some(now) = scene.after.resolution.devices.get(id) {
            device(id, was, now, scene, found);
        }
    }
    for (name, was) in &before.fleet.deployments {
        let Some(now) = scene.after.fleet.deployments.get(name) else { continue };
        if was.spec.priority != now.spec.priority {
            let targeted = scene.after.resolution.targeted.get(name);
            let detail = format!("{} → {}", was.spec.priority, now.spec.priority);
            found.add(DangerKind::PriorityChanged, name.as_str(), detail, targeted.into_iter().flatten());
        }
    }
}

fn device(id: &DeviceId, was: &Effective, now: &Effective, scene: &Scene<'_>, found: &mut Found) {
    if was.base == now.base && was.layers == now.layers {
        return;
    }
    match (&was.base, &now.base) {
        (Some(base), None) if now.identity.edge => {
            found.add(DangerKind::DeviceUncovered, base.as_str(), "", [id]);
        }
        (Some(base), Some(other)) if base != other => {
            found.add(DangerKind::BaseMoved, "", format!("{base} → {other}"), [id]);
        }
        (Some(_) | None, _) => {}
    }
    // A layer that is gone from the documents shows by what it takes along; one that misses its device is easily overseen.
    let exists = |name: &&DocumentName| scene.after.fleet.deployments.contains_key(*name);
    for layer in was.layers.iter().filter(|name| !now.layers.contains(name)).filter(exists) {
        if now.base.is_some() && now.base.as_ref() != Some(layer) {
            found.add(DangerKind::LayerLost, layer.as_str(), taken_along(layer, was, now), [id]);
        }
    }
}

/// The values that came from a layer and are others now: `modules.camera.env.LOG_LEVEL, routes.up`.
fn taken_along(layer: &DocumentName, was: &Effective, now: &Effective) -> String {
    let of_layer = was.provenance.iter().filter(|(_, origin)| &origin.said.document == layer);
    let changed: Vec<&str> = of_layer
        .filter(|(path, origin)| {
            now.provenance.get(path).is_none_or(|origin_now| origin_now.said.value != origin.said.value)
        })
        .map(|(path, _)| path.as_str())
        .collect();
    let named = changed.iter().take(VALUES_NAMED).copied().collect::<Vec<_>>().join(", ");
    match changed.len().saturating_sub(VALUES_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
