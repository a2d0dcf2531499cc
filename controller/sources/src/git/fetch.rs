//! Bringing the commit that a reference names into reach: a look at the remote, and a fetch when it moved.
//!
//! Blocking; `look.rs` runs it on a thread of its own and limits its time. From servers only the newest commit is fetched
//! (depth 1), and what the mirror has already is not sent again. libgit2 cannot leave out folders; where a server offers
//! it, the bridge leaves out blobs that are too large for a document.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use git2::{AutotagOption, Direction, ErrorClass, FetchOptions, Oid, RemoteCallbacks, Repository};
use sha2::{Digest as _, Sha256};

use super::{GitConfig, open};
use crate::{
    Credentials, SourceError,
    remote::{Remote, Transport},
};

/// The reference of the mirror that says what was fetched last.
const FETCHED: &str = "refs/hemline/fetched";
/// A pack larger than this is not a repository of documents.
pub(super) const PACK_AT_MOST: usize = 1 << 30;
/// Each fetch leaves a pack, and libgit2 cannot repack: a mirror with so many is fetched anew.
const PACKS_AT_MOST: usize = 64;
/// Branches named in a message.
pub(super) const NAMES_AT_MOST: usize = 8;

/// Where commits come from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) place: Place,
    reference: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A repository of this machine, read in place.
    Local(PathBuf),
    /// An address and the mirror of it.
    Remote { remote: Box<Remote>, mirror: PathBuf },
}

impl Origin {
    pub(super) fn new(config: &GitConfig) -> Result<Self, SourceError> {
        let location = &config.url_or_path;
        let reference = Some(config.reference.clone()).filter(|name| !name.is_empty() && name != "HEAD");
        let place = match Remote::parse(location, &config.access) {
            Some(remote) => {
                let remote = remote?;
                // One mirror per address and reference, so that another branch never answers for an unreachable one.
                let mirror = config
                    .mirror_dir
                    .join(mirror_name(&remote.url, reference.as_deref().unwrap_or_default()));
                open::mirror(&mirror)?;
                Place::Remote { remote: Box::new(remote), mirror }
            }
            None => {
                let path = PathBuf::from(location);
                open::exact(&path)?;
                Place::Local(path)
            }
        };
        Ok(Self { place, reference })
    }

    /// The same place, entered with other credentials.
    pub(super) fn entered_with(&self, credentials: Option<&Credentials>) -> Self {
        let mut other = self.clone();
        if let (Place::Remote { remote, .. }, Some(credentials)) = (&mut other.place, credentials) {
            remote.access.credentials = credentials.clone();
        }
        other
    }

    /// The remote, where there is one.
    pub(super) fn remote(&self) -> Option<&Remote> {
        match &self.place {
            Place::Local(_) => None,
            Place::Remote { remote, .. } => Some(remote),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }

    pub(super) fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// For people: never with a password.
    pub(super) fn describe(&self) -> String {
        match &self.place {
            Place::Local(path) => path.display().to_string(),
            Place::Remote { remote, .. } => remote.url.clone(),
        }
    }

    /// The object database that holds the commits `tip` returned.
    pub(super) fn objects(&self) -> Result<Repository, SourceError> {
        match &self.place {
            Place::Local(path) => open::exact(path),
            Place::Remote { mirror, .. } => open::mirror(mirror),
        }
    }

    /// The annotated tag that the reference named when the commit was read, if it was one.
    pub(super) fn tag(&self, objects: &Repository, commit: Oid) -> Option<Oid> {
        let wanted = match &self.place {
            Place::Local(_) => self.reference()?,
            Place::Remote { .. } => FETCHED,
        };
        super::signed::tag_of(objects, wanted, commit)
    }

    /// What was fetched last, without asking the remote.
    pub(super) fn mirrored(&self) -> Option<Oid> {
        match &self.place {
            Place::Local(_) => None,
            Place::Remote { .. } => fetched(&self.objects().ok()?),
        }
    }

    /// The commit that the reference names now; its objects are in reach afterwards. `address` is where the remote is
    /// reached.
    pub(super) fn tip(&self, address: &str, deadline: Instant) -> Result<Oid, SourceError> {
        let wanted = self.reference().unwrap_or("HEAD");
        match &self.place {
            Place::Local(path) => open::resolve(&open::exact(path)?, path, wanted),
            Place::Remote { remote, mirror } => Fetch { remote, mirror, address, deadline }.tip(wanted),
        }
    }
}

/// The name of a folder for something of a remote.
pub(super) fn mirror_name(url: &str, of: &str) -> String {
    let key = Sha256::digest(format!("{url}\0{of}"));
    let key: String = key.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("{key}.git")
}

struct Fetch<'a> {
    remote: &'a Remote,
    mirror: &'a Path,
    address: &'a str,
    deadline: Instant,
}

