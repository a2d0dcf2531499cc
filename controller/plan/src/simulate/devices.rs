//! Devices that are played: they take what the hub holds for them after a while, are slow, away, or fail with it.

use std::collections::BTreeMap;

use hemline_model::{
    edge::{
        AgentDesired, AgentModuleReported, AgentReported, DesiredStatus, ModuleStatus, RuntimeStatus, Version,
    },
    id::{DeviceId, ModuleId},
};
use jiff::{SignedDuration, Timestamp};

use crate::{Observed, ObservedDevice, Step};

/// Times between restarts of a module that fails.
const RESTART_SECS: i64 = 20;
/// Events happen on this grid, so that a large fleet has fewer moments to look at.
const GRID_SECS: u64 = 5;

/// What goes wrong, and how long things take.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// The same seed gives the same fleet.
    pub seed: u64,
    /// Share of devices that are away at first, in percent.
    pub offline_percent: u8,
    /// They come back within so many seconds; never, when it is 0.
    pub back_within_secs: u64,
    /// Seconds that a device takes to apply a change, at most.
    pub apply_secs: u64,
    /// Share of devices with a slow line, in percent; they take ten times as long.
    pub slow_percent: u8,
    /// Modules that fail with a configuration that is not the one they start with, and on how many devices, in percent.
    pub failing: BTreeMap<String, u8>,
    /// Share of devices on which any changed module fails, in percent.
    pub flaky_percent: u8,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 1,
            offline_percent: 0,
            back_within_secs: 4 * 3600,
            apply_secs: 60,
            slow_percent: 0,
            failing: BTreeMap::new(),
            flaky_percent: 0,
        }
    }
}

/// A hub with devices that are played.
#[derive(Debug, Clone)]
pub struct Devices {
    /// What the hub holds.
    pub observed: Observed,
    faults: Faults,
    behind: BTreeMap<DeviceId, Behind>,
}

/// What the hub does not know of a device.
#[derive(Debug, Clone, Default)]
struct Behind {
    /// When it connects, when it is away.
    back: Option<Timestamp>,
    /// The version that it is applying, and when it is through.
    applying: Option<(u64, Timestamp)>,
    /// Since when modules fail.
    failing: BTreeMap<String, Timestamp>,
    /// The modules of its first configuration: these are sound.
    sound: BTreeMap<String, serde_json::Value>,
}

