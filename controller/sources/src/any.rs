//! One type for every kind of source, so that the controller needs no type parameter.

use crate::{Directory, Git, Nudge, Snapshot, Source, SourceError, StatusFile};

/// A source of any kind.
#[derive(Debug)]
pub enum AnySource {
    /// A folder.
    Directory(Directory),
    /// A repository.
    Git(Git),
}

impl From<Directory> for AnySource {
    fn from(source: Directory) -> Self {
        Self::Directory(source)
    }
}

impl From<Git> for AnySource {
    fn from(source: Git) -> Self {
        Self::Git(source)
    }
}

impl AnySource {
    /// Does status written to it arrive anywhere?
    #[must_use]
    pub fn takes_status(&self) -> bool {
        match self {
            Self::Directory(_) => true,
            Self::Git(_) => false,
        }
    }
}

impl Source for AnySource {
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