impl Fetch<'_> {
    fn tip(&self, wanted: &str) -> Result<Oid, SourceError> {
        let mirror = open::mirror(self.mirror)?;
        // A commit that is here never changes.
        if let Some(commit) = commit_id(wanted).filter(|commit| mirror.find_commit(*commit).is_ok()) {
            return Ok(commit);
        }
        let heads = self.heads(&mirror)?;
        let Some(object) = choose(wanted, &heads) else {
            let names =
                heads.iter().filter_map(|(name, _)| name.strip_prefix("refs/heads/").map(str::to_owned));
            return Err(self.missing(wanted, names.take(NAMES_AT_MOST).collect()));
        };
        if let Chosen::Reference { object, .. } = &object
            && mirror.refname_to_id(FETCHED).ok() == Some(*object)
            && let Some(commit) = fetched(&mirror)
        {
            return Ok(commit);
        }
        if packs(self.mirror) < PACKS_AT_MOST {
            return self
                .fetch(&mirror, &object)
                .map_err(|error| error.named(|| self.missing(wanted, Vec::new())));
        }
        // The old one answers until the new one is complete.
        let next = self.mirror.with_extension("next");
        let unreadable = |source| SourceError::Unreadable { path: next.clone(), source };
        remove(&next).map_err(unreadable)?;
        let fresh = open::mirror(&next)?;
        let found =
            self.fetch(&fresh, &object).map_err(|error| error.named(|| self.missing(wanted, Vec::new())))?;
        drop((mirror, fresh));
        remove(self.mirror).and_then(|()| fs::rename(&next, self.mirror)).map_err(unreadable)?;
        Ok(found)
    }

    /// Everything that the remote names.
    fn heads(&self, mirror: &Repository) -> Result<Vec<(String, Oid)>, SourceError> {
        let mut remote = mirror.remote_anonymous(self.address).map_err(|error| self.unreachable(error))?;
        let connection = remote
            .connect_auth(Direction::Fetch, Some(callbacks(self.deadline)), None)
            .map_err(|error| self.unreachable(error))?;
        let mut heads = Vec::new();
        for head in connection.list().map_err(|error| self.unreachable(error))? {
            heads.push((head.name().to_owned(), head.oid()));
        }
        Ok(heads)
    }

    fn fetch(&self, mirror: &Repository, chosen: &Chosen) -> Result<Oid, Failed> {
        match chosen {
            Chosen::Reference { name, .. } => {
                self.run(mirror, &[format!("+{name}:{FETCHED}")], true).map_err(Failed::Source)?;
                fetched(mirror).ok_or(Failed::Missing)
            }
            Chosen::Commit(commit) => {
                // Most servers give a commit by its id; the others have it below a branch or a tag, or not at all.
                let alone = self.run(mirror, &[format!("+{commit}:{FETCHED}")], true);
                if alone.is_err() || mirror.find_commit(*commit).is_err() {
                    let all = ["+refs/heads/*:refs/hemline/heads/*", "+refs/tags/*:refs/hemline/tags/*"];
                    self.run(mirror, &all.map(str::to_owned), false).map_err(Failed::Source)?;
                }
                if mirror.find_commit(*commit).is_err() {
                    return Err(Failed::Missing);
                }
                let noted = mirror.reference(FETCHED, *commit, true, "");
                noted.map_err(|error| Failed::Source(self.unreachable(error)))?;
                Ok(*commit)
            }
        }
    }

    fn run(&self, mirror: &Repository, refspecs: &[String], newest: bool) -> Result<(), SourceError> {
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks(self.deadline))
            .download_tags(AutotagOption::None)
            .update_fetchhead(false);
        // libgit2 copies between folders of one machine and knows no depth there.
        if newest && self.remote.transport != Transport::File {
            options.depth(1);
        }
        let mut remote = mirror.remote_anonymous(self.address).map_err(|error| self.unreachable(error))?;
        remote.fetch(refspecs, Some(&mut options), None).map_err(|error| self.kept_or_unreachable(error))
    }

    /// libgit2 has one error for what the remote did and for what the disk did.
    fn kept_or_unreachable(&self, error: git2::Error) -> SourceError {
        if matches!(error.class(), ErrorClass::Os | ErrorClass::Filesystem | ErrorClass::Odb) {
            let (url, path) = (self.remote.url.clone(), self.mirror.to_path_buf());
            return SourceError::NotKept { url, path, source: Box::new(error) };
        }
        self.unreachable(error)
    }

    fn unreachable(&self, error: git2::Error) -> SourceError {
        SourceError::Unreachable { url: self.remote.url.clone(), source: Box::new(error) }
    }

    fn missing(&self, wanted: &str, names: Vec<String>) -> SourceError {
        SourceError::NoReference {
            url: self.remote.url.clone(),
            reference: wanted.to_owned(),
            names,
            hint: String::new(),
        }
    }
}

