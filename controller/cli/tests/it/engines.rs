//! Container modules on real engines: Docker, and Podman through the same interface.
//!
//! The image is one static binary, imported here; nothing is pulled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};

use crate::hem::{HEM, Hem, SOON, eventually};

/// Containers reach a hub at the engine's bridge address, and on one address there can be one hub only.
pub(crate) static BRIDGES: Mutex<()> = Mutex::new(());

/// An engine, its command line, and one image that only this test knows.
pub(crate) struct Engine {
    command: Vec<String>,
    pub(crate) socket: String,
    pub(crate) image: String,
    pub(crate) module: String,
    programs: Vec<(PathBuf, PathBuf)>,
    /// Other images that go with it.
    before: Mutex<Vec<String>>,
}

impl Engine {
    pub(crate) fn docker(test: &str) -> Option<Self> {
        Self::open("docker", test, true)
    }

    /// Docker, with an image that has a shell and nothing else.
    pub(crate) fn docker_small(test: &str) -> Option<Self> {
        Self::open("docker", test, false)
    }

    /// Another image, which runs a script.
    pub(crate) fn derive(&self, tag: &str, script: &str) -> String {
        self.derive_from(&self.image, tag, &[format!("CMD {}", json!(["/bin/sh", "-c", script]))])
    }

    /// Another image with the same files, and what its file would say otherwise (`CMD …`, `USER …`).
    pub(crate) fn derive_from(&self, base: &str, tag: &str, says: &[String]) -> String {
        let image = format!("{}-{tag}", self.image);
        let id = self.run(&["create", base, "/none"]).expect("a container");
        let mut commit = vec!["commit"];
        commit.extend(says.iter().flat_map(|line| ["--change", line]));
        commit.extend([id.trim(), &image]);
        self.run(&commit).expect("an image");
        self.run(&["rm", id.trim()]).expect("the container goes");
        self.before.lock().unwrap_or_else(PoisonError::into_inner).push(image.clone());
        image
    }

    /// An image of what is in an archive.
    pub(crate) fn import_archive(&self, archive: &Path, tag: &str) -> String {
        let image = format!("{}-{tag}", self.image);
        self.run(&["import", &archive.to_string_lossy(), &image]).expect("the image is imported");
        self.before.lock().unwrap_or_else(PoisonError::into_inner).push(image.clone());
        image
    }

    /// The running containers of an image: id, and when each was started.
    pub(crate) fn containers(&self, image: &str) -> Vec<(String, String)> {
        let filter = format!("ancestor={image}");
        let ids =
            self.run(&["ps", "--quiet", "--no-trunc", "--filter", &filter]).expect("the engine answers");
        let started = |id: &str| self.run(&["inspect", "--format", "{{.State.StartedAt}}", id]).ok();
        let mut all: Vec<(String, String)> =
            ids.split_whitespace().filter_map(|id| Some((id.to_owned(), started(id)?))).collect();
        all.sort();
        all
    }

    fn podman(test: &str) -> Option<Self> {
        Self::open("podman", test, true)
    }

    /// Docker or Podman, with no image yet.
    pub(crate) fn bare(name: &str, test: &str) -> Option<Self> {
        match name {
            "podman" => {
                let socket = podman_socket();
                let url = format!("unix://{socket}");
                Self::reach(name, test, &["podman", "--remote", "--url", &url], socket.clone())
            }
            _ => {
                let socket = "/var/run/docker.sock".to_owned();
                let host = format!("unix://{socket}");
                Self::reach(name, test, &["docker", "--host", &host], socket.clone())
            }
        }
    }

    fn reach(name: &str, test: &str, command: &[&str], socket: String) -> Option<Self> {
        let unique = format!("{name}-{test}-{}", std::process::id());
        let engine = Self {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            socket,
            image: format!("localhost/hemline-test:{unique}"),
            module: format!("idler-{unique}"),
            programs: Vec::new(),
            before: Mutex::default(),
        };
        let answers = Path::new(&engine.socket).exists() && engine.run(&["info"]).is_ok();
        let how = "start dockerd, or `podman system service` on the socket that HEM_TEST_PODMAN names";
        hemline_testkit::require(&format!("{name} engine"), answers, how).then_some(engine)
    }

