//! The committed schemas follow the types: a stale file is rewritten and fails the test once.

use std::{fs, path::Path};

use hemline_model::schema::schemas;

#[test]
fn the_committed_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    fs::create_dir_all(&folder).unwrap();
    let mut stale = Vec::new();
    for (name, text) in schemas() {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(&path, text).unwrap();
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "schemas/ was stale and has been rewritten: {stale:?}; commit it with its cause"
    );
}

#[test]
fn the_examples_are_valid_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for name in ["quickstart", "docker"] {
        let path = folder.join(name).join("fleet.yaml");
        let file = hemline_model::SourceFile { path: name.into(), bytes: fs::read(path).unwrap() };
        let loaded = hemline_model::load(&[file]);
        assert!(loaded.findings.is_empty(), "{:#?}", loaded.findings);
        let fleet = loaded.fleet.unwrap();
        assert_eq!((fleet.devices.len(), fleet.deployments.len()), (1, 1));
    }
}

/// The examples inside the schemas are what editors show; they must be right.
#[test]
fn the_examples_in_the_schemas_are_valid_documents() {
    for (name, text) in schemas() {
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        for example in schema["examples"].as_array().into_iter().flatten() {
            let bytes = serde_yaml_ng::to_string(example).unwrap().into_bytes();
            let loaded = hemline_model::load(&[hemline_model::SourceFile { path: name.into(), bytes }]);
            assert!(loaded.findings.is_empty(), "{name}: {:#?}", loaded.findings);
        }
    }
}
