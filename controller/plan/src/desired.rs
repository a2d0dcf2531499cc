//! One merged config → the twins that say so: `$edgeAgent` and `$edgeHub` in the shapes of IoT Edge, and the module twins
//! (reference edge-runtime §1.3, §1.6).

mod twins;

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::{
    Packed,
    document::Broker,
    edge::{
        AgentDesired, AgentModule, DockerSettings, Drift, DriftRules, EnvEntry, HemlineDesired, HubDesired,
        HubRoute, ModuleSettings, ModuleType, ProcessSettings, Runtime, SealedSecret, StoreAndForward,
    },
    id::ModuleId,
    twin::{Which, limits::measure},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::twins::ModuleTwins;

/// Seconds that a message waits for its receiver when no document says so; what the Azure portal writes.
const TIME_TO_LIVE_SECS: u64 = 7200;

/// What the twins of one device should hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredTwins {
    /// Tags of the device twin.
    pub tags: Arc<Map<String, Value>>,
    /// Desired properties of the device twin.
    pub device: Arc<Map<String, Value>>,
    /// Desired properties of the module twins. Shared by all devices with the same deployments.
    pub modules: Arc<ModuleTwins>,
}

/// One module, ready for the twins: a piece of `$edgeAgent`, and its own desired properties. Packed: most are never looked at.
#[derive(Debug, Clone)]
pub(crate) struct ReadyModule {
    agent: Packed,
    desired: Packed,
    /// What it adds to `$edgeAgent`, its name not counted, and a little more.
    agent_bytes: usize,
    /// Neither twin breaks a limit because of it alone.
    keeps_limits: bool,
}

/// Do the modules together surely keep the limits of all twins but `$edgeHub`? Asked for every config; the exact answer
/// walks through all of them.
pub(crate) fn surely_within<'m>(modules: impl Iterator<Item = (&'m ModuleId, &'m ReadyModule)>) -> bool {
    let mut bytes = 0;
    for (id, module) in modules {
        if !module.keeps_limits {
            return false;
        }
        bytes += id.as_str().len() + module.agent_bytes;
    }
    // What stands in `$edgeAgent` besides the modules.
    bytes + 512 <= Which::Desired.bytes()
}

/// Makes a module ready. The field that its runtime needs and no layer sets, when there is one.
pub(crate) fn ready(module: &Map<String, Value>) -> Result<ReadyModule, &'static str> {
    let agent = without_null(&agent_module(module)?.into_map());
    let desired = object(module, "desired");
    // As deep as it stands in the twin.
    let alone = Map::from_iter([("m".to_owned(), Value::Object(agent))]);
    let alone = Map::from_iter([("modules".to_owned(), Value::Object(alone))]);
    let (agent_bytes, agent_keeps) = measure(&alone);
    let (bytes, keeps) = measure(desired);
    let keeps_limits = agent_keeps && keeps && bytes <= Which::Desired.bytes();
    let (agent, desired) = (Packed::of(object(object(&alone, "modules"), "m")), Packed::of(desired));
    Ok(ReadyModule { agent, desired, agent_bytes, keeps_limits })
}

/// What `$edgeAgent` should hold besides the modules: `rest` is what a merged config says besides them.
pub(crate) fn agent_twin(rest: &Map<String, Value>) -> Map<String, Value> {
    let desired = AgentDesired {
        schema_version: "1.1".to_owned(),
        runtime: Runtime::default(),
        system_modules: BTreeMap::new(),
        modules: BTreeMap::new(),
        hemline: hemline(rest),
    };
    without_null(&desired.to_map())
}

/// What `$edgeHub` should hold: `rest` is what a merged config says besides its modules.
pub(crate) fn hub_twin(rest: &Map<String, Value>) -> Map<String, Value> {
    without_null(&edge_hub(rest).to_map())
}

/// A module that cannot run as merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incomplete {
    pub(crate) module: ModuleId,
    /// The field that no layer sets.
    pub(crate) missing: &'static str,
}

