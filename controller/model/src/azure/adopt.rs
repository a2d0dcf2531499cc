//! A manifest beside the documents: `spec.manifest` of an `EdgeDeployment` takes its modules and routes from it.
//!
//! What comes out is a part of the document's `spec`, and the trail that leads from there into the manifest. The document
//! is then judged as any other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Notes,
    envelope::Envelope,
    notes, parts,
    template::{self, Giver},
};
use crate::{
    document::Object,
    finding::Finding,
    text::{Located, SourceFile},
};

/// What a manifest gives to a document.
pub(crate) struct Adopted {
    /// Members of `spec`.
    pub(crate) spec: Map<String, Value>,
    /// Where they stand: pointers in the document → pointers in the manifest. `None` when it could not be read.
    pub(crate) places: Option<(Located, BTreeMap<String, String>)>,
    pub(crate) findings: Vec<Finding>,
    /// What it costs in memory, as `text` counts.
    pub(crate) weight: usize,
}

/// Reads a manifest for the document at `asker`. `layered` is what the document says about that itself.
pub(crate) fn adopt(
    file: &SourceFile,
    asker: &Located,
    variables: &Object,
    layered: Option<bool>,
) -> Adopted {
    let (mut documents, mut findings, unset) = template::read(file, variables);
    let nothing = |findings| Adopted { spec: Map::new(), places: None, findings, weight: 0 };
    if documents.len() > 1 {
        findings.push(super::several(file, documents.len()));
    }
    let Some(document) = documents.pop().filter(|_| !findings.iter().any(Finding::is_error)) else {
        if findings.is_empty() {
            findings.push(super::empty(file));
        }
        return nothing(findings);
    };
    let secrets = notes::password_pointers(&document.value);
    let located = if secrets.is_empty() { document.located } else { document.located.hiding(&secrets) };
    let located = located.accepting_as(asker);
    let mut notes = Notes::new(&located);
    template::missing(&unset, &document.value, variables, Giver::Document, &mut notes);
    let spec = Envelope::read(&document.value, &mut notes)
        .and_then(|envelope| envelope.deploying(&mut notes))
        .map(|envelope| spec(&envelope, layered, &mut notes))
        .unwrap_or_default();
    let trail = notes.trail();
    findings.extend(notes.finish(&document.value));
    Adopted { spec, places: Some((located, trail)), findings, weight: document.weight }
}

fn spec(envelope: &Envelope<'_>, layered: Option<bool>, notes: &mut Notes<'_>) -> Map<String, Value> {
    let parts = parts(envelope, layered, notes);
    let mut spec = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            spec.insert(key.to_owned(), value);
        }
    };
    put("targetCondition", envelope.written_target(notes).map(Value::from));
    put("priority", envelope.written_priority(notes).map(Value::from));
    put("layered", parts.layered.then_some(Value::Bool(true)));
    put("modules", serde_json::to_value(&parts.modules).ok());
    put("routes", serde_json::to_value(&parts.hub.routes).ok());
    put("storeAndForward", parts.hub.store_and_forward.and_then(|store| serde_json::to_value(store).ok()));
    put("broker", parts.hub.broker.and_then(|broker| serde_json::to_value(broker).ok()));
    spec
}
