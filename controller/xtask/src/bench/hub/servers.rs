//! The servers that are compared: found or installed, started on free ports of this machine, stopped.
//!
//! mosquitto is Debian's package; rumqttd is built by cargo below the target folder. What cannot be had is said and left out. All
//! show the certificate that our hub made for itself.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::peers::if_there;

/// Runs a program with as many open files as this user may have.
pub(super) const FILES: &str = r#"ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@""#;
/// As many files as that may be open at most.
pub(super) fn open_files() -> Result<u64> {
    let said = Command::new("sh").args(["-c", FILES, "sh", "sh", "-c", "ulimit -n"]).output()?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    // Without a limit there is a word instead of a number.
    Ok(said.parse().unwrap_or(u64::MAX))
}

/// What is compared with; a new one may be another matter.
const RUMQTTD: &str = "0.20.0";
const ADDRESS: &str = "127.0.0.1";
/// A server is up within this time.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hub { tls: bool },
    Mosquitto { tls: bool },
    Rumqttd { tls: bool },
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hub { tls: true } => "ours, TLS",
            Self::Hub { tls: false } => "ours, plain",
            Self::Mosquitto { tls: true } => "mosquitto, TLS",
            Self::Mosquitto { tls: false } => "mosquitto, plain",
            Self::Rumqttd { tls: true } => "rumqttd, TLS",
            Self::Rumqttd { tls: false } => "rumqttd, plain",
        }
    }
}

/// Where the peers are, as far as they are.
pub(super) struct Programs {
    mosquitto: Option<PathBuf>,
    rumqttd: Option<PathBuf>,
}

impl Programs {
    /// Installs what is missing.
    pub(super) fn find(place: &Place) -> Self {
        Self {
            mosquitto: if_there("mosquitto", mosquitto()),
            rumqttd: if_there("rumqttd", rumqttd(&place.folder.join("rumqttd"))),
        }
    }

    /// All that can be measured, ours first.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Hub { tls: true }, Kind::Hub { tls: false }];
        for tls in [true, false] {
            kinds.extend(self.mosquitto.is_some().then_some(Kind::Mosquitto { tls }));
        }
        for tls in [true, false] {
            kinds.extend(self.rumqttd.is_some().then_some(Kind::Rumqttd { tls }));
        }
        kinds
    }
}

/// Debian's package. Its service is not wanted, only the program.
fn mosquitto() -> Result<PathBuf> {
    let program = PathBuf::from("/usr/sbin/mosquitto");
    if !program.exists() {
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "--no-install-recommends", "mosquitto"]);
        install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        let status = install.stdout(Stdio::null()).status().context("no Debian, and no mosquitto")?;
        ensure!(status.success(), "apt-get install mosquitto failed");
    }
    ensure!(program.exists(), "{} is missing", program.display());
    Ok(program)
}

fn rumqttd(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/rumqttd");
    if !program.exists() {
        let mut install = crate::cargo();
        install.args(["install", "--quiet", "--version", RUMQTTD, "--root"]).arg(folder);
        let status = install.arg("rumqttd").env("CARGO_TARGET_DIR", folder.join("build")).status()?;
        ensure!(status.success(), "cargo install rumqttd failed");
    }
    Ok(program)
}

/// Where the servers keep what they write.
pub(super) struct Place {
    hem: PathBuf,
    folder: PathBuf,
}

/// A running server.
pub(super) struct Server {
    kind: Kind,
    child: Child,
    port: u16,
    data: PathBuf,
}

impl Place {
    /// An empty folder, besides what was installed there.
    pub(super) fn new(hem: PathBuf, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("fleet"))?;
        // A fleet that has nothing to do with the devices of the load.
        let device = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: bystander}\n";
        fs::write(folder.join("fleet/fleet.yaml"), device)?;
        let data = folder.join("data");
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("cannot clear {}", data.display()))?;
        }
        Ok(Self { hem, folder })
    }

    /// Starts a server and waits until it listens.
    pub(super) fn start(&self, programs: &Programs, kind: Kind) -> Result<Server> {
        let port = free_port()?;
        let data = self.folder.join("data");
        let mut command = Command::new("sh");
        command.args(["-c", FILES, "sh"]);
        match (kind, &programs.mosquitto, &programs.rumqttd) {
            (Kind::Hub { tls }, _, _) => {
                command.arg(&self.hem).arg("--data-dir").arg(&data).arg("up").arg(self.folder.join("fleet"));
                command.args(["--no-agents", "--listen", ADDRESS, "--https-port", &free_port()?.to_string()]);
                if tls {
                    command.args(["--mqtt-port", &port.to_string()]);
                } else {
                    command.args(["--mqtt-port", &free_port()?.to_string()]);
                    command.args(["--plain-mqtt-port", &port.to_string()]);
                }
            }
            (Kind::Mosquitto { tls }, Some(program), _) => {
                let config = self.folder.join("mosquitto.conf");
                fs::write(&config, mosquitto_config(port, tls.then_some(data.as_path())))?;
                command.arg(program).arg("-c").arg(config);
            }
            (Kind::Rumqttd { tls }, _, Some(program)) => {
                let config = self.folder.join("rumqttd.toml");
                fs::write(&config, rumqttd_config(port, tls.then_some(data.as_path())))?;
                command.arg(program).arg("-q").arg("-c").arg(config);
            }
            (Kind::Mosquitto { .. } | Kind::Rumqttd { .. }, _, _) => bail!("{} is missing", kind.name()),
        }
        let log = |name: &str| fs::File::create(self.folder.join(name));
        let child = command.stdin(Stdio::null()).stdout(log("stdout")?).stderr(log("stderr")?).spawn()?;
        let mut server = Server { kind, child, port, data };
        server.wait_until_up().with_context(|| {
            let said = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
            format!("{} does not come up: {said}", kind.name())
        })?;
        Ok(server)
    }
}

