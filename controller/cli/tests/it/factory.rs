//! `examples/factory`: a whole fleet is clean, its broken twin says every mistake at its very characters, and the comment on
//! a change of it answers what a reviewer asks.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::hem::hem;

const FACTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/factory");

/// One mistake: the rule that must say it, the file, the text that is replaced and what stands there instead. `⟦` and `⟧`
/// enclose what the finding must underline; they do not reach the file.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

/// The broken twin. Mistakes of one family stand together.
const MISTAKES: &[Mistake] = &[
    // Files: each of these costs the rest of its file, so they stand in files of their own.
    ("tab-indent", "devices/gdansk/gateways.yaml", "  edge: true\n", "⟦\t⟧edge: true\n"),
    ("yaml-syntax", "deployments/notes.yaml", "", "apiVersion: [hemline.dev/v1alpha1\nkind⟦:⟧ Device\n"),
    ("list-at-top", "devices/list.json", "", "[⟦{\"kind\": \"Device\"}⟧]"),
    // Documents.
    ("duplicate-key", "deployments/lyon.yaml", "  priority: 30\n", "  priority: 30\n  ⟦priority⟧: 31\n"),
    ("unknown-field", "deployments/vision.yaml", "  layered: true\n", "  layered: true\n  ⟦layred⟧: true\n"),
    (
        "wrong-type",
        "deployments/press.yaml",
        "env: {LOG_LEVEL: info}\n      # The",
        "env: {⟦LOG_LEVEL⟧: [info]}\n      # The",
    ),
    (
        "unknown-value",
        "deployments/press.yaml",
        "restartPolicy: on-unhealthy",
        "restartPolicy: ⟦on-unhealty⟧",
    ),
    ("unknown-kind", "devices/turin/gateways.yaml", "kind: Device", "kind: ⟦Devcie⟧"),
    ("duplicate-name", "devices/lyon/sensors.yaml", "lyon-energy-02", "⟦lyon-temperature-01⟧"),
    // Languages inside documents.
    (
        "target-condition",
        "deployments/canary.yaml",
        "targetCondition: tags.ring = 'canary'",
        "targetCondition: tags.ring ⟦==⟧ 'canary'",
    ),
    (
        "route-syntax",
        "deployments/gateway.yaml",
        "FROM /messages/modules/modbus/outputs/readings INTO",
        "FROM /messages/modules/modbus/outputs/readings ⟦INTOO⟧",
    ),
    (
        "route-unknown-module",
        "deployments/press.yaml",
        "/modules/historian/inputs/rows",
        "/modules/⟦historia⟧/inputs/rows",
    ),
    ("duration", "deployments/gateway.yaml", "{timeToLive: 3d}", "{timeToLive: ⟦3 days⟧}"),
    // Across documents.
    (
        "unknown-parent",
        "devices/lyon/presses-hall-b.yaml",
        "{name: lyon-press-30}\nspec:\n  edge: true\n  parent: lyon-gateway-b",
        "{name: lyon-press-30}\nspec:\n  edge: true\n  parent: ⟦lyon-gatway-b⟧",
    ),
    (
        "parent-cycle",
        "devices/lyon/gateways.yaml",
        "  edge: true\n  tags",
        "  edge: true\n  parent: ⟦lyon-gateway-b⟧\n  tags",
    ),
];

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(Path::new(FACTORY), folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            fs::create_dir_all(&to).expect("writable");
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).expect("writable");
        }
    }
}

fn validate(folder: &Path, format: &str) -> Output {
    hem().current_dir(folder).args(["validate", ".", "--format", format]).output().expect("hem starts")
}

fn replace(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = if from.is_empty() { String::new() } else { fs::read_to_string(&path).expect("there") };
    assert_eq!(text.matches(from).count(), 1, "{file} has {from:?} once");
    fs::write(&path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
fn the_factory_is_clean() {
    let output = validate(Path::new(FACTORY), "human");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_mistake_is_said_where_it_is() {
    let folder = folder();
    for (_, file, from, to) in MISTAKES {
        replace(folder.path(), file, from, &to.replace(['⟦', '⟧'], ""));
    }
    let output = validate(folder.path(), "json");
    assert_eq!(output.status.code(), Some(1));
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let said: Vec<(&str, &str, String)> = findings.iter().map(said).collect();
    let missing: Vec<String> = MISTAKES
        .iter()
        .map(|(rule, file, _, to)| (*rule, *file, marked(to)))
        .filter(|wanted| !said.contains(wanted))
        .map(|(rule, file, text)| {
            let there: Vec<_> = said.iter().filter(|one| one.0 == rule && one.1 == file).collect();
            format!("{rule} at {text:?} in {file}; there is {there:?}")
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    let human = validate(folder.path(), "human");
    insta::assert_snapshot!(String::from_utf8_lossy(&human.stderr));
}

/// Rule, file and the text that is underlined.
fn said(finding: &Value) -> (&str, &str, String) {
    let rule = finding["rule"].as_str().unwrap_or_default();
    let file = finding["position"]["file"].as_str().unwrap_or_default();
    let place = |key: &str, of: &Value| usize::try_from(of[key].as_u64().unwrap_or(1)).unwrap_or(1) - 1;
    let start = place("column", &finding["position"]);
    let line = finding["sourceLine"].as_str().unwrap_or_default();
    let text = line.chars().skip(start).take(place("endColumn", finding).saturating_sub(start)).collect();
    (rule, file, text)
}

fn marked(text: &str) -> String {
    let (_, rest) = text.split_once('⟦').expect("a mark");
    rest.split_once('⟧').expect("the end of the mark").0.to_owned()
}
