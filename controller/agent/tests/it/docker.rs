//! The docker runtime with real engines: a container is made, found by label, restarted, read and removed.

use std::{process::Command, sync::OnceLock, time::Duration};

use hemline_agent::{
    bridge_address,
    module::{
        ContainerSpec, EngineStatus, Health, ModuleKey, ModuleKind, ModuleSpec, PullPolicy, Seen, SpecBody,
    },
    runtime::{
        Discarded, LogQuery, Pulled, Removed, Runtime as _, RuntimeEvent, Started, Stopped,
        docker::{DockerRuntime, Owner},
    },
};
use hemline_testkit::{eventually, require, within};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const IMAGE: &str = "hemline-test/busybox:1";

/// Makes the image once per engine; nothing is fetched.
fn import(program: &str) -> bool {
    let script = format!(
        "set -e; {program} version >/dev/null 2>&1; {program} image inspect {IMAGE} >/dev/null 2>&1 && exit 0; \
         d=$(mktemp -d); mkdir $d/bin $d/tmp; cp $(command -v busybox) $d/bin/busybox; \
         for c in sh sleep echo cat env ls; do ln -s busybox $d/bin/$c; done; \
         tar -C $d -c . | {program} import - {IMAGE} >/dev/null; rm -rf $d"
    );
    Command::new("sh").args(["-c", &script]).status().is_ok_and(|status| status.success())
}

pub(crate) fn engine() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    let ready = *READY.get_or_init(|| import("docker"));
    require("docker", ready, "start dockerd and install busybox-static")
}

/// A Podman service of this test's own.
struct Podman {
    service: std::process::Child,
    folder: tempfile::TempDir,
}

impl Podman {
    fn start() -> Option<Self> {
        if !require("podman", import("podman"), "install podman and busybox-static") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix://{}/podman.sock", folder.path().display());
        let mut service = Command::new("podman");
        service.args(["system", "service", "--time=0", &address]).stderr(std::process::Stdio::null());
        Some(Self { service: service.spawn().unwrap(), folder })
    }

    fn socket(&self) -> String {
        self.folder.path().join("podman.sock").to_string_lossy().into_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.service.kill());
        drop(self.service.wait());
    }
}

/// Containers of one test; gone when it ends, however it ends.
struct Site {
    runtime: DockerRuntime,
    program: &'static str,
    device: String,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(device: &str) -> Self {
        Self::on("docker", device, None)
    }

