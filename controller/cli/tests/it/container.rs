//! Modules written for Azure IoT Edge, in containers, from the manifest that Azure's tools made: nothing in it is changed but
//! the names of the images. The SDKs are those of the registries, unchanged, and see what a container sees: the workload API, the
//! gateway by its name, the trust bundle, their neighbours.
//!
//! The images are packed from what this machine has (`tests/sdk/container/image.py`); nothing is pulled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::PoisonError,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    edge_module::{ask_on, promised},
    engines::{BRIDGES, Engine},
    hem::{Hem, eventually},
    script::{PATIENCE, program, python},
};

/// By which name a container knows its hub.
const GATEWAY: &str = "gateway.hemline.internal";
/// Whom the filter's image says it runs as: nobody in particular.
const USER: u32 = 1234;

/// What the filter is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
    Java,
}

impl Language {
    fn word(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
        }
    }

    /// Where its SDK is.
    fn sdk(self) -> Option<PathBuf> {
        match self {
            // That of the interpreter that packs the image.
            Self::Python => Some(PathBuf::from("-")),
            Self::Node => crate::readers::npm(),
            Self::Java => {
                let jars = std::env::var_os("HEM_TEST_JAVA").map(PathBuf::from);
                let there =
                    hemline_testkit::require("azure sdk for java", jars.is_some(), "run `cargo xtask test`");
                jars.filter(|_| there)
            }
        }
    }

    fn filter(self) -> &'static str {
        match self {
            Self::Python => "filter.py",
            Self::Node => "filter.js",
            Self::Java => "Filter.java",
        }
    }

    /// What the image's file would say.
    fn says(self, program: &str) -> Vec<String> {
        let program = format!("/app/{program}");
        let command = match self {
            Self::Python => json!(["python", "-u", program]),
            Self::Node => json!(["node", program]),
            Self::Java => json!(["java", "-cp", "/app/jars/*", "-Xmx256m", program]),
        };
        vec!["ENV PYTHONPATH=/app/site".to_owned(), format!("CMD {command}")]
    }

    /// An image of the language, its SDK and these programs, which runs none yet.
    fn image(self, engine: &Engine, packer: &Path, programs: &[PathBuf]) -> Option<String> {
        let sdk = self.sdk()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = folder.path().join("image.tar");
        let packed = Command::new(packer)
            .arg(program("container/image.py"))
            .args([&archive, Path::new(self.word()), &sdk])
            .args(programs)
            .output()
            .expect("python starts");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        Some(engine.import_archive(&archive, self.word()))
    }
}

