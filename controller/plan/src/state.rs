//! What a fleet was last seen to be, as a public file: `hemline.dev/v1alpha1`, kind `FleetState`.
//!
//! The controller writes it and a planner reads it in its place: whoever has the file can plan without a way to the hub.
//! Secrets are masked when it is made ([`FleetState::new`]); a masked value is unknown to the planner and taken as what
//! the documents said ([`FleetState::sight`]), so it never shows as a difference. It holds no time and no text of an
//! engine: the same state is the same file.

mod fill;

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    document::{API_VERSION, Auth},
    edge::{AgentDesired, AgentReported, ModuleSettings},
    id::{DeviceId, ModuleId},
    twin,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    MASK, Observed, ObservedDevice, ObservedModule, Resolution, attribute::time_key, change::redacted,
    desired::without_null,
};

/// The kind of the document.
pub const STATE_KIND: &str = "FleetState";
/// Hexadecimal digits of the name of a shared config: enough for any fleet.
const CONFIG_DIGITS: usize = 16;

/// What a fleet was last seen to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    title = "FleetState",
    description = "What a fleet was last seen to be, without secrets, as `hem state` prints it."
)]
pub struct FleetState {
    /// `hemline.dev/v1alpha1`.
    pub api_version: String,
    /// `FleetState`.
    pub kind: String,
    /// The documents that the hub was last brought to completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Documents>,
    /// Newer documents that wait until somebody applies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Documents>,
    /// Every device of the hub, by id.
    #[schemars(with = "BTreeMap<String, DeviceState>")]
    pub devices: BTreeMap<DeviceId, DeviceState>,
    /// Desired properties of modules by name of the config, then by module; devices with the same share one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, ModuleConfig>>")]
    pub configs: BTreeMap<String, BTreeMap<ModuleId, ModuleConfig>>,
}

/// One set of documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Documents {
    /// Commit id, or a digest where there is no commit.
    pub revision: String,
    /// Digest of what the files hold.
    pub digest: String,
}

/// One device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceState {
    /// What is there.
    #[serde(flatten)]
    pub there: Held,
    /// What the applied documents said, where that is not what is there; absent when they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Held>,
    /// The hub does not have the device, though the applied documents say it; the rest is what they said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// No applied document says anything about the device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// Can it take a change now?
    pub connected: bool,
    /// Reported properties of the device, where a target condition in force reads some.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub reported: Map<String, Value>,
    /// What its modules do, as the agent reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ModuleSight>")]
    pub running: BTreeMap<ModuleId, ModuleSight>,
    /// Masked values that the waiting documents change, by path: that they differ is no secret.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub differs: BTreeSet<String>,
    /// When values were set that the applied documents do not say, in RFC 3339, by path: `tags.site`,
    /// `desired.interval`, `camera.desired.fps`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, String>,
}

/// Identity and twins of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// May it connect?
    pub enabled: bool,
    /// Does it run modules?
    pub edge: bool,
    /// The edge device it connects through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub parent: Option<DeviceId>,
    /// How it proves who it is; thumbprints are no secrets.
    #[serde(default)]
    pub auth: Auth,
    /// Tags.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub tags: Map<String, Value>,
    /// Desired properties of the device twin.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub desired: Map<String, Value>,
    /// The config of its modules; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

/// One module of a config.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleConfig {
    /// Desired properties. Of `$edgeAgent` with `createOptions` as an object.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub desired: Map<String, Value>,
    /// Who made the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

/// What one module does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleSight {
    /// `running`, `stopped`, `backoff`, `failed`, `unhealthy`, `dead` or `unknown`.
    pub state: String,
    /// The image that the agent runs, for containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A desired property that is not what the applied documents say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overwritten {
    /// On which device.
    pub device: DeviceId,
    /// Of which module; of the device when absent.
    pub module: Option<ModuleId>,
    /// The names on the way to it, below `desired`.
    pub path: Vec<String>,
}

