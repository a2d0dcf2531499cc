//! One document between text and meaning: its shape is checked, and what deviates is taken out of a copy, so that the
//! rest can still be judged. Of devices and deployments everything is judged here that does not take another document.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use hemline_query::near;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Context, DeploymentDoc, DeviceDoc, SecretDoc, TwinConfigurationDoc, deployment, device,
    known::Same,
    secret,
    shape::{Deviation, Shape, What},
};
use crate::{
    document::{API_VERSION, Device, EdgeDeployment, SecretDocument, TwinConfiguration},
    finding::{Finding, Severity},
    schema,
    text::{Located, RawDocument},
};

/// The kinds that this program reads.
const KINDS: [&str; 4] = ["Device", "EdgeDeployment", "Secret", "TwinConfiguration"];
/// Kinds of the design that a later version reads.
const LATER: [&str; 4] = ["MessageEndpoint", "MessageRoute", "FleetJob", "GitSource"];

/// A document whose kind is known.
pub(super) enum Draft<'a> {
    Device(Entry<'a, device::Alone, DeviceDoc>),
    Deployment(Entry<'a, deployment::Alone, Arc<DeploymentDoc>>),
    Configuration(Entry<'a, TwinConfiguration, TwinConfigurationDoc>),
    Secret(Entry<'a, SecretDocument, SecretDoc>),
}

/// A document of one kind: its shape, or what was made of the same text before.
pub(super) enum Entry<'a, T, D> {
    New(Box<Part<T>>),
    Same(&'a D, Located),
}

/// A document of one kind.
pub(super) struct Part<T> {
    /// `None` when so much is wrong that meaning cannot be judged.
    pub(super) document: Option<T>,
    /// The modules it names, also when much is wrong with it, so that routes to them are not reported too.
    pub(super) modules: ModuleNames,
    pub(super) located: Located,
    /// Pointers of what was taken out; rules about missing things are silent about them.
    pub(super) dropped: BTreeSet<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn same(same: Same<'a>, located: Located) -> Self {
        match same {
            Same::Device(doc) => Self::Device(Entry::Same(doc, located)),
            Same::Deployment(doc) => Self::Deployment(Entry::Same(doc, located)),
            Same::Configuration(doc) => Self::Configuration(Entry::Same(doc, located)),
        }
    }
}

/// Names of the modules of a deployment; none for other kinds.
#[derive(Debug, Clone)]
pub(super) struct ModuleNames {
    pub(super) layered: bool,
    pub(super) names: Vec<String>,
}

/// Checks kind and shape. `None` for documents of other programs and unknown kinds.
pub(super) fn draft(raw: RawDocument, findings: &mut Vec<Finding>) -> Option<Draft<'static>> {
    static DEVICE: OnceLock<Shape> = OnceLock::new();
    static DEPLOYMENT: OnceLock<Shape> = OnceLock::new();
    static CONFIGURATION: OnceLock<Shape> = OnceLock::new();
    static SECRET: OnceLock<Shape> = OnceLock::new();
    if let Some(finding) = secret::all_encrypted(&raw.value, &raw.located) {
        findings.push(finding);
        return None;
    }
    match kind(&raw, findings)? {
        "Device" => {
            let shape = DEVICE.get_or_init(|| Shape::compile(&schema::inline::<Device>()));
            Some(Draft::Device(Entry::New(alone(part(raw, shape, findings), device::alone, findings))))
        }
        "EdgeDeployment" => {
            let shape = DEPLOYMENT.get_or_init(|| Shape::compile(&schema::inline::<EdgeDeployment>()));
            let part = alone(part(raw, shape, findings), deployment::alone, findings);
            Some(Draft::Deployment(Entry::New(part)))
        }
        "TwinConfiguration" => {
            let shape = CONFIGURATION.get_or_init(|| Shape::compile(&schema::inline::<TwinConfiguration>()));
            Some(Draft::Configuration(Entry::New(Box::new(part(raw, shape, findings)))))
        }
        "Secret" => {
            let shape = SECRET.get_or_init(|| Shape::compile(&schema::inline::<SecretDocument>()));
            let located = secret::hiding(&raw.located, &raw.value);
            Some(Draft::Secret(Entry::New(Box::new(part(RawDocument { located, ..raw }, shape, findings)))))
        }
        _ => None,
    }
}

/// Judges what takes no other document. Values as they are read take much memory; what is judged is kept in little.
fn alone<T, A>(
    Part { document, modules, located, dropped }: Part<T>,
    judge: fn(T, &mut Context<'_>) -> A,
    findings: &mut Vec<Finding>,
) -> Box<Part<A>> {
    let mut context = Context { located: &located, dropped: &dropped, findings };
    let document = document.map(|document| judge(document, &mut context));
    Box::new(Part { document, modules, located, dropped })
}

/// Which of our kinds is it? Says what is wrong when it is none.
fn kind(raw: &RawDocument, findings: &mut Vec<Finding>) -> Option<&'static str> {
    let located = &raw.located;
    let text = |key: &str| raw.value.get(key).and_then(Value::as_str);
    let missing = |key: &str, example: &str| {
        let message = format!("the document has no {key}");
        let finding = located.finding(Severity::Error, "missing-field", "", message);
        finding.with_hint(format!("start it with `{key}: {example}`"))
    };
    let found_kind = text("kind");
    let ours = found_kind.and_then(|found| KINDS.iter().copied().find(|kind| *kind == found));
    match text("apiVersion") {
        Some(API_VERSION) => {}
        Some(other) => {
            let close = other.starts_with("hemline.dev/") || near(other, [API_VERSION].into_iter()).is_some();
            let finding = if close || ours.is_some() {
                let message = format!("apiVersion {other:?} is not known");
                let finding = located.finding(Severity::Error, "unknown-api-version", "/apiVersion", message);
                let fix = located.fix_value("/apiVersion", &Value::String(API_VERSION.to_owned()));
                finding.with_hint(format!("write {API_VERSION}")).with_fix(fix)
            } else {
                let message = format!("this is a document of another program ({other}); it is passed over");
                located.finding(Severity::Note, "other-document", "/apiVersion", message)
            };
            findings.push(finding);
            return None;
        }
        None => {
            findings.push(missing("apiVersion", API_VERSION));
            return None;
        }
    }
    match (ours, found_kind) {
        (Some(kind), _) => Some(kind),
        (None, Some(found)) => {
            let hint = match near(found, KINDS.into_iter()) {
                Some(kind) => format!("did you mean {kind:?}?"),
                None => format!("use one of {}", KINDS.join(", ")),
            };
            let message = if LATER.contains(&found) {
                format!("kind {found:?} is not supported by this version")
            } else {
                format!("kind {found:?} is not known")
            };
            let fix = near(found, KINDS.into_iter())
                .and_then(|kind| located.fix_value("/kind", &Value::String(kind.to_owned())));
            let finding = located.finding(Severity::Error, "unknown-kind", "/kind", message);
            findings.push(finding.with_hint(hint).with_fix(fix));
            None
        }
        (None, None) => {
            findings.push(missing("kind", "Device"));
            None
        }
    }
}

fn part<T: DeserializeOwned>(raw: RawDocument, shape: &Shape, findings: &mut Vec<Finding>) -> Part<T> {
    let RawDocument { mut value, located, weight: _ } = raw;
    let mut deviations = Vec::new();
    shape.check(&value, &mut String::new(), &mut deviations);
    let clean_shape = deviations.is_empty();
    let mut named = BTreeSet::new();
    findings.extend(deviations.iter().map(|deviation| told(&located, &value, deviation, &mut named)));
    super::ignoring::check(&value, &located, findings);
    let modules = module_names(&value);
    let mut dropped = BTreeSet::new();
    for deviation in deviations {
        if !matches!(deviation.what, What::MissingField { .. }) {
            dropped.insert(remove(&mut value, &deviation.pointer).to_owned());
        }
    }
    let document = match serde_json::from_value(value) {
        Ok(document) => Some(document),
        Err(why) => {
            if clean_shape {
                // The shape check and serde follow the same types; should they ever differ, serde has the last word.
                findings.push(located.finding(Severity::Error, "wrong-type", "", why.to_string()));
            }
            None
        }
    };
    Part { document, modules, located, dropped }
}

impl ModuleNames {
    /// Those of a document that was judged already.
    pub(super) fn of(doc: &DeploymentDoc) -> Self {
        Self { layered: doc.spec.layered, names: doc.spec.modules.keys().map(ToString::to_string).collect() }
    }
}

fn module_names(document: &Value) -> ModuleNames {
    let spec = document.get("spec");
    let names = spec.and_then(|spec| spec.get("modules")).and_then(Value::as_object);
    let layered = spec.and_then(|spec| spec.get("layered")) == Some(&Value::Bool(true));
    ModuleNames { layered, names: names.map(|map| map.keys().cloned().collect()).unwrap_or_default() }
}

/// Takes a value out and returns the pointer of what went. An item of a list takes the whole list with it, so that the
/// others keep their numbers.
fn remove<'a>(root: &mut Value, pointer: &'a str) -> &'a str {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return pointer };
    match root.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&super::unescape(last));
            pointer
        }
        Some(Value::Array(_)) => remove(root, parent),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => pointer,
    }
}

