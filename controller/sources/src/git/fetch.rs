//! Bringing the commit that a reference names into reach: a look at the remote, and a fetch when it moved.
//!
//! Blocking; the caller runs it on a thread of its own and limits its time from outside too.

use std::{path::PathBuf, time::Instant};

use git2::{AutotagOption, Direction, FetchOptions, Oid, RemoteCallbacks, Repository};
use sha2::{Digest as _, Sha256};

use super::{GitConfig, open};
use crate::SourceError;

/// The reference of the mirror that says what was fetched last.
const FETCHED: &str = "refs/hemline/fetched";
/// A pack larger than this is not a repository of documents.
const PACK_AT_MOST: usize = 1 << 30;
/// Branches named in a message.
pub(super) const NAMES_AT_MOST: usize = 8;

/// Where commits come from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    place: Place,
    reference: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    /// A repository of this machine, read in place.
    Local(PathBuf),
    /// An address and the mirror of it.
    Remote { url: String, mirror: PathBuf },
}

impl Origin {
    pub(super) fn new(config: &GitConfig) -> Result<Self, SourceError> {
        let location = &config.url_or_path;
        let reference = Some(config.reference.clone()).filter(|name| !name.is_empty() && name != "HEAD");
        let unsupported = |why| Err(SourceError::Unsupported { url: without_password(location), why });
        let place = match location.split_once("://") {
            Some(("file" | "http", _)) => {
                // One mirror per address and reference, so that another branch never answers for an unreachable one.
                let key = Sha256::digest(format!("{location}\0{}", reference.as_deref().unwrap_or_default()));
                let key: String = key.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
                let mirror = config.mirror_dir.join(format!("{key}.git"));
                open::mirror(&mirror)?;
                Place::Remote { url: location.clone(), mirror }
            }
            Some(("https", _)) => {
                return unsupported(
                    "this build has no TLS for Git; use http, a mirror on this machine, or a checkout",
                );
            }
            Some(_) => return unsupported("use a path, file://, http:// or https://"),
            None => {
                let path = PathBuf::from(location);
                if !path.exists() && location.contains(':') {
                    return unsupported("Git over SSH is not built in; use a path, file:// or http://");
                }
                open::exact(&path)?;
                Place::Local(path)
            }
        };
        Ok(Self { place, reference })
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
            Place::Remote { url, .. } => without_password(url),
        }
    }

    /// The object database that holds the commits `tip` returned.
    pub(super) fn objects(&self) -> Result<Repository, SourceError> {
        match &self.place {
            Place::Local(path) => open::exact(path),
            Place::Remote { mirror, .. } => open::mirror(mirror),
        }
    }

    /// What was fetched last, without asking the remote.
    pub(super) fn mirrored(&self) -> Option<Oid> {
        match &self.place {
            Place::Local(_) => None,
            Place::Remote { .. } => fetched(&self.objects().ok()?),
        }
    }

    /// The commit that the reference names now; its objects are in reach afterwards.
    pub(super) fn tip(&self, deadline: Instant) -> Result<Oid, SourceError> {
        let objects = self.objects()?;
        match &self.place {
            Place::Local(path) => {
                let name = self.reference.as_deref().unwrap_or("HEAD");
                // A remote-tracking branch counts as the branch in a clone that never checked it out.
                open::resolve(&objects, path, name).or_else(|failure| {
                    open::resolve(&objects, path, &format!("refs/remotes/origin/{name}")).map_err(|_| failure)
                })
            }
            Place::Remote { url, .. } => self.fetch(&objects, url, deadline),
        }
    }

    fn fetch(&self, mirror: &Repository, url: &str, deadline: Instant) -> Result<Oid, SourceError> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        if let Some(commit) = commit_id(wanted).filter(|commit| mirror.find_commit(*commit).is_ok()) {
            return Ok(commit);
        }
        let unreachable = |error: git2::Error| SourceError::Unreachable {
            url: without_password(url),
            source: Box::new(error),
        };
        let mut remote = mirror.remote_anonymous(url).map_err(unreachable)?;
        let connection =
            remote.connect_auth(Direction::Fetch, Some(callbacks(deadline)), None).map_err(unreachable)?;
        let mut heads: Vec<(String, Oid)> = Vec::new();
        for head in connection.list().map_err(unreachable)? {
            heads.push((head.name().to_owned(), head.oid()));
        }
        drop(connection);

        let Some(choice) = choose(wanted, &heads) else {
            let names =
                heads.iter().filter_map(|(name, _)| name.strip_prefix("refs/heads/").map(str::to_owned));
            return Err(SourceError::NoReference {
                url: without_password(url),
                reference: wanted.to_owned(),
                names: names.take(NAMES_AT_MOST).collect(),
                hint: String::new(),
            });
        };
        let before = mirror.refname_to_id(FETCHED).ok();
        if choice.object.is_none() || choice.object != before {
            let mut options = FetchOptions::new();
            options
                .remote_callbacks(callbacks(deadline))
                .download_tags(AutotagOption::None)
                .update_fetchhead(false);
            remote.fetch(&choice.refspecs, Some(&mut options), None).map_err(unreachable)?;
        }
        let found = match choice.object {
            Some(_) => fetched(mirror),
            None => commit_id(wanted).filter(|commit| mirror.find_commit(*commit).is_ok()),
        };
        let found = found.ok_or_else(|| SourceError::NoReference {
            url: without_password(url),
            reference: wanted.to_owned(),
            names: Vec::new(),
            hint: String::new(),
        })?;
        if choice.object.is_none() {
            mirror.reference(FETCHED, found, true, "").map_err(unreachable)?;
        }
        Ok(found)
    }
}

