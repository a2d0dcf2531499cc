//! `$edgeAgent` of a manifest → the modules of a document (reference edge-runtime §1.3, §1.4).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Notes, Section,
    notes::{escape, is_comment, words},
    section::Part,
};
use crate::{
    document::{CreateOptions, EnvValue, Module, RestartPolicy},
    edge::chunk,
    text::{self, SourceFile},
};

/// Reads the modules; says what of the rest is not kept.
pub(super) fn read(section: &Section, layered: bool, notes: &mut Notes<'_>) -> BTreeMap<String, Module> {
    let root = section.root();
    root.unknown(&["schemaVersion", "runtime", "systemModules", "modules", "integrity"], notes);
    if root.get("integrity").is_some() {
        notes.dropped(&root.pointer("integrity"), "the signature of the manifest is left out");
    }
    schema_version(&root, layered, notes);
    runtime(&root, notes);
    system_modules(&root, notes);
    let Some(all) = root.object("modules", notes) else { return BTreeMap::new() };
    notes.came("/spec/modules", root.pointer("modules"));
    let mut modules = BTreeMap::new();
    for name in all.map.keys() {
        if all.get(name).is_none() {
            let message = format!("{name:?} is removed by this layer; a document cannot do that");
            notes.dropped(&all.pointer(name), message);
        } else if let Some(part) = all.object(name, notes) {
            let whole = section.is_whole(part.tree());
            if layered && whole {
                let message = format!(
                    "in IoT Hub this replaces the whole module {name:?}; here a layer is merged by path, so \
                     variables and options of a lower layer stay"
                );
                notes.note("azure-layer", &all.pointer(name), message);
            }
            modules.insert(name.clone(), module(name, &part, whole, notes));
        }
    }
    modules
}

fn schema_version(root: &Part<'_>, layered: bool, notes: &mut Notes<'_>) {
    let pointer = root.pointer("schemaVersion");
    match root.text("schemaVersion", notes) {
        Some("1.0" | "1.1" | "1") => {}
        Some(other) => {
            let message = format!("schemaVersion {other:?} of $edgeAgent is not known");
            notes.error("azure-schema-version", &pointer, message).hint = Some("use 1.0 or 1.1".to_owned());
        }
        None if layered || root.get("schemaVersion").is_some() => {}
        None => {
            notes.warning("azure-schema-version", &pointer, "$edgeAgent has no schemaVersion; read as 1.1");
        }
    }
}

fn runtime(root: &Part<'_>, notes: &mut Notes<'_>) {
    let Some(runtime) = root.object("runtime", notes) else { return };
    runtime.unknown(&["type", "settings"], notes);
    if let Some(kind) = runtime.text("type", notes)
        && kind != "docker"
    {
        notes
            .error("azure-value", &runtime.pointer("type"), format!("the runtime {kind:?} is not known"))
            .hint = Some("use docker".to_owned());
    }
    let Some(settings) = runtime.object("settings", notes) else { return };
    settings.unknown(&["minDockerVersion", "loggingOptions", "registryCredentials"], notes);
    if settings.text("loggingOptions", notes).is_some_and(|text| !text.trim().is_empty()) {
        notes.dropped(&settings.pointer("loggingOptions"), "loggingOptions are left out").hint =
            Some("set createOptions.HostConfig.LogConfig of each module".to_owned());
    }
    let Some(logins) = settings.object("registryCredentials", notes) else { return };
    for name in logins.map.keys() {
        let address = logins.get(name).and_then(|login| login.get("address")).and_then(Value::as_str);
        let registry =
            address.map_or_else(|| format!("{name:?}"), |address| format!("the registry {address}"));
        let message = format!("the login for {registry} is left out: passwords do not belong into documents");
        let finding = notes.dropped(&logins.pointer(name), message);
        let host = address.unwrap_or("REGISTRY");
        finding.hint = Some(format!("run `docker login {host}` for the agent's user on each device"));
        // The line may hold the password itself.
        finding.source_line = None;
    }
}

/// Hemline's own programs take the place of the two system modules.
fn system_modules(root: &Part<'_>, notes: &mut Notes<'_>) {
    let Some(system) = root.object("systemModules", notes) else { return };
    system.unknown(&["edgeAgent", "edgeHub"], notes);
    for name in ["edgeAgent", "edgeHub"] {
        let Some(part) = system.object(name, notes) else { continue };
        let image = part.get("settings").and_then(|settings| settings.get("image")).and_then(Value::as_str);
        let image = image.map(|image| format!(" ({image})")).unwrap_or_default();
        let message = format!("{name}{image} is left out: hem takes its place");
        notes.note("azure-system-module", &system.pointer(name), message);
        if part.object("env", notes).is_some_and(|env| !env.map.is_empty()) {
            let message = format!("variables of {name} are left out; hem does not read them");
            notes.dropped(&part.pointer("env"), message);
        }
    }
}

