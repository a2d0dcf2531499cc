//! A running `hem up` with its own address and folders, and the other commands against it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const HEM: &str = env!("CARGO_BIN_EXE_hem");
/// For things that take milliseconds unless the machine is busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A hub with what belongs to it. Stops all it started when it goes out of scope, however the test ended.
pub(crate) struct Hem {
    child: Child,
    address: Ipv4Addr,
    source: String,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Hem {
    /// Starts `hem up` on these documents (file name → text) and waits until it is up.
    pub(crate) fn up(documents: &[(&str, &str)]) -> Self {
        Self::up_with(documents, &[])
    }

    /// The same with further options.
    pub(crate) fn up_with(documents: &[(&str, &str)], options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
        let fleet = folder.path().join("fleet");
        fs::create_dir(&fleet).expect("a new folder");
        for (name, text) in documents {
            fs::write(fleet.join(name), text).expect("a writable folder");
        }
        Self::up_on(folder, options)
    }

    /// Starts on the folder `fleet` inside this temporary folder.
    pub(crate) fn up_on(folder: TempDir, options: &[&str]) -> Self {
        let source = folder.path().join("fleet").display().to_string();
        Self::up_from(folder, &source, options)
    }

    /// Starts on a source that may be elsewhere.
    pub(crate) fn up_from(folder: TempDir, source: &str, options: &[&str]) -> Self {
        Self::up_in(folder, source, options, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn up_in(
        folder: TempDir,
        source: &str,
        options: &[&str],
        environment: &[(&str, String)],
    ) -> Self {
        let address = hemline_testkit::loopback();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let child = start(folder.path(), source, address, &options, &environment);
        let mut hem = Self { child, address, source: source.to_owned(), options, environment, folder };
        hem.wait_until_up();
        hem
    }

    /// The folder of documents it reads.
    pub(crate) fn fleet(&self) -> PathBuf {
        self.folder.path().join("fleet")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where it listens, which is also its name.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The port of HTTPS: 443 where that is allowed.
    pub(crate) fn https_port(&self) -> u64 {
        let text = fs::read_to_string(self.data().join("endpoint.json")).expect("it is up");
        let endpoint: Value = serde_json::from_str(&text).expect("JSON");
        endpoint["https"].as_u64().expect("a port")
    }

    /// Writes the certificate authority to a file, as a user would, and says where.
    pub(crate) fn ca_file(&self) -> PathBuf {
        let path = self.folder.path().join("ca.pem");
        fs::write(&path, self.text(&["ca"])).expect("a writable folder");
        path
    }

    /// Another command against this hub, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hem();
        command.arg("--data-dir").arg(self.data()).args(arguments);
        command
    }

    /// What a command prints; it must succeed.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("hem starts");
        assert!(
            output.status.success(),
            "hem {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What `hem status` prints; its exit code says whether all is well, so it may fail.
    pub(crate) fn status(&self) -> String {
        let output = self.command(&["status"]).output().expect("hem starts");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// What a command prints as JSON; it must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        let text = self.text(&arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed {text:?}: {error}"))
    }

    /// The live messages, oldest first.
    pub(crate) fn messages(&self, arguments: &[&str]) -> Messages {
        let mut command = self.command(&["message", "watch", "-o", "json"]);
        Messages::start(command.args(arguments))
    }

    /// Asks a command again until it gives the answer that is waited for.
    pub(crate) fn eventually<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        eventually(SOON, what, || ask(self))
    }

    /// Every process that the hub started and that is still there: id and command line. Zombies do not count.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let own = self.child.id();
        processes_of(self.folder.path()).into_iter().filter(|(pid, _)| *pid != own).collect()
    }

    /// The process of a module, whatever program it runs; there is at most one. Its environment leads to a socket in our folder.
    pub(crate) fn module_process(&self, module: &str) -> Option<u32> {
        let (variable, folder) =
            (format!("IOTEDGE_MODULEID={module} "), self.folder.path().to_string_lossy());
        let all = fs::read_dir("/proc").expect("Linux").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let found: Vec<u32> = pids
            .filter(|pid| {
                let environment = environment(*pid);
                environment.contains(&variable) && environment.contains(&*folder)
            })
            .collect();
        assert!(found.len() <= 1, "{module} runs {} times: {:?}", found.len(), self.processes());
        found.first().copied()
    }

    /// Ctrl-C, and how it ended.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        signal("INT", self.child.id());
        let child = &mut self.child;
        eventually(SOON, "hem stops on SIGINT", || child.try_wait().expect("our child"))
    }

    /// How it ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually(SOON, "hem ends by itself", || child.try_wait().expect("our child"))
    }

