//! Wrong documents: a finding with its position and exit code 1, and a running fleet stays as it is.

use std::{fs, path::Path, process::Output};

use crate::hem::{Hem, hem};

const GOOD: &str = "\
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
  priority: 10
  modules:
    filter:
      type: process
      command: [sleep, '1000']
";

fn validate(folder: &Path) -> Output {
    hem().current_dir(folder).args(["validate", "."]).output().expect("hem starts")
}

#[test]
fn each_fault_is_found_where_it_is() {
    for (name, from, to, position, word) in [
        ("unknown field", "  priority: 10\n", "  prioriti: 10\n", "fleet.yaml:11:", "prioriti"),
        ("wrong type", "priority: 10", "priority: high", "fleet.yaml:11:13", "priority"),
        ("bad condition", "tags.site = 'lyon'", "tags.site = ", "fleet.yaml:10:", "condition"),
        (
            "bad route",
            "  modules:\n",
            "  routes: {up: FROM /messages INTO nowhere}\n  modules:\n",
            "fleet.yaml:12:",
            "nowhere",
        ),
        (
            "dangling route",
            "  modules:\n",
            "  routes:\n    up: FROM /messages/* INTO BrokeredEndpoint(\"/modules/filtr/inputs/in\")\n  modules:\n",
            "fleet.yaml:13:",
            "filtr",
        ),
        (
            "not YAML",
            "spec: {edge: true, tags: {site: lyon}}",
            "spec: {edge: true, tags: {site: lyon}",
            "fleet.yaml:",
            "",
        ),
        (
            "duplicate key",
            "  priority: 10\n",
            "  priority: 10\n  priority: 11\n",
            "fleet.yaml:12:",
            "priority",
        ),
        ("bad name", "{name: vision}", "{name: Vision!}", "fleet.yaml:8:", "Vision!"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(GOOD.contains(from), "{name}: the fault is not in the text");
        fs::write(folder.path().join("fleet.yaml"), GOOD.replacen(from, to, 1)).expect("writable");
        let output = validate(folder.path());
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(position), "{name} should be at {position}: {said}");
        assert!(said.contains(word), "{name} should name {word}: {said}");
    }
}

#[test]
fn the_same_name_twice_is_found_across_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.yaml"), GOOD).expect("writable");
    fs::write(folder.path().join("b.yaml"), GOOD).expect("writable");
    let output = validate(folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("b.yaml:3:"), "{said}");
    assert!(said.contains("a.yaml:3"), "it should say where the other one is: {said}");
}

#[test]
fn good_documents_have_no_findings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("fleet.yaml"), GOOD).expect("writable");
    let output = validate(folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn several_faults_read_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = GOOD.replace("priority: 10", "prioriti: 10").replace("[sleep, '1000']", "sleep 1000").replace(
        "  modules:\n",
        "  routes:\n    up: FROM /messages/* INTO BrokeredEndpoint(\"/modules/filtr/inputs/in\")\n  modules:\n",
    );
    fs::write(folder.path().join("fleet.yaml"), text).expect("writable");
    let output = validate(folder.path());
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_rule_explains_itself() {
    let said = |rule: &str| {
        let output = hem().args(["validate", "--explain", rule]).output().expect("hem starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = said("ambiguous-scalar");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Wrong:\n\n    tags: {country: NO}"), "{text}");
    let (code, text) = said("ambigous-scalar");
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("did you mean ambiguous-scalar?"), "{text}");
    let (code, text) = said("all");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("priority-tie"), "{text}");
}

#[test]
fn findings_come_in_the_format_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A warning only: nothing selects the deployment.
    fs::write(folder.path().join("fleet.yaml"), GOOD.replace("'lyon'\n", "'oslo'\n")).expect("writable");
    let run = |options: &[&str]| {
        let mut command = hem();
        command.current_dir(folder.path()).args(["validate", "fleet.yaml"]).args(options);
        let output = command.output().expect("hem starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (options, word) in [
        (vec!["--format", "human"], ""),
        (vec!["--format", "json"], "\"rule\": \"deployment-without-device\""),
        (vec!["-o", "json"], "\"rule\": \"deployment-without-device\""),
        (vec!["--format", "sarif"], "\"ruleId\": \"deployment-without-device\""),
        (
            vec!["--format", "github"],
            "::warning file=fleet.yaml,line=10,col=20,endColumn=38,title=deployment-without-device::",
        ),
        (vec!["--format", "junit"], "<system-out>"),
    ] {
        let (code, text) = run(&options);
        assert_eq!(code, Some(0), "{options:?}: {text}");
        assert!(text.contains(word), "{options:?}: {text}");
    }
    let (code, text) = run(&["--format", "junit", "--strict"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("<failure type=\"deployment-without-device\""), "{text}");
    // Accepted with a reason, also when the rule is one of layering.
    let text = fs::read_to_string(folder.path().join("fleet.yaml")).expect("readable");
    let annotations = |rule: &str| format!("annotations: {{hemline.dev/ignore-{rule}: Oslo comes in May}}}}");
    let text = text
        .replace("{name: vision}", &format!("{{name: vision, {}", annotations("deployment-without-device")))
        .replace("{name: press-01}", &format!("{{name: press-01, {}", annotations("device-without-base")));
    fs::write(folder.path().join("fleet.yaml"), text).expect("writable");
    let (code, text) = run(&["--strict", "--format", "json"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        text.matches("Oslo comes in May\",\n").count() + text.matches("Oslo comes in May\"\n").count(),
        4,
        "{text}"
    );
}

#[test]
fn wrong_arguments_exit_with_64() {
    for arguments in [["plan", "--bogus"], ["frobnicate", "x"], ["connection-string", "--module=m"]] {
        let output = hem().args(arguments).output().expect("hem starts");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
}

#[test]
fn a_broken_edit_leaves_the_fleet_as_it_is() {
    let hem = Hem::up(&[("fleet.yaml", GOOD)]);
    let running = |hem: &Hem| {
        // `sleep` is not `hem`: the shim that watches it stands for it.
        let shims: Vec<u32> = hem.processes().into_iter().map(|(pid, _)| pid).collect();
        // Two of them: the module's own process has not become `sleep` yet.
        (shims.len() == 1).then_some(shims)
    };
    let before = hem.eventually("the module runs", running);
    let path = hem.fleet().join("fleet.yaml");
    fs::write(&path, GOOD.replace("priority: 10", "prioriti: 10")).expect("writable");
    hem.eventually("status shows the finding", |hem| {
        let said = hem.status();
        (said.contains("fleet.yaml:11:") && said.contains("prioriti")).then_some(())
    });
    assert_eq!(hem.json(&["get", "devices"]).as_array().map(Vec::len), Some(1));
    assert_eq!(running(&hem), Some(before.clone()), "the module was touched");
    fs::write(&path, GOOD).expect("writable");
    hem.eventually("status is clean again", |hem| (!hem.status().contains("prioriti")).then_some(()));
    assert_eq!(running(&hem), Some(before), "the module was touched");
}
