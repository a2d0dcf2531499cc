//! Everything that reaches the hub's event log, from its beginning, for many threads that each wait for their own.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Instant,
};

use serde_json::Value;

use crate::{hem::Hem, script::PATIENCE};

/// A running `hem message watch`, and what it has printed.
pub(super) struct Mail {
    child: Child,
    seen: Arc<Seen>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    messages: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Mail {
    pub(super) fn start(hem: &Hem) -> Self {
        let mut command = hem.command(&["message", "watch", "--from-start", "-o", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("hem starts");
        let output = child.stdout.take().expect("piped");
        let seen = Arc::new(Seen::default());
        let into = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                let message = serde_json::from_str(&line).expect("JSON");
                into.messages.lock().expect("nobody panics with it").push(message);
                into.more.notify_all();
            }
        });
        Self { child, seen, reader: Some(reader) }
    }

    /// The first message that fits, come or to come.
    ///
    /// # Panics
    /// When none comes in time.
    pub(super) fn wait(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.seen.messages.lock().expect("nobody panics with it");
        let mut looked = 0;
        loop {
            if let Some(message) = messages[looked..].iter().find(|message| fits(message)) {
                return message.clone();
            }
            looked = messages.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: not among the {looked} messages that came within {PATIENCE:?}");
            (messages, _) = self.seen.more.wait_timeout(messages, left).expect("nobody panics with it");
        }
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}