    fn open(name: &str, test: &str, with_hem: bool) -> Option<Self> {
        let mut engine = Self::bare(name, test)?;
        let busybox = static_busybox();
        let how = "install busybox-static";
        if !hemline_testkit::require("static busybox", busybox.is_some(), how) {
            return None;
        }
        let busybox = busybox?;
        let mut programs: Vec<(PathBuf, PathBuf)> = ["busybox", "sh", "sleep", "test", "env"]
            .map(|name| (busybox.clone(), Path::new("bin").join(name)))
            .to_vec();
        // The binary under test may need libraries: those of this machine, at their places.
        if with_hem {
            programs.push((PathBuf::from(HEM), PathBuf::from("bin/hem")));
            programs.extend(libraries_of(HEM).into_iter().map(|path| {
                let inside = path.strip_prefix("/").expect("an absolute path").to_owned();
                (path, inside)
            }));
        }
        engine.programs = programs;
        engine.import(&engine.programs);
        Some(engine)
    }

    /// Gives the name of the image to another one.
    pub(crate) fn move_name(&self) {
        let id = self.run(&["image", "inspect", "--format", "{{.Id}}", &self.image]).expect("it is there");
        self.before.lock().unwrap_or_else(PoisonError::into_inner).push(id.trim().to_owned());
        self.import(&self.programs);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Makes the image of these files (where they are, where they go).
    fn import(&self, files: &[(PathBuf, PathBuf)]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("tmp")).expect("writable");
        for (from, to) in files {
            let to = root.join(to);
            fs::create_dir_all(to.parent().expect("it is in the root")).expect("writable");
            fs::copy(from, to).expect("a readable file");
        }
        let archive = folder.path().join("image.tar");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&archive)
            .arg(".")
            .status()
            .expect("tar starts");
        assert!(packed.success());
        self.run(&["import", &archive.to_string_lossy(), &self.image]).expect("the image is imported");
    }

    /// What the engine knows of the module's container, if there is one.
    pub(crate) fn container(&self) -> Option<Value> {
        // The name may carry more than the module's; it is unique in this process, so part of it is enough.
        let filter = format!("name={}", self.module);
        let ids = self.run(&["ps", "--all", "--quiet", "--filter", &filter]).expect("the engine answers");
        let ids: Vec<&str> = ids.split_whitespace().collect();
        assert!(ids.len() <= 1, "one module, {} containers", ids.len());
        // It may go away between the two questions.
        let text = self.run(&["inspect", ids.first()?]).ok()?;
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        Some(value[0].take())
    }

    pub(crate) fn running(&self) -> Option<Value> {
        self.container().filter(|container| container["State"]["Running"] == true)
    }

    pub(crate) fn fleet(&self, memory: u64) -> String {
        format!(
            "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {{name: box-1}}
spec: {{edge: true, tags: {{kind: box}}}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {{name: containers}}
spec:
  targetCondition: tags.kind = 'box'
  priority: 1
  modules:
    {}:
      image: {}
      imagePullPolicy: never
      env: {{GREETING: 'hello, world'}}
      createOptions:
        Cmd: [/bin/sh, -c, 'echo $GREETING; trap exit TERM; while true; do sleep 1; done']
        Labels: {{purpose: a test}}
        WorkingDir: /tmp
        HostConfig: {{Memory: {memory}, ReadonlyRootfs: true}}
",
            self.module, self.image
        )
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut images = std::mem::take(self.before.get_mut().unwrap_or_else(PoisonError::into_inner));
        images.push(self.image.clone());
        for image in images {
            let made_of = format!("ancestor={image}");
            let ids = self.run(&["ps", "--all", "--quiet", "--filter", &made_of]).unwrap_or_default();
            for id in ids.split_whitespace() {
                drop(self.run(&["rm", "--force", id]));
            }
            drop(self.run(&["rmi", "--force", &image]));
        }
    }
}

fn podman_socket() -> String {
    std::env::var("HEM_TEST_PODMAN").unwrap_or_else(|_| "/run/podman/podman.sock".to_owned())
}

/// What the dynamic linker would load for a program; nothing for a static one.
fn libraries_of(program: &str) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd starts");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from))
        .collect()
}

fn static_busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"].into_iter().map(PathBuf::from).find(
        |path| {
            // ldd fails on a program without an interpreter.
            path.exists()
                && Command::new("ldd").arg(path).output().is_ok_and(|output| !output.status.success())
        },
    )
}

