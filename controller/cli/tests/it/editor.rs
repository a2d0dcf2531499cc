//! Documents in an editor: the YAML language server with the committed schemas, driven as an editor drives it.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::readers::{npm, script};

/// What a document's first line says, so that editors find the schema.
const MODELINE: &str = "# yaml-language-server: $schema=../../schemas/hemline.json\n";

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with the committed schemas and these documents in `examples/fleet`, asked about as `tests/npm/editor.mjs` says.
fn asked(documents: &[(&str, String)], questions: &[&str]) -> Option<Value> {
    let npm = npm()?;
    let folder = TempDir::new().expect("a temporary folder");
    let (schemas, fleet) = (folder.path().join("schemas"), folder.path().join("examples/fleet"));
    fs::create_dir_all(&schemas).expect("a new folder");
    fs::create_dir_all(&fleet).expect("a new folder");
    for entry in fs::read_dir(root().join("schemas")).expect("the schemas are there") {
        let path = entry.expect("readable").path();
        fs::copy(&path, schemas.join(path.file_name().expect("a file"))).expect("writable");
    }
    for (name, text) in documents {
        fs::write(fleet.join(name), text).expect("writable");
    }
    let fleet = fleet.to_string_lossy().into_owned();
    let arguments: Vec<&str> = [fleet.as_str()].into_iter().chain(questions.iter().copied()).collect();
    let (held, said) = script(&npm, "editor.mjs", &arguments, "");
    assert!(held, "{said}");
    Some(serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}")))
}

/// Each document of a file has a line of its own: the language server looks at the comments of one document only.
fn with_schema(documents: &[&str]) -> String {
    documents.iter().map(|document| format!("{MODELINE}{document}")).collect::<Vec<_>>().join("---\n")
}

const DEVICE: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec:
  edge: true
";
const DEPLOYMENT: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: tags.site = 'lyon'
  modules:
    camera:
      image: camera:1.3
      restartPolicy: always
      env: {LEVEL: debug, RETRIES: 3}
";

#[test]
fn a_good_document_has_no_diagnostics() {
    let good = with_schema(&[DEVICE, DEPLOYMENT]);
    let Some(answers) = asked(&[("good.yaml", good)], &["good.yaml"]) else { return };
    assert_eq!(answers["good.yaml"], json!([]));
}

#[test]
fn what_is_wrong_is_told_where_it_is() {
    let wrong = with_schema(&[
        &DEVICE.replace("edge: true", "edgy: true"),
        &DEPLOYMENT.replace("restartPolicy: always", "restartPolicy: sometimes").replace("camera:1.3", "[1]"),
        &DEVICE.replace("kind: Device", "kind: Devise"),
        "kind: Device\n",
    ]);
    let Some(answers) = asked(&[("wrong.yaml", wrong)], &["wrong.yaml"]) else { return };
    let mut told: Vec<(Option<u64>, String)> = answers["wrong.yaml"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (
                one["line"].as_u64(),
                format!("{}:{} {}", one["line"], one["column"], one["message"].as_str().unwrap_or("?")),
            )
        })
        .collect();
    told.sort();
    let told: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn hover_describes_and_completion_offers() {
    let text = with_schema(&[DEVICE, &format!("{DEPLOYMENT}      \n  \n")]);
    let line = |wanted: &str, after: usize| {
        let (index, _) = text
            .lines()
            .enumerate()
            .skip(after)
            .find(|(_, line)| line.trim_end() == wanted)
            .unwrap_or_else(|| panic!("no line {wanted:?}"));
        index + 1
    };
    let (edge, target) = (line("  edge: true", 0), line("  targetCondition: tags.site = 'lyon'", 0));
    let policy = line("      restartPolicy: always", 0);
    let last = text.lines().count();
    let questions = [
        format!("f.yaml:{edge}:4"),
        format!("f.yaml:{target}:4"),
        format!("f.yaml:{policy}:24"),
        format!("f.yaml:{}:7", last - 1),
        format!("f.yaml:{last}:3"),
        "start.yaml:2:7".to_owned(),
        "start.yaml:3:4".to_owned(),
    ];
    let start = format!("{MODELINE}kind: \napi");
    let asked_for: Vec<&str> = questions.iter().map(String::as_str).collect();
    let Some(answers) = asked(&[("f.yaml", text.clone()), ("start.yaml", start)], &asked_for) else { return };
    let hover = |index: usize| answers[&questions[index]]["hover"].as_str().unwrap_or_default().to_owned();
    assert!(hover(0).contains("IoT Edge capability"), "{answers:#}");
    assert!(hover(1).contains("Which edge devices get it"), "{answers:#}");
    assert!(hover(2).contains("Whenever it ends"), "{answers:#}");
    let offered = |index: usize, words: &[&str]| {
        let labels = &answers[&questions[index]]["completion"];
        for word in words {
            let there = labels.as_array().into_iter().flatten().any(|label| label == word);
            assert!(there, "{} lacks {word}: {labels}", questions[index]);
        }
    };
    offered(2, &["always", "never", "on-failure", "on-unhealthy"]);
    // It may be empty; nobody means to write that.
    let policies = &answers[&questions[2]]["completion"];
    assert!(policies.as_array().into_iter().flatten().all(|label| label != "null"), "{policies}");
    offered(3, &["createOptions", "desired", "startupOrder", "type"]);
    offered(4, &["routes", "priority", "storeAndForward"]);
    offered(5, &["Device", "EdgeDeployment"]);
    offered(6, &["apiVersion", "metadata", "spec"]);
}

/// All examples keep the schema. The small ones say where it is themselves, in each document; for whole folders an editor has
/// a setting, which is how the language server is told here.
#[test]
fn the_examples_are_good_documents_in_an_editor_too() {
    let Some(npm) = npm() else { return };
    let examples = root().join("examples").canonicalize().expect("it is there");
    let mut names = Vec::new();
    let mut folders = vec![examples.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            // What `hem up` wrote beside the documents of somebody who tried an example is none.
            if path.is_dir() && !path.ends_with("status") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                names.push(path.strip_prefix(&examples).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    for name in ["quickstart/fleet.yaml", "docker/fleet.yaml"] {
        let text = fs::read_to_string(examples.join(name)).expect("readable");
        let documents = text.lines().filter(|line| line.starts_with("apiVersion: hemline.dev/")).count();
        assert_eq!(text.matches(MODELINE).count(), documents, "{name} lacks {MODELINE}");
    }
    let folder = examples.to_string_lossy().into_owned();
    let schema = root().join("schemas/hemline.json").canonicalize().expect("it is there");
    let schema = format!("--schema={}", schema.display());
    let arguments: Vec<&str> =
        [folder.as_str(), schema.as_str()].into_iter().chain(names.iter().map(String::as_str)).collect();
    let (held, said) = script(&npm, "editor.mjs", &arguments, "");
    assert!(held, "{said}");
    let answers: Value = serde_json::from_str(&said).expect("JSON");
    for name in names {
        assert_eq!(answers[&name], json!([]), "{name}");
    }
}