/// What a state is made of.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What a hub holds.
    pub observed: &'a Observed,
    /// What the applied documents come to.
    pub applied: Option<&'a Resolution>,
    /// What the waiting documents come to.
    pub waiting: Option<&'a Resolution>,
    /// Does a target condition in force read reported properties?
    pub reads_reported: bool,
}

/// What a planner takes from a state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateSight {
    /// What is there; masked values are those of the documents where these say something.
    pub observed: Observed,
    /// What the applied documents said; `None` when nothing was applied yet.
    pub said: Option<Observed>,
    /// Masked values that were taken as unchanged.
    pub unknown: usize,
}

impl FleetState {
    /// Writes down what is known, without secrets.
    #[must_use]
    pub fn new(known: &Known<'_>) -> Self {
        let mut state =
            Self { api_version: API_VERSION.to_owned(), kind: STATE_KIND.to_owned(), ..Self::default() };
        let said = known.applied.map(Observed::after).unwrap_or_default();
        for (id, device) in &known.observed.devices {
            let said = said.devices.get(id);
            let there = state.held(device, said);
            let before = said.map(|said| state.held(said, None));
            let seen = DeviceState {
                absent: false,
                foreign: before.is_none(),
                said: before.filter(|before| *before != there),
                there,
                connected: device.is_connected(),
                reported: if known.reads_reported {
                    redacted("reported", &device.reported)
                } else {
                    Map::new()
                },
                running: running(device),
                differs: known
                    .waiting
                    .and_then(|waiting| waiting.devices.get(id))
                    .map(|wanted| fill::differs(device, &Observed::of(wanted)))
                    .unwrap_or_default(),
                since: BTreeMap::new(),
            };
            state.devices.insert(id.clone(), seen);
        }
        for (id, device) in said.devices.iter().filter(|(id, _)| !known.observed.devices.contains_key(*id)) {
            let there = state.held(device, None);
            state.devices.insert(id.clone(), DeviceState { there, absent: true, ..DeviceState::default() });
        }
        state
    }