/// The edge device; its modules are in the manifest beside it.
fn fleet(device: &str) -> String {
    format!(
        "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {{name: {device}}}
spec: {{edge: true, tags: {{line: press}}}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {{name: press}}
spec:
  targetCondition: tags.line = 'press'
  manifest: ./deployment.amd64.json
"
    )
}

/// The hub with its one device; says what the modules said when a test fails.
struct Line {
    hem: Hem,
    device: String,
}

impl Line {
    fn ask(&self, module: &str, method: &str, payload: &Value) -> Value {
        ask_on(&self.hem, &self.device, module, method, payload)
    }

    /// Waits until the filter has taken over a threshold, and says as whom it runs.
    fn adopted(&self, threshold: u32) -> Value {
        eventually(PATIENCE, &format!("the filter reports the threshold {threshold}"), || {
            let get = ["twin", "get", &self.device, "filter", "-o", "json"];
            let twin = self.hem.command(&get).output().ok()?;
            let twin: Value = serde_json::from_slice(&twin.stdout).ok()?;
            let reported = &twin["properties"]["reported"];
            (reported["threshold"].as_f64() == Some(threshold.into())).then(|| reported["user"].clone())
        })
    }

    /// Ids of the two containers, while both run.
    fn containers(&self, engine: &Engine, images: [&str; 2]) -> Vec<String> {
        eventually(PATIENCE, "both containers run", || {
            let ids: Vec<String> =
                images.iter().flat_map(|image| engine.containers(image)).map(|(id, _)| id).collect();
            (ids.len() == images.len()).then_some(ids)
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for module in ["probe", "filter"] {
                let said = self.hem.command(&["logs", &self.device, module]).output();
                let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                println!("---- {module} said ----\n{}", said.unwrap_or_default());
            }
        }
    }
}

/// Two images: the probe's and the filter's.
fn images(engine: &Engine, language: Language) -> Option<[String; 2]> {
    let packer = python()?;
    let filter = program("container").join(language.filter());
    let both = [program("edge_module.py"), filter.clone()];
    let base = Language::Python.image(engine, &packer, &both)?;
    let other = match language {
        Language::Python => base.clone(),
        Language::Node | Language::Java => language.image(engine, &packer, &[filter])?,
    };
    let probe = engine.derive_from(&base, "probe", &Language::Python.says("edge_module.py"));
    let mut says = language.says(language.filter());
    says.push(format!("USER {USER}:{USER}"));
    Some([probe, engine.derive_from(&other, "filter", &says)])
}

/// The manifest as it is committed, with these images.
fn manifest([probe, filter]: &[String; 2]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure/deployment.amd64.json");
    fs::read_to_string(path)
        .expect("the manifest")
        .replace("registry.example/probe:0.0.1-amd64", probe)
        .replace("registry.example/filter:0.0.1-amd64", filter)
}

/// Starts a hub with a device that runs what a manifest says.
fn up(engine: &Engine, manifest: &str) -> Option<Line> {
    let socket = format!("unix://{}", engine.socket);
    // A device of its own: somebody may be running another fleet on this engine.
    let device = engine.module.clone();
    let documents = [("fleet.yaml", &*fleet(&device)), ("deployment.amd64.json", manifest)];
    let hem = Hem::up_with(&documents, &["--docker", &socket]);
    // The SDKs know no other port.
    let https =
        hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports");
    https.then_some(Line { hem, device })
}

fn runs_from_its_manifest(engine_name: &str, language: Language) {
    let Some(engine) = Engine::bare(engine_name, language.word()) else { return };
    let Some(images) = images(&engine, language) else { return };
    let manifest = manifest(&images);
    let [probe, filter] = images;
    // On one address there can be one hub only.
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let Some(mut line) = up(&engine, &manifest) else { return };

    // The twin of the manifest, read and reported; the image's own user.
    assert_eq!(line.adopted(25), json!(USER));
    println!("{language:?} filter runs on {engine_name} {:?} after the start", started.elapsed());
    assert_eq!(line.ask("filter", "echo", &json!({"a": [1, null]})), json!({"echo": {"a": [1, null]}}));

    // From an output through the routes of the manifest into an input, and on to the hub.
    let mut arrived = line.hem.messages(&["--from-start"]);
    let mut alert = |above: f64| {
        let message = arrived.next().expect("an alert");
        assert_eq!((&message["deviceId"], &message["moduleId"]), (&json!(line.device), &json!("filter")));
        assert_eq!(message["properties"], json!({"kind": "alert"}), "{message}");
        assert_eq!(message["body"]["above"].as_f64(), Some(above), "{message}");
        message["body"]["celsius"].as_f64().expect("a number")
    };
    for celsius in [20, 30, 24, 31] {
        line.ask("probe", "emit", &json!({"celsius": celsius}));
    }
    assert_eq!([alert(25.0), alert(25.0)], [30.0, 31.0]);

    // All of the workload API, the gateway and the neighbour, from inside.
    let found = line.ask("probe", "everything", &json!("filter"));
    promised(found, "probe", GATEWAY, &json!("not there"));
    let address = line.ask("probe", "find", &json!("filter"));
    assert!(
        address.as_str().is_some_and(|address| address.parse::<std::net::Ipv4Addr>().is_ok()),
        "{address}"
    );

    // A saved manifest reaches the running module: no restart.
    let before = line.containers(&engine, [&probe, &filter]);
    let file = line.hem.fleet().join("deployment.amd64.json");
    fs::write(file, manifest.replace("\"threshold\": 25", "\"threshold\": 10")).expect("writable");
    assert_eq!(line.adopted(10), json!(USER));
    line.ask("probe", "emit", &json!({"celsius": 12}));
    assert_eq!(alert(10.0), 12.0);

    // Everything of ours is killed. The containers go on, and find socket and hub again.
    let sealed = line.ask("probe", "seal", &json!("kept"));
    line.hem.kill();
    line.hem.start_again();
    assert_eq!(line.ask("probe", "open", &sealed), json!("kept"));
    assert_eq!(line.ask("filter", "echo", &json!(2)), json!({"echo": 2}));
    line.ask("probe", "emit", &json!({"celsius": 13}));
    let mut arrived = line.hem.messages(&["--from-start", "--count", "4"]);
    let all: Vec<f64> = std::iter::from_fn(|| arrived.next())
        .filter_map(|message| message["body"]["celsius"].as_f64())
        .collect();
    assert_eq!(all, [30.0, 31.0, 12.0, 13.0]);
    assert_eq!(line.containers(&engine, [&probe, &filter]), before, "they are the same");

    assert_eq!(line.hem.interrupt().code(), Some(0));
    assert!(engine.containers(&probe).is_empty() && engine.containers(&filter).is_empty(), "all is stopped");
}

#[test]
fn docker_runs_python_from_its_manifest() {
    runs_from_its_manifest("docker", Language::Python);
}

#[test]
fn docker_runs_node_from_its_manifest() {
    runs_from_its_manifest("docker", Language::Node);
}

#[test]
fn docker_runs_java_from_its_manifest() {
    runs_from_its_manifest("docker", Language::Java);
}

#[test]
fn podman_runs_python_from_its_manifest() {
    runs_from_its_manifest("podman", Language::Python);
}

/// As manifests have it that want the network of the host: it knows no neighbours by name, and the hub all the same.
fn runs_on_the_hosts_network(engine_name: &str) {
    let Some(engine) = Engine::bare(engine_name, "host") else { return };
    let Some(images) = images(&engine, Language::Python) else { return };
    let bare = r#""createOptions": "{}""#;
    let hosts =
        json!({"HostConfig": {"NetworkMode": "host"}, "NetworkingConfig": {"EndpointsConfig": {"host": {}}}});
    let hosts = format!(r#""createOptions": {}"#, json!(hosts.to_string()));
    let (system, modules) = manifest(&images)
        .split_once(r#""modules""#)
        .map(|(system, modules)| (system.to_owned(), modules.to_owned()))
        .expect("modules");
    assert!(modules.contains(bare), "{modules}");
    let manifest = format!("{system}\"modules\"{}", modules.replace(bare, &hosts));
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut line) = up(&engine, &manifest) else { return };
    assert_eq!(line.adopted(25), json!(USER));
    let filter = &engine.containers(&images[1])[0].0;
    let network = engine.run(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", filter]);
    assert_eq!(network.as_deref().map(str::trim), Ok("host"));
    let mut arrived = line.hem.messages(&["--from-start", "--count", "1"]);
    line.ask("probe", "emit", &json!({"celsius": 30}));
    let message = arrived.next().expect("an alert");
    assert_eq!((&message["moduleId"], &message["body"]["celsius"]), (&json!("filter"), &json!(30)));
    assert_eq!(line.hem.interrupt().code(), Some(0));
}

#[test]
fn docker_runs_a_module_on_the_hosts_network() {
    runs_on_the_hosts_network("docker");
}

#[test]
fn podman_runs_a_module_on_the_hosts_network() {
    runs_on_the_hosts_network("podman");
}