impl Devices {
    /// A hub without devices.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { observed: Observed::default(), faults, behind: BTreeMap::new() }
    }

    /// What the devices run now is sound, whatever the faults say.
    pub fn trust(&mut self) {
        for (id, device) in &self.observed.devices {
            let desired = agent(device).map(|desired| desired.modules).unwrap_or_default();
            let sound = desired
                .into_iter()
                .map(|(name, module)| (name, serde_json::to_value(&module).unwrap_or_default()));
            let behind = self.behind.entry(id.clone()).or_default();
            behind.sound = sound.collect();
            behind.failing.clear();
        }
    }

    /// Some devices go away, as the faults say.
    pub fn scatter(&mut self, now: Timestamp) {
        let ids: Vec<DeviceId> = self.observed.devices.keys().cloned().collect();
        for id in ids {
            if self.share(&id, "offline") < self.faults.offline_percent {
                self.connect(&id, false);
                let back = self.draw(&id, "back", self.faults.back_within_secs);
                let back = (self.faults.back_within_secs > 0).then(|| after(now, back));
                self.behind.entry(id).or_default().back = back;
            }
        }
    }

    /// Connects or disconnects a device.
    pub fn connect(&mut self, id: &DeviceId, connected: bool) {
        if let Some(device) = self.observed.devices.get_mut(id) {
            device.connected = connected;
            if let Some(agent) = device.modules.get_mut(&ModuleId::edge_agent()) {
                agent.connected = connected;
            }
        }
    }

    /// Somebody deletes a device at the hub; what it has once trusted stays sound.
    pub fn delete(&mut self, id: &DeviceId) {
        self.observed.devices.remove(id);
        if let Some(behind) = self.behind.get_mut(id) {
            *behind = Behind { sound: std::mem::take(&mut behind.sound), ..Behind::default() };
        }
    }

    /// What the hub does with one step of a plan.
    pub fn apply(&mut self, step: &Step, now: Timestamp) {
        let known = |id: &DeviceId| self.observed.devices.contains_key(id);
        let new = match step {
            Step::CreateDevice { device, .. } if !known(device) => Some(device.clone()),
            _ => None,
        };
        let (client, before) = match step {
            Step::PatchTwin { device, module: Some(module), .. } if *module == ModuleId::edge_agent() => {
                let twin = self.observed.devices.get(device).and_then(|there| there.modules.get(module));
                (Some(device.clone()), twin.map(|twin| twin.desired.clone()))
            }
            _ => (None, None),
        };
        step.apply_to(&mut self.observed);
        if let Some(id) = new {
            self.connect(&id, true);
        }
        let Some(id) = client else { return };
        let Some(device) = self.observed.devices.get_mut(&id) else { return };
        let connected = device.connected;
        let Some(agent) = device.modules.get_mut(&ModuleId::edge_agent()) else { return };
        agent.connected = connected;
        if before.as_ref() == Some(&agent.desired) {
            return;
        }
        agent.desired_version += 1;
        let version = agent.desired_version;
        let slow = if self.share(&id, "slow") < self.faults.slow_percent { 10 } else { 1 };
        let takes = self.draw(&id, "apply", self.faults.apply_secs.max(1)).saturating_mul(slow);
        self.behind.entry(id).or_default().applying = Some((version, after(now, takes)));
    }

    /// What happened on the devices until now.
    pub fn tick(&mut self, now: Timestamp) {
        let ids: Vec<DeviceId> = self.behind.keys().cloned().collect();
        for id in ids {
            let returns = self.behind.get(&id).and_then(|behind| behind.back).is_some_and(|back| back <= now);
            if returns {
                self.connect(&id, true);
                if let Some(behind) = self.behind.get_mut(&id) {
                    behind.back = None;
                    // It starts to work on what it finds.
                    if let Some((_, through)) = &mut behind.applying {
                        *through = (*through).max(after(now, GRID_SECS));
                    }
                }
            }
            self.work(&id, now);
        }
    }

    /// The next moment at which something happens by itself.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let connected = |id: &DeviceId| self.observed.devices.get(id).is_some_and(|device| device.connected);
        let moments = self.behind.iter().flat_map(|(id, behind)| {
            let applying = behind.applying.filter(|_| connected(id)).map(|(_, through)| through);
            let fails = behind.failing.values().min().filter(|_| connected(id)).map(|since| {
                let restarts = now.duration_since(*since).as_secs() / RESTART_SECS + 1;
                since
                    .saturating_add(SignedDuration::from_secs(restarts * RESTART_SECS))
                    .unwrap_or(Timestamp::MAX)
            });
            // Who still looks at a module that has failed for so long looks when something else happens.
            let long = SignedDuration::from_mins(15);
            let fails =
                fails.filter(|at| behind.failing.values().all(|since| at.duration_since(*since) < long));
            [behind.back, applying, fails]
        });
        moments.flatten().filter(|at| *at > now).min()
    }

    /// One device does what it has to.
    fn work(&mut self, id: &DeviceId, now: Timestamp) {
        let connected = self.observed.devices.get(id).is_some_and(|device| device.connected);
        if !connected {
            return;
        }
        let through =
            self.behind.get(id).and_then(|behind| behind.applying).filter(|(_, through)| *through <= now);
        if through.is_some() {
            let wanted = self
                .observed
                .devices
                .get(id)
                .and_then(agent)
                .map(|desired| desired.modules)
                .unwrap_or_default();
            let failing: Vec<String> = wanted
                .iter()
                .filter(|(name, module)| {
                    let value = serde_json::to_value(module).unwrap_or_default();
                    let sound =
                        self.behind.get(id).and_then(|behind| behind.sound.get(*name)) == Some(&value);
                    !sound && self.fails(id, name)
                })
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(behind) = self.behind.get_mut(id) {
                behind.applying = None;
                behind.failing = failing.into_iter().map(|name| (name, now)).collect();
            }
            self.report(id, through.map(|(version, _)| version), now);
        } else if self.behind.get(id).is_some_and(|behind| !behind.failing.is_empty()) {
            self.report(id, None, now);
        }
    }

    fn report(&mut self, id: &DeviceId, version: Option<u64>, now: Timestamp) {
        let Some(device) = self.observed.devices.get_mut(id) else { return };
        let Some(wanted) = agent(device) else { return };
        let Some(twin) = device.modules.get_mut(&ModuleId::edge_agent()) else { return };
        let before = AgentReported::parse(&twin.reported)
            .map(|before| before.last_desired_version)
            .unwrap_or_default();
        let behind = self.behind.entry(id.clone()).or_default();
        let modules = wanted.modules.iter().map(|(name, module)| {
            let mut found =
                AgentModuleReported { status: Some(module.status), ..AgentModuleReported::default() };
            match behind.failing.get(name) {
                Some(since) => {
                    let restarts = now.duration_since(*since).as_secs() / RESTART_SECS;
                    found.restart_count = u64::try_from(restarts).ok();
                    found.exit_code = 1;
                    found.runtime_status = RuntimeStatus::Backoff;
                }
                None if module.status == ModuleStatus::Running => {
                    found.runtime_status = RuntimeStatus::Running;
                }
                None => found.runtime_status = RuntimeStatus::Stopped,
            }
            (name.clone(), found)
        });
        let reported = AgentReported {
            schema_version: "1.0".to_owned(),
            version: Version::default(),
            last_desired_version: version.unwrap_or(before),
            last_desired_status: DesiredStatus::ok(),
            runtime: None,
            system_modules: BTreeMap::new(),
            modules: modules.collect(),
            hemline: None,
        };
        twin.reported = reported.to_map();
    }

    fn fails(&self, id: &DeviceId, module: &str) -> bool {
        let named = self.faults.failing.get(module).copied().unwrap_or_default();
        self.share(id, module) < named || self.share(id, "flaky") < self.faults.flaky_percent
    }

    /// A number from 0 to 99 that belongs to a device and a purpose.
    fn share(&self, id: &DeviceId, what: &str) -> u8 {
        u8::try_from(self.number(id, what) % 100).unwrap_or_default()
    }

    /// Seconds from 1 to `most`, on the grid.
    fn draw(&self, id: &DeviceId, what: &str, most: u64) -> u64 {
        let drawn = 1 + self.number(id, what) % most.max(1);
        drawn.div_ceil(GRID_SECS) * GRID_SECS
    }

    /// FNV-1a with a last mix (splitmix64): only has to look random.
    fn number(&self, id: &DeviceId, what: &str) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ self.faults.seed;
        for byte in id.as_str().bytes().chain([0]).chain(what.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

fn agent(device: &ObservedDevice) -> Option<AgentDesired> {
    AgentDesired::parse(&device.modules.get(&ModuleId::edge_agent())?.desired).ok()
}

fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.saturating_add(seconds).unwrap_or(Timestamp::MAX)
}
