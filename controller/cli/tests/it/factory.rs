//! `examples/factory`: a whole fleet is clean, its broken twin says every mistake at its very characters, and the comment on
//! a change of it answers what a reviewer asks.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    hem::hem,
    repository::{git, git_is_here},
};

const FACTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/factory");

/// One mistake: the rule that must say it, the file, the text that is replaced and what stands there instead. `⟦` and `⟧`
/// enclose what the finding must underline; they do not reach the file.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

/// A mistake in a device of its own file.
macro_rules! device {
    ($rule:literal, $file:literal, $rest:literal) => {
        ($rule, $file, "", concat!("apiVersion: hemline.dev/v1alpha1\nkind: Device\n", $rest))
    };
}

/// A mistake in a deployment of its own file, for a device that is not there.
macro_rules! deployment {
    ($rule:literal, $name:literal, $rest:literal) => {
        (
            $rule,
            concat!("broken/", $name, ".yaml"),
            "",
            concat!(
                "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: ",
                $name,
                "}\nspec:\n  targetCondition: deviceId = 'nobody'\n",
                $rest
            ),
        )
    };
}

/// The broken twin: what is wrong in a document, or between two of them. Mistakes of one family stand together.
const MISTAKES: &[Mistake] = &[
    // Files: each of these costs the rest of its file.
    ("tab-indent", "devices/gdansk/gateways.yaml", "  edge: true\n", "⟦\t⟧edge: true\n"),
    ("yaml-syntax", "broken/notes.yaml", "", "apiVersion: [hemline.dev/v1alpha1\nkind⟦:⟧ Device\n"),
    ("list-at-top", "broken/list.json", "", "[⟦{\"kind\": \"Device\"}⟧]"),
    ("not-a-document", "broken/word.yaml", "", "⟦press⟧\n"),
    device!("unknown-tag", "broken/tag.yaml", "metadata: {name: tag}\nspec: {tags: {site: ⟦!vault a1⟧}}\n"),
    device!("key-not-text", "broken/key.yaml", "metadata: {name: key}\nspec: {tags: {⟦[⟧a, b]: 1}}\n"),
    device!(
        "alias-recursive",
        "broken/alias.yaml",
        "metadata: {name: alias}\nspec: {tags: &all {site: ⟦*all⟧}}\n"
    ),
    device!("merge-key", "broken/merge.yaml", "metadata: {name: merge}\nspec: {tags: {⟦<<⟧: lyon}}\n"),
    device!(
        "no-json-number",
        "broken/number.yaml",
        "metadata: {name: number}\nspec: {tags: {line: ⟦.inf⟧}}\n"
    ),
    device!(
        "ambiguous-scalar",
        "broken/norway.yaml",
        "metadata: {name: norway}\nspec: {tags: {site: ⟦no⟧}}\n"
    ),
    ("other-document", "broken/map.yaml", "", "apiVersion: ⟦v1⟧\nkind: ConfigMap\nmetadata: {name: map}\n"),
    // The shape of documents.
    ("duplicate-key", "deployments/lyon.yaml", "  priority: 30\n", "  priority: 30\n  ⟦priority⟧: 31\n"),
    (
        "unknown-api-version",
        "broken/version.yaml",
        "",
        "apiVersion: ⟦hemline.dev/v1⟧\nkind: Device\nmetadata: {name: version}\nspec: {}\n",
    ),
    ("unknown-kind", "devices/turin/gateways.yaml", "kind: Device", "kind: ⟦Devcie⟧"),
    (
        "missing-field",
        "broken/missing.yaml",
        "",
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: missing}\n⟦spec⟧: {priority: 3}\n",
    ),
    ("unknown-field", "deployments/vision.yaml", "  layered: true\n", "  layered: true\n  ⟦prioritty⟧: 21\n"),
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
    ("out-of-range", "deployments/press.yaml", "priority: 5", "priority: ⟦12⟧"),
    device!("name", "broken/name.yaml", "metadata: {name: ⟦Press_07⟧}\nspec: {}\n"),
    ("duplicate-name", "devices/lyon/sensors.yaml", "lyon-energy-02", "⟦lyon-temperature-01⟧"),
    // Devices.
    device!("device-id", "broken/id.yaml", "metadata: {name: id}\nspec: {deviceId: ⟦press 07⟧}\n"),
    device!(
        "duplicate-device-id",
        "devices/twice.yaml",
        "metadata: {name: twice}\nspec: {deviceId: ⟦lyon-press-01⟧}\n"
    ),
    device!(
        "thumbprint",
        "broken/thumb.yaml",
        "metadata: {name: thumb}\nspec: {auth: {type: selfSigned, primaryThumbprint: ⟦4A:00⟧}}\n"
    ),
    device!(
        "twin-limit",
        "broken/key-of-twin.yaml",
        "metadata: {name: key-of-twin}\nspec: {desired: {⟦a.b⟧: 1}}\n"
    ),
    device!(
        "twin-null",
        "broken/null.yaml",
        "metadata: {name: nothing}\nspec: {desired: {⟦interval⟧: null}}\n"
    ),
    (
        "unknown-parent",
        "devices/lyon/presses-hall-b.yaml",
        "{name: lyon-press-30}\nspec:\n  edge: true\n  parent: lyon-gateway-b",
        "{name: lyon-press-30}\nspec:\n  edge: true\n  parent: ⟦lyon-gatway-b⟧",
    ),
    device!(
        "parent-not-edge",
        "broken/parent.yaml",
        "metadata: {name: parent}\nspec: {parent: ⟦lyon-energy-06⟧}\n"
    ),
    (
        "parent-cycle",
        "devices/lyon/gateways.yaml",
        "  edge: true\n  tags",
        "  edge: true\n  parent: ⟦lyon-gateway-b⟧\n  tags",
    ),
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
    deployment!("route-name", "route-name", "  routes: {⟦all.up⟧: FROM /messages/* INTO $upstream}\n"),
    ("duration", "deployments/gateway.yaml", "{timeToLive: 3d}", "{timeToLive: ⟦3 days⟧}"),
    // Modules.
    deployment!("module-name", "module-name", "  modules: {⟦a b⟧: {image: 'a:1'}}\n"),
    deployment!("module-needs-image", "no-image", "  modules: {⟦camera⟧: {env: {A: b}}}\n"),
    deployment!("module-needs-command", "no-command", "  modules: {⟦filter⟧: {type: process}}\n"),
    deployment!(
        "wrong-runtime-field",
        "runtime",
        "  modules: {filter: {type: process, command: [/f], ⟦image⟧: 'f:1'}}\n"
    ),
    deployment!("image", "image", "  modules: {camera: {image: registry.example/⟦Camera⟧:1}}\n"),
    deployment!("image-tag", "tagless", "  modules: {camera: {image: ⟦registry.example/camera⟧}}\n"),
    deployment!("env-name", "env-name", "  modules: {camera: {image: 'c:1', env: {⟦A=B⟧: c}}}\n"),
    deployment!("env-reserved", "env", "  modules: {camera: {image: 'c:1', env: {⟦IOTEDGE_DEVICEID⟧: c}}}\n"),
    // The body of the container-create call, as an object and inside a text.
    (
        "create-options-field",
        "deployments/press.yaml",
        r#"{"HostConfig":{"Memory":67108864"#,
        r#"{"HostConfig":{"⟦Memry⟧":67108864"#,
    ),
    deployment!(
        "create-options-type",
        "type",
        "  modules: {a: {image: 'a:1', createOptions: {HostConfig: {Memory: ⟦64M⟧}}}}\n"
    ),
    deployment!(
        "create-options-value",
        "value",
        "  modules: {a: {image: 'a:1', createOptions: '{\"HostConfig\":{\"Binds\":[\"⟦data⟧\"]}}'}}\n"
    ),
    deployment!(
        "create-options",
        "text",
        "  modules: {a: {image: 'a:1', createOptions: '{\"HostConfig\":{⟦}⟧'}}\n"
    ),
    deployment!(
        "privileged",
        "privileged",
        "  modules: {a: {image: 'a:1', createOptions: {HostConfig: {⟦Privileged⟧: true}}}}\n"
    ),
    deployment!(
        "engine-socket",
        "socket",
        "  modules: {a: {image: 'a:1', createOptions: {HostConfig: {Binds: [⟦'/var/run/docker.sock:/s'⟧]}}}}\n"
    ),
    deployment!(
        "host-mount",
        "mount",
        "  modules: {a: {image: 'a:1', createOptions: {HostConfig: {Binds: [⟦'/etc:/host'⟧]}}}}\n"
    ),
    deployment!(
        "mount-clash",
        "clash",
        "  modules: {a: {image: 'a:1', createOptions: {HostConfig: {Binds: ['/srv/a:/data', ⟦'/srv/b:/data'⟧]}}}}\n"
    ),
    // Annotations.
    device!(
        "ignore-unknown-rule",
        "broken/ignore.yaml",
        "metadata: {name: ignore, annotations: {⟦hemline.dev/ignore-privileges⟧: it is fine}}\nspec: {}\n"
    ),
    device!(
        "ignore-error",
        "broken/ignore-error.yaml",
        "metadata: {name: ignore-error, annotations: {⟦hemline.dev/ignore-image⟧: it is fine}}\nspec: {}\n"
    ),
    // What layering shows is told beside all this.
    (
        "port-clash",
        "deployments/press.yaml",
        "        Healthcheck:",
        "          PortBindings: {80/tcp: [{HostPort: ⟦\"4840\"⟧}]}\n        Healthcheck:",
    ),
];

