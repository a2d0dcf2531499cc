//! What does not work between a source and us, in one word for programs and one sentence for people.
//!
//! Not here: what is wrong with documents (findings), and who tells it (`reconcile`).

use crate::{ForgeError, SourceError};

/// What does not work. Bounded, so that it may be a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The remote does not answer properly, or not in time.
    Unreachable,
    /// The remote says no.
    Denied,
    /// The remote is not believed to be who it says.
    Untrusted,
    /// The branch, tag, commit, folder or file is not there.
    Missing,
    /// Something on this machine cannot be read or written, or is too large.
    Unreadable,
    /// One of several sources stays at its last good revision, because its documents do not fit.
    HeldBack,
    /// Status does not reach its branch or folder.
    Status,
    /// Somebody else changed the status branch.
    StatusRewritten,
    /// The forge does not hear of commits.
    CommitStatus,
    /// The forge does not take the comment.
    Comment,
    /// The branch that goes back cannot be pushed.
    Revert,
    /// The branch that goes back is there, its pull request is not.
    PullRequest,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Untrusted => "untrusted",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::HeldBack => "held-back",
            Self::Status => "status",
            Self::StatusRewritten => "status-rewritten",
            Self::CommitStatus => "commit-status",
            Self::Comment => "comment",
            Self::Revert => "revert",
            Self::PullRequest => "pull-request",
        }
    }

    /// What it means for the fleet, as the begin of a sentence.
    #[must_use]
    pub fn means(self) -> &'static str {
        match self {
            Self::Unreachable | Self::Denied | Self::Untrusted | Self::Missing | Self::Unreadable => {
                "the last good revision stays"
            }
            Self::HeldBack => "a newer revision is not used",
            Self::Status => "status is not written",
            Self::StatusRewritten => "somebody else changed the status branch",
            Self::CommitStatus => "the forge does not hear what becomes of commits",
            Self::Comment => "the pull request does not hear what becomes of it",
            Self::Revert => "the branch that goes back is not there",
            Self::PullRequest => "the branch that goes back has no pull request",
        }
    }
}

/// One thing that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Name of the source; `default` where there is one only.
    pub source: String,
    /// What.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
}

/// The name of the one source.
pub const ONLY: &str = "default";

impl Trouble {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { source: ONLY.to_owned(), reason, message: message.into() }
    }

    /// Why something could not be read.
    pub(crate) fn reading(error: &SourceError) -> Self {
        Self::new(error.reason(), crate::error::chain(error))
    }

    /// The same with the name of the source.
    pub(crate) fn of(self, source: &str) -> Self {
        Self { source: source.to_owned(), ..self }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl SourceError {
    /// What it is in one word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NotPushed { .. } | Self::Interrupted => {
                Reason::Unreachable
            }
            Self::Denied { .. } => Reason::Denied,
            Self::Untrusted { .. } => Reason::Untrusted,
            Self::NoReference { .. }
            | Self::NoFolder { .. }
            | Self::NoFile { .. }
            | Self::NoMergeBase { .. } => Reason::Missing,
            Self::Unreadable { .. }
            | Self::Limit { .. }
            | Self::Unsupported { .. }
            | Self::Repository { .. }
            | Self::NoRepository { .. }
            | Self::NotKept { .. }
            | Self::Status { .. } => Reason::Unreadable,
        }
    }

    /// Does only a person help?
    #[must_use]
    pub fn wants_a_person(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Untrusted { .. } | Self::Unsupported { .. })
    }
}

impl ForgeError {
    /// Does only a person help?
    #[must_use]
    pub fn wants_a_person(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Token(_))
    }
}
