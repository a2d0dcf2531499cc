//! A program in another language that is told what to do line by line: a client or a back end on an SDK.
//!
//! It reads `{"do": …}` and answers `{"reply": …}` or `{"failure": …}`; what happens by itself comes as `{"event": …}`
//! in between. Not here: what the programs do (`tests/sdk`).

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::hem::lines_of;

/// Python starts slowly on a busy machine, and its SDK tries a lost connection again after 10 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program that answers line by line.
pub(crate) struct Script {
    /// None when somebody else started it and ends it.
    child: Option<Child>,
    input: Box<dyn Write + Send>,
    lines: mpsc::Receiver<String>,
    /// Events that came while something else was waited for.
    events: VecDeque<Value>,
}

impl Script {
    /// Starts a command that is complete but for its streams.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().expect("piped");
        let lines = lines_of(child.stdout.take().expect("piped"));
        Self { child: Some(child), input: Box::new(input), lines, events: VecDeque::new() }
    }

    /// Talks through two named pipes with a program that somebody else starts, perhaps later.
    pub(crate) fn through(input: &Path, output: &Path) -> Self {
        // Both ways in each: opening waits for nobody, and the program's end of a pipe is never broken.
        let open = |path: &Path| {
            let opened = File::options().read(true).write(true).open(path);
            opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let (input, lines) = (Box::new(open(input)), lines_of(open(output)));
        Self { child: None, input, lines, events: VecDeque::new() }
    }

    /// What the script said to a command, a failure included.
    pub(crate) fn answer(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").expect("the script reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline, &command.to_string());
            if line.get("event").is_some() {
                self.events.push_back(line);
            } else {
                return line;
            }
        }
    }

    /// The reply to a command that must succeed.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        let answer = self.answer(command);
        assert!(answer.get("failure").is_none(), "{command} failed: {answer}");
        answer["reply"].clone()
    }

    /// A service call by name.
    pub(crate) fn call(&mut self, name: &str, arguments: &Value) -> Value {
        self.ask(&json!({"do": name, "args": arguments}))
    }

    /// The first event that fits, already seen or to come; earlier ones are dropped.
    pub(crate) fn event(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.line(deadline, what),
            };
            if fits(&event) {
                return event;
            }
        }
    }

    fn line(&self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        let line =
            self.lines.recv_timeout(left).unwrap_or_else(|error| panic!("waiting for {what}: {error}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The interpreter that `cargo xtask test` prepared.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HEM_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python"),
        PathBuf::from,
    );
    let how = "`cargo xtask test` installs it with python3 and its venv module";
    hemline_testkit::require("azure sdk for python", python.exists(), how).then_some(python)
}

/// A file of `tests/sdk`.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}