    /// Reads a state.
    ///
    /// # Errors
    /// A sentence that says why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let state: Self =
            serde_json::from_str(text).map_err(|error| format!("not a fleet state: {error}"))?;
        if state.api_version != API_VERSION || state.kind != STATE_KIND {
            return Err(format!(
                "not a fleet state: it says {:?} {:?}, not {API_VERSION:?} {STATE_KIND:?}",
                state.api_version, state.kind
            ));
        }
        let known = |held: &Held| held.config.as_ref().is_none_or(|name| state.configs.contains_key(name));
        let broken = state.devices.iter().find(|(_, device)| {
            !known(&device.there) || device.said.as_ref().is_some_and(|said| !known(said))
        });
        match broken {
            Some((id, _)) => Err(format!("not a whole fleet state: the config of {id} is missing")),
            None => Ok(state),
        }
    }

    /// The text of the file: one order, one form, a line feed at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        hemline_model::schema::pretty(&value)
    }

    /// What the state says, for a planner. `documents`: what the documents of the base and the head come to; a masked value
    /// is taken as what the first of them says that looks the same when it is masked.
    #[must_use]
    pub fn sight(&self, documents: &[&Resolution]) -> StateSight {
        self.look(documents, false)
    }

    /// The same where the last of the documents are those that wait: what they change of masked values is known.
    #[must_use]
    pub fn sight_of_waiting(&self, documents: &[&Resolution]) -> StateSight {
        self.look(documents, true)
    }

    fn look(&self, documents: &[&Resolution], waiting: bool) -> StateSight {
        let mut sight =
            StateSight { said: self.applied.is_some().then(Observed::default), ..StateSight::default() };
        let documents: Vec<Observed> =
            documents.iter().map(|resolution| Observed::after(resolution)).collect();
        for (id, device) in &self.devices {
            let mut there = self.observed(&device.there, device);
            let mut said = if device.foreign {
                None
            } else {
                Some(self.observed(device.said.as_ref().unwrap_or(&device.there), device))
            };
            let nothing = BTreeSet::new();
            let last = documents.len().checked_sub(1);
            for (place, documents) in documents.iter().enumerate() {
                let Some(hint) = documents.devices.get(id) else { continue };
                let except = if waiting && Some(place) == last { &device.differs } else { &nothing };
                if let Some(said) = &mut said {
                    fill::device(said, hint, except);
                }
                fill::device(&mut there, hint, except);
            }
            for device in said.iter_mut().chain([&mut there]) {
                fill::on_the_wire(&mut device.modules);
            }
            sight.unknown += self.masked(&device.there);
            if !device.absent {
                sight.observed.devices.insert(id.clone(), there);
            }
            if let (Some(all), Some(said)) = (&mut sight.said, said) {
                all.devices.insert(id.clone(), said);
            }
        }
        sight
    }

    /// `sha256:…` of what one device is, without what moves by itself: connections, reports, times.
    #[must_use]
    pub fn facts(&self, device: &DeviceId) -> Option<String> {
        let device = self.devices.get(device)?;
        let value = serde_json::json!({
            "there": device.there, "said": device.said, "foreign": device.foreign, "absent": device.absent
        });
        Some(format!("sha256:{}", digest(&value)))
    }

    /// Desired properties that the applied documents say and that are not what they say: whose, and the names on the way to
    /// the value. Their times are worth asking for.
    #[must_use]
    pub fn overwritten(&self) -> Vec<Overwritten> {
        let mut found = Vec::new();
        for (id, device) in self.devices.iter().filter(|(_, device)| !device.absent) {
            let Some(said) = &device.said else { continue };
            let mut add =
                |module: Option<&ModuleId>, there: &Map<String, Value>, said: &Map<String, Value>| {
                    let mut paths = Vec::new();
                    differing(there, said, &mut Vec::new(), &mut paths);
                    found.extend(paths.into_iter().map(|path| Overwritten {
                        device: id.clone(),
                        module: module.cloned(),
                        path,
                    }));
                };
            add(None, &device.there.desired, &said.desired);
            let config = |held: &Held| held.config.as_ref().and_then(|name| self.configs.get(name));
            let (Some(there), Some(said)) = (config(&device.there), config(said)) else { continue };
            // The agent's own configuration is replaced as a whole; the time of a part of it says little.
            for (module, said) in said.iter().filter(|(module, _)| !module.is_system()) {
                if let Some(there) = there.get(module) {
                    add(Some(module), &there.desired, &said.desired);
                }
            }
        }
        found
    }

    /// Says since when a value is what it is.
    pub fn date(&mut self, value: &Overwritten, time: impl Into<String>) {
        if let Some(device) = self.devices.get_mut(&value.device) {
            let path = format!("desired.{}", value.path.join("."));
            device.since.insert(time_key(value.module.as_ref(), &path), time.into());
        }
    }

    fn masked(&self, held: &Held) -> usize {
        let config = held.config.as_ref().and_then(|name| self.configs.get(name));
        let modules = config.into_iter().flat_map(BTreeMap::values);
        let maps = [&held.tags, &held.desired].into_iter().chain(modules.map(|module| &module.desired));
        maps.map(|map| map.values().map(masks).sum::<usize>()).sum()
    }

    /// Writes one device down, and its config once for all that have it.
    fn held(&mut self, device: &ObservedDevice, said: Option<&ObservedDevice>) -> Held {
        let modules: BTreeMap<ModuleId, ModuleConfig> = device
            .modules
            .iter()
            .map(|(id, module)| {
                let desired = redacted("desired", &readable(id, &module.desired));
                // Who made it is only asked where it matters; what the documents want here, Hemline made.
                let ours = || said?.modules.get(id)?.managed_by.clone();
                let managed_by = module.managed_by.clone().or_else(ours);
                (id.clone(), ModuleConfig { desired, managed_by })
            })
            .collect();
        let config = (!modules.is_empty()).then(|| {
            let name = digest(&serde_json::to_value(&modules).unwrap_or_default());
            let name = name.get(..CONFIG_DIGITS).unwrap_or(&name).to_owned();
            self.configs.entry(name.clone()).or_insert(modules);
            name
        });
        Held {
            enabled: device.enabled,
            edge: device.edge,
            parent: device.parent.clone(),
            auth: device.auth.clone(),
            tags: redacted("tags", &device.tags),
            desired: redacted("desired", &device.desired),
            config,
        }
    }

    /// The way back of [`Self::held`].
    fn observed(&self, held: &Held, device: &DeviceState) -> ObservedDevice {
        let config = held.config.as_ref().and_then(|name| self.configs.get(name));
        let modules = config.into_iter().flatten().map(|(id, module)| {
            let seen = ObservedModule {
                desired: module.desired.clone(),
                managed_by: module.managed_by.clone(),
                connected: device.connected,
                ..ObservedModule::default()
            };
            (id.clone(), seen)
        });
        ObservedDevice {
            enabled: held.enabled,
            edge: held.edge,
            parent: held.parent.clone(),
            auth: held.auth.clone(),
            connected: device.connected,
            tags: held.tags.clone(),
            desired: held.desired.clone(),
            reported: device.reported.clone(),
            modules: modules.collect(),
        }
    }
}

