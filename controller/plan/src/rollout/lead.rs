//! Which devices a commit changes, and which deployment's rollout leads each of them.
//!
//! A rollout carries what runs: modules, routes, and the twins of modules. What the registry holds (identities, tags,
//! properties of device twins) and devices that go follow the documents at once.
//!
//! A device follows exactly one rollout, because it takes a commit as a whole. Of the deployments in force on it that have a
//! `rollout:`, it is the lowest one that the commit changes for this device, else the lowest one. When the commit takes every
//! such deployment away from the device, the one that led it before does so once more. A device that no rollout leads
//! changes at once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hemline_model::{
    DeploymentDoc,
    id::{DeviceId, DocumentName},
};

use crate::{Effective, forecast::Side};

/// The devices that change from `before` to `after` and are led by a rollout, by the deployment that leads.
pub(crate) fn led(before: Option<Side<'_>>, after: Side<'_>) -> BTreeMap<DocumentName, Vec<DeviceId>> {
    let mut found: BTreeMap<DocumentName, Vec<DeviceId>> = BTreeMap::new();
    let mut same = HashMap::new();
    for (id, effective) in &after.resolution.devices {
        let was = before.and_then(|side| side.resolution.devices.get(id));
        if !effective.identity.edge || runs_the_same(was, effective) {
            continue;
        }
        let has_rollout = |name: &&DocumentName| {
            after.fleet.deployments.get(*name).is_some_and(|d| d.spec.rollout.is_some())
        };
        let now: Vec<&DocumentName> = in_force(effective).filter(has_rollout).collect();
        let changed = |name: &&DocumentName| {
            let Some((before, was)) = before.zip(was) else { return true };
            !in_force(was).any(|had| had == *name)
                || !*same.entry((*name).clone()).or_insert_with(|| {
                    let (one, other) =
                        (before.fleet.deployments.get(*name), after.fleet.deployments.get(*name));
                    one.zip(other).is_some_and(|(one, other)| says_the_same(one, other))
                })
        };
        let leader = now.iter().copied().find(changed).or_else(|| now.first().copied());
        let leader = leader.or_else(|| was.and_then(|was| in_force(was).find(has_rollout)));
        if let Some(name) = leader {
            found.entry(name.clone()).or_default().push(id.clone());
        }
    }
    found
}

/// Would going from one to the other change nothing that a rollout carries?
pub(crate) fn runs_the_same(was: Option<&Effective>, is: &Effective) -> bool {
    match was {
        Some(was) => {
            Arc::ptr_eq(&was.twins.modules, &is.twins.modules) || was.twins.modules == is.twins.modules
        }
        None => is.twins.modules.is_empty(),
    }
}

/// Base first, then the layers.
fn in_force(effective: &Effective) -> impl Iterator<Item = &DocumentName> {
    effective.base.iter().chain(effective.layers.iter())
}

fn says_the_same(one: &DeploymentDoc, other: &DeploymentDoc) -> bool {
    let (one, other) = (&one.spec, &other.spec);
    one.modules == other.modules
        && one.store_and_forward_secs == other.store_and_forward_secs
        && one.broker == other.broker
        && one.routes.len() == other.routes.len()
        && one.routes.iter().all(|(name, route)| other.routes.get(name).is_some_and(|o| o.1 == route.1))
}