fn agent_module(module: &Map<String, Value>) -> Result<AgentModule, &'static str> {
    let settings = match read::<ModuleType>(module, "type").unwrap_or_default() {
        ModuleType::Docker => ModuleSettings::Docker(DockerSettings {
            image: read(module, "image").ok_or("image")?,
            create_options: object(module, "createOptions").clone(),
            digest: None,
        }),
        ModuleType::Process => ModuleSettings::Process(ProcessSettings {
            command: read(module, "command").ok_or("command")?,
            working_directory: read(module, "workingDirectory"),
            limits: read(module, "limits"),
        }),
    };
    let env = object(module, "env").iter();
    // Once per document, however many of its keys the module wants.
    let sealed = object(module, "env").values().filter_map(|setting| {
        let name = setting.get("secretRef")?.get("name")?.as_str()?;
        Some((name, setting.get("secretSealed")?.as_str()?))
    });
    let sealed: BTreeMap<&str, &str> = sealed.collect();
    Ok(AgentModule {
        version: None,
        status: read(module, "status").unwrap_or_default(),
        restart_policy: read(module, "restartPolicy").unwrap_or_default(),
        startup_order: read(module, "startupOrder"),
        image_pull_policy: read(module, "imagePullPolicy").unwrap_or_default(),
        secrets: sealed.into_iter().map(|(name, text)| SealedSecret::new(name, text)).collect(),
        health: read(module, "health"),
        env: env.map(|(key, value)| (key.clone(), EnvEntry::merged(value))).collect(),
        settings,
    })
}

/// What only Hemline's agent acts on; nothing when no document says anything about it.
fn hemline(merged: &Map<String, Value>) -> Option<HemlineDesired> {
    let drift = object(merged, "drift");
    let hemline = HemlineDesired {
        deadline: read(object(merged, "rollout"), "deadline"),
        drift: (!drift.is_empty())
            .then(|| read::<Drift>(merged, "drift"))
            .flatten()
            .filter(|drift| *drift != Drift::default())
            .map(DriftRules::from),
    };
    (hemline != HemlineDesired::default()).then_some(hemline)
}

fn edge_hub(merged: &Map<String, Value>) -> HubDesired {
    let routes = object(merged, "routes").iter().map(|(name, route)| {
        let part = |key: &str| route.get(key);
        let route = HubRoute {
            route: part("route").and_then(Value::as_str).unwrap_or_default().to_owned(),
            priority: part("priority").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()),
            time_to_live_secs: part("timeToLiveSecs").and_then(Value::as_u64),
        };
        (name.clone(), route)
    });
    let seconds = read(object(merged, "storeAndForward"), "timeToLiveSecs").unwrap_or(TIME_TO_LIVE_SECS);
    let broker = read::<Broker>(merged, "broker").filter(|broker| *broker != Broker::default());
    HubDesired {
        // The broker policy exists from 1.2 on; a hub without it refuses the later version.
        schema_version: if broker.is_some() { "1.2" } else { "1.1" }.to_owned(),
        routes: routes.collect(),
        store_and_forward_configuration: Some(StoreAndForward {
            time_to_live_secs: i64::try_from(seconds).unwrap_or(i64::MAX),
            store_limits: None,
        }),
        mqtt_broker: broker,
    }
}

/// A member that is an object; an empty one when it is not there.
pub(crate) fn object<'a>(map: &'a Map<String, Value>, key: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    map.get(key).and_then(Value::as_object).unwrap_or(&EMPTY)
}

pub(crate) fn read<T: DeserializeOwned>(map: &Map<String, Value>, key: &str) -> Option<T> {
    // What stands here came out of validated documents; another shape means another field of the same name.
    map.get(key).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// A twin holds no `null`: it means "remove".
pub(crate) fn without_null(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match value {
            Value::Object(inner) => (key.clone(), Value::Object(without_null(inner))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                (key.clone(), value.clone())
            }
        })
        .collect()
}
