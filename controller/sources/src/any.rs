//! One type for every kind of source, so that the controller needs no type parameter.

use jiff::Timestamp;

use crate::{
    Directory, Git, News, Nudge, Outcome, Proposed, Proposer, Revert, Several, Snapshot, Source, SourceError,
    StatusFile, Trouble,
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
    Directory(Box<Directory>),
    /// A repository.
    Git(Box<Git>),
}

impl From<Directory> for OneSource {
    fn from(source: Directory) -> Self {
        Self::Directory(Box::new(source))
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

/// A way back, on its way to the repositories that it concerns. Knows nothing of the source any more, so that the source can
/// be read meanwhile.
#[derive(Debug, Clone)]
pub struct Proposal {
    parts: Vec<(Proposer, Revert)>,
}

impl Proposal {
    /// Is there nobody to propose it to? A folder has no branches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Pushes the branches and opens pull requests; empty when there is nothing to take back. Made twice it is made once.
    ///
    /// # Errors
    /// As [`Proposer::propose`]; the first failure, after every repository had its turn.
    pub async fn make(&self) -> Result<Vec<Proposed>, SourceError> {
        let (mut made, mut failure) = (Vec::new(), None);
        for (proposer, revert) in &self.parts {
            match proposer.propose(revert).await {
                Ok(proposed) => made.extend(proposed),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(made), Err)
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

    /// Tells the forge of the source, if there is one, what became of revisions: of the one in force first, of the newest last.
    /// A revision that is told of no more has another one in its place. Returns at once.
    pub fn tell(&mut self, outcomes: &[Outcome]) {
        match self {
            Self::One(source) => source.tell(outcomes),
            Self::Several(sources) => sources.tell(outcomes),
        }
    }

    /// What is to be proposed, to each repository that it concerns.
    #[must_use]
    pub fn proposal(&self, revert: &Revert) -> Proposal {
        let parts = match self {
            Self::One(source) => source.proposer().into_iter().map(|part| (part, revert.clone())).collect(),
            Self::Several(sources) => sources.proposals(revert),
        };
        Proposal { parts }
    }

    /// What cannot be read, written or told now, and why.
    #[must_use]
    pub fn trouble(&self) -> Vec<Trouble> {
        match self {
            Self::One(source) => source.trouble(),
            Self::Several(sources) => sources.trouble(),
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

    pub(crate) fn tell(&mut self, outcomes: &[Outcome]) {
        match self {
            Self::Directory(_) => {}
            Self::Git(source) => source.tell(outcomes),
        }
    }

    pub(crate) fn proposer(&self) -> Option<Proposer> {
        match self {
            Self::Directory(_) => None,
            Self::Git(source) => Some(source.proposer()),
        }
    }

    pub(crate) fn trouble(&self) -> Vec<Trouble> {
        match self {
            Self::Directory(source) => source.trouble(),
            Self::Git(source) => source.trouble(),
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

    fn looked(&self) -> Option<Timestamp> {
        match self {
            Self::One(source) => source.looked(),
            Self::Several(sources) => sources.looked(),
        }
    }

    async fn changed(&mut self) -> News {
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

    fn looked(&self) -> Option<Timestamp> {
        match self {
            Self::Directory(source) => source.looked(),
            Self::Git(source) => source.looked(),
        }
    }

    async fn changed(&mut self) -> News {
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
