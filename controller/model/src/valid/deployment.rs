//! Meaning inside one `EdgeDeployment`: target condition, routes, durations; and what it says of others: modules that its routes name, secrets. Its own modules: `module.rs`; its
//! rollout: `rollout.rs`.

use std::collections::BTreeMap;

use hemline_query::{
    near,
    route::{Route, Sink},
    select::Source,
    target::TargetCondition,
};

use super::{
    Context, EdgeDeploymentSpec, RouteSettings, beside::Beside, broker, duration, escape, idle, module,
    rollout, secret::Secrets,
};
use crate::{
    document::{self, EdgeDeployment},
    finding::Severity,
    text::InText,
};

/// Most modules of a deployment (reference edge-runtime §1.1).
const MODULES: usize = 50;

/// A deployment of which everything is judged that does not take another document.
pub(super) struct Alone {
    /// `metadata.name`, as written.
    pub(super) name: String,
    /// `None` when its target condition is not known.
    pub(super) spec: Option<EdgeDeploymentSpec>,
    /// Routes that are written as objects, so that their text stands one level deeper.
    objects: Vec<String>,
}

/// Judges one deployment alone.
pub(super) fn alone(document: EdgeDeployment, context: &mut Context<'_>) -> Alone {
    let EdgeDeployment { metadata, spec, .. } = document;
    let is_object = |route: &document::Route| matches!(route, document::Route::Object(_));
    let objects = spec.routes.iter().filter(|(_, route)| is_object(route)).map(|(name, _)| name.clone());
    let objects = objects.collect();
    Alone { name: metadata.name, spec: check(spec, context), objects }
}

/// Judges what it says of others: `beside` names the modules that may be on a device together with this one's, `secrets` those
/// of the whole repository.
pub(super) fn together(
    Alone { spec, objects, .. }: Alone,
    beside: &Beside<'_>,
    secrets: &Secrets,
    context: &mut Context<'_>,
) -> Option<EdgeDeploymentSpec> {
    let mut spec = spec?;
    for (name, module) in &mut spec.modules {
        module::seal(module, &format!("/spec/modules/{name}"), secrets, context);
    }
    for (name, route) in &spec.routes {
        let (route, RouteSettings { text, .. }) = &**route;
        let at = format!("/spec/routes/{}", escape(name));
        let pointer = if objects.contains(name) { format!("{at}/route") } else { at };
        known_modules(route, (&pointer, text), beside, context);
    }
    Some(spec)
}

fn check(spec: document::EdgeDeploymentSpec, context: &mut Context<'_>) -> Option<EdgeDeploymentSpec> {
    let condition = target(&spec.target_condition, "/spec/targetCondition", context);
    if spec.modules.len() > MODULES {
        let message = format!("{} modules, at most {MODULES} fit on a device", spec.modules.len());
        context.error("too-many-modules", "/spec/modules", message);
    }
    idle::same_order(&spec, context);
    let modules = spec.modules.iter().filter_map(|(name, module)| {
        let kept = module::check(name, module, module::Layer::of(spec.layered), context)?;
        Some(kept)
    });
    let modules: BTreeMap<_, _> = modules.collect();
    let mut routes = BTreeMap::new();
    for (name, written) in &spec.routes {
        if let Some(valid) = route(name, written, context) {
            routes.insert(name.clone(), Box::new(valid));
        }
    }
    let store = spec.store_and_forward.as_ref();
    let store_and_forward_secs =
        store.and_then(|store| span(&store.time_to_live, "/spec/storeAndForward/timeToLive", context));
    if spec.manifest.is_none() && !spec.variables.is_empty() {
        let message = "variables say nothing without a manifest";
        context.warning("no-effect", "/spec/variables", message).hint =
            Some("name one with `manifest:`, or remove them".to_owned());
    }
    let rollout = spec.rollout.as_ref().map(|written| rollout::check(written, context));
    if let Some(written) = &spec.broker {
        broker::check(written, context);
    }
    Some(EdgeDeploymentSpec {
        condition: condition?,
        priority: spec.priority,
        layered: spec.layered,
        modules,
        routes,
        store_and_forward_secs,
        broker: spec.broker.unwrap_or_default(),
        rollout,
        drift: spec.drift,
    })
}

