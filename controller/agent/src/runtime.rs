//! The one trait between the agent and whatever runs modules; ten operations, typed outcomes, no engine type in sight.
//!
//! Implementations: `runtime/docker.rs` (Docker-compatible engines) and `runtime/process.rs` (supervised host processes).
//! Not here: when to call what (`decide.rs`).

pub mod docker;
mod probe;
pub mod process;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::module::{ModuleKey, ModuleKind, ModuleSpec, Probe, Seen};

/// Something that runs modules. Every operation is idempotent and has its own deadline.
pub trait Runtime: Send + Sync + 'static {
    /// All modules of this device that the runtime holds, running or not.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Seen>, RuntimeError>>;
    /// Fetches what the module is made of.
    fn pull<'a>(&'a self, spec: &'a ModuleSpec) -> BoxFuture<'a, Result<Pulled, RuntimeError>>;
    /// Makes the module without starting it.
    fn create<'a>(&'a self, spec: &'a ModuleSpec) -> BoxFuture<'a, Result<(), RuntimeError>>;
    /// Starts it.
    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Started, RuntimeError>>;
    /// Asks it to end, and ends it when it does not.
    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Stopped, RuntimeError>>;
    /// Takes it away, running or not; its data volumes stay.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Removed, RuntimeError>>;
    /// Asks a running module whether it does its work; whoever asks ends the wait by dropping it.
    fn probe<'a>(
        &'a self,
        spec: &'a ModuleSpec,
        probe: &'a Probe,
    ) -> BoxFuture<'a, Result<Verdict, RuntimeError>>;
    /// Takes an image away that nothing uses.
    fn discard<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Discarded, RuntimeError>>;
    /// The newest lines of its output, oldest first.
    fn logs<'a>(
        &'a self,
        name: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>>;
    /// Tells of modules that started or ended, until `stop`; reconnects by itself. A full channel drops events: whoever
    /// reads it looks at everything anyway.
    fn events(&self, sender: mpsc::Sender<RuntimeEvent>, stop: CancellationToken) -> BoxFuture<'_, ()>;
}

/// What a pull did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// An image was fetched that was not on the device before.
    Fetched {
        /// What the engine calls it.
        id: String,
    },
    /// The image is here: the registry has no other, or was not needed.
    AlreadyThere,
    /// The registry could not be asked, and the image that is here will do.
    KeptLocal {
        /// Why the registry could not be asked.
        because: String,
    },
}

/// What became of an image that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// It is gone now.
    Now,
    /// It was not there.
    Already,
    /// Somebody else uses it, or has given it a name.
    InUse,
}

/// What a start did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs now.
    Now,
    /// It ran already.
    Already,
}

/// What a stop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It is stopped now.
    Now,
    /// It did not run.
    Already,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone now.
    Now,
    /// It was not there.
    Already,
}

/// What a module answered to a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does its work.
    Passed,
    /// It does not, for that reason.
    Failed(String),
}

/// Which lines of a log.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// At most that many lines from the end.
    pub tail: Option<usize>,
    /// Not older than.
    pub since: Option<Timestamp>,
    /// Not newer than.
    pub until: Option<Timestamp>,
}

/// One line of a module's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, if known.
    pub at: Option<Timestamp>,
    /// Without line end.
    pub text: String,
}

/// Something happened to a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// Where.
    pub kind: ModuleKind,
    /// Whose, if known.
    pub module: Option<ModuleKey>,
}

/// Why a runtime could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime itself is not there; nothing is known about its modules.
    #[error("the {kind} runtime is not available: {reason}")]
    Unavailable {
        /// Which.
        kind: ModuleKind,
        /// Why, and what to do.
        reason: String,
    },
    /// The module is not there.
    #[error("no module {name:?} in the {kind} runtime")]
    NoSuchModule {
        /// Which runtime.
        kind: ModuleKind,
        /// Which module.
        name: String,
    },
    /// The runtime said no; a retry may help when the cause outside changes.
    #[error("cannot {what} module {name:?}: {reason}")]
    Refused {
        /// The operation.
        what: &'static str,
        /// The module.
        name: String,
        /// The runtime's words.
        reason: String,
    },
    /// The runtime did not answer in time.
    #[error("cannot {what} module {name:?}: no answer within {seconds} s")]
    TimedOut {
        /// The operation.
        what: &'static str,
        /// The module.
        name: String,
        /// The deadline.
        seconds: u64,
    },
    /// Reading or writing the module's files failed.
    #[error("cannot {what} module {name:?}")]
    Files {
        /// The operation.
        what: &'static str,
        /// The module.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl RuntimeError {
    /// The message with its causes, for reported properties and logs.
    #[must_use]
    pub fn full(&self) -> String {
        crate::causes(self)
    }
}

impl LogQuery {
    /// Does a line of that time belong to the answer? Lines without a time always do.
    #[must_use]
    pub fn covers(&self, at: Option<Timestamp>) -> bool {
        at.is_none_or(|at| {
            self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
        })
    }
}
