//! What a module says that nobody acts on, or that another value of the same module takes the place of.

use serde_json::Value;

use super::{Context, escape, module::INJECTED};
use crate::{
    document::{EdgeDeploymentSpec, Module, ModuleStatus, ModuleType, Object, RestartPolicy},
    engine::member,
};

/// Judges one module; `options` are its createOptions, parsed.
pub(super) fn check(module: &Module, options: Option<&Object>, at: &str, context: &mut Context<'_>) {
    if let Some(options) = options {
        variables(module, options, at, context);
    }
    if let (Some(ModuleStatus::Stopped), Some(policy)) = (module.status, module.restart_policy)
        && policy != RestartPolicy::Never
    {
        let message = "a stopped module is not started again, whatever its restartPolicy";
        context.note("no-effect", &format!("{at}/restartPolicy"), message);
    }
    if module.restart_policy == Some(RestartPolicy::OnUnhealthy)
        && let Some(why) = no_health(module, options)
    {
        let message = format!("on-unhealthy is the same as on-failure here: {why}");
        context.warning("no-effect", &format!("{at}/restartPolicy"), message).hint =
            Some("write on-failure, or add `health:`".to_owned());
    }
}

/// Why the module can never be unhealthy.
fn no_health(module: &Module, options: Option<&Object>) -> Option<&'static str> {
    if module.health.is_some() {
        return None;
    }
    if module.kind == Some(ModuleType::Process) {
        return Some("a process without `health` has no health check");
    }
    let (_, health) = member(options?, "Healthcheck")?;
    let (_, test) = member(health.as_object()?, "Test")?;
    let first = test.as_array()?.first()?.as_str()?;
    (first == "NONE").then_some("the createOptions turn the health check off")
}

/// The same tag can be another image tomorrow, and nobody sees which one runs.
pub(super) fn tag(image: &str, pointer: &str, context: &mut Context<'_>) {
    let name = image.rsplit('/').next().unwrap_or(image);
    let message = match name.split_once([':', '@']) {
        None if name.is_empty() => return,
        None => "the image has no tag, so the engine takes whatever is called latest",
        Some((_, "latest")) => "latest is another image from time to time, and devices do not notice",
        Some(_) => return,
    };
    context.note("image-tag", pointer, message).hint = Some("name a version, or a digest".to_owned());
}

/// Variables of the createOptions come after those of `env` and take their place (reference edge-runtime §3.8).
fn variables(module: &Module, options: &Object, at: &str, context: &mut Context<'_>) {
    let Some((key, Value::Array(lines))) = member(options, "Env") else { return };
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = line.as_str().and_then(|line| line.split('=').next()) else { continue };
        let pointer = format!("{at}/createOptions/{}/{index}", escape(key));
        if INJECTED.contains(&name) {
            let message =
                format!("{name} is set by the agent; a value of your own breaks the module's identity");
            context.warning("env-reserved", &pointer, message);
        } else if module.env.contains_key(name) {
            let message = format!("{name} is in env as well; the module sees this one");
            context.warning("env-twice", &pointer, message).hint = Some("remove one of them".to_owned());
        }
    }
}

/// An order in which everything is first.
pub(super) fn same_order(spec: &EdgeDeploymentSpec, context: &mut Context<'_>) {
    let mut orders = spec.modules.iter().map(|(name, module)| (name, module.startup_order));
    let (Some((first, Some(order))), false) = (orders.next(), spec.layered) else { return };
    if spec.modules.len() > 1 && orders.all(|(_, other)| other == Some(order)) {
        let message =
            format!("every module of this deployment has startupOrder {order}, so they start together");
        let pointer = format!("/spec/modules/{}/startupOrder", escape(first));
        context.note("no-effect", &pointer, message).hint = Some("give them different numbers".to_owned());
    }
}