/// What to fetch for a name.
struct Choice {
    /// The object the remote has under that name; `None` for a commit id, which a remote does not list.
    object: Option<Oid>,
    refspecs: Vec<String>,
}

/// A branch before a tag of the same name, as Git itself decides for a checkout.
fn choose(wanted: &str, heads: &[(String, Oid)]) -> Option<Choice> {
    let candidates = [wanted.to_owned(), format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")];
    let exact = candidates.iter().filter(|name| *name == "HEAD" || name.starts_with("refs/"));
    for candidate in exact {
        if let Some((name, object)) = heads.iter().find(|(name, _)| name == candidate) {
            return Some(Choice { object: Some(*object), refspecs: vec![format!("+{name}:{FETCHED}")] });
        }
    }
    commit_id(wanted).map(|_| Choice {
        object: None,
        refspecs: vec![
            "+refs/heads/*:refs/hemline/heads/*".to_owned(),
            "+refs/tags/*:refs/hemline/tags/*".to_owned(),
        ],
    })
}

fn fetched(mirror: &Repository) -> Option<Oid> {
    let commit = mirror.find_reference(FETCHED).ok()?.peel_to_commit().ok()?;
    // The reference is written last, but a machine may lose power in between.
    commit.tree().is_ok().then(|| commit.id())
}

fn commit_id(text: &str) -> Option<Oid> {
    (text.len() == 40).then(|| Oid::from_str(text).ok()).flatten()
}

fn callbacks<'a>(deadline: Instant) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks
        .transfer_progress(move |progress| {
            Instant::now() < deadline && progress.received_bytes() < PACK_AT_MOST
        })
        .sideband_progress(move |_| Instant::now() < deadline);
    callbacks
}

/// An address without user and password.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("http://user:secret@host:80/a.git", "http://host:80/a.git"),
            ("http://token@host", "http://host"),
            ("file:///srv/a@b.git", "file:///srv/a@b.git"),
            ("/srv/a.git", "/srv/a.git"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_branch_goes_before_a_tag() {
        let id = |digit: &str| Oid::from_str(&digit.repeat(40)).unwrap();
        let heads = [
            ("HEAD".to_owned(), id("1")),
            ("refs/heads/main".to_owned(), id("1")),
            ("refs/heads/v1".to_owned(), id("2")),
            ("refs/tags/v1".to_owned(), id("3")),
        ];
        let object = |name: &str| choose(name, &heads).and_then(|choice| choice.object);
        assert_eq!(object("HEAD"), Some(id("1")));
        assert_eq!(object("main"), Some(id("1")));
        assert_eq!(object("v1"), Some(id("2")));
        assert_eq!(object("refs/tags/v1"), Some(id("3")));
        assert!(choose("nope", &heads).is_none());
        assert!(choose(&"a".repeat(40), &heads).is_some());
    }
}
