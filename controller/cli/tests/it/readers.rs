//! Programs of others that read what `hem` prints: code scanning (SARIF), test reports (JUnit), GitHub's runner. Each
//! judges the findings of one folder that has everything: errors, warnings, notes, accepted ones, odd names and texts.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hem::hem;

/// Where `cargo xtask test` keeps programs from npm.
pub(crate) fn npm() -> Option<PathBuf> {
    let folder = std::env::var_os("HEM_TEST_NPM").map(PathBuf::from);
    let there = folder.as_ref().is_some_and(|folder| folder.join("node_modules").is_dir());
    hemline_testkit::require("programs from npm", there, "run `cargo xtask test`").then_some(folder).flatten()
}

/// A script of `tests/npm`, with a text on standard input.
pub(crate) fn script(npm: &Path, name: &str, arguments: &[&str], input: &str) -> (bool, String) {
    script_in(npm, name, arguments, input, &[])
}

/// The same with more in its environment.
pub(crate) fn script_in(
    npm: &Path,
    name: &str,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &Path)],
) -> (bool, String) {
    let mut child = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm").join(name))
        .args(arguments)
        .env("HEM_TEST_NPM", npm)
        .envs(environment.iter().copied())
        // The toolkit of GitHub writes to a file instead when a real workflow runs these tests.
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the script reads");
    let output = child.wait_with_output().expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata:
  name: press-01
  annotations: {hemline.dev/ignore-ambiguous-scalar: 'only our own tools, <they> read \"it\"'}
spec: {edge: true, tags: {country: NO, näme: yes}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tag.site = '100%,lyon:ü' OR
  prioriti: 10
  modules:
    camera: {image: 'ä', createOptions: '{\"HostConfig\": [}', env: {\"a]]>\\e[31m&\": [1]}}
---
apiVersion: v1
kind: ConfigMap
";

/// A folder with an odd name, and how `hem validate` prints its findings.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("fleet, 100%: ü");
        fs::create_dir(&path).expect("a new folder");
        fs::write(path.join("a b#c?.yaml"), FLEET).expect("writable");
        fs::write(path.join("second.yaml"), FLEET.replace("ignore-ambiguous-scalar", "ignore-duplicate-key"))
            .expect("writable");
        fs::write(path.join("latin.yaml"), b"a: \xe9\n").expect("writable");
        Self(folder)
    }

    fn validate(&self, format: &str) -> String {
        let mut command = hem();
        command.current_dir(self.0.path()).args(["validate", "--format", format]).arg("./fleet, 100%: ü");
        let output = command.output().expect("hem starts");
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn findings(&self) -> Value {
        let findings: Value = serde_json::from_str(&self.validate("json")).expect("JSON");
        let severities: Vec<_> =
            findings.as_array().expect("a list").iter().map(|finding| finding["severity"].clone()).collect();
        for severity in ["error", "warning", "note"] {
            assert!(severities.contains(&json!(severity)), "no {severity}: {findings:#}");
        }
        assert!(findings.as_array().expect("a list").iter().any(|finding| finding["ignored"].is_string()));
        findings
    }
}

#[test]
fn sarif_is_what_its_schema_wants() {
    let Some(npm) = npm() else { return };
    let folder = Folder::new();
    folder.findings();
    let log = folder.validate("sarif");
    let (held, said) = script(&npm, "sarif.mjs", &[], &log);
    assert!(held, "{said}");
    // The script does see what is wrong.
    let (held, said) = script(&npm, "sarif.mjs", &[], &log.replace("\"startLine\": ", "\"startLine\": -"));
    assert!(!held && said.contains("startLine"), "{said}");
}

/// What no schema can say: regions hold the text they quote, addresses name files that are there.
#[test]
fn sarif_points_at_what_it_quotes() {
    let folder = Folder::new();
    let log: Value = serde_json::from_str(&folder.validate("sarif")).expect("JSON");
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let mut quoted = 0;
    let mut suppressed = 0;
    for result in run["results"].as_array().expect("a list") {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().expect("an index") as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(
            rule["helpUri"],
            format!("https://hemline.dev/rules#{}", rule["id"].as_str().unwrap_or_default())
        );
        suppressed += usize::from(result["suppressions"][0]["justification"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        let base = place["artifactLocation"]["uriBaseId"].as_str().expect("a relative path");
        assert!(run["originalUriBaseIds"][base].is_object(), "{base}");
        let path = decoded(place["artifactLocation"]["uri"].as_str().expect("an address"));
        let bytes = fs::read(folder.0.path().join(&path)).expect("the file is there");
        let Some(snippet) = place["region"]["snippet"]["text"].as_str() else { continue };
        let text = String::from_utf8(bytes).expect("UTF-8");
        let number = |key: &str| place["region"][key].as_u64().expect("a number") as usize - 1;
        let line = text.split('\n').nth(number("startLine")).expect("the line is there");
        let length = number("endColumn") - number("startColumn");
        let found: String = line.chars().skip(number("startColumn")).take(length).collect();
        assert_eq!(found, snippet, "{result:#}");
        assert_eq!(place["contextRegion"]["snippet"]["text"], line);
        quoted += 1;
    }
    assert!(quoted > 8 && suppressed > 0, "{quoted} {suppressed}");
}

#[test]
fn junit_is_what_its_schema_wants() {
    let Some(npm) = npm() else { return };
    let folder = Folder::new();
    let report = folder.validate("junit");
    let (held, said) = script(&npm, "junit.mjs", &[], &report);
    assert!(held, "{said}\n{report}");
    let good = hem().args(["validate", "--format", "junit"]).arg(quickstart()).output().expect("hem starts");
    let (held, said) = script(&npm, "junit.mjs", &[], &String::from_utf8_lossy(&good.stdout));
    assert!(held, "{said}");
    let (held, said) = script(&npm, "junit.mjs", &[], &report.replace("<failure ", "<failed "));
    assert!(!held && said.contains("fail"), "{said}");
}

#[test]
fn annotations_are_those_of_the_toolkit() {
    let Some(npm) = npm() else { return };
    let folder = Folder::new();
    let lines = folder.validate("github");
    let both = json!({"lines": lines, "findings": folder.findings()});
    let (held, said) = script(&npm, "annotations.mjs", &[], &both.to_string());
    assert!(held, "{said}");
    let both = json!({"lines": lines.replace("%2C", ","), "findings": folder.findings()});
    assert!(!script(&npm, "annotations.mjs", &[], &both.to_string()).0, "an escape less is seen");
}

pub(crate) fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart")
}

/// `%XX` as the bytes they stand for.
fn decoded(uri: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.expect("two digits")));
            let digits: String = digits.into_iter().collect();
            bytes.push(u8::from_str_radix(&digits, 16).expect("hexadecimal"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
