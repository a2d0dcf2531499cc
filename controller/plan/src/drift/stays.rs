//! What somebody changed outside the documents and a plan leaves as it is, because they want it reported: told, not counted.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{document::DriftMode, id::DeviceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, desired::values};
use crate::Plan;

/// One value, or a thing as a whole, that stays as somebody put it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stays {
    /// Where, in the words of the documents: `modules.camera.env.LEVEL`.
    pub path: String,
    /// What is there. Secrets are `***`.
    pub found: String,
    /// What the documents say. Secrets are `***`.
    pub expected: String,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

impl Stays {
    /// `modules.camera.env.LEVEL  trace   the documents say debug`
    pub(crate) fn value(&self) -> String {
        format!("{}  {}   the documents say {}", self.path, self.found, self.expected)
    }
}

/// Of what was found: what is to be reported, and the plan has no work for. The same on many devices is one.
pub(super) fn of(plan: &Plan, found: &[Found]) -> Vec<Stays> {
    let planned = |id: &DeviceId| {
        let place = plan.devices.binary_search_by(|device| device.device.cmp(id)).ok()?;
        plan.devices.get(place)
    };
    let mut rows: BTreeMap<(&str, &str, &str), BTreeSet<DeviceId>> = BTreeMap::new();
    for found in found.iter().filter(|found| found.mode == DriftMode::Report) {
        let to_do = planned(&found.device).is_some_and(|device| {
            values(device.actions.iter().map(|planned| &planned.action)).contains_key(&found.path)
        });
        if !to_do {
            let row = (found.path.as_str(), found.found.as_str(), found.expected.as_str());
            rows.entry(row).or_default().insert(found.device.clone());
        }
    }
    let row = |((path, found, expected), devices): ((&str, &str, &str), _)| Stays {
        path: path.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
        devices,
    };
    rows.into_iter().map(row).collect()
}