    /// All that it said to its operator.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).expect("it was started")
    }

    /// Bytes of memory that it has now.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kilobytes << 10
    }

    /// Power cut for the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Starts again on the same data directory and waits until it is up.
    pub(crate) fn start_again(&mut self) {
        self.child = start(self.folder.path(), &self.source, self.address, &self.options, &self.environment);
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        let path = self.data().join("endpoint.json");
        let child = &mut self.child;
        let pid = child.id();
        eventually(SOON, "hem up writes endpoint.json", || {
            if let Some(status) = child.try_wait().expect("our child") {
                panic!("hem up ended at once with {status}");
            }
            // After a kill the file of the former process may still be there.
            let endpoint: Value = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
            (endpoint["pid"] == pid).then_some(())
        });
    }
}

impl Drop for Hem {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- the end of what hem on {} said ----", self.address);
            for name in ["stdout", "stderr"] {
                let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                println!("{name}:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("INT", self.child.id());
            let deadline = Instant::now() + Duration::from_secs(15);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
        for (pid, _) in processes_of(self.folder.path()) {
            signal("KILL", pid);
        }
    }
}

/// The binary, with nothing of this machine's settings.
pub(crate) fn hem() -> Command {
    let mut command = Command::new(HEM);
    for name in ["HEM_DATA_DIR", "HEM_SERVER", "HEM_CA", "DOCKER_HOST", "HEM_LOG"] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn start(
    folder: &Path,
    source: &str,
    address: Ipv4Addr,
    options: &[String],
    environment: &[(String, String)],
) -> Child {
    let log = |name: &str| {
        File::options().create(true).append(true).open(folder.join(name)).expect("a writable folder")
    };
    hem()
        // What is wanted when a test fails.
        .env("HEM_LOG", "info,hemline_hub=debug,hemline_agent=debug")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .arg("up")
        .arg(source)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--listen", &address.to_string(), "--host-name", &address.to_string()])
        .args(options)
        .stdout(log("stdout"))
        .stderr(log("stderr"))
        .spawn()
        .expect("hem starts")
}

/// Sends a signal to one process that a test started.
pub(crate) fn signal(name: &str, pid: u32) {
    // It may say no: a process that is gone already is what we want.
    Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status()
        .expect("sh is there");
}

/// `NAME=value ` for each variable of a process; empty when it is gone.
fn environment(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()).replace('\0', " ")
}

/// Processes with exactly these arguments, whoever started them.
pub(crate) fn running(arguments: &[&str]) -> Vec<u32> {
    let wanted: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let same =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes());
    let mut pids: Vec<u32> = pids.filter(same).collect();
    pids.sort_unstable();
    pids
}

/// Processes that run the binary under test and name this folder in their arguments or environment.
fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let wanted = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ");
        // A zombie has no command line. The test itself and its scripts name the folder too, but are not `hem`.
        let is_hem = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == Path::new(HEM));
        if is_hem && (command_line.contains(&wanted) || environment(pid).contains(&wanted)) {
            found.push((pid, command_line));
        }
    }
    found.sort_unstable();
    found
}

/// Asks again until there is an answer. For things that offer no event, such as another process.
///
/// # Panics
/// When the limit passes; `what` says what was waited for.
pub(crate) fn eventually<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: did not happen within {limit:?}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// A running `hem message watch`.
pub(crate) struct Messages {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Messages {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("hem starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    /// The next message; `None` when the command has ended.
    ///
    /// # Panics
    /// When none comes in time.
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => Some(
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}")),
            ),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no message within {SOON:?}"),
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of a stream, read by a thread of their own so that waiting for one can have a deadline.
pub(crate) fn lines_of(stream: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