/// Documents that are right each by itself and do not fit together.
const MISFITS: &[Mistake] = &[
    (
        "priority-tie",
        "broken/second.yaml",
        "",
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: second}\nspec:\n  targetCondition: deviceId = 'lyon-press-02'\n  priority: ⟦10⟧\n  modules: {a: {image: 'a:1'}}\n",
    ),
    (
        "layer-conflict",
        "deployments/lyon.yaml",
        "  priority: 30\n  layered: true\n  modules:\n    opcua:\n",
        "  priority: 40\n  layered: true\n  modules:\n    opcua:\n      env: {LOG_LEVEL: ⟦warn⟧}\n",
    ),
    ("module-incomplete", "deployments/canary.yaml", "    filter:\n", "    ⟦filtr⟧:\n"),
    (
        "port-clash",
        "deployments/vision.yaml",
        "          Memory: 402653184\n",
        "          Memory: 402653184\n          PortBindings: {554/tcp: [{HostPort: ⟦\"4840\"⟧}]}\n",
    ),
    (
        "bind-clash",
        "deployments/vision.yaml",
        "\"/var/lib/factory/frames:/frames\"",
        "⟦\"/var/lib/factory/history:/frames\"⟧",
    ),
    (
        "layer-below-base",
        "broken/below.yaml",
        "",
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: below}\nspec:\n  targetCondition: tags.role = 'press'\n  priority: ⟦5⟧\n  layered: true\n  modules: {filter: {env: {A: b}}}\n",
    ),
    (
        "layer-without-base",
        "broken/floating.yaml",
        "",
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: floating}\nspec:\n  targetCondition: tags.role = 'spare'\n  priority: 50\n  layered: ⟦true⟧\n  modules: {filter: {env: {A: b}}}\n",
    ),
    device!(
        "device-without-base",
        "broken/spare.yaml",
        "metadata: {name: spare}\nspec:\n  edge: ⟦true⟧\n  tags: {role: other}\n---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: spare-2}\nspec: {edge: true, tags: {role: spare}}\n"
    ),
    (
        "deployment-without-device",
        "broken/nobody.yaml",
        "",
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: nobody}\nspec:\n  targetCondition: ⟦deviceId = 'nobody'⟧\n  modules: {a: {image: 'a:1'}}\n",
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

