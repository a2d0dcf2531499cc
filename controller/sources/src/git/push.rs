//! Moving branches of the origin: read their tips, swap them if nobody else did.
//!
//! A swap names what the branch must still be (compare and swap, what `--force-with-lease` means). A repository of this
//! machine is written in place, without its work tree; a remote gets a pack. Blocking.

use std::{cell::RefCell, path::Path, time::Instant};

use git2::{Direction, ErrorCode, FetchOptions, Oid, PushOptions, Repository};

use super::{fetch::callbacks, open};
use crate::{
    SourceError,
    remote::{Remote, Transport},
};

/// Where branches are moved.
pub(super) enum Side<'a> {
    /// In a repository of this machine.
    Here(Repository),
    /// At a remote, with objects kept in a folder of ours.
    There { objects: Repository, remote: &'a Remote, address: &'a str, deadline: Instant },
}

/// One branch to move.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) branch: String,
    /// What it must be now: `None` for a branch that must not exist.
    pub(super) from: Option<Oid>,
    pub(super) to: Oid,
}

/// What came of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swapped {
    Done,
    /// Somebody else was faster; nothing moved.
    Raced,
}

/// How much of a branch is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    /// Its tip alone.
    Newest,
    /// The commits before it too, as far as they are not here.
    Whole,
    /// The same where only the tip was fetched before.
    Deepened,
}

/// A fetch and a push write here.
const TIP: &str = "refs/hemline/tip";
pub(super) const NEXT: &str = "refs/hemline/next";

impl<'a> Side<'a> {
    /// `folder` is where objects of a remote are kept.
    pub(super) fn of(
        location: &'a super::fetch::Place,
        folder: &Path,
        address: &'a str,
        deadline: Instant,
    ) -> Result<Self, SourceError> {
        match location {
            super::fetch::Place::Local(path) => open::exact(path).map(Self::Here),
            super::fetch::Place::Remote { remote, .. } => match remote.url.strip_prefix("file://") {
                Some(path) if remote.transport == Transport::File => {
                    open::exact(Path::new(path)).map(Self::Here)
                }
                _ => Ok(Self::There { objects: open::mirror(folder)?, remote, address, deadline }),
            },
        }
    }

    pub(super) fn objects(&self) -> &Repository {
        match self {
            Self::Here(repository) => repository,
            Self::There { objects, .. } => objects,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Here(repository) => repository.path().display().to_string(),
            Self::There { remote, .. } => remote.url.clone(),
        }
    }

