//! `hem import` and `hem export`: what is printed can be used as it is.

use std::{fs, path::Path, process::Output};

use crate::hem::hem;

const DEVICE: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec: {edge: true, tags: {site: lyon}}
";

fn run(folder: &Path, arguments: &[&str]) -> Output {
    hem().current_dir(folder).args(arguments).output().expect("hem starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The manifests that the importer's own tests use.
fn manifests() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/azure")
}

#[test]
fn what_import_prints_validates() {
    for (name, arguments) in [
        ("base.json", &["--target", "*"][..]),
        ("chunks.json", &[]),
        ("envelope.json", &["--name", "vision", "--priority", "7"]),
        (
            "plant.template.json",
            &["--var", "REGISTRY=registry.example", "--var", "TAG=1.3", "--var", "FPS=5"],
        ),
        ("one-line.json", &[]),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::copy(manifests().join(name), folder.path().join(name)).expect("readable");
        let imported = run(folder.path(), &[&["import", name], arguments].concat());
        assert!(imported.status.success(), "{name}: {}", String::from_utf8_lossy(&imported.stderr));
        assert!(out(&imported).contains("\nkind: EdgeDeployment\n"), "{name}: {}", out(&imported));
        fs::write(folder.path().join("fleet.yaml"), format!("{DEVICE}---\n{}", out(&imported)))
            .expect("writable");
        let validated = run(folder.path(), &["validate", "fleet.yaml"]);
        assert_eq!(
            validated.status.code(),
            Some(0),
            "{name}: {}",
            String::from_utf8_lossy(&validated.stderr)
        );
    }
}

#[test]
fn an_imported_document_says_what_it_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(manifests().join("base.json"), folder.path().join("base.json")).expect("readable");
    let imported =
        run(folder.path(), &["import", "base.json", "--target", "tags.site = 'lyon'", "--priority", "3"]);
    assert!(!out(&imported).contains("s3cret"), "{}", out(&imported));
    insta::assert_snapshot!(out(&imported));
}

#[test]
fn a_broken_manifest_prints_no_document() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, place) in
        [("broken.json", "broken.json:25:42"), ("unset.template.json", "unset.template.json:9:36")]
    {
        fs::copy(manifests().join(name), folder.path().join(name)).expect("readable");
        let imported = run(folder.path(), &["import", name]);
        let said = String::from_utf8_lossy(&imported.stderr);
        assert_eq!((imported.status.code(), out(&imported).as_str()), (Some(1), ""), "{said}");
        assert!(said.contains(place), "{said}");
    }
    let missing = run(folder.path(), &["import", "nowhere.json"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.json"));
    assert_eq!(run(folder.path(), &["import", "broken.json", "--var", "TAG"]).status.code(), Some(64));
}

#[test]
fn an_exported_manifest_imports_to_the_same_manifest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fleet = folder.path().join("fleet");
    fs::create_dir(&fleet).expect("a new folder");
    fs::write(fleet.join("device.yaml"), DEVICE).expect("writable");
    let base = manifests().join("base.json");
    let layer = manifests().join("layered.json");
    for (path, name, priority) in [(base, "base", "1"), (layer, "layer", "5")] {
        let path = path.to_string_lossy().into_owned();
        let imported =
            run(folder.path(), &["import", &path, "--name", name, "--target", "*", "--priority", priority]);
        fs::write(fleet.join(format!("{name}.yaml")), out(&imported)).expect("writable");
    }
    let first = run(folder.path(), &["export", "fleet", "press-01"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(out(&first).contains("camera:1.4"), "the layer is missing: {}", out(&first));

    fs::write(folder.path().join("manifest.json"), out(&first)).expect("writable");
    let again = run(folder.path(), &["import", "manifest.json", "--target", "*"]);
    for name in ["base.yaml", "layer.yaml"] {
        fs::remove_file(fleet.join(name)).expect("removable");
    }
    fs::write(fleet.join("again.yaml"), out(&again)).expect("writable");
    let second = run(folder.path(), &["export", "fleet", "press-01"]);
    assert_eq!(out(&first), out(&second));
}

#[test]
fn export_says_why_it_cannot() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = "\
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: '*'
  modules:
    filter:
      type: process
      command: [sleep, '1000']
";
    fs::write(folder.path().join("fleet.yaml"), format!("{DEVICE}{process}")).expect("writable");
    let refused = run(folder.path(), &["export", ".", "press-01"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!((refused.status.code(), out(&refused).as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("export-process") && said.contains("fleet.yaml:13:13"), "{said}");
    let unknown = run(folder.path(), &["export", ".", "press-02"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("press-01"));
}

#[test]
fn several_manifests_become_several_documents() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["base.json", "layered.json"] {
        fs::copy(manifests().join(name), folder.path().join(name)).expect("readable");
    }
    let both = ["import", "base.json", "layered.json", "--target", "*", "--priority", "5"];
    let printed = run(folder.path(), &both);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(out(&printed).matches("\nkind: EdgeDeployment\n").count(), 2, "{}", out(&printed));
    assert!(out(&printed).contains("\n---\n# imported from layered.json\n"), "{}", out(&printed));

    let written = run(folder.path(), &[&both[..], &["--out", "fleet"]].concat());
    assert_eq!(out(&written), "fleet/base.yaml\nfleet/layered.yaml\n");
    let pieces: Vec<String> = ["base", "layered"]
        .iter()
        .map(|name| fs::read_to_string(folder.path().join(format!("fleet/{name}.yaml"))).expect("written"))
        .collect();
    assert_eq!(pieces.join("---\n"), out(&printed));

    let again = run(folder.path(), &[&both[..], &["--out", "fleet"]].concat());
    assert_eq!(again.status.code(), Some(64), "what is there stays");
    let same = run(folder.path(), &["import", "base.json", "base.json"]);
    assert!(String::from_utf8_lossy(&same.stderr).contains("both become the document"));
    assert_eq!(
        run(folder.path(), &["import", "base.json", "layered.json", "--name", "x"]).status.code(),
        Some(64)
    );
    fs::write(folder.path().join("broken.json"), "{}").expect("writable");
    let broken = run(folder.path(), &["import", "base.json", "broken.json", "--out", "other"]);
    assert_eq!((broken.status.code(), out(&broken).as_str()), (Some(1), ""));
    assert!(!folder.path().join("other").exists(), "all or none");
}
