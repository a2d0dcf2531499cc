//! Each manifest of `azure/` is imported alone; the document and everything that is said about it is a snapshot beside it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use hemline_model::{
    SourceFile,
    azure::{ImportOptions, import},
    load,
};
use proptest::prelude::*;

fn options(name: &str) -> ImportOptions {
    let given = [("REGISTRY", "registry.example"), ("TAG", "1.3"), ("FPS", "25")];
    let variables: BTreeMap<String, String> =
        given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    ImportOptions {
        variables: if name.ends_with(".template") { variables } else { BTreeMap::new() },
        ..ImportOptions::default()
    }
}

#[test]
fn every_manifest_imports_as_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure");
    let mut manifests: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    manifests.sort();
    assert!(manifests.len() >= 8, "the manifests are gone");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in manifests {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let file_name = path.file_name().unwrap().to_string_lossy().into_owned();
            let file = SourceFile { path: Arc::from(file_name), bytes: fs::read(&path).unwrap() };
            let imported = import(&file, &options(&name));
            let errors = imported.findings.iter().any(hemline_model::Finding::is_error);
            assert_eq!(imported.document.is_none(), errors, "{name}");
            let findings: Vec<String> =
                imported.findings.iter().map(hemline_model::Finding::render).collect();
            let said = findings.join("\n");
            assert!(!said.contains("s3cret") && !said.contains("pass\\\"word"), "{name}: {said}");
            let document = imported.document.map(|document| {
                let yaml = serde_yaml_ng::to_string(&document).unwrap();
                let loaded =
                    load(&[SourceFile { path: "out.yaml".into(), bytes: yaml.clone().into_bytes() }]);
                let errors: Vec<_> = loaded
                    .findings
                    .iter()
                    // Its module is in another deployment.
                    .filter(|finding| finding.is_error() && finding.rule != "route-unknown-module")
                    .collect();
                assert!(errors.is_empty(), "{name}: {errors:#?}");
                format!("{yaml}\n")
            });
            insta::assert_snapshot!(name, format!("{}{said}", document.unwrap_or_default()));
        }
    });
}

#[test]
fn what_was_typed_wins_over_the_envelope() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure/envelope.json");
    let file = SourceFile { path: "envelope.json".into(), bytes: fs::read(path).unwrap() };
    let options = ImportOptions {
        name: Some("vision".to_owned()),
        target_condition: Some("*".to_owned()),
        priority: Some(3),
        variables: BTreeMap::new(),
    };
    let document = import(&file, &options).document.unwrap();
    assert_eq!(document.metadata().name, "vision");
    assert_eq!((document.target_condition(), document.priority()), ("*", 3));
    let options = ImportOptions { name: Some("No Name".to_owned()), ..options };
    assert!(import(&file, &options).document.is_none());
}

#[test]
fn a_file_that_is_no_manifest_is_one_finding() {
    for text in [
        "",
        "[]",
        "7",
        "{}",
        "{\"content\": 1}",
        "{\"modulesContent\": []}",
        "{\"modulesContent\": {",
        "\u{0}",
    ] {
        let file = SourceFile { path: "x.json".into(), bytes: text.as_bytes().to_vec() };
        let imported = import(&file, &ImportOptions::default());
        assert!(imported.document.is_none(), "{text:?}");
        assert_eq!(imported.findings.len(), 1, "{text:?}: {:#?}", imported.findings);
    }
}

#[test]
fn a_path_of_many_steps_is_refused() {
    let key = "properties.desired".to_owned() + &".a".repeat(100_000);
    for (name, key) in [("m", key), ("m", "properties.desired.a..b".to_owned())] {
        let text = serde_json::json!({"modulesContent": {name: {key: 1}}}).to_string();
        let file = SourceFile { path: "x.json".into(), bytes: text.into_bytes() };
        let imported = import(&file, &ImportOptions::default());
        assert!(imported.document.is_none());
        assert!(imported.findings.iter().any(|finding| finding.rule == "azure-value"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to a manifest: no panic, and what comes out is a valid document.
    #[test]
    fn a_damaged_manifest_gives_findings_or_a_valid_document(
        manifest in prop::sample::select(&["base.json", "layered.json", "chunks.json", "envelope.json", "module-content.json", "plant.template.json"][..]),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, "[\\{\\}\\[\\],:\"$.a0 ]{0,4}|null|1e99|\\$\\{X"), 1..4),
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure").join(manifest);
        let mut bytes = fs::read(path).unwrap();
        for (place, length, text) in cuts {
            let start = place.index(bytes.len());
            bytes.splice(start..(start + length).min(bytes.len()), text.bytes());
            if bytes.is_empty() {
                return Ok(());
            }
        }
        let imported = import(&SourceFile { path: manifest.into(), bytes }, &options("x.template"));
        let errors = imported.findings.iter().any(hemline_model::Finding::is_error);
        prop_assert_eq!(imported.document.is_none(), errors);
        if let Some(document) = imported.document {
            let text = serde_json::to_vec(&document).unwrap();
            let loaded = load(&[SourceFile { path: "out.json".into(), bytes: text }]);
            let errors: Vec<_> =
                loaded.findings.iter().filter(|finding| finding.is_error() && finding.rule != "route-unknown-module").collect();
            prop_assert!(errors.is_empty(), "{errors:#?}");
        }
    }
}
