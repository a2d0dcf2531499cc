//! What a plan means for what runs: which modules restart and because of what, which images are new, what is lost, who
//! gets it when. Counted once here; every printed form says the same.
//!
//! Not here: time. How long an image takes on a slow line is nothing that documents know.

mod danger;
mod targets;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    Fleet,
    edge::{AgentDesired, AgentModule, ModuleSettings},
    id::{DeviceId, ModuleId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    danger::{Danger, DangerKind},
    waves::{RolloutForecast, WaveForecast},
};
use crate::{Action, Change, Observed, Plan, Planned, Reason, Resolution, change::Json};

/// What a plan means for what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Devices that the documents describe, and those that go.
    pub devices: usize,
    /// Devices with something to do.
    pub change: usize,
    /// Those of them that are not connected and get it later; absent when nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub offline: Option<BTreeSet<DeviceId>>,
    /// Changing devices on which nothing restarts, starts, stops or goes.
    pub live: usize,
    /// What may hurt, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dangers: Vec<Danger>,
    /// Modules that restart, with the paths that force it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,
    /// Modules that stop, and stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<On>,
    /// Modules that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removes: Vec<On>,
    /// Modules that are new or start again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<On>,
    /// Images that devices did not have to have before: what downloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<On>,
    /// What somebody changed outside the documents and this overwrites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// How deployments with a rollout reach their devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutForecast>,
}

/// Something, and the devices it happens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct On {
    /// A module or an image.
    pub name: String,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

/// A module that is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Which.
    #[schemars(with = "String")]
    pub module: ModuleId,
    /// The values that cannot change while it runs.
    pub because: Vec<String>,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

/// One value that is not what the documents said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// What it belongs to: `module camera`.
    pub subject: String,
    /// Which value; absent when the subject as a whole is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Json>,
    /// What will be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Json>,
    /// Since when, in RFC 3339, where the hub knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

/// Documents and what they come to.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The documents.
    pub fleet: &'a Fleet,
    /// What every device should be.
    pub resolution: &'a Resolution,
}

/// Everything that a forecast looks at besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What the documents said before.
    pub before: Option<Side<'a>>,
    /// What they say.
    pub after: Side<'a>,
    /// What a hub holds, when somebody looked.
    pub observed: Option<&'a Observed>,
}

/// Devices by what happens on them.
type Places<K> = BTreeMap<K, BTreeSet<DeviceId>>;

impl Forecast {
    /// What the plan alone says.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self::look(plan, None)
    }

    /// What plan, documents and hub say together.
    #[must_use]
    pub fn new(plan: &Plan, scene: &Scene<'_>) -> Self {
        Self::look(plan, Some(scene))
    }

    /// Devices on which a module restarts.
    #[must_use]
    pub fn restarting(&self) -> BTreeSet<&DeviceId> {
        self.restarts.iter().flat_map(|restart| &restart.devices).collect()
    }

    /// Modules that restart, by name.
    #[must_use]
    pub fn restarting_modules(&self) -> BTreeSet<&ModuleId> {
        self.restarts.iter().map(|restart| &restart.module).collect()
    }

    fn look(plan: &Plan, scene: Option<&Scene<'_>>) -> Self {
        let mut tally = Tally::default();
        let mut configs = Configs::new(scene);
        for (planned, devices) in plan.groups() {
            tally.group(planned, &devices, &mut configs);
        }
        let live = plan.devices.iter().filter(|plan| !tally.disturbed.contains(&plan.device)).count();
        if let Some(scene) = scene {
            targets::compare(scene, &mut tally.dangers);
        }
        let offline = scene.and_then(|scene| scene.observed).map(|observed| {
            let away = |id: &DeviceId| observed.devices.get(id).is_some_and(|there| !there.is_connected());
            plan.devices.iter().map(|plan| &plan.device).filter(|id| away(id)).cloned().collect()
        });
        let restarts = tally.restarts.into_iter();
        Self {
            devices: plan.summary.devices + plan.summary.unchanged,
            change: plan.summary.devices,
            offline,
            live,
            dangers: tally.dangers.finish(),
            restarts: restarts
                .map(|((module, because), devices)| Restart { module, because, devices })
                .collect(),
            stops: on(tally.stops),
            removes: on(tally.removes),
            starts: on(tally.starts),
            images: on(tally.images),
            drift: drift(plan),
            rollouts: scene.map(|scene| waves::forecast(plan, scene)).unwrap_or_default(),
        }
    }
}

fn on(places: Places<String>) -> Vec<On> {
    places.into_iter().map(|(name, devices)| On { name, devices }).collect()
}