/// The desired properties of a module with `createOptions` as an object and variables by name, so that a secret in them
/// has a path of its own.
fn readable(id: &ModuleId, desired: &Map<String, Value>) -> Map<String, Value> {
    if *id != ModuleId::edge_agent() {
        return desired.clone();
    }
    // What is no desired configuration is nobody's to read: it is masked by names only.
    let Ok(agent) = AgentDesired::parse(desired) else { return desired.clone() };
    let mut map = without_null(&agent.to_map());
    for (name, module) in &agent.modules {
        let entry = map.get_mut("modules").and_then(|modules| modules.get_mut(name));
        let Some(entry) = entry.and_then(Value::as_object_mut) else { continue };
        if !module.env.is_empty() {
            let env = module.env.iter().map(|(name, entry)| match entry.secret_ref {
                Some(_) => (name.clone(), serde_json::to_value(entry).unwrap_or_default()),
                None => (name.clone(), entry.value.clone()),
            });
            entry.insert("env".to_owned(), Value::Object(env.collect()));
        }
        let ModuleSettings::Docker(docker) = &module.settings else { continue };
        if let Some(settings) = entry.get_mut("settings").and_then(Value::as_object_mut) {
            settings.retain(|key, _| !key.starts_with("createOptions"));
            settings.insert("createOptions".to_owned(), Value::Object(docker.create_options.clone()));
        }
    }
    map
}

fn running(device: &ObservedDevice) -> BTreeMap<ModuleId, ModuleSight> {
    let agent = device.modules.get(&ModuleId::edge_agent());
    let Some(reported) = agent.and_then(|agent| AgentReported::parse(&agent.reported).ok()) else {
        return BTreeMap::new();
    };
    let seen = reported.modules.into_iter().filter_map(|(name, module)| {
        let image = module.settings.get("image").and_then(Value::as_str).map(str::to_owned);
        Some((
            ModuleId::new(name).ok()?,
            ModuleSight { state: module.runtime_status.as_str().to_owned(), image },
        ))
    });
    seen.collect()
}

/// The paths at which something else is there than was said. What nobody said is nobody's to overwrite.
fn differing(
    there: &Map<String, Value>,
    said: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (key, said) in said {
        path.push(key.clone());
        match (there.get(key), said) {
            (Some(Value::Object(there)), Value::Object(said)) => differing(there, said, path, found),
            (Some(there), said) if there != said => found.push(path.clone()),
            (Some(_) | None, _) => {}
        }
        path.pop();
    }
}

fn masks(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text.contains(MASK)),
        Value::Array(items) => items.iter().map(masks).sum(),
        Value::Object(map) => map.values().map(masks).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn digest(value: &Value) -> String {
    format!("{:x}", Sha256::digest(twin::canonical(value)))
}
