//! `cargo xtask bench restart`: a killed module is back, and a saved document or a pushed commit runs, beside what the engine
//! does by itself.
//!
//! Times are those of the engine's own events, so both sides are measured by the same clock and nothing is polled. Ratios
//! count; needs Docker and a static busybox. Commits come from a remote over HTTP, so that they are fetched; what Git's own
//! client takes for the same fetch is measured too. The budgets are those of the design, and a miss fails.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    backend::Backend,
    verdict::{Budget, RESTART_AT_MOST, Row, median},
};

/// Modules, and containers beside them; each is killed once.
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);
/// Modules have run well before they are killed.
const SETTLE: Duration = Duration::from_secs(12);
/// Addresses of their own, so that a fleet on 127.0.0.1 is not disturbed.
const FOLDER_ADDRESS: &str = "127.0.74.1";
const REPOSITORY_ADDRESS: &str = "127.0.74.2";
const IMAGE: &str = "hemline-bench/busybox:1";
/// The network that modules are in. The engine takes some 50 ms longer for it than for its own bridge, so the peer is in it, too.
const NETWORK: &str = "azure-iot-edge";
/// The repository that is pushed to.
const ORIGIN: &str = "origin.git";

/// Builds, measures, prints. Was every budget kept?
pub(crate) fn run() -> Result<bool> {
    let hem = crate::release_program()?;
    make_image()?;
    let place = Place::new(&hem, Source::Folder)?;
    let fleet = place.start()?;
    for n in 0..ROUNDS {
        docker(&["run", "-d", "--restart=always", "--name", &place.peer(n), IMAGE, "sleep", "100000"])?;
    }
    std::thread::sleep(SETTLE);

    let mut rows = Vec::new();
    let mut killed = Vec::new();
    let mut engine = Vec::new();
    for n in 0..ROUNDS {
        killed.push(crash(&place.module(n))?);
        engine.push(crash(&place.peer(n))?);
    }
    rows.push(Row {
        what: "crash (SIGKILL to the program) → running again",
        ours: killed,
        how: "its restart policy",
        theirs: engine,
        budget: Budget::AtMost(RESTART_AT_MOST),
    });
    let mut by_hand = Vec::new();
    let mut peer = Vec::new();
    for n in 0..ROUNDS {
        by_hand.push(by_hand_killed(&place.module(n))?);
        peer.push(killed_and_started(&place.peer(n))?);
    }
    rows.push(Row {
        what: "`docker kill` → running again",
        ours: by_hand,
        how: "`docker kill; docker start`",
        theirs: peer,
        budget: Budget::AtMost(RESTART_AT_MOST),
    });
    let mut saved = Vec::new();
    let mut run = Vec::new();
    for n in 0..ROUNDS {
        saved.push(place.save(n)?);
        run.push(place.docker_run(n)?);
    }
    rows.push(Row {
        what: "document saved → new container running",
        ours: saved,
        how: "`docker run` of the same, in the same network",
        theirs: run,
        budget: Budget::None,
    });
    fleet.stop()?;
    let (pushed, fetch) = commits(&hem)?;
    rows.push(pushed);

    println!("\nThe fetch of one commit by `git fetch` takes {} ms (median of {ROUNDS}).", fetch.as_millis());
    println!("\n| what (median of {ROUNDS}) | ours | the engine | | ratio | budget |");
    println!("|---|---|---|---|---|---|");
    // Every row is printed, also behind a missed one.
    let kept: Vec<bool> = rows.into_iter().map(Row::print).collect();
    Ok(!kept.contains(&false))
}

/// Commits pushed to a remote, in turns with `docker run` and with the fetch alone.
fn commits(hem: &Path) -> Result<(Row, Duration)> {
    let place = Place::new(hem, Source::Repository)?;
    let fleet = place.start()?;
    let (mut ours, mut theirs, mut fetched) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        ours.push(place.save(n)?);
        fetched.push(place.fetch()?);
        theirs.push(place.docker_run(n + ROUNDS)?);
    }
    fleet.stop()?;
    let fetch = median(&mut fetched);
    let row = Row {
        what: "commit pushed, `hem sync` → new container running, fetch included",
        ours,
        how: "`docker run` of the same, in the same network",
        theirs,
        budget: Budget::Runs { fetch },
    };
    Ok((row, fetch))
}