/// What is overwritten, value by value; the same on many devices is one row.
fn drift(plan: &Plan) -> Vec<Drift> {
    let mut rows: BTreeMap<(String, Option<&Change>), BTreeSet<DeviceId>> = BTreeMap::new();
    for device in &plan.devices {
        for planned in &device.actions {
            let changes = planned.action.changes();
            let whole = changes.is_empty() && planned.reason == Reason::Drift;
            let single = changes.iter().filter(|change| change.is_drift(planned.reason)).map(Some);
            for row in whole.then_some(None).into_iter().chain(single) {
                rows.entry((planned.action.subject(), row)).or_default().insert(device.device.clone());
            }
        }
    }
    let row = |((subject, change), devices): ((String, Option<&Change>), BTreeSet<DeviceId>)| Drift {
        subject,
        path: change.map(|change| change.path.clone()),
        found: change.and_then(|change| change.from.clone()),
        expected: change.and_then(|change| change.to.clone()),
        since: change.and_then(|change| change.since.clone()),
        devices,
    };
    rows.into_iter().map(row).collect()
}

#[derive(Default)]
struct Tally {
    restarts: BTreeMap<(ModuleId, Vec<String>), BTreeSet<DeviceId>>,
    stops: Places<String>,
    removes: Places<String>,
    starts: Places<String>,
    images: Places<String>,
    dangers: danger::Found,
    /// Devices on which something restarts, starts, stops or goes.
    disturbed: BTreeSet<DeviceId>,
}

impl Tally {
    fn group(&mut self, planned: &Planned, devices: &[&DeviceId], configs: &mut Configs<'_>) {
        let places = || devices.iter().copied().cloned();
        self.dangers.in_action(&planned.action, devices);
        match &planned.action {
            Action::DeleteDevice => {}
            Action::RecreateModule { module, because } => {
                for change in because.iter().filter(|change| change.path == "image") {
                    if let Some(Value::String(image)) = change.to.as_ref().map(|to| &to.0) {
                        self.images.entry(image.clone()).or_default().extend(places());
                    }
                }
                let paths = because.iter().filter(|change| forces_restart(&change.path));
                let paths = paths.map(|change| change.path.clone()).collect();
                self.restarts.entry((module.clone(), paths)).or_default().extend(places());
            }
            Action::RemoveModule { module } => {
                self.removes.entry(module.to_string()).or_default().extend(places());
            }
            Action::StopModule { module } => {
                self.stops.entry(module.to_string()).or_default().extend(places());
            }
            Action::StartModule { module } => {
                self.starts.entry(module.to_string()).or_default().extend(places());
            }
            Action::CreateModule { module, started, .. } => {
                if *started {
                    self.starts.entry(module.to_string()).or_default().extend(places());
                }
                for device in devices {
                    let Some(new) = configs.module(device, module) else { continue };
                    if let ModuleSettings::Docker(docker) = &new.settings {
                        self.images.entry(docker.image.clone()).or_default().insert((*device).clone());
                    }
                    self.dangers.in_new_module(module, &new.settings, device);
                }
                if !started {
                    return;
                }
            }
            Action::RemoveRoute { .. }
            | Action::CreateDevice { .. }
            | Action::UpdateModule { .. }
            | Action::UpdateDevice { .. }
            | Action::AddRoute { .. }
            | Action::SetRoute { .. }
            | Action::ConfigureHub
            | Action::ConfigureAgent
            | Action::UpdateHub { .. }
            | Action::UpdateAgent { .. }
            | Action::PatchTwin { .. }
            | Action::PatchTags { .. } => return,
        }
        self.disturbed.extend(places());
    }
}

/// A value of a module that cannot change while it runs (reference edge-runtime §3.3); the others are settings of the agent.
fn forces_restart(path: &str) -> bool {
    !matches!(path, "status" | "restartPolicy" | "startupOrder" | "imagePullPolicy")
}

/// What the agents of devices are told, read once per distinct config.
struct Configs<'a> {
    after: Option<&'a Resolution>,
    /// By the address of the config that devices share.
    read: BTreeMap<usize, Option<AgentDesired>>,
}

impl<'a> Configs<'a> {
    fn new(scene: Option<&Scene<'a>>) -> Self {
        Self { after: scene.map(|scene| scene.after.resolution), read: BTreeMap::new() }
    }

    /// One module as the documents want it.
    fn module(&mut self, device: &DeviceId, module: &ModuleId) -> Option<&AgentModule> {
        let twins = &self.after?.devices.get(device)?.twins.modules;
        let key = std::ptr::from_ref(&**twins).addr();
        let agent = self.read.entry(key).or_insert_with(|| {
            let desired = twins.get(&ModuleId::edge_agent())?;
            AgentDesired::parse(desired).ok()
        });
        agent.as_ref()?.modules.get(module.as_str())
    }
}
