//! How a deployment with a rollout reaches the devices that change: counts by selector and percentage, in order.
//!
//! Arithmetic over the documents; when a wave really ends is up to devices, windows and people.

use std::collections::BTreeSet;

use hemline_model::{
    document::{Approve, Wave},
    id::DeviceId,
    valid::duration,
};
use hemline_query::target::TargetCondition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scene;
use crate::{Facts, Plan, resolve::target::twin_of};

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
    /// Devices that no wave takes.
    pub left: usize,
    /// Seconds that the waves take at least: the sum of `healthyFor` over those that have devices. Absent where no
    /// `healthyFor` is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_secs: Option<u64>,
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

/// The waves of every deployment that has some and reaches a device that changes.
pub(super) fn forecast(plan: &Plan, scene: &Scene<'_>) -> Vec<RolloutForecast> {
    let changing: BTreeSet<&DeviceId> = plan.devices.iter().map(|plan| &plan.device).collect();
    let mut found = Vec::new();
    for (name, deployment) in &scene.after.fleet.deployments {
        let Some(rollout) = deployment.spec.rollout.as_ref().filter(|rollout| !rollout.waves.is_empty())
        else {
            continue;
        };
        let in_force = |id: &&DeviceId| {
            let device = scene.after.resolution.devices.get(*id);
            device.is_some_and(|device| device.base.as_ref() == Some(name) || device.layers.contains(name))
        };
        let pool: Vec<&DeviceId> = changing.iter().copied().filter(in_force).collect();
        if pool.is_empty() {
            continue;
        }
        let (waves, left) = split(&pool, &rollout.waves, scene);
        let healthy = rollout.healthy_for.as_deref().and_then(|text| duration::seconds(text).ok());
        let busy = waves.iter().filter(|wave| wave.devices > 0).count() as u64;
        found.push(RolloutForecast {
            deployment: name.to_string(),
            devices: pool.len(),
            waves,
            left,
            at_least_secs: healthy.map(|secs| secs.saturating_mul(busy)),
            approval: rollout.approve == Some(Approve::EachWave),
            window: rollout.window.clone(),
        });
    }
    found
}

fn split(pool: &[&DeviceId], waves: &[Wave], scene: &Scene<'_>) -> (Vec<WaveForecast>, usize) {
    let mut left: Vec<&DeviceId> = pool.to_vec();
    let mut counted = Vec::new();
    for (place, wave) in waves.iter().enumerate() {
        let taken = match (&wave.selector, wave.percent) {
            (Some(selector), _) => {
                let before = left.len();
                left.retain(|id| !selects(selector, id, scene));
                before - left.len()
            }
            (None, Some(percent)) => {
                // The share that has the change after this wave, rounded up: 25 % of three devices is one.
                let wanted = (pool.len() * percent.min(100) as usize).div_ceil(100);
                let have = pool.len() - left.len();
                let taken = wanted.saturating_sub(have).min(left.len());
                left.drain(..taken);
                taken
            }
            (None, None) => left.drain(..).count(),
        };
        counted.push(WaveForecast { name: name(wave, place), devices: taken });
    }
    (counted, left.len())
}

fn name(wave: &Wave, place: usize) -> String {
    match (&wave.name, &wave.selector, wave.percent) {
        (Some(name), _, _) => name.clone(),
        (None, Some(selector), _) => selector.clone(),
        (None, None, Some(percent)) => format!("{percent} %"),
        (None, None, None) => format!("wave {}", place + 1),
    }
}

fn selects(selector: &str, id: &DeviceId, scene: &Scene<'_>) -> bool {
    // Validation has refused what does not parse.
    let Ok(condition) = TargetCondition::parse(selector) else { return false };
    let facts = Facts::default();
    scene.after.fleet.devices.get(id).is_some_and(|device| condition.matches_device(twin_of(device, &facts)))
}
