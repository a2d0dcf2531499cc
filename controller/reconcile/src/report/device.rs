//! The status of a device, from what its agent reports.

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::{
    edge::{AgentDesired, AgentModuleReported, AgentReported, ModuleSettings, ModuleStatus, RuntimeStatus},
    id::{DeviceId, ModuleId, Revision},
    status::{DeviceStatus, DriftState, ModuleState},
};
use hemline_plan::{Effective, Observed, ObservedDevice, ObservedModule, Resolution, rollout::Ledger};
use jiff::Timestamp;

use super::{
    condition::{State, Verdict},
    drift, kept,
};
use crate::observe::Scope;

/// Everything that statuses are made of.
pub(super) struct Scene<'a> {
    pub(super) revision: Option<&'a str>,
    /// The devices that are looked at.
    pub(super) scope: &'a Scope,
    pub(super) resolution: &'a Resolution,
    /// Those of the scope.
    pub(super) observed: &'a Observed,
    pub(super) failed: &'a BTreeMap<DeviceId, String>,
    /// Devices that keep another revision than the one in force.
    pub(super) held: &'a BTreeMap<DeviceId, Revision>,
    pub(super) ledger: &'a Ledger,
    /// What was changed by hand and is still so.
    pub(super) drift: &'a BTreeMap<DeviceId, Vec<DriftState>>,
    pub(super) at: Timestamp,
}

/// Statuses by device; shared with those before where nothing changed.
pub(super) type Devices = BTreeMap<DeviceId, Arc<DeviceStatus>>;

/// Statuses of all devices of the revision. Of devices out of scope they are those before.
pub(super) fn statuses(scene: &Scene<'_>, before: &Arc<Devices>) -> Arc<Devices> {
    let one = |id: &DeviceId, effective: &Effective| {
        let before = before.get(id);
        let now = status(scene, id, effective, before.map(Arc::as_ref));
        before.filter(|before| ***before == now).cloned().unwrap_or_else(|| Arc::new(now))
    };
    match scene.scope {
        Scope::All => {
            let devices = scene.resolution.devices.iter();
            kept(before, devices.map(|(id, effective)| (id.clone(), one(id, effective))).collect())
        }
        Scope::These(ids) => {
            let mut now = Arc::clone(before);
            for id in ids {
                let Some(status) = scene.resolution.devices.get(id).map(|effective| one(id, effective))
                else {
                    continue;
                };
                if before.get(id).is_none_or(|before| !Arc::ptr_eq(before, &status)) {
                    Arc::make_mut(&mut now).insert(id.clone(), status);
                }
            }
            now
        }
    }
}

fn status(
    scene: &Scene<'_>,
    id: &DeviceId,
    effective: &Effective,
    before: Option<&DeviceStatus>,
) -> DeviceStatus {
    let absent = ObservedDevice::default();
    let there = scene.observed.devices.get(id);
    let device = there.unwrap_or(&absent);
    let agent = device.modules.get(&ModuleId::edge_agent());
    let wanted = agent.and_then(|agent| AgentDesired::parse(&agent.desired).ok());
    let reported = agent.and_then(|agent| AgentReported::parse(&agent.reported).ok());
    let connected =
        if effective.identity.edge { agent.is_some_and(|agent| agent.connected) } else { device.connected };
    let modules = match &wanted {
        Some(wanted) if effective.identity.edge => modules(wanted, reported.as_ref()),
        Some(_) | None => BTreeMap::new(),
    };
    let verdict = if let Some(error) = scene.failed.get(id) {
        Verdict::new(State::Degraded, "HubRefused", error.as_str())
    } else if there.is_none() {
        Verdict::new(State::Progressing, "NotRegistered", "the hub does not have it yet")
    } else if !effective.identity.enabled {
        Verdict::new(State::Ready, "Disabled", "registered, and not allowed to connect")
    } else if !effective.identity.edge {
        Verdict::new(State::Ready, "Registered", "identity and twin are as the documents say")
    } else {
        edge_verdict(agent, wanted.as_ref(), reported.as_ref(), connected)
    };
    let conditions_before = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    DeviceStatus {
        device_id: id.clone(),
        revision: there.and(scene.held.get(id).map(Revision::as_str).or(scene.revision)).map(str::to_owned),
        connected,
        base: effective.base.clone(),
        layers: effective.layers.to_vec(),
        modules,
        conditions: drift::condition(
            verdict.conditions(conditions_before, scene.at),
            scene.drift.get(id).map(Vec::as_slice).unwrap_or_default(),
            scene.at,
        ),
        drift: scene.drift.get(id).cloned().unwrap_or_default(),
    }
}

