//! `hem validate --fix`: what it writes, what it says, and what it leaves alone.

use std::fs;

use crate::hem::hem;

const BROKEN: &str = "# a device\r\napiVersion: hemline.dev/v1alpha1\r\nkind: Devcie\r\nmetadata: {name: press}\r\nspec: {edge: true, tgas: {site: lyon}, auth: {}}\r\n";

#[test]
fn slips_are_mended_in_the_file_and_the_rest_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("press.yaml");
    fs::write(&path, BROKEN).expect("writable");
    fs::write(folder.path().join("good.yaml"), "# nothing\n").expect("writable");
    let fix =
        || hem().current_dir(folder.path()).args(["validate", "--fix", "."]).output().expect("hem starts");
    let output = fix();
    let text = fs::read_to_string(&path).expect("there");
    assert_eq!(text, BROKEN.replace("Devcie", "Device").replace("tgas", "tags"));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
    let again = fix();
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("nothing to fix\n"));
    assert_eq!(fs::read_to_string(&path).expect("there"), text);
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(names.len(), 2, "something was left behind: {names:?}");
}

const OF_MANIFEST: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press}
spec: {edge: true}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec: {targetCondition: '*', manifest: ./azure.json}
";
const MANIFEST: &str = r#"{
  "modulesContent": {
    "$edgeAgent": {
      "properties.desired": {
        "schemaVersion": "1.1",
        "modules": {
          "camera": {
            "settings": {
              "image": "registry.example/camera:1.2",
              "createOptions": "{\"HostConfig\":{\"Memry\":64000000}}"
            }
          },
          "filter": {
            "settings": { "image": "registry.example/filter:1", "createOptions": { "HostConfig": { "Memory": "64m" } } }
          }
        }
      }
    },
    "$edgeHub": {
      "properties.desired": {
        "schemaVersion": "1.1",
        "routes": { "up": "FROM /messages/modules/camra/outputs/* INTO $upstream" }
      }
    }
  }
}
"#;

#[test]
fn slips_in_a_manifest_are_mended_in_the_manifest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("azure.json");
    fs::write(folder.path().join("fleet.yaml"), OF_MANIFEST).expect("writable");
    let fix = |manifest: &str| {
        fs::write(&path, manifest).expect("writable");
        let output =
            hem().current_dir(folder.path()).args(["validate", "--fix", "."]).output().expect("hem starts");
        (fs::read_to_string(&path).expect("there"), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (text, said) = fix(MANIFEST);
    let mended =
        MANIFEST.replace("Memry", "Memory").replace("\"64m\"", "67108864").replace("camra", "camera");
    assert_eq!(text, mended, "{said}");
    assert!(said.contains("fixed azure.json:10:") && said.contains("3 fixes in 1 file"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("fleet.yaml")).expect("there"), OF_MANIFEST);
    // The text of a template is not what was judged.
    let template = MANIFEST.replace("camera:1.2", "camera:${TAG}");
    fs::write(
        folder.path().join("fleet.yaml"),
        OF_MANIFEST.replace(".json}", ".json, variables: {TAG: '1.2'}}"),
    )
    .expect("writable");
    let (text, said) = fix(&template);
    assert_eq!(text, template, "{said}");
    assert!(said.starts_with("nothing to fix\n") && said.contains("Memry"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, link) = (folder.path().join("press.txt"), folder.path().join("link.yaml"));
    fs::write(&path, BROKEN).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("allowed");
    symlink(&path, &link).expect("allowed");
    let output = hem().args(["validate", "--fix"]).arg(&path).output().expect("hem starts");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("fixed "), "{output:?}");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
}
