//! The twins of `$edgeAgent` and `$edgeHub`, explained: which modules restart, which change live, which routes move.

use hemline_model::{
    edge::{
        AgentDesired, AgentModule, EnvEntry, HubDesired, HubRoute, ModuleSettings, ModuleStatus, SealedValue,
    },
    id::ModuleId,
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Action;
use crate::{
    change::{self, Change, changes},
    desired::object,
};

/// What changes for the agent. Both sides are desired properties of `$edgeAgent`; at least one action when they differ.
pub(super) fn agent(have: &Map<String, Value>, want: &Map<String, Value>) -> Vec<Action> {
    let (old, new) = (AgentDesired::parse(have).ok(), AgentDesired::parse(want).ok());
    let none = std::collections::BTreeMap::new();
    let old_modules = old.as_ref().map_or(&none, |agent| &agent.modules);
    let new_modules = new.as_ref().map_or(&none, |agent| &agent.modules);
    let mut actions = Vec::new();
    for (name, module) in new_modules {
        let Ok(id) = ModuleId::new(name) else { continue };
        match old_modules.get(name) {
            None => actions.push(Action::CreateModule {
                module: id,
                runs: runs(&module.settings),
                started: module.status == ModuleStatus::Running,
            }),
            Some(before) => actions.extend(module_change(id, before, module)),
        }
    }
    for name in old_modules.keys().filter(|name| !new_modules.contains_key(*name)) {
        if let Ok(module) = ModuleId::new(name) {
            actions.push(Action::RemoveModule { module });
        }
    }
    if have.is_empty() {
        if actions.is_empty() {
            actions.push(Action::ConfigureAgent);
        }
        return actions;
    }
    let mut others = changes("", &rest(have, "modules"), &rest(want, "modules"));
    if actions.is_empty() && others.is_empty() {
        // Differs in a way that means the same, such as chunks of another size: written anyway, and said.
        others = changes("", have, want);
    }
    if !others.is_empty() {
        actions.push(Action::UpdateAgent { changes: others });
    }
    actions
}

/// What changes for the edge hub. Both sides are desired properties of `$edgeHub`; at least one action when they differ.
pub(super) fn hub(have: &Map<String, Value>, want: &Map<String, Value>) -> Vec<Action> {
    let (old, new) = (HubDesired::parse(have).ok(), HubDesired::parse(want).ok());
    let none = std::collections::BTreeMap::new();
    let old_routes = old.as_ref().map_or(&none, |hub| &hub.routes);
    let new_routes = new.as_ref().map_or(&none, |hub| &hub.routes);
    let mut actions = Vec::new();
    let text = |route: &HubRoute| Value::from(route.route.as_str());
    for (name, route) in new_routes {
        match old_routes.get(name) {
            None => actions.push(Action::AddRoute {
                route: name.clone(),
                change: Change::new("route", None, Some(&text(route))),
            }),
            Some(before) if before != route => actions.push(Action::SetRoute {
                route: name.clone(),
                changes: changes("", &route_map(before), &route_map(route)),
            }),
            Some(_) => {}
        }
    }
    for (name, route) in old_routes.iter().filter(|(name, _)| !new_routes.contains_key(*name)) {
        let change = Change::new("route", Some(&text(route)), None);
        actions.push(Action::RemoveRoute { route: name.clone(), change });
    }
    if have.is_empty() {
        if actions.is_empty() {
            actions.push(Action::ConfigureHub);
        }
        return actions;
    }
    let mut others = changes("", &rest(have, "routes"), &rest(want, "routes"));
    if actions.is_empty() && others.is_empty() {
        others = changes("", have, want);
    }
    if !others.is_empty() {
        actions.push(Action::UpdateHub { changes: others });
    }
    actions
}

fn module_change(module: ModuleId, before: &AgentModule, after: &AgentModule) -> Option<Action> {
    if before == after {
        return None;
    }
    let recreate = changes("", &fixed(before), &fixed(after));
    let live = changes("", &settings(before), &settings(after));
    if !recreate.is_empty() {
        let because = recreate.into_iter().chain(live).collect();
        return Some(Action::RecreateModule { module, because });
    }
    match (live.as_slice(), after.status) {
        ([only], ModuleStatus::Running) if only.path == "status" => Some(Action::StartModule { module }),
        ([only], ModuleStatus::Stopped) if only.path == "status" => Some(Action::StopModule { module }),
        ([], _) => None,
        (_, _) => Some(Action::UpdateModule { module, changes: live }),
    }
}

/// What a running module cannot change: it is made anew (reference edge-runtime §3.3).
fn fixed(module: &AgentModule) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "version", module.version.as_deref().map(Value::from));
    put(&mut map, "type", serde_json::to_value(module.settings.kind()).ok());
    let env: Map<String, Value> =
        module.env.iter().map(|(key, entry)| (key.clone(), Value::from(shown(module, entry)))).collect();
    map.insert("env".to_owned(), Value::Object(env));
    match &module.settings {
        ModuleSettings::Docker(docker) => {
            put(&mut map, "image", Some(docker.image.as_str().into()));
            put(&mut map, "digest", docker.digest.as_deref().map(Value::from));
            map.insert("createOptions".to_owned(), Value::Object(docker.create_options.clone()));
        }
        ModuleSettings::Process(process) => {
            put(&mut map, "command", serde_json::to_value(&process.command).ok());
            put(&mut map, "workingDirectory", process.working_directory.as_deref().map(Value::from));
            put(&mut map, "limits", process.limits.and_then(|limits| serde_json::to_value(limits).ok()));
        }
    }
    map
}