fn modules(wanted: &AgentDesired, reported: Option<&AgentReported>) -> BTreeMap<ModuleId, ModuleState> {
    let entries = wanted.modules.iter().filter_map(|(name, module)| {
        let runs = match &module.settings {
            ModuleSettings::Docker(docker) => docker.image.clone(),
            ModuleSettings::Process(process) => process.command.join(" "),
        };
        let state = match reported.and_then(|reported| reported.modules.get(name)) {
            Some(module) => ModuleState {
                state: module.runtime_status.as_str().to_owned(),
                // Engines say "up 3 seconds" of a module that runs; that is no change of state.
                description: Some(module.status_description.clone())
                    .filter(|text| module.runtime_status != RuntimeStatus::Running && !text.is_empty()),
                restarts: module.restart_count.unwrap_or_default(),
                exit_code: (module.runtime_status != RuntimeStatus::Running).then_some(module.exit_code),
                runs: Some(runs),
            },
            None => ModuleState {
                state: RuntimeStatus::Unknown.as_str().to_owned(),
                description: None,
                restarts: 0,
                exit_code: None,
                runs: Some(runs),
            },
        };
        Some((ModuleId::new(name).ok()?, state))
    });
    entries.collect()
}

fn edge_verdict(
    agent: Option<&ObservedModule>,
    wanted: Option<&AgentDesired>,
    reported: Option<&AgentReported>,
    connected: bool,
) -> Verdict {
    let (Some(agent), Some(wanted), Some(reported)) = (agent, wanted, reported) else {
        return Verdict::new(State::Progressing, "NoConfiguration", "the agent has no configuration yet");
    };
    if agent.reported.is_empty() {
        return Verdict::new(State::Progressing, "NeverReported", "the agent has not reported yet");
    }
    if reported.last_desired_version < agent.desired_version {
        return if connected {
            Verdict::new(
                State::Progressing,
                "Applying",
                "the agent has not applied the newest configuration yet",
            )
        } else {
            Verdict::new(
                State::Progressing,
                "Offline",
                "not connected; it gets the newest configuration when it is back",
            )
        };
    }
    let status = &reported.last_desired_status;
    let says = |what: &str| format!("{what} (code {}): {}", status.code, status.description);
    match status.code {
        200 => module_verdict(wanted, reported),
        400 | 412 | 417 => Verdict::new(
            State::Stalled,
            "ConfigurationRefused",
            says("the agent cannot use the configuration"),
        ),
        406 => Verdict::new(State::Progressing, "AgentStopped", "the agent is not running"),
        // Which module fails says more than that something does.
        _ => match module_verdict(wanted, reported) {
            failing if failing.state == State::Degraded => failing,
            _ => Verdict::new(State::Degraded, "ApplyFailed", says("the agent could not apply everything")),
        },
    }
}

fn module_verdict(wanted: &AgentDesired, reported: &AgentReported) -> Verdict {
    let mut failing = Vec::new();
    let mut waiting = Vec::new();
    for (name, module) in &wanted.modules {
        let have = reported.modules.get(name);
        match (module.status, have.map_or(RuntimeStatus::Unknown, |have| have.runtime_status)) {
            (ModuleStatus::Running, RuntimeStatus::Running)
            | (
                ModuleStatus::Stopped,
                RuntimeStatus::Stopped | RuntimeStatus::Failed | RuntimeStatus::Dead | RuntimeStatus::Unknown,
            ) => {}
            (
                ModuleStatus::Running,
                RuntimeStatus::Backoff
                | RuntimeStatus::Unhealthy
                | RuntimeStatus::Failed
                | RuntimeStatus::Dead,
            ) => failing.push(failure(name, have)),
            (ModuleStatus::Running, RuntimeStatus::Stopped | RuntimeStatus::Unknown)
            | (
                ModuleStatus::Stopped,
                RuntimeStatus::Running | RuntimeStatus::Backoff | RuntimeStatus::Unhealthy,
            ) => {
                waiting.push(name.as_str());
            }
        }
    }
    let all = wanted.modules.len();
    if !failing.is_empty() {
        Verdict::new(State::Degraded, "ModuleFailing", failing.join("; "))
    } else if !waiting.is_empty() {
        Verdict::new(State::Progressing, "ModulesStarting", format!("waiting for {}", waiting.join(", ")))
    } else if all == 0 {
        Verdict::new(State::Ready, "NoModules", "no module is wanted here")
    } else {
        Verdict::new(State::Ready, "ModulesAsDesired", format!("{all} of {all} modules as desired"))
    }
}

fn failure(name: &str, module: Option<&AgentModuleReported>) -> String {
    let Some(module) = module else { return name.to_owned() };
    let restarts = module.restart_count.unwrap_or_default();
    format!("{name} {} (exit {}, {restarts} restarts)", module.runtime_status.as_str(), module.exit_code)
}
