//! Meaning inside one module of a deployment.

use std::collections::BTreeMap;

use hemline_query::near;

use super::{Context, EnvSetting, ModuleSpec, create_options, escape, health, idle, image, secret::Secrets};
use crate::{
    Packed,
    document::{EnvObject, EnvValue, Module, ModuleType},
    id::ModuleId,
    twin::Which,
};

/// Variables that the agent sets (reference edge-runtime §3.8).
pub(super) const INJECTED: [&str; 8] = [
    "IOTEDGE_WORKLOADURI",
    "IOTEDGE_MODULEGENERATIONID",
    "IOTEDGE_MODULEID",
    "IOTEDGE_DEVICEID",
    "IOTEDGE_IOTHUBHOSTNAME",
    "IOTEDGE_GATEWAYHOSTNAME",
    "IOTEDGE_APIVERSION",
    "IOTEDGE_AUTHSCHEME",
];

/// Is the deployment a base, whose modules are complete, or a layer, whose modules may be pieces?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Base,
    Above,
}

impl Layer {
    pub(super) fn of(layered: bool) -> Self {
        if layered { Self::Above } else { Self::Base }
    }
}

/// Judges one module. `None` when its name is no module id.
pub(super) fn check(
    name: &str,
    module: &Module,
    layer: Layer,
    context: &mut Context<'_>,
) -> Option<(ModuleId, Box<ModuleSpec>)> {
    let at = format!("/spec/modules/{}", escape(name));
    let id = module_name(name, &at, context);
    let create_options = match &module.create_options {
        Some(options) => create_options::check(options, &format!("{at}/createOptions"), context),
        None => None,
    };
    runtime(module, layer, &at, context);
    idle::check(module, create_options.as_deref(), &at, context);
    if let Some(image) = &module.image {
        image::check(image, &format!("{at}/image"), context);
    }
    if let Some(asked) = &module.health {
        health::check(asked, layer, &format!("{at}/health"), context);
    }
    let env = environment(&module.env, &format!("{at}/env"), context);
    if let Some(desired) = &module.desired {
        context.twin(desired, Which::Desired, &format!("{at}/desired"));
    }
    let spec = ModuleSpec {
        kind: module.kind,
        image: module.image.as_ref().map(|image| image.trim().to_owned()),
        create_options: create_options.as_deref().map(Packed::of),
        env,
        restart_policy: module.restart_policy,
        status: module.status,
        startup_order: module.startup_order,
        image_pull_policy: module.image_pull_policy,
        health: module.health.clone(),
        desired: module.desired.as_ref().map(Packed::of),
        command: module.command.clone(),
        working_directory: module.working_directory.clone(),
        limits: module.limits,
    };
    Some((id?, Box::new(spec)))
}

/// `^[a-zA-Z0-9_-]+$`, as the agent wants it (reference edge-runtime §1.3).
fn module_name(name: &str, at: &str, context: &mut Context<'_>) -> Option<ModuleId> {
    if matches!(name, "$edgeAgent" | "$edgeHub" | "edgeAgent" | "edgeHub") {
        let message = format!("{name} belongs to the runtime, a deployment has no say in it");
        context.error_at_key("module-name", at, message).hint = Some("remove it".to_owned());
        return None;
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        Some(found) => {
            let message =
                format!("the module name {name:?} contains {found:?}; allowed are letters, digits, _ and -");
            context.error_at_key("module-name", at, message);
            None
        }
        None => match ModuleId::new(name) {
            Ok(id) => Some(id),
            Err(why) => {
                context.error_at_key("module-name", at, why.to_string());
                None
            }
        },
    }
}

