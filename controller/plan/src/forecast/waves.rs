//! How a deployment with a rollout reaches the devices that change: counts by selector and percentage, in order.
//!
//! Arithmetic over the documents; when a wave really ends is up to devices, windows and people.

use std::collections::BTreeSet;

use hemline_model::{document::Approve, id::DeviceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scene;
use crate::{
    Plan,
    rollout::{cut::cut, lead::led},
};

/// The waves of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutForecast {
    /// Name of the deployment.
    pub deployment: String,
    /// Its devices that change.
    pub devices: usize,
    /// In order.
    pub waves: Vec<WaveForecast>,
    /// Seconds that the waves take at least: the sum of `healthyFor` over those that have devices.
    pub at_least_secs: u64,
    /// Does a person have to agree before each wave?
    pub approval: bool,
    /// The only time that changes may happen, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
}

/// One wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveForecast {
    /// Its name, selector or percentage.
    pub name: String,
    /// Devices that get the change in it.
    pub devices: usize,
}

/// The waves of every deployment whose rollout leads a device that changes.
pub(super) fn forecast(plan: &Plan, scene: &Scene<'_>) -> Vec<RolloutForecast> {
    let changing: BTreeSet<&DeviceId> = plan.devices.iter().map(|plan| &plan.device).collect();
    let fleet = scene.after.fleet;
    let mut found = Vec::new();
    for (name, mut pool) in led(scene.before, scene.after) {
        let Some(rollout) = fleet.deployments.get(&name).and_then(|doc| doc.spec.rollout.as_ref()) else {
            continue;
        };
        // Without an earlier revision everything is new to the documents, and only the hub knows what is not to it.
        if scene.before.is_none() {
            pool.retain(|id| changing.contains(id));
        }
        if pool.is_empty() {
            continue;
        }
        let cut = cut(&rollout.waves, &pool, |id| fleet.devices.get(id));
        let waves: Vec<WaveForecast> = rollout
            .waves
            .iter()
            .zip(&cut)
            .map(|(wave, devices)| WaveForecast { name: wave.name.clone(), devices: devices.len() })
            .collect();
        let busy = cut.iter().filter(|devices| !devices.is_empty()).count() as u64;
        found.push(RolloutForecast {
            deployment: name.to_string(),
            devices: pool.len(),
            waves,
            at_least_secs: rollout.healthy_for_secs.saturating_mul(busy),
            approval: rollout.approve == Approve::EachWave,
            window: rollout.window.as_ref().map(|window| window.text().to_owned()),
        });
    }
    found
}
