//! What the agent reports, in the shape of IoT Edge (reference edge-runtime §2.1, §2.2). Pure.
//!
//! Passwords of registries never get here; the runtime's settings are rebuilt without them.

use std::collections::BTreeMap;

use hemline_model::{
    edge::{
        AgentModule, AgentModuleReported, AgentReported, DesiredStatus, HemlineReported, ModuleSettings,
        ModuleStatus, ModuleType, Platform, RuntimeReported, Version,
    },
    twin::dotnet_time,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{InForce, View};
use crate::{
    decide::{Decision, Memory},
    module::{ModuleKey, ModuleKind, RuntimeStatus, Seen},
};

/// .NET's way to say "never".
const NEVER: &str = "0001-01-01T00:00:00";

/// Code of an agent that does not run, or does not know yet.
const UNKNOWN: u16 = 406;

/// Longest description; a twin's text has 4096 bytes at most.
const LONGEST_TEXT: usize = 1000;

/// About the agent itself.
pub(super) struct Agent {
    /// Since when it runs.
    pub(super) started: Timestamp,
    /// Is there a connection to the hub?
    pub(super) connected: bool,
}

/// One desired module as it is.
pub(super) struct Module {
    pub(super) kind: ModuleKind,
    pub(super) reported: AgentModuleReported,
    pub(super) desired_running: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) restarts: u32,
}

/// All that the outcome of a configuration depends on.
pub(super) struct Evidence<'a> {
    pub(super) before: &'a (u64, DesiredStatus),
    pub(super) in_force: Option<&'a InForce>,
    pub(super) refused: Option<&'a (u64, DesiredStatus)>,
    pub(super) pulls_outstanding: bool,
    pub(super) failures: &'a [String],
}

/// `lastDesiredVersion` and `lastDesiredStatus`. While images are on their way the previous outcome stands.
pub(super) fn outcome(evidence: &Evidence<'_>) -> (u64, DesiredStatus) {
    if let Some(refused) = evidence.refused {
        return refused.clone();
    }
    let Some(in_force) = evidence.in_force else {
        return evidence.before.clone();
    };
    if !evidence.failures.is_empty() {
        let description = shortened(&evidence.failures.join("; "));
        return (in_force.version, DesiredStatus { code: 500, description });
    }
    if evidence.pulls_outstanding {
        return evidence.before.clone();
    }
    (in_force.version, DesiredStatus::ok())
}

/// Everything that keeps the configuration from being in force, in words.
pub(super) fn failures(memory: &Memory, view: &View) -> Vec<String> {
    let mut found: Vec<String> =
        memory.failures().into_iter().map(|(_, failure)| failure.message.clone()).collect();
    for (kind, reason) in &view.silent {
        if view.wanted.iter().any(|wanted| wanted.key.kind == *kind) {
            found.push(format!("the {kind} runtime is not available: {reason}"));
        }
    }
    found.extend(view.unready.values().cloned());
    found
}

/// Every desired module as it is.
pub(super) fn modules(
    in_force: Option<&InForce>,
    view: &View,
    decision: &Decision,
    memory: &Memory,
) -> BTreeMap<String, Module> {
    let desired = in_force.into_iter().flat_map(|in_force| &in_force.desired.modules);
    desired
        .map(|(name, module)| {
            let kind = match &module.settings {
                ModuleSettings::Docker(_) => ModuleKind::Docker,
                ModuleSettings::Process(_) => ModuleKind::Process,
            };
            let key = ModuleKey { kind, name: name.clone() };
            let seen = view.seen.iter().find(|seen| seen.key == key);
            let status = decision.status.get(name).copied().unwrap_or(RuntimeStatus::Unknown);
            let remembered = memory.of(&key);
            let mut reported = reported(module, seen, status);
            reported.restart_count = Some(remembered.map_or(0, |remembered| u64::from(remembered.restarts)));
            reported.last_restart_time_utc =
                Some(time(remembered.and_then(|remembered| remembered.last_restart)));
            if let Some(failure) = remembered.and_then(|remembered| remembered.failure.as_ref()) {
                reported.status_description = shortened(&failure.message);
            }
            let since = seen.and_then(|seen| if seen.status.is_up() { seen.started } else { seen.exited });
            let restarts = remembered.map_or(0, |remembered| remembered.restarts);
            let desired_running = module.status == ModuleStatus::Running;
            (name.clone(), Module { kind, reported, desired_running, since, restarts })
        })
        .collect()
}

