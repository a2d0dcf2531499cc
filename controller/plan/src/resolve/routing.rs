//! Routes that name a module which no device of the deployment has, or only some.

use std::collections::BTreeSet;

use hemline_model::{DeploymentDoc, Finding, Severity, id::ModuleId, valid::InText};
use hemline_query::{Span, near, route::Sink};

use super::{Problem, layer::pointer};

/// Modules listed in a note.
const LISTED_AT_MOST: usize = 12;

pub(super) fn unknown(
    deployment: &DeploymentDoc,
    modules: &BTreeSet<&ModuleId>,
    devices: usize,
) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, route) in &deployment.spec.routes {
        let (route, settings) = &**route;
        let place = Place { deployment, route: name, text: &settings.text, modules, devices };
        if let Sink::Module { module, .. } = route.sink()
            && let Some(finding) = place.judge(module, route.sink_module_span(), Severity::Error)
        {
            found.push(Problem(finding));
        }
        // Such a route is no use, but it does no harm either: the module may come from somewhere else.
        if let Some(module) = route.source_module()
            && let Some(finding) = place.judge(module, route.source_module_span(), Severity::Warning)
        {
            found.push(Problem(finding));
        }
    }
    found
}

/// Routes into a module that other devices of the deployment have (`anywhere`), but those at hand have not.
pub(super) fn partly(
    deployment: &DeploymentDoc,
    anywhere: &BTreeSet<&ModuleId>,
    has: impl Fn(&str) -> bool,
    in_force: impl Fn(&str) -> bool,
) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, route) in &deployment.spec.routes {
        let (route, settings) = &**route;
        let Sink::Module { module, .. } = route.sink() else { continue };
        let known = anywhere.iter().any(|have| have.as_str() == module);
        let Some(span) = route.sink_module_span().filter(|_| known && !has(module) && in_force(name)) else {
            continue;
        };
        let at = written_at(deployment, name);
        let place = InText { pointer: &at, text: &settings.text, start: span.start, end: span.end };
        let message = format!("some devices that get this deployment have no module {module:?}");
        let finding = deployment.finding_in(Severity::Warning, "route-unknown-module", place, message);
        found.push(Problem(finding.with_hint("its messages wait there for a receiver that never comes")));
    }
    found
}

/// A route is written as a text or as an object with the text in it.
fn written_at(deployment: &DeploymentDoc, route: &str) -> String {
    let outer = pointer(&["routes".to_owned(), route.to_owned()]);
    let inner = format!("{outer}/route");
    if deployment.located.says(&inner) { inner } else { outer }
}

struct Place<'a> {
    deployment: &'a DeploymentDoc,
    route: &'a str,
    text: &'a str,
    modules: &'a BTreeSet<&'a ModuleId>,
    devices: usize,
}

impl Place<'_> {
    fn judge(&self, module: &str, span: Option<Span>, severity: Severity) -> Option<Finding> {
        if self.modules.iter().any(|have| have.as_str() == module) {
            return None;
        }
        let at = written_at(self.deployment, self.route);
        let span = span.unwrap_or(Span { start: 0, end: self.text.len() });
        let message = format!("no device that gets this deployment has a module {module:?}");
        let place = InText { pointer: &at, text: self.text, start: span.start, end: span.end };
        let names = || self.modules.iter().map(|module| module.as_str());
        let near = near(module, names());
        let fix = near.and_then(|name| self.deployment.located.fix_within(place, name));
        let hint = near.map(|name| format!("did you mean {name:?}?"));
        let devices = if self.devices == 1 { "1 device" } else { &format!("{} devices", self.devices) };
        let listed: Vec<_> = names().take(LISTED_AT_MOST).collect();
        let there = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
        Some(
            self.deployment
                .finding_in(severity, "route-unknown-module", place, message)
                .with_hint_if(hint)
                .with_fix(fix)
                .with_note(format!("targets {devices}; modules there: {there}")),
        )
    }
}
