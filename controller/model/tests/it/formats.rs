//! The formats that other programs read, as they come out.

use std::sync::Arc;

use hemline_model::{
    Finding, Position, SourceFile,
    finding::{github, junit, sarif},
    load,
};
use serde_json::Value;

const TEXT: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tag.site = 'lyon'
  prioriti: 10
  modules: {camera: {image: 'camera:1.3', createOptions: '{\"HostConfig\": [}'}}
---
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata:
  name: x
  annotations:
    hemline.dev/ignore-ambiguous-scalar: only our own tools read it
spec: {tags: {country: NO}}
---
apiVersion: v1
kind: ConfigMap
";

/// An error, a warning and a note with their places, one without place, and one full of characters that formats use.
fn findings() -> Vec<Finding> {
    let file = SourceFile { path: Arc::from("./fleet/a b,c.yaml"), bytes: TEXT.as_bytes().to_vec() };
    let mut findings = load(&[file]).findings;
    findings.push(Finding::warning("source-unreachable", "the repository is away"));
    let position = Position { file: Arc::from("/abs/é.yaml"), line: 3, column: 4 };
    let hostile = Finding::error("name", "100% <wrong> & \"odd\":\r\n\u{1b}[31m::error::x")
        .with_position(position)
        .with_line("  x: é", 2)
        .with_hint("a, b: c");
    findings.push(hostile);
    findings
}

#[test]
fn github_annotations() {
    insta::assert_snapshot!(github::print(&findings()));
    assert_eq!(github::print(&[]), "");
}

#[test]
fn junit_report() {
    insta::assert_snapshot!(junit::print(&findings()));
    insta::assert_snapshot!(junit::print(&[]));
}

#[test]
fn sarif_log() {
    let text = sarif::print(&findings(), "0.0.0");
    insta::assert_snapshot!(text);
    let log: Value = serde_json::from_str(&text).unwrap();
    let run = &log["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let empty: Value = serde_json::from_str(&sarif::print(&[], "0.0.0")).unwrap();
    assert_eq!(empty["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn strictly_only_warnings_become_errors() {
    let before = findings();
    let after: Vec<Finding> = before.iter().cloned().map(Finding::strictly).collect();
    let count = |findings: &[Finding], severity| findings.iter().filter(|f| f.severity == severity).count();
    use hemline_model::Severity::{Error, Note, Warning};
    assert_eq!(count(&after, Warning), 0);
    assert_eq!(count(&after, Note), count(&before, Note));
    assert_eq!(count(&after, Error), count(&before, Error) + count(&before, Warning));
}
