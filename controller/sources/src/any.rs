//! One type for every kind of source, so that the controller needs no type parameter.

use crate::{
    Directory, Git, Nudge, Outcome, Proposed, Revert, Several, Snapshot, Source, SourceError, StatusFile,
};

/// What the controller reads: one source, or several as one.
#[derive(Debug)]
pub enum AnySource {
    /// One.
    One(OneSource),
    /// Several, each owner of the documents that it brings.
    Several(Several),
}

/// A source of either kind.
#[derive(Debug)]
pub enum OneSource {
    /// A folder.
    Directory(Directory),
    /// A repository.
    Git(Box<Git>),
}

impl From<Directory> for OneSource {
    fn from(source: Directory) -> Self {
        Self::Directory(source)
    }
}

impl From<Git> for OneSource {
    fn from(source: Git) -> Self {
        Self::Git(Box::new(source))
    }
}

impl<T: Into<OneSource>> From<T> for AnySource {
    fn from(source: T) -> Self {
        Self::One(source.into())
    }
}

impl From<Several> for AnySource {
    fn from(sources: Several) -> Self {
        Self::Several(sources)
    }
}

impl AnySource {
    /// Does status written to it arrive anywhere?
    #[must_use]
    pub fn takes_status(&self) -> bool {
        match self {
            Self::One(source) => source.takes_status(),
            Self::Several(sources) => sources.takes_status(),
        }
    }

    /// Is there a forge that hears of revisions?
    #[must_use]
    pub fn tells(&self) -> bool {
        match self {
            Self::One(source) => source.tells(),
            Self::Several(sources) => sources.tells(),
        }
    }

    /// Tells the forge of the source, if there is one, what became of a revision. Returns at once.
    pub fn tell(&mut self, outcome: &Outcome) {
        match self {
            Self::One(source) => source.tell(outcome),
            Self::Several(sources) => sources.tell(outcome),
        }
    }

    /// Proposes to go back to a good revision, as a branch; `None` where there are no branches, or nothing to take back.
    ///
    /// # Errors
    /// As [`Git::propose_revert`].
    pub async fn propose_revert(&self, revert: &Revert) -> Result<Option<Proposed>, SourceError> {
        match self {
            Self::One(source) => source.propose_revert(revert).await,
            Self::Several(sources) => sources.propose_revert(revert).await,
        }
    }
}

impl OneSource {
    pub(crate) fn takes_status(&self) -> bool {
        match self {
            Self::Directory(_) => true,
            Self::Git(source) => source.takes_status(),
        }
    }

    // A folder has no forge and no branches.

    pub(crate) fn tells(&self) -> bool {
        match self {
            Self::Directory(_) => false,
            Self::Git(source) => source.tells(),
        }
    }

    pub(crate) fn tell(&mut self, outcome: &Outcome) {
        match self {
            Self::Directory(_) => {}
            Self::Git(source) => source.tell(outcome),
        }
    }

    pub(crate) async fn propose_revert(&self, revert: &Revert) -> Result<Option<Proposed>, SourceError> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::Git(source) => source.propose_revert(revert).await,
        }
    }
}

impl Source for AnySource {
    fn describe(&self) -> String {
        match self {
            Self::One(source) => source.describe(),
            Self::Several(sources) => sources.describe(),
        }
    }

    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        match self {
            Self::One(source) => source.snapshot().await,
            Self::Several(sources) => sources.snapshot().await,
        }
    }

    async fn changed(&mut self) {
        match self {
            Self::One(source) => source.changed().await,
            Self::Several(sources) => sources.changed().await,
        }
    }

    async fn write_status(&mut self, files: &[StatusFile]) -> Result<(), SourceError> {
        match self {
            Self::One(source) => source.write_status(files).await,
            Self::Several(sources) => sources.write_status(files).await,
        }
    }

    fn nudge(&self) -> Nudge {
        match self {
            Self::One(source) => source.nudge(),
            Self::Several(sources) => sources.nudge(),
        }
    }
}

impl Source for OneSource {
    fn describe(&self) -> String {
        match self {
            Self::Directory(source) => source.describe(),
            Self::Git(source) => source.describe(),
        }
    }

    async fn snapshot(&mut self) -> Result<Snapshot, SourceError> {
        match self {
            Self::Directory(source) => source.snapshot().await,
            Self::Git(source) => source.snapshot().await,
        }
    }

    async fn changed(&mut self) {
        match self {
            Self::Directory(source) => source.changed().await,
            Self::Git(source) => source.changed().await,
        }
    }

    async fn write_status(&mut self, files: &[StatusFile]) -> Result<(), SourceError> {
        match self {
            Self::Directory(source) => source.write_status(files).await,
            Self::Git(source) => source.write_status(files).await,
        }
    }

    fn nudge(&self) -> Nudge {
        match self {
            Self::Directory(source) => source.nudge(),
            Self::Git(source) => source.nudge(),
        }
    }
}