/// A condition over devices.
pub(super) fn target(text: &str, pointer: &str, context: &mut Context<'_>) -> Option<TargetCondition> {
    let condition = condition(text, pointer, context)?;
    if condition.source() == Source::Devices {
        return Some(condition);
    }
    let message = "a deployment selects devices; this condition selects modules";
    context.error("target-condition", pointer, message).hint =
        Some("leave out `FROM devices.modules WHERE`".to_owned());
    None
}

/// A condition over devices or modules.
pub(super) fn condition(text: &str, pointer: &str, context: &mut Context<'_>) -> Option<TargetCondition> {
    match TargetCondition::parse(text) {
        Ok(condition) => {
            context.diagnostics(
                Severity::Warning,
                "condition-suspicious",
                (pointer, text),
                condition.warnings(),
            );
            Some(condition)
        }
        Err(diagnostics) => {
            context.diagnostics(Severity::Error, "target-condition", (pointer, text), &diagnostics);
            None
        }
    }
}

fn span(text: &str, pointer: &str, context: &mut Context<'_>) -> Option<u64> {
    match duration::seconds(text) {
        Ok(seconds) => Some(seconds),
        Err(why) => {
            context.error("duration", pointer, why);
            None
        }
    }
}

fn route(name: &str, written: &document::Route, context: &mut Context<'_>) -> Option<(Route, RouteSettings)> {
    let at = format!("/spec/routes/{}", escape(name));
    let bad = |c: char| matches!(c, '.' | '$' | '#') || c.is_whitespace() || c.is_control();
    if let Some(found) = name.chars().find(|c| bad(*c)) {
        let message =
            format!("the route name {name:?} contains {found:?}; white space and . $ # are not allowed");
        context.error_at_key("route-name", &at, message);
    } else if name.is_empty() {
        context.error_at_key("route-name", &at, "the route name is empty");
    }
    let (text, pointer, priority, time_to_live) = match written {
        document::Route::Text(text) => (text, at, None, None),
        document::Route::Object(object) => {
            let pointer = format!("{at}/timeToLive");
            let time_to_live = object.time_to_live.as_ref().and_then(|text| span(text, &pointer, context));
            (&object.route, format!("{at}/route"), object.priority, time_to_live)
        }
    };
    match Route::parse(text) {
        Ok(route) => {
            context.diagnostics(Severity::Warning, "route-suspicious", (&pointer, text), route.warnings());
            Some((route, RouteSettings { text: text.clone(), priority, time_to_live_secs: time_to_live }))
        }
        Err(diagnostics) => {
            context.diagnostics(Severity::Error, "route-syntax", (&pointer, text), &diagnostics);
            None
        }
    }
}

/// A route may name modules of other layers, but not modules that nobody deploys.
fn known_modules(
    route: &Route,
    (pointer, text): (&str, &str),
    beside: &Beside<'_>,
    context: &mut Context<'_>,
) {
    let sink = match route.sink() {
        Sink::Module { module, .. } => route.sink_module_span().map(|span| (module.as_str(), span)),
        Sink::Upstream => None,
    };
    let source = route.source_module().zip(route.source_module_span());
    for (module, span) in source.into_iter().chain(sink) {
        if beside.contains(module) || module.starts_with('$') {
            continue;
        }
        let message = format!("no deployment that could be on the same device has a module {module:?}");
        let place = InText { pointer, text, start: span.start, end: span.end };
        let names = beside.names();
        let near = near(module, names.iter().copied());
        let fix = near.and_then(|near| context.located.fix_within(place, near));
        let finding = context.error_in("route-unknown-module", place, message);
        finding.hint = near.map(|near| format!("did you mean {near:?}?"));
        finding.fix = fix;
        let some: Vec<&str> = names.iter().copied().take(12).collect();
        let more = if names.len() > some.len() { ", …" } else { "" };
        finding.notes.push(match some.as_slice() {
            [] => "there are no modules".to_owned(),
            _ => format!("modules there: {}{more}", some.join(", ")),
        });
    }
}