impl Server {
    /// What `hem` is told, so that it loads this server.
    pub(super) fn load(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let (port, pid) = (self.port.to_string(), self.child.id().to_string());
        let broker = ["bench", "broker", "--host", ADDRESS, "--port", &port, "--server-pid", &pid];
        let broker = broker.map(str::to_owned);
        let authority = ["--tls".to_owned(), "--ca".to_owned(), text(self.data.join("ca.pem"))];
        match self.kind {
            Kind::Hub { tls } => {
                let hub =
                    ["--data-dir".to_owned(), text(self.data.clone()), "bench".to_owned(), "hub".to_owned()];
                let plain = ["--plain-mqtt-port".to_owned(), port];
                hub.into_iter().chain((!tls).then_some(plain).into_iter().flatten()).collect()
            }
            Kind::Mosquitto { tls: true } | Kind::Rumqttd { tls: true } => {
                broker.into_iter().chain(authority).collect()
            }
            Kind::Mosquitto { tls: false } | Kind::Rumqttd { tls: false } => broker.into(),
        }
    }

    /// Asks it to end, and waits.
    pub(super) fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(told.success(), "cannot signal {}", self.kind.name());
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                println!("{} does not end, and is killed", self.kind.name());
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            let announced = match self.kind {
                // The file of the process before may still be there.
                Kind::Hub { .. } => fs::read_to_string(self.data.join("endpoint.json"))
                    .is_ok_and(|text| text.contains(&format!("\"pid\": {}", self.child.id()))),
                Kind::Mosquitto { .. } | Kind::Rumqttd { .. } => true,
            };
            if announced && TcpStream::connect((ADDRESS, self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("nothing listens after {} s", LIMIT.as_secs())
    }
}

impl Drop for Server {
    /// Whatever happened in between.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((ADDRESS, 0))?.local_addr()?.port())
}

/// Defaults, except where they would turn clients away, drop messages that an acknowledgement was given for, or wait for
/// fuller segments.
fn mosquitto_config(port: u16, certificate_in: Option<&Path>) -> String {
    let mut config = format!(
        "listener {port} {ADDRESS}\nallow_anonymous true\nuser root\nmax_queued_messages 100000\nset_tcp_nodelay true\n"
    );
    if let Some(data) = certificate_in {
        for (name, file) in [("certfile", "server.pem"), ("keyfile", "server.key")] {
            config += &format!("{name} {}\n", data.join(file).display());
        }
    }
    config
}

/// Its own example, with more connections and no pause between them.
fn rumqttd_config(port: u16, certificate_in: Option<&Path>) -> String {
    let tls = certificate_in.map(|data| {
        let (certificate, key) = (data.join("server.pem"), data.join("server.key"));
        format!("[v4.1.tls]\ncertpath = {certificate:?}\nkeypath = {key:?}\n")
    });
    format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 60000\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n\
         [v4.1]\nname = \"v4-1\"\nlisten = \"{ADDRESS}:{port}\"\nnext_connection_delay_ms = 0\n\
         [v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\nmax_inflight_count = 100\n\
         dynamic_filters = true\n{}",
        tls.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let data = Path::new("/d");
        assert!(!mosquitto_config(1, None).contains("certfile"));
        assert!(mosquitto_config(1, Some(data)).ends_with("certfile /d/server.pem\nkeyfile /d/server.key\n"));
        assert!(rumqttd_config(7, None).contains("listen = \"127.0.0.1:7\"\n"));
        let tls = rumqttd_config(7, Some(data));
        assert!(
            tls.ends_with("[v4.1.tls]\ncertpath = \"/d/server.pem\"\nkeypath = \"/d/server.key\"\n"),
            "{tls}"
        );
    }
}
