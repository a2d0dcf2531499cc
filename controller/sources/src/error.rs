//! Why a source could not be read or written. Variants by what the caller can do about it.

use std::{io, path::PathBuf};

/// A failure of a source. Addresses in it never carry a password.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path of a folder source cannot be read: somebody has to fix the path or its permissions.
    #[error("cannot read {}; check that it exists and is readable", path.display())]
    Unreadable {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The source holds more than a controller should take in.
    #[error("{path}: more than {limit} {what}; {}", remedy(what))]
    Limit {
        /// Files, bytes, folders deep.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
        /// Where it was exceeded.
        path: String,
    },
    /// An address this build cannot speak to.
    #[error("cannot fetch from {url}: {why}")]
    Unsupported {
        /// The address.
        url: String,
        /// What to use instead.
        why: &'static str,
    },
    /// The remote says no: somebody has to give other credentials or other rights.
    #[error("no access to {url}: {why}; {fix}")]
    Denied {
        /// The address.
        url: String,
        /// What the remote said.
        why: String,
        /// What to do.
        fix: String,
    },
    /// The remote is not believed to be who it says: somebody has to look before anything is sent to it.
    #[error("{url} is not trusted: {why}; {fix}")]
    Untrusted {
        /// The address.
        url: String,
        /// What was wrong with its certificate or key.
        why: String,
        /// What to do.
        fix: String,
    },
    /// The remote did not answer properly; the same call may succeed later.
    #[error("cannot fetch from {url}; the next poll tries again")]
    Unreachable {
        /// The address.
        url: String,
        /// What the transport said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The remote took nothing; what was to be written is kept, and the same call may succeed later.
    #[error("cannot push to {url}; it is tried again later")]
    NotPushed {
        /// The address.
        url: String,
        /// What the transport said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was fetched cannot be kept: somebody has to make room.
    #[error("what was fetched from {url} cannot be kept below {}; make room there, the next poll tries again", path.display())]
    NotKept {
        /// The address.
        url: String,
        /// The folder of the mirror.
        path: PathBuf,
        /// What the file system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The remote took too long; the same call may succeed later.
    #[error("no complete answer from {url} within {seconds} s; the next poll tries again")]
    TimedOut {
        /// The address.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{url} has no branch, tag or commit {reference:?}{}{}", known(names), then(hint))]
    NoReference {
        /// The address or path.
        url: String,
        /// What was asked for.
        reference: String,
        /// Some branches that exist.
        names: Vec<String>,
        /// What to do, where that is known; may be empty.
        hint: String,
    },
    /// The revision has no such folder.
    #[error("revision {revision} has no folder {folder:?}")]
    NoFolder {
        /// The commit id.
        revision: String,
        /// What was asked for.
        folder: String,
    },
    /// The revision has no such file.
    #[error("revision {revision} has no file {file:?}")]
    NoFile {
        /// What was asked for.
        revision: String,
        /// What was asked for.
        file: String,
    },
    /// Not a repository, or one that is damaged.
    #[error("cannot open the repository {}", path.display())]
    Repository {
        /// Where.
        path: PathBuf,
        /// What the object database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A path without a repository around it.
    #[error(
        "{} is in no Git repository; run this inside a clone, or leave out --base to plan the folder as it is",
        path.display()
    )]
    NoRepository {
        /// Where.
        path: PathBuf,
    },
    /// Two revisions without a common ancestor (a shallow clone may lack it).
    #[error("{a} and {b} have no common ancestor here{}", deeper(*shallow))]
    NoMergeBase {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// Does the clone hold only a part of the history?
        shallow: bool,
    },
    /// Status could not be written; reading is not affected.
    #[error("cannot write status to {}", path.display())]
    Status {
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program is stopping, or the reading task died.
    #[error("reading the source was interrupted")]
    Interrupted,
}

/// What helps against a limit.
fn remedy(what: &str) -> &'static str {
    if what.ends_with("in one file") {
        "give a smaller one"
    } else if what.ends_with("in one fetch") {
        "keep what is no document in another repository"
    } else {
        "point to a smaller folder"
    }
}

fn deeper(shallow: bool) -> &'static str {
    if shallow {
        ", because this clone is shallow; fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0` in the checkout \
         step of CI"
    } else {
        "; compare with a branch that this one came from"
    }
}

fn then(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

fn known(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; branches there: {}", names.join(", ")) }
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