/// A deviation as a finding.
/// `named` are the fields that a fix renamed another one to: no two may get the same name.
fn told(located: &Located, document: &Value, deviation: &Deviation, named: &mut BTreeSet<String>) -> Finding {
    let pointer = deviation.pointer.as_str();
    let name = super::name_of(pointer);
    match &deviation.what {
        What::UnknownField { name, known, fitting } => {
            let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
            let message = match super::name_of(parent).as_str() {
                "" => format!("unknown field {name:?}"),
                place => format!("unknown field {name:?} in {place}"),
            };
            let finding = located.finding_at_key(Severity::Error, "unknown-field", pointer, message);
            match near(name, known.iter().map(String::as_str)) {
                Some(near) => {
                    let fits =
                        fitting.iter().any(|name| name == near) && named.insert(format!("{parent}/{near}"));
                    let fix = if fits { located.fix_name(pointer, near) } else { None };
                    finding.with_hint(format!("did you mean {near:?}?")).with_fix(fix)
                }
                None if known.is_empty() => finding.with_hint("remove it"),
                None => finding.with_note(format!("fields that may stand here: {}", known.join(", "))),
            }
        }
        What::MissingField { name: field } => {
            let message = match name.as_str() {
                "" => format!("the document has no {field:?}"),
                place => format!("{place} has no {field:?}"),
            };
            located.finding_at_key(Severity::Error, "missing-field", pointer, message)
        }
        What::WrongType { expected, text_would_do } => {
            let found = document.pointer(pointer).unwrap_or(&Value::Null);
            let message = format!("{name} must be {expected}, this is {}", super::words(found));
            let finding = located.finding(Severity::Error, "wrong-type", pointer, message);
            match found {
                Value::Null => finding.with_hint("give it a value, or remove the line"),
                Value::Number(number) if name.ends_with("timeToLive") => {
                    let fix = located.fix_value(pointer, &Value::String(format!("{number}s")));
                    finding.with_hint(format!("write {number}s for seconds")).with_fix(fix)
                }
                other if *text_would_do => finding
                    .with_hint(format!("write it in quotes: \"{other}\""))
                    .with_fix(located.fix_quotes(pointer)),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    finding
                }
            }
        }
        What::NotOneOf { found, allowed } => {
            let message = format!("{name} cannot be {found:?}");
            let finding = located.finding(Severity::Error, "unknown-value", pointer, message);
            match near(found, allowed.iter().map(String::as_str)) {
                Some(near) => finding
                    .with_hint(format!("did you mean {near:?}?"))
                    .with_fix(located.fix_value(pointer, &Value::String(near.to_owned()))),
                None => finding.with_hint(format!("use one of {}", allowed.join(", "))),
            }
        }
        What::OutOfRange { least, most } => {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, Some(most)) => format!("at most {most}"),
                (None, None) => "a smaller number".to_owned(),
            };
            let message = format!("{name} must be {range}");
            located.finding(Severity::Error, "out-of-range", pointer, message)
        }
    }
}
