//! Azure manifests: what comes out is a valid document, what is wrong has its place, and the way back leads here again.

use std::collections::BTreeMap;

use hemline_model::{
    Finding, SourceFile,
    azure::{ImportOptions, ImportedDocument, import},
    load,
};
use hemline_plan::{Facts, export, resolve};
use serde_json::{Value, json};

use crate::places::Lines;

/// Reads bytes as a manifest; as a template when they start with `T`.
///
/// # Panics
/// When a law is broken.
pub fn manifests(bytes: &[u8]) {
    let (path, bytes, variables) = match bytes.strip_prefix(b"T") {
        Some(rest) => {
            let given = [("REGISTRY", "registry.example"), ("TAG", "1.3"), ("QUOTE", "\"}")];
            let given: BTreeMap<String, String> =
                given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            ("m.template.json", rest, given)
        }
        None => ("m.json", bytes, BTreeMap::new()),
    };
    let file = SourceFile { path: path.into(), bytes: bytes.to_vec() };
    let options =
        ImportOptions { target_condition: Some("*".to_owned()), variables, ..ImportOptions::default() };
    let imported = import(&file, &options);
    let lines = Lines::of(bytes);
    imported.findings.iter().for_each(|finding| lines.hold(finding));
    assert_eq!(imported.document.is_none(), imported.findings.iter().any(Finding::is_error));
    let Some(document) = imported.document else { return };
    assert_eq!(document.target_condition(), "*");
    let ImportedDocument::Deployment(document) = document else {
        let file = SourceFile { path: "c.json".into(), bytes: json!(document).to_string().into_bytes() };
        let found = load(&[file]).findings;
        assert!(!found.iter().any(Finding::is_error), "no valid document: {found:#?}");
        return;
    };
    if let Some(first) = exported(&json!(document)) {
        // What was exported is imported without loss, so that the second export is the first.
        let file = SourceFile { path: "m.json".into(), bytes: first.to_string().into_bytes() };
        let again = import(&file, &options);
        let Some(document) = again.document else { panic!("{first} is refused: {:#?}", again.findings) };
        let second = exported(&json!(document));
        assert!(second.as_ref() == Some(&first), "{first} became {second:?}");
    }
}

/// The manifest of a device that gets this document; none when it is a layer, or runs what a manifest cannot say.
fn exported(document: &Value) -> Option<Value> {
    let device = json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": "d"},
        "spec": {"edge": true}});
    let file =
        |name: &str, value: &Value| SourceFile { path: name.into(), bytes: value.to_string().into_bytes() };
    let loaded = load(&[file("device.json", &device), file("deployment.json", document)]);
    // A route may lead to a module of another deployment; anything else would have been said by the importer.
    let errors: Vec<_> = loaded
        .findings
        .iter()
        .filter(|finding| finding.is_error() && finding.rule != "route-unknown-module")
        .collect();
    assert!(errors.is_empty(), "{document} is no valid document: {errors:#?}");
    let resolution = resolve(&loaded.fleet?, &Facts::default());
    if resolution.findings.iter().any(Finding::is_error) {
        return None;
    }
    export(resolution.devices.values().next()?).manifest
}