    /// The commits that branches are at, in the order asked, and the name of the default branch. The objects may not be
    /// here yet.
    pub(super) fn tips(&self, branches: &[&str]) -> Result<(Vec<Option<Oid>>, Option<String>), SourceError> {
        let full = |branch: &&str| format!("refs/heads/{branch}");
        match self {
            Self::Here(repository) => {
                let head = repository.find_reference("HEAD").ok();
                let head = head.and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned));
                let tips = branches.iter().map(|branch| repository.refname_to_id(&full(branch)).ok());
                Ok((tips.collect(), short(head.as_deref())))
            }
            Self::There { objects, address, deadline, .. } => {
                let mut remote = objects.remote_anonymous(address).map_err(|error| self.failed(error))?;
                let connection = remote
                    .connect_auth(Direction::Fetch, Some(callbacks(*deadline)), None)
                    .map_err(|error| self.failed(error))?;
                let heads = connection.list().map_err(|error| self.failed(error))?;
                let tip = |branch: &&str| {
                    heads.iter().find(|head| head.name() == full(branch)).map(git2::RemoteHead::oid)
                };
                let tips = branches.iter().map(tip).collect();
                let head = heads.iter().find(|head| head.name() == "HEAD");
                let head = head.and_then(|head| head.symref_target()).map(str::to_owned);
                Ok((tips, short(head.as_deref())))
            }
        }
    }

    /// Brings the tip of a branch into reach, without its history. False when the branch is somewhere else by now.
    pub(super) fn bring(&self, branch: &str, tip: Oid) -> Result<bool, SourceError> {
        self.fetch(tip, &format!("+refs/heads/{branch}:{TIP}"), History::Newest)
    }

    /// Brings the tip of a branch into reach with the history before it. A push walks that history, and libgit2 does not stop
    /// where a shallow fetch has ended it.
    pub(super) fn bring_whole(&self, branch: &str, tip: Oid) -> Result<bool, SourceError> {
        self.fetch(tip, &format!("+refs/heads/{branch}:{TIP}"), History::Whole)
    }

    /// The same for any commit that the other side gives by its id.
    pub(super) fn bring_commit(&self, commit: Oid, branch: &str) -> Result<bool, SourceError> {
        // Forges give a commit by its id; Git's own server does not unless it is told to, and has it below the branch.
        if let Ok(true) = self.fetch(commit, &format!("+{commit}:{TIP}"), History::Newest) {
            return Ok(true);
        }
        self.fetch(commit, &format!("+refs/heads/{branch}:{TIP}"), History::Deepened)
    }

    fn fetch(&self, tip: Oid, refspec: &str, history: History) -> Result<bool, SourceError> {
        let here = |objects: &Repository| objects.find_commit(tip).is_ok_and(|commit| commit.tree().is_ok());
        let Self::There { objects, address, deadline, .. } = self else { return Ok(here(self.objects())) };
        if here(objects) {
            return Ok(true);
        }
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks(*deadline))
            .download_tags(git2::AutotagOption::None)
            .update_fetchhead(false);
        match history {
            History::Newest => {
                options.depth(1);
            }
            History::Whole => {}
            History::Deepened => {
                options.depth(i32::MAX);
            }
        }
        let mut remote = objects.remote_anonymous(address).map_err(|error| self.failed(error))?;
        remote.fetch(&[refspec], Some(&mut options), None).map_err(|error| self.failed(error))?;
        Ok(here(objects))
    }

    /// Moves the branches, all or none as far as the other side can do so; the first one decides whether it raced.
    pub(super) fn swap(&self, moves: &[Move]) -> Result<Swapped, SourceError> {
        match self {
            Self::Here(repository) => {
                for Move { branch, from, to } in moves.iter().rev() {
                    let name = format!("refs/heads/{branch}");
                    let done = match from {
                        Some(from) => {
                            repository.reference_matching(&name, *to, true, *from, "hemline").map(drop)
                        }
                        None => repository.reference(&name, *to, false, "hemline").map(drop),
                    };
                    match done {
                        Ok(()) => {}
                        Err(error)
                            if matches!(
                                error.code(),
                                ErrorCode::Modified
                                    | ErrorCode::Exists
                                    | ErrorCode::NotFound
                                    | ErrorCode::Locked
                            ) =>
                        {
                            return Ok(Swapped::Raced);
                        }
                        Err(error) => return Err(self.failed(error)),
                    }
                }
                Ok(Swapped::Done)
            }
            Self::There { objects, address, deadline, remote } => {
                let (raced, refused) = (RefCell::new(false), RefCell::new(None::<(String, String)>));
                let mut callbacks = callbacks(*deadline);
                callbacks.push_negotiation(|updates| {
                    let moved = updates.iter().any(|update| {
                        let from = Some(update.src()).filter(|from| !from.is_zero());
                        let wanted = moves.iter().find(|wanted| {
                            update
                                .dst_refname()
                                .is_ok_and(|name| name == format!("refs/heads/{}", wanted.branch))
                        });
                        wanted.is_none_or(|wanted| wanted.from != from)
                    });
                    if moved {
                        *raced.borrow_mut() = true;
                        return Err(git2::Error::from_str("the branch moved"));
                    }
                    Ok(())
                });
                callbacks.push_update_reference(|name, status| {
                    match status {
                        Some(text) if is_race(text) => *raced.borrow_mut() = true,
                        Some(text) => *refused.borrow_mut() = Some((name.to_owned(), text.to_owned())),
                        None => {}
                    }
                    Ok(())
                });
                let mut refspecs = Vec::new();
                for (index, Move { branch, to, .. }) in moves.iter().enumerate() {
                    let name = format!("{NEXT}/{index}");
                    objects.reference(&name, *to, true, "").map_err(|error| self.failed(error))?;
                    refspecs.push(format!("+{name}:refs/heads/{branch}"));
                }
                let mut options = PushOptions::new();
                options.remote_callbacks(callbacks);
                let mut pushed = objects.remote_anonymous(address).map_err(|error| self.failed(error))?;
                let outcome = pushed.push(&refspecs, Some(&mut options));
                drop(options);
                if raced.into_inner() {
                    return Ok(Swapped::Raced);
                }
                if let Some((name, why)) = refused.into_inner() {
                    let branch = name.trim_start_matches("refs/heads/");
                    let fix = format!("let the credentials write and force the branch {branch}");
                    return Err(SourceError::Denied { url: remote.url.clone(), why, fix });
                }
                outcome.map(|()| Swapped::Done).map_err(|error| self.failed(error))
            }
        }
    }

    pub(super) fn failed(&self, error: git2::Error) -> SourceError {
        match self {
            Self::Here(repository) => {
                SourceError::Repository { path: repository.path().to_path_buf(), source: Box::new(error) }
            }
            Self::There { remote, .. } => {
                SourceError::NotPushed { url: remote.url.clone(), source: Box::new(error) }
            }
        }
    }
}

/// Words of servers for "the branch is not what you think".
fn is_race(text: &str) -> bool {
    const RACES: [&str; 7] = [
        "non-fast-forward",
        "fetch first",
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "reference already exists",
        "stale info",
    ];
    RACES.iter().any(|words| text.contains(words))
}

fn short(name: Option<&str>) -> Option<String> {
    name?.strip_prefix("refs/heads/").map(str::to_owned)
}