/// Changes one place of a file; an empty `from` makes a new file.
fn replace(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    if from.is_empty() {
        assert!(!path.exists(), "{file} is a new file");
        return fs::write(&path, to).expect("writable");
    }
    let text = fs::read_to_string(&path).expect("there");
    assert_eq!(text.matches(from).count(), 1, "{file} has {from:?} once");
    fs::write(&path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
fn the_factory_is_clean() {
    // With `--strict` a warning would be an error; what is said of the Azure manifest are notes.
    let strict = ["validate", ".", "--strict"];
    let output = hem().current_dir(FACTORY).args(strict).output().expect("hem starts");
    assert_eq!(output.status.code(), Some(0));
    let (said, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(format!("{notes}\n{said}"));
}

#[test]
fn every_mistake_is_said_where_it_is() {
    all_are_said("mistakes", MISTAKES);
}

#[test]
fn every_misfit_is_said_where_it_is() {
    all_are_said("misfits", MISFITS);
}

/// Breaks a copy of the factory, and looks for each mistake in what `hem validate` says; the whole text is a snapshot.
#[track_caller]
fn all_are_said(name: &str, mistakes: &[Mistake]) {
    let folder = folder();
    for (_, file, from, to) in mistakes {
        replace(folder.path(), file, from, &to.replace(['⟦', '⟧'], ""));
    }
    let output = validate(folder.path(), "json");
    assert_eq!(output.status.code(), Some(1));
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let said: Vec<(&str, &str, String)> = findings.iter().map(said).collect();
    let missing: Vec<String> = mistakes
        .iter()
        .map(|(rule, file, _, to)| (*rule, *file, marked(to)))
        .filter(|wanted| !said.contains(wanted))
        .map(|(rule, file, text)| {
            let there: Vec<_> = said.iter().filter(|one| one.0 == rule || one.1 == file).collect();
            format!("{rule} at {text:?} in {file}; there is {there:?}")
        })
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let human = validate(folder.path(), "human");
    insta::assert_snapshot!(name, String::from_utf8_lossy(&human.stderr));
}

/// A pull request: a new image and more memory for the filter, a route less, the cameras of one site gone, a sensor gone, and a
/// live change for one site.
const CHANGES: &[(&str, &str, &str)] = &[
    ("deployments/press.yaml", "press/filter:1.12.3", "press/filter:1.13.0"),
    ("deployments/press.yaml", "\"Memory\":67108864", "\"Memory\":100663296"),
    (
        "deployments/press.yaml",
        "    hourly:\n      route: FROM /messages/modules/historian/outputs/hourly INTO $upstream\n      priority: 5\n      timeToLive: 2d\n",
        "",
    ),
    ("deployments/vision.yaml", "tags.camera = true", "tags.camera = true AND tags.site != 'gdansk'"),
    ("deployments/lyon.yaml", "samplingMs: 500", "samplingMs: 400"),
    (
        "devices/lyon/sensors.yaml",
        "---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: lyon-pressure-63}\nspec:\n  tags: {site: lyon, role: sensor, kind: pressure}\n",
        "",
    ),
];

#[test]
fn the_comment_on_a_change_answers_its_reviewer() {
    if !git_is_here() {
        return;
    }
    let folder = folder();
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    git(folder.path(), &["add", "--all"]);
    git(folder.path(), &["commit", "--quiet", "--message", "base"]);
    for (file, from, to) in CHANGES {
        replace(folder.path(), file, from, to);
    }
    let plan = ["plan", ".", "--base", "HEAD", "--format", "markdown"];
    let output = hem().current_dir(folder.path()).args(plan).output().expect("hem starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // Commit and digest move with every edit of the example; what is said does not.
    let without_ids: Vec<&str> = text.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect();
    insta::assert_snapshot!(without_ids.join(" "));
}

fn is_id(word: &str) -> bool {
    let bare = word.trim().trim_end_matches("\n\n<!--").trim_matches('`');
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    bare.starts_with("sha256:") || (bare.len() == 7 && hex(bare))
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
    let (_, rest) = text.split_once('⟦').unwrap_or(("", text));
    rest.split_once('⟧').unwrap_or((rest, "")).0.to_owned()
}