fn a_module_lives_in(engine: &Engine) {
    const MEMORY: u64 = 33_554_432;
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let socket = format!("unix://{}", engine.socket);
    let document = engine.fleet(MEMORY);
    let started = Instant::now();
    let mut hem = Hem::up_with(&[("fleet.yaml", &document)], &["--docker", &socket]);
    let first = eventually(SOON, "the container runs", || engine.running());
    println!("container runs {:?} after the start", started.elapsed());

    // createOptions arrive as they are, with our own things beside them.
    assert_eq!(first["HostConfig"]["Memory"], json!(MEMORY));
    assert_eq!(first["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(first["Config"]["Labels"]["purpose"], "a test");
    assert_eq!(first["Config"]["WorkingDir"], "/tmp");
    let environment: Vec<&str> =
        first["Config"]["Env"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(environment.contains(&"GREETING=hello, world"), "{environment:?}");
    let expected_id = format!("IOTEDGE_MODULEID={}", engine.module);
    assert!(environment.contains(&expected_id.as_str()), "{environment:?}");
    assert!(environment.contains(&"IOTEDGE_DEVICEID=box-1"), "{environment:?}");
    let id = first["Id"].as_str().expect("an id").to_owned();
    engine
        .run(&["exec", &id, "/bin/sh", "-c", "test -S \"${IOTEDGE_WORKLOADURI#unix://}\""])
        .expect("the workload socket is inside the container");
    eventually(SOON, "the agent reports it", || {
        let twin = hem.json(&["twin", "get", "box-1", "$edgeAgent"]);
        (twin["properties"]["reported"]["modules"][&engine.module]["runtimeStatus"] == "running")
            .then_some(())
    });
    assert!(hem.text(&["logs", "box-1", &engine.module]).contains("hello, world"));

    // Killed by hand: started again.
    let pid = first["State"]["Pid"].as_u64().expect("a process id");
    let killed = Instant::now();
    engine.run(&["kill", &id]).expect("it runs");
    let second = eventually(SOON, "the container runs again", || {
        engine.running().filter(|container| container["State"]["Pid"].as_u64() != Some(pid))
    });
    println!("kill → running again {:?}", killed.elapsed());

    // The hub dies: the container does not, and is found again.
    hem.kill();
    hem.start_again();
    eventually(SOON, "the agent is back", || {
        let output = hem.command(&["twin", "get", "box-1", "-o", "json"]).output().ok()?;
        output.status.success().then_some(())
    });
    eventually(SOON, "the agent reports it again", || {
        let twin = hem.json(&["twin", "get", "box-1", "$edgeAgent"]);
        (twin["connectionState"] == "Connected"
            && twin["properties"]["reported"]["modules"][&engine.module]["runtimeStatus"] == "running")
            .then_some(())
    });
    let third = engine.running().expect("still there");
    assert_eq!((&third["Id"], &third["State"]["Pid"]), (&second["Id"], &second["State"]["Pid"]));

    // A change of createOptions: a new container.
    fs::write(hem.fleet().join("fleet.yaml"), engine.fleet(2 * MEMORY)).expect("writable");
    eventually(SOON, "the container has more memory", || {
        engine.running().filter(|container| container["HostConfig"]["Memory"] == json!(2 * MEMORY))
    });

    assert_eq!(hem.interrupt().code(), Some(0));
    assert!(engine.running().is_none(), "Ctrl-C stops everything that hem up started");
}

/// `examples/docker`: two containers that reach the hub, the workload API and each other's messages.
fn modules_talk_in(engine: &Engine) {
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/docker/fleet.yaml");
    let document = fs::read_to_string(example).expect("the example");
    assert!(document.contains("hemline-demo:local"), "{document}");
    // A device of its own: engines know containers by name, and a person may be running the example here.
    let device = engine.module.as_str();
    let document = document.replace("hemline-demo:local", &engine.image).replace("dock-01", device);
    let socket = format!("unix://{}", engine.socket);
    let started = Instant::now();
    let mut hem = Hem::up_with(&[("fleet.yaml", &document)], &["--docker", &socket]);
    let message = std::panic::catch_unwind(|| hem.messages(&["--from-start", "--count", "1"]).next())
        .unwrap_or_else(|_| panic!("no message; the filter says: {}", hem.text(&["logs", device, "filter"])));
    let message = message.expect("a message");
    println!("first message out of a container {:?} after the start", started.elapsed());
    assert_eq!((&message["deviceId"], &message["moduleId"]), (&json!(device), &json!("filter")));
    assert_eq!(hem.interrupt().code(), Some(0));
}

#[test]
fn docker_keeps_a_module() {
    if let Some(engine) = Engine::docker("keep") {
        a_module_lives_in(&engine);
    }
}

#[test]
fn podman_keeps_a_module() {
    if let Some(engine) = Engine::podman("keep") {
        a_module_lives_in(&engine);
    }
}

#[test]
fn docker_modules_talk() {
    if let Some(engine) = Engine::docker("talk") {
        modules_talk_in(&engine);
    }
}

#[test]
fn podman_modules_talk() {
    if let Some(engine) = Engine::podman("talk") {
        modules_talk_in(&engine);
    }
}