    fn on(program: &'static str, device: &str, socket: Option<String>) -> Self {
        let device = format!("{device}-{}", std::process::id());
        let owner = Owner { device: device.clone(), hub: "hub.test".to_owned() };
        Self {
            runtime: DockerRuntime::new(owner, socket),
            program,
            device,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn spec(&self, name: &str, script: &str, options: &Value) -> ModuleSpec {
        let mut create_options = options.as_object().cloned().unwrap();
        create_options.insert("Cmd".to_owned(), json!(["/bin/sh", "-c", script]));
        ModuleSpec {
            key: ModuleKey { kind: ModuleKind::Docker, name: format!("{name}-{}", self.device) },
            hash: "abc".to_owned(),
            env: vec![("GREETING".to_owned(), "hello".to_owned())],
            secret_env: Vec::new(),
            health: None,
            traits: std::collections::BTreeMap::new(),
            body: SpecBody::Container(ContainerSpec {
                host_gateway: "127.0.0.1".to_owned(),
                image: IMAGE.to_owned(),
                create_options,
                pull: PullPolicy::OnCreate,
                credential: None,
                socket_dir: self.folder.path().to_owned(),
                gateway: "gateway.hemline.test".to_owned(),
            }),
        }
    }

    async fn only(&self) -> Seen {
        let mut all = self.runtime.list().await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    async fn until(&self, status: EngineStatus) -> Seen {
        let look = || async { Some(self.only().await).filter(|seen| seen.status == status) };
        eventually(LIMIT, "the state of the container", look).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let (program, device) = (self.program, &self.device);
        let script =
            format!("{program} ps -aq --filter label=dev.hemline.device={device} | xargs -r {program} rm -f");
        drop(Command::new("sh").args(["-c", &script]).output());
    }
}

fn inspect(name: &str) -> Value {
    let output = Command::new("docker").args(["inspect", name]).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap()[0].clone()
}

#[tokio::test]
async fn a_container_from_birth_to_death() {
    if !engine() {
        return;
    }
    let site = Site::new("life");
    let spec = site.spec("m", "echo $GREETING; cat /etc/hosts; ls /var/run/iotedge; trap 'exit 0' TERM; while true; do sleep 0.1; done", &json!({"HostConfig": {"Memory": 67_108_864, "CapDrop": ["ALL"]}, "StopTimeout": 7}));
    let name = spec.key.name.clone();
    std::fs::write(site.folder.path().join("here"), "").unwrap();
    site.runtime.create(&spec).await.unwrap();
    let made = site.only().await;
    assert_eq!((made.hash.as_deref(), made.status, made.started), (Some("abc"), EngineStatus::Stopped, None));
    assert!(made.image_hash.unwrap().starts_with("sha256:"));

    assert_eq!(site.runtime.start(&name).await.unwrap(), Started::Now);
    assert_eq!(site.runtime.start(&name).await.unwrap(), Started::Already);
    let running = site.until(EngineStatus::Running).await;
    assert!(running.started.is_some() && running.health == Health::None);
    let found = inspect(&name);
    assert_eq!(found["HostConfig"]["Memory"], 67_108_864);
    assert_eq!(found["HostConfig"]["CapDrop"], json!(["ALL"]));
    assert_eq!(found["Config"]["StopTimeout"], 7);
    assert_eq!(
        found["Config"]["Labels"]["net.azure-devices.edge.owner"],
        "Microsoft.Azure.Devices.Edge.Agent"
    );
    assert_eq!(found["Config"]["Labels"]["net.azure-devices.edge.original-image"], IMAGE);
    assert!(found["NetworkSettings"]["Networks"]["azure-iot-edge"].is_object());

    let lines = eventually(LIMIT, "the log", || async {
        let lines = site.runtime.logs(&name, LogQuery::default()).await.unwrap();
        (lines.len() > 2).then_some(lines)
    })
    .await;
    assert_eq!(lines[0].text, "hello");
    assert!(lines[0].at.is_some());
    assert!(lines.iter().any(|line| line.text.contains("gateway.hemline.test")), "{lines:?}");

    assert_eq!(site.runtime.stop(&name).await.unwrap(), Stopped::Now);
    assert_eq!(site.runtime.stop(&name).await.unwrap(), Stopped::Already);
    let stopped = site.only().await;
    assert_eq!((stopped.status, stopped.exit_code), (EngineStatus::Stopped, Some(0)));
    assert_eq!(site.runtime.remove(&name).await.unwrap(), Removed::Now);
    assert_eq!(site.runtime.remove(&name).await.unwrap(), Removed::Already);
    assert!(site.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_killed_container_is_an_event_and_a_failure() {
    if !engine() {
        return;
    }
    let site = Site::new("killed");
    let (sender, mut events) = mpsc::channel::<RuntimeEvent>(64);
    let stop = CancellationToken::new();
    let spec = site.spec("m", "while true; do sleep 0.1; done", &json!({}));
    let name = spec.key.name.clone();
    let work = async {
        site.runtime.create(&spec).await.unwrap();
        site.runtime.start(&name).await.unwrap();
        // The watch begins before the kill: the events above may be seen or not.
        let watching = eventually(LIMIT, "any event", || {
            Command::new("docker").args(["pause", &name]).output().unwrap();
            Command::new("docker").args(["unpause", &name]).output().unwrap();
            std::future::ready(events.try_recv().ok())
        });
        watching.await;
        Command::new("docker").args(["kill", &name]).output().unwrap();
        let dead = async {
            loop {
                let event = events.recv().await.unwrap();
                // Images are nobody's; other tests give them names.
                let Some(module) = event.module else { continue };
                assert_eq!(module.name, name);
                let seen = site.only().await;
                if seen.status == EngineStatus::Failed {
                    return seen;
                }
            }
        };
        let seen = within(LIMIT, "the event", dead).await;
        assert_eq!(seen.exit_code, Some(137));
        stop.cancel();
    };
    tokio::join!(work, site.runtime.events(sender, stop.clone()));
}

#[tokio::test]
async fn health_checks_are_seen() {
    if !engine() {
        return;
    }
    let site = Site::new("health");
    let check = |script: &str| json!({"Healthcheck": {"Test": ["CMD", "/bin/sh", "-c", script], "Interval": 1_000_000_000, "Retries": 1}});
    let spec = site.spec("m", "while true; do sleep 0.1; done", &check("exit 1"));
    site.runtime.create(&spec).await.unwrap();
    site.runtime.start(&spec.key.name).await.unwrap();
    let first = site.only().await;
    assert!(matches!(first.health, Health::Starting | Health::Unhealthy));
    assert_eq!(site.until(EngineStatus::Unhealthy).await.health, Health::Unhealthy);
}

#[tokio::test]
async fn a_local_image_will_do_when_there_is_no_registry() {
    if !engine() {
        return;
    }
    let site = Site::new("pull");
    let mut spec = site.spec("m", "true", &json!({}));
    let SpecBody::Container(container) = &mut spec.body else { unreachable!() };
    container.image = "127.0.0.1:9/hemline-test/busybox:1".to_owned();
    assert!(site.runtime.pull(&spec).await.is_err(), "neither here nor there");
    Command::new("docker").args(["tag", IMAGE, "127.0.0.1:9/hemline-test/busybox:1"]).output().unwrap();
    assert!(matches!(site.runtime.pull(&spec).await.unwrap(), Pulled::KeptLocal { .. }));
    Command::new("docker").args(["rmi", "127.0.0.1:9/hemline-test/busybox:1"]).output().unwrap();
}

#[tokio::test]
async fn an_image_goes_when_nothing_uses_it() {
    if !engine() {
        return;
    }
    let site = Site::new("discard");
    let docker = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // An image of its own.
    let name = format!("hemline-test/discard:{}", std::process::id());
    let container = docker(&["create", IMAGE, "true"]);
    docker(&["commit", "-m", &name, &container, &name]);
    docker(&["rm", &container]);
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &name]);
    let mut spec = site.spec("m", "true", &json!({}));
    let SpecBody::Container(container) = &mut spec.body else { unreachable!() };
    container.image.clone_from(&name);
    site.runtime.create(&spec).await.unwrap();
    assert_eq!(site.runtime.discard(&id).await.unwrap(), Discarded::InUse, "a container is made of it");
    site.runtime.remove(&spec.key.name).await.unwrap();
    let other = format!("{name}-kept");
    docker(&["tag", &name, &other]);
    assert_eq!(site.runtime.discard(&id).await.unwrap(), Discarded::InUse, "somebody gave it a name");
    docker(&["rmi", &other]);
    assert_eq!(site.runtime.discard(&id).await.unwrap(), Discarded::Now);
    assert_eq!(site.runtime.discard(&id).await.unwrap(), Discarded::Already);
    assert_eq!(docker(&["image", "inspect", "-f", "{{.Id}}", &name]), "");
}

#[tokio::test]
async fn a_taken_name_is_no_obstacle() {
    if !engine() {
        return;
    }
    let (one, two) = (Site::new("taken-one"), Site::new("taken-two"));
    let mut spec = one.spec("m", "while true; do sleep 0.1; done", &json!({}));
    one.runtime.create(&spec).await.unwrap();
    spec.hash = "of the other".to_owned();
    two.runtime.create(&spec).await.unwrap();
    assert_eq!(one.only().await.hash.as_deref(), Some("abc"));
    assert_eq!(two.only().await.hash.as_deref(), Some("of the other"));
    two.runtime.start(&spec.key.name).await.unwrap();
    let found = inspect(&format!("{}.{}", spec.key.name, two.device));
    let aliases = &found["NetworkSettings"]["Networks"]["azure-iot-edge"]["Aliases"];
    assert!(aliases.as_array().unwrap().contains(&json!(spec.key.name)), "{aliases}");
}

#[tokio::test]
async fn refusals_are_in_the_engines_words() {
    if !engine() {
        return;
    }
    let site = Site::new("refused");
    let spec = site.spec("m", "true", &json!({"HostConfig": {"Memory": 1}}));
    let error = site.runtime.create(&spec).await.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("memory"), "{error}");
    let mut spec = site.spec("m", "true", &json!({}));
    let SpecBody::Container(container) = &mut spec.body else { unreachable!() };
    container.image = "hemline-test/no-such-image:1".to_owned();
    let error = site.runtime.create(&spec).await.unwrap_err().to_string();
    assert!(error.contains("no-such-image"), "{error}");
}

#[tokio::test]
async fn no_engine_is_said_so() {
    let owner = Owner { device: "d".to_owned(), hub: "h".to_owned() };
    let runtime = DockerRuntime::new(owner, Some("/no/such/socket".to_owned()));
    let error = runtime.list().await.unwrap_err().to_string();
    assert!(error.contains("/no/such/socket"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_does_the_same() {
    let Some(podman) = Podman::start() else { return };
    let site = Site::on("podman", "podman", Some(podman.socket()));
    eventually(LIMIT, "the podman service", || async { site.runtime.list().await.ok() }).await;
    // Podman wants more open files than a sandbox may give.
    let ulimits = json!({"HostConfig": {"Ulimits": [
        {"Name": "nofile", "Soft": 1024, "Hard": 1024}, {"Name": "nproc", "Soft": 1024, "Hard": 1024}]}});
    let spec = site.spec("m", "cat /etc/hosts; trap 'exit 0' TERM; while true; do sleep 0.1; done", &ulimits);
    let name = spec.key.name.clone();
    assert!(matches!(
        site.runtime.pull(&spec).await.unwrap(),
        Pulled::KeptLocal { .. } | Pulled::Fetched { .. }
    ));
    site.runtime.create(&spec).await.unwrap();
    let made = site.only().await;
    assert_eq!((made.hash.as_deref(), made.status, made.started), (Some("abc"), EngineStatus::Stopped, None));
    assert_eq!(site.runtime.start(&name).await.unwrap(), Started::Now);
    assert_eq!(site.runtime.start(&name).await.unwrap(), Started::Already);
    site.until(EngineStatus::Running).await;
    let lines = eventually(LIMIT, "the log", || async {
        let lines = site.runtime.logs(&name, LogQuery::default()).await.unwrap();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let host = bridge_address(Some(&podman.socket())).await.unwrap();
    let entry = lines.iter().find(|line| line.text.contains("gateway.hemline.test")).unwrap();
    assert!(entry.text.starts_with(&host.to_string()), "{entry:?}");
    assert_eq!(site.runtime.stop(&name).await.unwrap(), Stopped::Now);
    assert_eq!(site.only().await.status, EngineStatus::Stopped);
    assert_eq!(site.runtime.remove(&name).await.unwrap(), Removed::Now);
    assert!(site.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_bridge_has_an_address() {
    assert_eq!(bridge_address(Some("/no/such/socket")).await, None);
    if engine() {
        let address = bridge_address(None).await.unwrap();
        assert!(!address.is_loopback(), "{address}");
    }
}