/// The program dies by itself, as far as the engine can tell.
fn crash(name: &str) -> Result<Duration> {
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", name])?;
    let since = now()?;
    ensure!(Command::new("kill").args(["-9", &pid]).status()?.success(), "cannot kill {pid}");
    from_end_to_start(name, since)
}

fn by_hand_killed(name: &str) -> Result<Duration> {
    let since = now()?;
    docker(&["kill", name])?;
    from_end_to_start(name, since)
}

/// No engine starts again what somebody killed through it; the shortest that a person could do.
fn killed_and_started(name: &str) -> Result<Duration> {
    let since = now()?;
    let script = format!("docker kill {name} && docker start {name}");
    ensure!(
        Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status()?.success(),
        "cannot restart {name}"
    );
    from_end_to_start(name, since)
}

fn from_end_to_start(name: &str, since: f64) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        let events = events(name, since)?;
        let died = events.iter().find(|(_, action)| action == "die").map(|(at, _)| *at);
        let started = |died: u64| events.iter().find(|(at, action)| action == "start" && *at > died);
        if let Some((died, (started, _))) = died.and_then(|died| Some((died, started(died)?))) {
            return Ok(Duration::from_nanos(started - died));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} was not started again within {} s", LIMIT.as_secs())
}

fn from_to_start(name: &str, since: f64) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        let started = events(name, since)?.into_iter().find(|(_, action)| action == "start");
        if let Some((at, _)) = started {
            return Ok(Duration::from_secs_f64((Duration::from_nanos(at).as_secs_f64() - since).max(0.0)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} was not started within {} s", LIMIT.as_secs())
}

/// What the engine remembers of one container: nanoseconds and what happened.
fn events(name: &str, since: f64) -> Result<Vec<(u64, String)>> {
    let (since, until) = (format!("{since:.6}"), format!("{:.6}", now()?));
    let filter = format!("container={name}");
    let text = docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        &filter,
        "--format",
        "{{.TimeNano}} {{.Action}}",
    ])?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines.filter_map(|(at, action)| Some((at.parse().ok()?, action.to_owned()))).collect())
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output().context("cannot run docker")?;
    ensure!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn make_image() -> Result<()> {
    let script = format!(
        "set -e; d=$(mktemp -d); mkdir $d/bin; cp $(command -v busybox) $d/bin/busybox; ln -s busybox $d/bin/sleep; \
         tar -C $d -c . | docker import - {IMAGE} >/dev/null; rm -rf $d"
    );
    ensure!(Command::new("sh").args(["-c", &script]).status()?.success(), "cannot make {IMAGE}");
    Ok(())
}

/// Where the documents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A folder that is watched.
    Folder,
    /// A bare repository over HTTP, which is fetched; `hem sync` says that there is something new, as a webhook does.
    Repository,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Repository => "repository",
        }
    }

    fn address(self) -> &'static str {
        match self {
            Self::Folder => FOLDER_ADDRESS,
            Self::Repository => REPOSITORY_ADDRESS,
        }
    }
}

/// A fleet of one device with containers; everything of it is gone when it goes.
struct Place {
    hem: PathBuf,
    base: PathBuf,
    source: Source,
    /// Where the repository is fetched from.
    backend: Option<Backend>,
}

