//! `spec.manifest`: an Azure manifest beside the documents, for every command that reads documents, from a folder and from Git.

use std::{fs, path::Path};

use crate::{
    hem::hem,
    repository::{commit, git, git_is_here},
};

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec: {edge: true, tags: {site: lyon}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tags.site = 'lyon'
  manifest: ./azure/deployment.template.json
  variables: {TAG: \"1.2\", ORDER: 1}
";
const MANIFEST: &str = r#"{
  "modulesContent": {
    "$edgeAgent": {
      "properties.desired": {
        "schemaVersion": "1.1",
        "modules": {
          "camera": {
            "startupOrder": ${ORDER},
            "settings": { "image": "registry.example/camera:${TAG}", "createOptions": "{}" }
          }
        }
      }
    },
    "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {} } },
    "camera": { "properties.desired": { "fps": 10 } }
  }
}
"#;

fn write(folder: &Path, manifest: &str) {
    fs::create_dir_all(folder.join("azure")).expect("a new folder");
    fs::write(folder.join("fleet.yaml"), FLEET).expect("writable");
    fs::write(folder.join("azure/deployment.template.json"), manifest).expect("writable");
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = hem().current_dir(folder).args(arguments).output().expect("hem starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_value_leads_to_a_line_of_the_manifest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), MANIFEST);
    let (code, said, complaints) = run(folder.path(), &["why", ".", "press-01"]);
    assert_eq!(code, Some(0), "{complaints}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_document_alone_finds_its_manifest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), MANIFEST);
    let (code, said, complaints) = run(folder.path(), &["validate", "fleet.yaml"]);
    assert_eq!(code, Some(0), "{complaints}");
    assert!(said.contains("in 2 files"), "{said}");
    let broken = MANIFEST.replace("camera:${TAG}", "camera ${TAG}");
    write(folder.path(), &broken);
    let (code, _, complaints) = run(folder.path(), &["validate", "fleet.yaml"]);
    assert_eq!(code, Some(1), "{complaints}");
    assert!(complaints.contains("azure/deployment.template.json:9:60"), "{complaints}");
    #[cfg(unix)]
    {
        fs::rename(folder.path().join("azure"), folder.path().join("elsewhere")).expect("movable");
        std::os::unix::fs::symlink("elsewhere", folder.path().join("azure")).expect("a link");
        let (_, _, complaints) = run(folder.path(), &["validate", "fleet.yaml"]);
        assert!(complaints.contains("manifest-missing"), "{complaints}");
    }
}

#[test]
fn a_change_of_the_manifest_is_a_change_of_the_plan() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    write(folder.path(), MANIFEST);
    commit(folder.path(), FLEET, "before");
    write(folder.path(), &MANIFEST.replace("\"fps\": 10", "\"fps\": 12"));
    commit(folder.path(), FLEET, "faster");
    commit(folder.path(), &FLEET.replace("1.2", "1.3"), "newer");
    let (code, said, complaints) = run(folder.path(), &["plan", ".", "--base", "HEAD~2", "--head", "HEAD~1"]);
    assert_eq!(code, Some(0), "{complaints}");
    assert!(said.contains("desired.fps") && said.contains("10 → 12") && !said.contains("image"), "{said}");
    let (_, said, _) = run(folder.path(), &["plan", ".", "--base", "HEAD~1", "--head", "HEAD"]);
    assert!(said.contains("camera:1.2") && said.contains("camera:1.3"), "{said}");
}