fn module(name: &str, part: &Part<'_>, whole: bool, notes: &mut Notes<'_>) -> Module {
    let at = format!("/spec/modules/{}", escape(name));
    part.unknown(
        &[
            "version",
            "type",
            "status",
            "restartPolicy",
            "startupOrder",
            "imagePullPolicy",
            "env",
            "settings",
            "configuration",
        ],
        notes,
    );
    part.trail(&at, notes);
    if part.text("version", notes).is_some_and(|text| !text.trim().is_empty()) {
        let message =
            format!("the version of {name:?} is left out; nothing but the image tells versions apart");
        notes.note("azure-version", &part.pointer("version"), message);
    }
    if let Some(kind) = part.text("type", notes)
        && !kind.eq_ignore_ascii_case("docker")
    {
        let message = format!("the type {kind:?} of module {name:?} is not known");
        notes.error("azure-value", &part.pointer("type"), message).hint = Some("use docker".to_owned());
    }
    let restart_policy = part.choice("restartPolicy", "never, on-failure, on-unhealthy or always", notes);
    let mut module = Module {
        // What IoT Edge does when a module does not say it; a document's own default is another.
        restart_policy: restart_policy.or(whole.then_some(RestartPolicy::OnUnhealthy)),
        status: part.choice("status", "running or stopped", notes),
        startup_order: order(part, notes),
        image_pull_policy: part.choice("imagePullPolicy", "on-create or never", notes),
        env: environment(&at, part, notes),
        ..Module::default()
    };
    if let Some(settings) = part.object("settings", notes) {
        container(&at, &settings, &mut module, notes);
    }
    module
}

fn order(part: &Part<'_>, notes: &mut Notes<'_>) -> Option<u32> {
    let number = part.whole_number("startupOrder", notes)?;
    let read = u32::try_from(number).ok();
    if read.is_none() {
        let message = format!("{number} is out of range; startupOrder is 0 to {}", u32::MAX);
        notes.error("azure-value", &part.pointer("startupOrder"), message);
    }
    read
}

fn environment(at: &str, part: &Part<'_>, notes: &mut Notes<'_>) -> BTreeMap<String, EnvValue> {
    let mut variables = BTreeMap::new();
    let Some(env) = part.object("env", notes) else { return variables };
    // A variable of that name has its wrapper, a comment has none.
    for (name, _) in env.map.iter().filter(|(name, value)| value.is_object() || !is_comment(name)) {
        let pointer = env.pointer(name);
        let value = match env.get(name) {
            // Dotted keys may give the variable without its wrapper, or take it away.
            Some(Value::Object(_)) => {
                let Some(entry) = env.object(name, notes) else { continue };
                entry.unknown(&["value"], notes);
                notes.came(format!("{at}/env/{}", escape(name)), entry.pointer("value"));
                entry.get("value").cloned().unwrap_or(Value::Null)
            }
            None => {
                notes.dropped(
                    &pointer,
                    format!("{name:?} is removed by this layer; a document cannot do that"),
                );
                continue;
            }
            Some(other) => {
                notes.came(format!("{at}/env/{}", escape(name)), pointer.clone());
                other.clone()
            }
        };
        let value = match value {
            Value::Null => EnvValue::Text(String::new()),
            Value::String(text) => EnvValue::Text(text),
            Value::Bool(flag) => EnvValue::Bool(flag),
            Value::Number(number) => EnvValue::Number(number),
            other @ (Value::Array(_) | Value::Object(_)) => {
                let message =
                    format!("a variable is a text, number or truth value; this is {}", words(&other));
                notes.error("azure-value", &pointer, message);
                continue;
            }
        };
        variables.insert(name.clone(), value);
    }
    variables
}

fn container(at: &str, settings: &Part<'_>, module: &mut Module, notes: &mut Notes<'_>) {
    let is_piece = |key: &str| {
        let digits = key.get(13..).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        digits && key.get(..13).is_some_and(|head| head.eq_ignore_ascii_case("createOptions"))
    };
    let pieces: Map<String, Value> = settings
        .map
        .iter()
        .filter(|(key, _)| is_piece(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let rest = settings.map.keys().filter(|key| !is_piece(key));
    notes.unknown(rest.map(|key| (key, settings.pointer(key))), &["image", "digest"]);
    if settings.text("digest", notes).is_some_and(|text| !text.trim().is_empty()) {
        notes.dropped(&settings.pointer("digest"), "the digest is left out").hint =
            Some("write it into the image: name@sha256:…".to_owned());
    }
    notes.came(format!("{at}/image"), settings.pointer("image"));
    module.image = settings.text("image", notes).map(str::to_owned);
    let Some(first) = pieces.keys().min_by_key(|key| key.len()) else { return };
    let pointer = settings.pointer(first);
    notes.came(format!("{at}/createOptions"), pointer.clone());
    module.create_options = match (pieces.len(), pieces.get(first)) {
        (1, Some(Value::Null)) => None,
        // Validation says where in the text it is wrong.
        (1, Some(Value::String(text))) if first.len() == 13 => Some(match chunk::parse(text) {
            Ok(options) if options.is_empty() => return,
            Ok(options) => CreateOptions::Object(options),
            Err(_) => match loose(text) {
                Some(options) => {
                    let message = "createOptions are no strict JSON; they are read as IoT Edge reads them";
                    notes.warning("azure-loose-json", &pointer, message).hint =
                        Some("write names and texts in double quotes".to_owned());
                    CreateOptions::Object(options)
                }
                None => CreateOptions::Text(text.clone()),
            },
        }),
        (_, _) => match chunk::read(&pieces) {
            Ok(options) => Some(CreateOptions::Object(options)),
            Err(why) => {
                notes.error("azure-create-options", &pointer, why.to_string());
                None
            }
        },
    };
}

/// The agent of IoT Edge also takes single quotes, and names without any.
fn loose(text: &str) -> Option<Map<String, Value>> {
    let file = SourceFile { path: "createOptions".into(), bytes: text.as_bytes().to_vec() };
    let (mut read, findings) = text::read(&file);
    let only =
        read.pop().filter(|_| read.is_empty() && findings.is_empty() && text.trim().starts_with('{'))?;
    match only.value {
        Value::Object(options) => Some(options),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}