struct Fleet {
    child: Child,
    /// Kept open: the program goes on writing to it.
    _output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Place {
    fn new(hem: &Path, source: Source) -> Result<Self> {
        let name = format!("hemline-restart-{}-{}", source.word(), std::process::id());
        let base = std::env::temp_dir().join(name);
        fs::create_dir_all(base.join("fleet"))?;
        let mut place = Self { hem: hem.to_owned(), base, source, backend: None };
        let modules: String = (0..ROUNDS).map(|n| place.document_of(&place.module(n))).collect();
        fs::write(
            place.base.join("fleet/fleet.yaml"),
            format!(
                "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: bench}}\nspec: {{edge: true}}\n---\n\
                 apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: base}}\nspec:\n  \
                 targetCondition: '*'\n  modules:\n{modules}"
            ),
        )?;
        if source == Source::Repository {
            place.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"])?;
            place.git(&["init", "--quiet", "--initial-branch=main"])?;
            place.git(&["remote", "add", "origin", "../origin.git"])?;
            place.push()?;
            let backend = Backend::start(&place.base)?;
            place.git(&["clone", "--quiet", "--bare", &backend.url(ORIGIN), "../behind.git"])?;
            place.backend = Some(backend);
        }
        Ok(place)
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
        let mut git = Command::new("git");
        let status = git.arg("-C").arg(self.base.join("fleet")).args(who).args(arguments).status()?;
        ensure!(status.success(), "git {} failed", arguments.join(" "));
        Ok(())
    }

    fn push(&self) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "one more"])?;
        self.git(&["push", "--quiet", "origin", "main"])
    }

    fn module(&self, n: usize) -> String {
        format!("bench-ours-{}-{n}-{}", self.source.word(), self.id())
    }

    fn peer(&self, n: usize) -> String {
        format!("bench-peer-{n}-{}", self.id())
    }

    fn id(&self) -> u32 {
        std::process::id()
    }

    fn document_of(&self, module: &str) -> String {
        format!(
            "    {module}:\n      image: {IMAGE}\n      imagePullPolicy: never\n      createOptions: {{Cmd: [sleep, '100000']}}\n"
        )
    }

    fn start(&self) -> Result<Fleet> {
        let mut command = Command::new(&self.hem);
        command.arg("--data-dir").arg(self.base.join("data")).arg("up");
        match self.source {
            Source::Folder => command.arg(self.base.join("fleet")),
            // Nothing but `hem sync` makes it look.
            Source::Repository => {
                let backend = self.backend.as_ref().context("nothing serves the repository")?;
                let options = ["--branch", "main", "--interval", "1h", "--status-branch", "off"];
                command.arg(backend.url(ORIGIN)).args(options)
            }
        };
        let mut child = command
            .args(["--listen", self.source.address()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.hem.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            if line.contains("modules running") {
                ensure!(line.contains(&format!("{ROUNDS} of {ROUNDS}")), "not all modules came up: {line}");
                return Ok(Fleet { child, _output: lines });
            }
        }
        bail!("hem ended before the fleet was up")
    }

    /// Time from saving (or pushing) a document with one more module to the start of its container.
    fn save(&self, n: usize) -> Result<Duration> {
        let module = format!("bench-more-{}-{n}-{}", self.source.word(), self.id());
        let text = format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: more-{n}}}\nspec:\n  \
             targetCondition: '*'\n  layered: true\n  priority: {}\n  modules:\n{}",
            n + 1,
            self.document_of(&module)
        );
        let mut since = now()?;
        fs::write(self.base.join(format!("fleet/more-{n}.yaml")), text)?;
        if self.source == Source::Repository {
            self.push()?;
            since = now()?;
            let mut sync = Command::new(&self.hem);
            let status = sync
                .arg("--data-dir")
                .arg(self.base.join("data"))
                .arg("sync")
                .stdout(Stdio::null())
                .status()?;
            ensure!(status.success(), "hem sync failed");
        }
        from_to_start(&module, since)
    }

    /// The time that Git's own client takes to fetch what was pushed last, its start included.
    fn fetch(&self) -> Result<Duration> {
        let begin = Instant::now();
        self.git(&["--git-dir", "../behind.git", "fetch", "--quiet", "origin", "main"])?;
        Ok(begin.elapsed())
    }

    fn docker_run(&self, n: usize) -> Result<Duration> {
        let name = format!("bench-run-{n}-{}", self.id());
        let since = now()?;
        docker(&["run", "-d", "--network", NETWORK, "--name", &name, IMAGE, "sleep", "100000"])?;
        from_to_start(&name, since)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let script = format!("docker ps -aq --filter name=bench-.*-{} | xargs -r docker rm -f", self.id());
        drop(Command::new("sh").args(["-c", &script]).output());
        drop(fs::remove_dir_all(&self.base));
    }
}

impl Fleet {
    fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(told.success(), "cannot signal hem");
        ensure!(self.child.wait()?.success(), "hem did not end well");
        Ok(())
    }
}
