//! The catalogue of rules: names are unique, entries are whole, and the examples break and keep their rule.

use std::{collections::BTreeSet, sync::Arc};

use hemline_model::{
    SourceFile, load,
    rules::{self, Rule},
};

/// Rules whose examples are not documents of one file: names of files, sources, whole fleets, sizes.
const ELSEWHERE: [&str; 27] = [
    "too-many-findings",
    "source-unreachable",
    "source-name-skipped",
    "source-symlink-skipped",
    "source-submodule-skipped",
    "source-empty",
    "source-held-back",
    "source-signature",
    "file-too-large",
    // Two files: `model/tests/cases/secret` has these.
    "secret-key",
    "secret-unknown",
    "not-utf8",
    "too-deep",
    "alias-expansion",
    "too-many-modules",
    // `plan/tests/it/rules.rs` has these.
    "priority-tie",
    "layer-conflict",
    "module-incomplete",
    "layer-without-base",
    "layer-below-base",
    "device-without-base",
    "deployment-without-device",
    "ignore-unused",
    "port-clash",
    "port-of-hub",
    "bind-clash",
    "name-clash",
];

/// Manifests of Azure are no documents; `model/tests/azure` and `model/tests/cases/manifest` have their cases.
fn is_elsewhere(id: &str) -> bool {
    ELSEWHERE.contains(&id)
        || id.starts_with("azure-")
        || id.starts_with("configuration-")
        || id.starts_with("manifest-")
        || id.starts_with("export-")
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// The piece inside a document: its first field tells whether it belongs to a device, a deployment or a module.
fn whole(piece: &str) -> String {
    if piece.contains("kind") {
        return piece.to_owned();
    }
    let field = piece.split(':').next().unwrap_or_default();
    let head = |kind: &str| {
        format!("apiVersion: hemline.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n")
    };
    match field {
        "tags" | "auth" | "deviceId" | "parent" | "edge" => {
            format!("{}{}", head("Device"), indented(piece, 2))
        }
        "targetCondition" => format!("{}{}", head("EdgeDeployment"), indented(piece, 2)),
        "routes" | "modules" | "priority" | "prioriti" | "rollout" | "broker" | "storeAndForward" => {
            format!("{}  targetCondition: '*'\n{}", head("EdgeDeployment"), indented(piece, 2))
        }
        _ => format!(
            "{}  targetCondition: '*'\n  modules:\n    camera:\n{}",
            head("EdgeDeployment"),
            indented(piece, 6)
        ),
    }
}

fn said(piece: &str) -> BTreeSet<&'static str> {
    let file = SourceFile { path: Arc::from("x.yaml"), bytes: whole(piece).into_bytes() };
    load(&[file]).findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn examples_break_and_keep_their_rule() {
    for Rule { id, wrong, right, .. } in rules::all().filter(|rule| !is_elsewhere(rule.id)) {
        if *id != "condition-reads-reported" {
            assert!(said(wrong).contains(id), "{id} is not broken by:\n{}{:?}", whole(wrong), said(wrong));
        }
        assert_eq!(said(right), BTreeSet::new(), "{id}: still wrong:\n{}", whole(right));
    }
}

/// The examples stand in a deployment beside the manifest that the right one names.
#[test]
fn examples_with_a_manifest_break_and_keep_their_rule() {
    const CONTENT: &str = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.1",
        "modules": {"camera": {"settings": {"image": "camera:1.3"}}}}}, "$edgeHub": {"properties.desired": {"schemaVersion": "1.1"}}}}"#;
    let configuration = format!(
        r#"{{"id": "vision", "priority": 10, "targetCondition": "tags.site = 'lyon'", "content": {CONTENT}}}"#
    );
    let told = |piece: &str, names: &str| -> BTreeSet<&'static str> {
        let (manifest, target) = match names.contains("configuration.json") {
            true => (("configuration.json", configuration.clone()), ""),
            false => (("deployment.json", CONTENT.to_owned()), "  targetCondition: '*'\n"),
        };
        let document = format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: x}}\nspec:\n{target}{}",
            indented(piece, 2)
        );
        let files = [manifest, ("x.yaml", document)]
            .map(|(path, text)| SourceFile { path: Arc::from(path), bytes: text.into_bytes() });
        load(&files).findings.iter().map(|finding| finding.rule).collect()
    };
    for id in ["manifest-path", "manifest-missing", "manifest-conflict", "manifest-overruled"] {
        let Rule { wrong, right, .. } = rules::find(id).unwrap();
        assert!(told(wrong, right).contains(id), "{id} is not broken by {wrong:?}: {:?}", told(wrong, right));
        assert_eq!(told(right, right), BTreeSet::new(), "{id}: still wrong");
    }
}

#[test]
fn names_are_unique_and_entries_whole() {
    let mut names = BTreeSet::new();
    for rule in rules::all() {
        assert!(names.insert(rule.id), "{} is there twice", rule.id);
        for sentence in [rule.summary, rule.why, rule.fix] {
            assert!(sentence.ends_with('.') && sentence.len() > 10, "{}: {sentence:?}", rule.id);
        }
        assert_ne!(rule.wrong, rule.right, "{}", rule.id);
        assert_eq!(rules::find(rule.id), Some(rule));
    }
}

#[test]
fn an_entry_reads_well() {
    insta::assert_snapshot!(rules::find("route-suspicious").unwrap().explain());
}
