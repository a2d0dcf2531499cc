//! What a command can fail with, and the exit code of each kind (design §5).

use std::{io::Write as _, path::PathBuf, process::ExitCode};

/// Exit codes of `hem`.
pub(crate) mod exit {
    /// Nothing to do, or success.
    pub(crate) const SUCCESS: u8 = 0;
    /// Error, or invalid documents.
    pub(crate) const FAILURE: u8 = 1;
    /// There is something to do, or a difference; only where that was asked for. Of a plan it comes from the plan itself, as
    /// does 3, "refused by policy" (`Review::exit_code`).
    pub(crate) const CHANGES: u8 = 2;
    /// Refused: by a policy, or because something moved since the plan was made.
    pub(crate) const REFUSED: u8 = 3;
    /// The command line was wrong.
    pub(crate) const USAGE: u8 = 64;
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The async runtime did not start.
    #[error("the async runtime did not start")]
    Runtime(#[source] std::io::Error),
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// read, write, create …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Standard output is gone.
    #[error("cannot write the result")]
    Output(#[source] std::io::Error),
    /// No hub is running on this data directory.
    #[error(
        "no hub is running on {}; start one with `hem up PATH`, name its data directory with --data-dir, or set HEM_SERVER to a service connection string",
        data_dir.display()
    )]
    NoHub {
        /// Where it was looked for.
        data_dir: PathBuf,
    },
    /// Another `hem` uses this data directory.
    #[error("{} is in use by another hem; stop that one, or give this one its own --data-dir", data_dir.display())]
    Locked {
        /// Which.
        data_dir: PathBuf,
    },
    /// The command line holds something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was named does not exist.
    #[error("{what}{}{hint}", if hint.is_empty() { "" } else { "; " })]
    NotFound {
        /// What there is not.
        what: String,
        /// What may have been meant. May be empty.
        hint: String,
    },
    /// The hub refused.
    #[error("{}", refused(*status, code, message))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Error name.
        code: String,
        /// What the hub said.
        message: String,
    },
    /// The hub cannot be reached.
    #[error("cannot reach the hub at {url}; is it running? (`hem status` tells)")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The hub answered something else than expected.
    #[error("the hub at {url} answered something unexpected: {what}")]
    BadAnswer {
        /// Where.
        url: String,
        /// What.
        what: String,
    },
    /// The trust anchor does not parse.
    #[error("{} holds no usable certificate; copy the hub's `hem ca` output there", path.display())]
    Trust {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part of the system did not start, failed, or ended with an error.
    #[error("{part} failed")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CommandError {
    /// Wraps the error of a part of the system.
    pub(crate) fn part(part: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Part { part, source: Box::new(source) }
    }
}

/// Prints an error with its causes, and gives the exit code.
pub(crate) fn report(error: &CommandError) -> ExitCode {
    // `hem … | head` closes our output early: that is not a failure worth a line.
    if let CommandError::Output(cause) = error
        && cause.kind() == std::io::ErrorKind::BrokenPipe
    {
        return ExitCode::from(exit::SUCCESS);
    }
    let mut text = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str("  caused by: ");
        text.push_str(&inner.to_string());
        text.push('\n');
        cause = inner.source();
    }
    drop(anstream::stderr().write_all(text.as_bytes()));
    match error {
        CommandError::Usage(_) => ExitCode::from(exit::USAGE),
        CommandError::Runtime(_)
        | CommandError::File { .. }
        | CommandError::Output(_)
        | CommandError::NoHub { .. }
        | CommandError::Locked { .. }
        | CommandError::NotFound { .. }
        | CommandError::Refused { .. }
        | CommandError::Unreachable { .. }
        | CommandError::BadAnswer { .. }
        | CommandError::Trust { .. }
        | CommandError::Part { .. } => ExitCode::from(exit::FAILURE),
    }
}

/// Prints what clap found; help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::from(exit::SUCCESS) }
}

/// A refusal; one that draws a picture of the mistake gets lines of its own.
fn refused(status: u16, code: &str, message: &str) -> String {
    if message.contains('\n') {
        format!("the hub refused ({code}, HTTP {status}):\n\n{message}")
    } else {
        format!("the hub refused: {message} ({code}, HTTP {status})")
    }
}