/// What the runtime needs, and what it has no use for.
fn runtime(module: &Module, layer: Layer, at: &str, context: &mut Context<'_>) {
    // A layer that does not name the runtime leaves it to the layers below.
    let Some(kind) = module.kind.or((layer == Layer::Base).then_some(ModuleType::Docker)) else { return };
    if context.was_dropped(&format!("{at}/type")) {
        return;
    }
    let absent =
        |field: &str, is_none: bool| is_none && layer == Layer::Base && !context.was_slip_of(at, field);
    match kind {
        ModuleType::Docker if absent("image", module.image.is_none()) => {
            let finding = context.error_at_key("module-needs-image", at, "a docker module needs an image");
            finding.hint = Some(match module.command {
                Some(_) => "add `type: process` if the command runs on the host".to_owned(),
                None => "add `image:`".to_owned(),
            });
        }
        ModuleType::Process if absent("command", module.command.is_none()) => {
            let finding =
                context.error_at_key("module-needs-command", at, "a process module needs a command");
            finding.hint = Some("add `command: [program, argument]`".to_owned());
        }
        ModuleType::Docker | ModuleType::Process => {}
    }
    if module
        .command
        .as_ref()
        .is_some_and(|command| command.first().is_none_or(|program| program.trim().is_empty()))
    {
        context.error_at_key(
            "module-needs-command",
            &format!("{at}/command"),
            "the command names no program",
        );
    }
    let useless: [(&str, bool, &str); 3] = match kind {
        ModuleType::Docker => [
            ("command", module.command.is_some(), "write createOptions: {Cmd: […]}, or use `type: process`"),
            ("workingDirectory", module.working_directory.is_some(), "write createOptions: {WorkingDir: …}"),
            ("limits", module.limits.is_some(), "write createOptions: {HostConfig: {Memory: …}}"),
        ],
        ModuleType::Process => [
            ("image", module.image.is_some(), "remove it, or use `type: docker`"),
            ("createOptions", module.create_options.is_some(), "remove it, or use `type: docker`"),
            ("imagePullPolicy", module.image_pull_policy.is_some(), "remove it, or use `type: docker`"),
        ],
    };
    // Without an image a command already got the better hint above.
    let told = kind == ModuleType::Docker && layer == Layer::Base && module.image.is_none();
    for (field, _, hint) in
        useless.into_iter().filter(|(field, present, _)| *present && !(told && *field == "command"))
    {
        let word = match kind {
            ModuleType::Docker => "docker",
            ModuleType::Process => "process",
        };
        let message = format!("a {word} module has no {field}");
        context.error_at_key("wrong-runtime-field", &format!("{at}/{field}"), message).hint =
            Some(hint.to_owned());
    }
}

fn environment(
    env: &BTreeMap<String, EnvValue>,
    at: &str,
    context: &mut Context<'_>,
) -> BTreeMap<String, EnvSetting> {
    let mut texts = BTreeMap::new();
    for (name, value) in env {
        let pointer = format!("{at}/{}", escape(name));
        let bad = |c: &char| matches!(c, '+' | '#' | '$' | '.' | '=') || c.is_whitespace() || c.is_control();
        if let Some(found) = name.chars().find(bad) {
            let message = format!(
                "the variable name {name:?} contains {found:?}; white space and + # $ . = are not allowed"
            );
            context.error_at_key("env-name", &pointer, message);
        } else if name.is_empty() {
            context.error_at_key("env-name", &pointer, "the variable name is empty");
        }
        if let Some(text) = variable(value, &pointer, context) {
            texts.insert(name.clone(), text);
        }
    }
    for name in texts.keys() {
        let same = INJECTED.iter().find(|injected| *injected == name);
        if same.is_some() {
            let message =
                format!("{name} is set by the agent; a value of your own breaks the module's identity");
            context.warning("env-reserved", &format!("{at}/{}", escape(name)), message);
        } else if name.starts_with("IOTEDGE_")
            && let Some(near) = near(name, INJECTED.into_iter())
        {
            let message = format!("{name} is close to {near}, which the agent sets");
            context.warning("env-reserved", &format!("{at}/{}", escape(name)), message);
        }
    }
    texts
}

/// Gives each variable that names an encrypted document of the repository that document.
pub(super) fn seal(module: &mut ModuleSpec, at: &str, secrets: &Secrets, context: &mut Context<'_>) {
    for (name, setting) in &mut module.env {
        if let EnvSetting::Secret { secret_ref, secret_sealed } = setting {
            let pointer = format!("{at}/env/{}/secretRef", escape(name));
            *secret_sealed = secrets.find(secret_ref, &pointer, context);
        }
    }
}

/// The value as the module will see it; a secret without its document yet.
fn variable(value: &EnvValue, pointer: &str, context: &mut Context<'_>) -> Option<EnvSetting> {
    let text = |text| Some(EnvSetting::Text(text));
    match value {
        EnvValue::Text(written) => text(written.clone()),
        EnvValue::Bool(flag) => text(flag.to_string()),
        EnvValue::Number(number) => text(number.to_string()),
        EnvValue::Object(EnvObject { value: Some(value), secret_ref: None }) => text(value.text()),
        EnvValue::Object(EnvObject { value: None, secret_ref: Some(secret) }) => match secret.check() {
            Ok(()) => Some(EnvSetting::Secret { secret_ref: secret.clone(), secret_sealed: None }),
            Err(why) => {
                context.error("secret-ref", &format!("{pointer}/secretRef"), why);
                None
            }
        },
        EnvValue::Object(EnvObject { value: None, secret_ref: None }) => {
            if !context.was_slip_of(pointer, "value") && !context.was_slip_of(pointer, "secretRef") {
                context.error("env-value", pointer, "the variable has neither value nor secretRef");
            }
            None
        }
        EnvValue::Object(EnvObject { value: Some(_), secret_ref: Some(_) }) => {
            context.error("env-value", pointer, "the variable has value and secretRef; one of them must go");
            None
        }
    }
}