/// Why a fetch brought nothing.
enum Failed {
    /// The remote has it not.
    Missing,
    Source(SourceError),
}

impl Failed {
    fn named(self, missing: impl FnOnce() -> SourceError) -> SourceError {
        match self {
            Self::Missing => missing(),
            Self::Source(error) => error,
        }
    }
}

/// What a name stands for at the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    Reference {
        name: String,
        object: Oid,
    },
    /// A remote does not list commits.
    Commit(Oid),
}

/// A branch before a tag of the same name, as Git itself decides for a checkout.
fn choose(wanted: &str, heads: &[(String, Oid)]) -> Option<Chosen> {
    let candidates = [wanted.to_owned(), format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")];
    let exact = candidates.iter().filter(|name| *name == "HEAD" || name.starts_with("refs/"));
    for candidate in exact {
        if let Some((name, object)) = heads.iter().find(|(name, _)| name == candidate) {
            return Some(Chosen::Reference { name: name.clone(), object: *object });
        }
    }
    commit_id(wanted).map(Chosen::Commit)
}

/// How many packs a mirror has.
fn packs(mirror: &Path) -> usize {
    let Ok(entries) = fs::read_dir(mirror.join("objects/pack")) else { return 0 };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "pack")).count()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn fetched(mirror: &Repository) -> Option<Oid> {
    let commit = mirror.find_reference(FETCHED).ok()?.peel_to_commit().ok()?;
    // The reference is written last, but a machine may lose power in between.
    commit.tree().is_ok().then(|| commit.id())
}

fn commit_id(text: &str) -> Option<Oid> {
    (text.len() == 40).then(|| Oid::from_str(text).ok()).flatten()
}

pub(super) fn callbacks<'a>(deadline: Instant) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks
        .transfer_progress(move |progress| {
            Instant::now() < deadline && progress.received_bytes() < PACK_AT_MOST
        })
        .sideband_progress(move |_| Instant::now() < deadline);
    callbacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_goes_before_a_tag() {
        let id = |digit: &str| Oid::from_str(&digit.repeat(40)).unwrap();
        let heads = [
            ("HEAD".to_owned(), id("1")),
            ("refs/heads/main".to_owned(), id("1")),
            ("refs/heads/v1".to_owned(), id("2")),
            ("refs/tags/v1".to_owned(), id("3")),
        ];
        let object = |name: &str| match choose(name, &heads) {
            Some(Chosen::Reference { object, .. }) => Some(object),
            Some(Chosen::Commit(_)) | None => None,
        };
        assert_eq!(object("HEAD"), Some(id("1")));
        assert_eq!(object("main"), Some(id("1")));
        assert_eq!(object("v1"), Some(id("2")));
        assert_eq!(object("refs/tags/v1"), Some(id("3")));
        assert!(choose("nope", &heads).is_none());
        assert!(choose(&"a".repeat(40), &heads).is_some());
    }
}