fn reported(module: &AgentModule, seen: Option<&Seen>, status: RuntimeStatus) -> AgentModuleReported {
    let mut settings = match serde_json::to_value(&module.settings) {
        Ok(Value::Object(mut tagged)) => match tagged.remove("settings") {
            Some(Value::Object(settings)) => settings,
            Some(_) | None => Map::new(),
        },
        Ok(_) | Err(_) => Map::new(),
    };
    if let Some(image_hash) = seen.and_then(|seen| seen.image_hash.as_ref()) {
        settings.insert("imageHash".to_owned(), Value::String(image_hash.clone()));
    }
    AgentModuleReported {
        version: Some(module.version.clone().unwrap_or_default()),
        kind: module.settings.kind(),
        status: Some(module.status),
        restart_policy: Some(module.restart_policy),
        image_pull_policy: Some(module.image_pull_policy),
        startup_order: module.startup_order,
        env: module.env.clone(),
        settings,
        exit_code: seen.and_then(|seen| seen.exit_code).unwrap_or(0),
        status_description: shortened(seen.map_or("", |seen| &seen.description)),
        last_start_time_utc: time(seen.and_then(|seen| seen.started)),
        last_exit_time_utc: time(seen.and_then(|seen| seen.exited)),
        restart_count: None,
        last_restart_time_utc: None,
        runtime_status: status,
    }
}

/// The whole reported section.
pub(super) fn document(
    agent: &Agent,
    in_force: &InForce,
    outcome: &(u64, DesiredStatus),
    modules: &BTreeMap<String, Module>,
    hemline: HemlineReported,
) -> Map<String, Value> {
    let settings = &in_force.desired.runtime.settings;
    let settings = json!({
        "minDockerVersion": settings.min_docker_version,
        "loggingOptions": settings.logging_options,
        "registryCredentials": {},
    });
    let runtime = RuntimeReported {
        kind: in_force.desired.runtime.kind.clone(),
        settings: object(without_nulls(settings)),
        platform: Platform {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    let reported = AgentReported {
        schema_version: "1.0".to_owned(),
        version: version(),
        last_desired_version: outcome.0,
        last_desired_status: outcome.1.clone(),
        runtime: Some(runtime),
        system_modules: system_modules(agent),
        modules: modules.iter().map(|(name, module)| (name.clone(), module.reported.clone())).collect(),
        hemline: Some(hemline),
    };
    reported.to_map()
}

/// What can be said before there is any configuration that could be read.
pub(super) fn bare(outcome: &(u64, DesiredStatus)) -> Map<String, Value> {
    object(json!({
        "schemaVersion": "1.0",
        "version": version(),
        "lastDesiredVersion": outcome.0,
        "lastDesiredStatus": outcome.1,
    }))
}

/// The last words of an agent: nobody watches the modules any more (reference edge-runtime §2.1, shutdown).
pub(super) fn farewell(last: &Map<String, Value>) -> Map<String, Value> {
    let mut document = last.clone();
    let status = DesiredStatus { code: UNKNOWN, description: "Agent is not running".to_owned() };
    document.insert("lastDesiredStatus".to_owned(), json!(status));
    for section in ["modules", "systemModules"] {
        let modules = document.get_mut(section).and_then(Value::as_object_mut);
        for module in modules.into_iter().flat_map(Map::values_mut) {
            if let Some(module) = module.as_object_mut() {
                module.insert("runtimeStatus".to_owned(), json!(RuntimeStatus::Unknown));
            }
        }
    }
    document
}

/// For `GET /modules` of the workload API: names and states, nothing about settings.
pub(super) fn workload_modules(modules: &BTreeMap<String, Module>) -> Vec<Value> {
    let one = |(name, module): (&String, &Module)| {
        json!({
            "id": "id",
            "name": name,
            "type": module.kind,
            "config": {"settings": {}, "env": []},
            "status": {"runtimeStatus": {
                "status": module.reported.runtime_status,
                "description": module.reported.status_description,
            }},
        })
    };
    modules.iter().map(one).collect()
}

fn system_modules(agent: &Agent) -> BTreeMap<String, AgentModuleReported> {
    let own = |status| AgentModuleReported {
        kind: ModuleType::Docker,
        startup_order: Some(0),
        status_description: "part of hemline".to_owned(),
        last_start_time_utc: time(Some(agent.started)),
        last_exit_time_utc: NEVER.to_owned(),
        runtime_status: status,
        ..AgentModuleReported::default()
    };
    let mut hub = own(if agent.connected { RuntimeStatus::Running } else { RuntimeStatus::Unknown });
    hub.status = Some(ModuleStatus::Running);
    hub.restart_count = Some(0);
    hub.last_restart_time_utc = Some(NEVER.to_owned());
    BTreeMap::from([("edgeAgent".to_owned(), own(RuntimeStatus::Running)), ("edgeHub".to_owned(), hub)])
}

fn version() -> Version {
    Version { version: env!("CARGO_PKG_VERSION").to_owned(), ..Version::default() }
}

/// .NET's round-trip form without a zone.
fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| dotnet_time(at).trim_end_matches('Z').to_owned())
}

pub(super) fn shortened(text: &str) -> String {
    text.char_indices()
        .nth(LONGEST_TEXT)
        .map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", &text[..end]))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// A `null` member would mean "remove" to the hub, and would differ from what it has for ever.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            other
        }
    }
}
