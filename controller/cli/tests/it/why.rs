//! `hem why`: golden tables, and what it says about names that are not there.

use std::fs;

use crate::hem::hem;

const FLEET: &str = r#"apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec:
  edge: true
  tags: {site: lyon, line: {name: press}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tags.site = 'lyon'
  priority: 10
  modules:
    camera:
      image: registry.example/camera:1.2
      createOptions: {HostConfig: {Memory: 67108864}}
      env: {LOG_LEVEL: info, API_TOKEN: hunter2}
      desired: {fps: 10}
  routes:
    up: FROM /messages/modules/camera/outputs/* INTO $upstream
"#;
const LAYER: &str = r#"apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: debug}
spec:
  targetCondition: deviceId = 'press-01'
  priority: 20
  layered: true
  modules:
    camera:
      env: {LOG_LEVEL: trace}
      desired:
        fps: 1
"#;

/// Exit code, output and complaints of `hem why` on the two documents.
fn why(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("fleet")).expect("a new folder");
    fs::write(folder.path().join("fleet/fleet.yaml"), FLEET).expect("writable");
    fs::write(folder.path().join("fleet/layer.yaml"), LAYER).expect("writable");
    let output =
        hem().current_dir(folder.path()).args(["why", "fleet"]).args(arguments).output().expect("hem starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_value_of_a_device() {
    let (code, said, complaints) = why(&["press-01"]);
    assert_eq!(code, Some(0), "{complaints}");
    assert!(!said.contains("hunter2"), "a secret");
    insta::assert_snapshot!(said);
}

#[test]
fn one_value_as_json() {
    let (code, said, complaints) = why(&["press-01", "modules.camera.env", "-o", "json"]);
    assert_eq!(code, Some(0), "{complaints}");
    assert!(!said.contains("hunter2"), "a secret");
    insta::assert_snapshot!(said);
    assert_eq!(why(&["press-01", "camera.env", "-o", "json"]).1, said, "`modules.` may be left out");
}

#[test]
fn names_that_are_not_there() {
    let mut said = String::new();
    for arguments in [
        &["pres-01"] as &[&str],
        &["gate-77"],
        &["press-01", "modules.camera.env.LOG_LEVL"],
        &["press-01", "camra.image"],
        &["press-01", "modles.camera"],
        &["press-01", "tags.site.lyon"],
        &["press-01", "modules.camera.zzz"],
    ] {
        let (code, _, complaints) = why(arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        said.push_str(&format!("{}\n  {complaints}", arguments.join(" ")));
    }
    insta::assert_snapshot!(said);
}
