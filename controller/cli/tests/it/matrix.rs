//! Every client and every feature, in one hub: the table of the README, seen anew.
//!
//! Rows are in `client`, columns in `feature`; `session` tries them. A client whose part this machine lacks is left out
//! and said; what the README says of the others must be what was seen. `HEM_TEST_CLIENTS=java,node-edge` tries only rows
//! whose id says one of these.

#[path = "matrix/client.rs"]
mod client;
#[path = "matrix/feature.rs"]
mod feature;
#[path = "matrix/mail.rs"]
mod mail;
#[path = "matrix/session.rs"]
mod session;
#[path = "matrix/table.rs"]
mod table;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::{Value, json};

use self::{
    client::{CLIENTS, Client, EDGE, Parts, Place, Transport},
    feature::{FEATURES, Feature},
    mail::Mail,
    session::{LOOP, Session, World},
    table::{Cell, Row},
};
use crate::{hem::Hem, script::Script};

/// Runs a program between two named pipes: what `hem up` starts has no standard input of ours.
const BETWEEN_PIPES: [&str; 3] = ["sh", "-c", "exec \"$@\" <\"$0.in\" >\"$0.out\""];

#[test]
fn every_client_and_feature() {
    let parts = Parts::find();
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let place = Folder(folder.path().to_owned());
    let wanted = std::env::var("HEM_TEST_CLIENTS").unwrap_or_default();
    let wanted = |client: &Client| wanted.split(',').any(|part| client.id().contains(part));
    let here = |client: &Client| client.command(&parts, &place.ca(), None).is_some();
    let clients: Vec<Client> = CLIENTS.into_iter().filter(wanted).filter(here).collect();
    place.prepare(&clients, &parts);

    let started = Instant::now();
    // A connection ends with its token, so that a renewal can be seen in seconds.
    let hem = Hem::up_on(folder, &["--token-grace", "0"]);
    hem.ca_file();
    // The SDKs know no other port.
    let https =
        hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports");
    hem.eventually("the routes are in force", |hem| {
        let twin = hem.command(&["twin", "get", EDGE, "$edgeHub", "-o", "json"]).output().ok()?;
        let twin: Value = serde_json::from_slice(&twin.stdout).ok()?;
        (twin["properties"]["reported"]["lastDesiredStatus"]["code"] == 200).then_some(())
    });
    let sessions: Vec<Session> = clients
        .iter()
        .filter(|client| https || client.transport == Transport::Mqtt)
        .map(|client| Session::new(*client, place.start(*client, &parts, &hem)))
        .collect();

    let mail = Mail::start(&hem);
    let mut world = World { hem, mail };
    let (before, restart) = FEATURES.split_at(FEATURES.len() - 1);
    let mut table = all(sessions.into_iter().map(|session| (session, Vec::new())).collect(), before, &world);
    println!("{} clients were tried after {:?}", table.len(), started.elapsed());
    world.hem.kill();
    world.hem.start_again();
    world.mail = Mail::start(&world.hem);
    table = all(table, restart, &world);
    println!("and again after a restart of the hub after {:?}", started.elapsed());

    let rows: Vec<Row> =
        table.into_iter().map(|(session, cells)| Row { client: session.client, cells }).collect();
    println!("\n{}", table::markdown(&rows));
    for row in &rows {
        for (feature, cell) in FEATURES.iter().zip(&row.cells) {
            if let Cell::Fails(why) = cell {
                println!("✗ {} · {}: {why}\n{}", row.client.title(), feature.title(), place.said(row.client));
            }
        }
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let differences = table::differences(&fs::read_to_string(readme).expect("the README"), &rows);
    assert!(differences.is_empty(), "README.md (-) is not what was seen (+):\n{}", differences.join("\n"));
}

/// Tries these features with all clients at once.
fn all(
    sessions: Vec<(Session, Vec<Cell>)>,
    features: &[Feature],
    world: &World,
) -> Vec<(Session, Vec<Cell>)> {
    std::thread::scope(|scope| {
        let row = |(mut session, mut cells): (Session, Vec<Cell>)| {
            scope.spawn(move || {
                cells.extend(features.iter().map(|feature| session.cell(*feature, world)));
                (session, cells)
            })
        };
        let running: Vec<_> = sessions.into_iter().map(row).collect();
        running.into_iter().map(|row| row.join().expect("what goes wrong is in the cells")).collect()
    })
}

/// The folder of the hub and of all that belongs to the clients.
struct Folder(PathBuf);

impl Folder {
    /// Where `Hem::ca_file` writes.
    fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    fn pipe(&self, client: Client) -> PathBuf {
        self.0.join(client.id())
    }

    /// Writes the documents and makes the pipes of modules that `hem up` starts.
    fn prepare(&self, clients: &[Client], parts: &Parts) {
        let mut modules = json!({});
        let mut routes = json!({"up": "FROM /messages/* INTO $upstream"});
        let mut documents = vec![device(EDGE, &json!({"edge": true, "tags": {"role": "matrix"}}))];
        for client in clients {
            let id = client.id();
            match client.place {
                Place::Device => documents.push(device(&id, &json!({}))),
                Place::Module => {
                    // Only its identity is wanted; the test runs the program.
                    modules[&id] = json!({"type": "process", "command": ["sleep", "1"], "status": "stopped"});
                }
                Place::Edge => modules[&id] = self.module(*client, parts),
            }
            if client.place != Place::Device {
                routes[format!("loop-{id}")] = Value::from(format!(
                    "FROM /messages/modules/{id}/outputs/{LOOP} INTO BrokeredEndpoint(\"/modules/{id}/inputs/{LOOP}\")"
                ));
            }
        }
        documents.push(json!({
            "apiVersion": "hemline.dev/v1alpha1", "kind": "EdgeDeployment", "metadata": {"name": "matrix"},
            "spec": {"targetCondition": "tags.role = 'matrix'", "modules": modules, "routes": routes},
        }));
        let fleet = self.0.join("fleet");
        fs::create_dir(&fleet).expect("a new folder");
        for (index, document) in documents.iter().enumerate() {
            fs::write(fleet.join(format!("{index}.json")), document.to_string()).expect("a writable folder");
        }
    }

    fn module(&self, client: Client, parts: &Parts) -> Value {
        let pipe = self.pipe(client);
        for end in ["in", "out"] {
            let made =
                Command::new("mkfifo").arg(pipe.with_extension(end)).status().expect("mkfifo is there");
            assert!(made.success(), "mkfifo: {made}");
        }
        let mut command: Vec<String> = BETWEEN_PIPES.iter().map(|word| (*word).to_owned()).collect();
        command.push(pipe.display().to_string());
        command.extend(client.command(parts, &self.ca(), None).expect("its part is here"));
        let npm = parts.npm.as_deref().unwrap_or(Path::new(""));
        json!({
            "type": "process", "command": command,
            "env": {"HEM_TEST_NPM": npm, "PYTHONWARNINGS": "ignore"},
        })
    }

    fn start(&self, client: Client, parts: &Parts, hem: &Hem) -> Script {
        let pipe = self.pipe(client);
        if client.place == Place::Edge {
            return Script::through(&pipe.with_extension("in"), &pipe.with_extension("out"));
        }
        let (device, module) = client.identity();
        let mut whose = vec!["connection-string", "--device", &device];
        whose.extend(module.iter().flat_map(|module| ["--module", module.as_str()]));
        let connection = hem.eventually(&format!("{} is in the registry", client.id()), |hem| {
            let output = hem.command(&whose).output().ok().filter(|output| output.status.success())?;
            String::from_utf8(output.stdout).ok()
        });
        let words = client.command(parts, &self.ca(), Some(connection.trim())).expect("its part is here");
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stderr(File::create(pipe.with_extension("err")).expect("a writable folder"));
        if let Some(npm) = &parts.npm {
            command.env("HEM_TEST_NPM", npm);
        }
        // The storage SDK for Node takes no authority from the options (reference device-protocol §1.2).
        command.env("NODE_EXTRA_CA_CERTS", self.ca());
        Script::start(&mut command)
    }

    /// The end of what the program said to people.
    fn said(&self, client: Client) -> String {
        let text = fs::read_to_string(self.pipe(client).with_extension("err")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn device(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "hemline.dev/v1alpha1", "kind": "Device", "metadata": {"name": name}, "spec": spec})
}