/// The value of a variable; of an encrypted one a mark that changes with it.
fn shown(module: &AgentModule, entry: &EnvEntry) -> String {
    let text = entry.as_text();
    let Some(wanted) = &entry.secret_ref else { return text };
    let Some(secret) = module.secrets.iter().find(|secret| secret.name == wanted.name) else { return text };
    let sealed = secret.open().ok();
    let value = sealed.as_ref().and_then(|sealed| sealed.entry(&wanted.key));
    // What is hashed is in the repository already, and encrypted anew it is another text.
    match value {
        Some((SealedValue(_, value), _)) => format!("{text} (encrypted {})", mark(value)),
        None => text,
    }
}

fn mark(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What changes without touching the running module.
fn settings(module: &AgentModule) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "status", serde_json::to_value(module.status).ok());
    put(&mut map, "restartPolicy", serde_json::to_value(module.restart_policy).ok());
    put(&mut map, "startupOrder", module.startup_order.map(Value::from));
    put(&mut map, "imagePullPolicy", serde_json::to_value(module.image_pull_policy).ok());
    put(&mut map, "health", module.health.as_ref().and_then(|health| serde_json::to_value(health).ok()));
    // Another value of the same document is none of this module's business, but the proof over all of them comes with it.
    let documents =
        module.secrets.iter().map(|secret| (secret.name.clone(), mark(&secret.sealed.concat()).into()));
    put(
        &mut map,
        "secretDocuments",
        (!module.secrets.is_empty()).then(|| Value::Object(documents.collect())),
    );
    map
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

fn route_map(route: &HubRoute) -> Map<String, Value> {
    let HubRoute { route, priority, time_to_live_secs } = route;
    let mut map = Map::new();
    put(&mut map, "route", Some(route.as_str().into()));
    put(&mut map, "priority", priority.map(Value::from));
    put(&mut map, "timeToLiveSecs", time_to_live_secs.map(Value::from));
    map
}

/// Everything but one member; an empty one counts as none.
fn rest(map: &Map<String, Value>, without: &str) -> Map<String, Value> {
    let mut rest = map.clone();
    rest.remove(without);
    rest.retain(|key, _| !(map.get(key).is_some_and(Value::is_object) && object(map, key).is_empty()));
    rest
}

/// Image, or program and arguments, on one line.
fn runs(settings: &ModuleSettings) -> String {
    match settings {
        ModuleSettings::Docker(docker) => docker.image.clone(),
        ModuleSettings::Process(process) => {
            let command: Vec<&str> = process.command.iter().map(String::as_str).collect();
            change::arguments(&command).join(" ")
        }
    }
}
