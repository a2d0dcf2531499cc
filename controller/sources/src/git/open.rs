//! Opening repositories and resolving names in them. Nothing here talks to a network.

use std::path::{Path, PathBuf};

use git2::{BranchType, ErrorCode, Object, Oid, Repository, RepositoryOpenFlags};

use crate::SourceError;

/// Where a path stands in the repository around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The work tree.
    pub repository: PathBuf,
    /// The path relative to it, with `/`; empty is the work tree itself.
    pub folder: String,
}

/// Finds the repository around a path of a work tree.
///
/// # Errors
/// When the path does not exist or is in no work tree.
pub fn locate(path: &Path) -> Result<Located, SourceError> {
    let full =
        path.canonicalize().map_err(|source| SourceError::Unreadable { path: path.to_path_buf(), source })?;
    let repository = discover(&full)?;
    let root = repository.workdir().unwrap_or_else(|| repository.path());
    let root =
        root.canonicalize().map_err(|source| SourceError::Unreadable { path: root.to_path_buf(), source })?;
    let inside = full.strip_prefix(&root).unwrap_or(Path::new(""));
    let folder: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    Ok(Located { folder: folder.join("/"), repository: root })
}

/// The repository in or around a path.
pub(super) fn discover(path: &Path) -> Result<Repository, SourceError> {
    let none: [&Path; 0] = [];
    Repository::open_ext(path, RepositoryOpenFlags::empty(), none).map_err(|error| match error.code() {
        ErrorCode::NotFound => SourceError::NoRepository { path: path.to_path_buf() },
        _ => failed(path, error),
    })
}

/// The repository at a path, which may be a work tree or bare.
pub(super) fn exact(path: &Path) -> Result<Repository, SourceError> {
    Repository::open(path).map_err(|error| failed(path, error))
}

/// The bare mirror at a path, made when it is not there or is damaged.
pub(super) fn mirror(path: &Path) -> Result<Repository, SourceError> {
    if let Ok(repository) = Repository::open_bare(path) {
        return Ok(repository);
    }
    // A mirror holds nothing that cannot be fetched again.
    if path.exists() {
        std::fs::remove_dir_all(path)
            .map_err(|source| SourceError::Unreadable { path: path.to_path_buf(), source })?;
    }
    Repository::init_bare(path).map_err(|error| failed(path, error))
}

/// What a name stands for: the branch first, then the tag, as at an address; then anything that `git rev-parse` takes.
pub(super) fn named<'r>(repository: &'r Repository, name: &str) -> Result<Object<'r>, git2::Error> {
    for folder in ["refs/heads/", "refs/tags/"] {
        let found = repository.find_reference(&format!("{folder}{name}"));
        // Unlike `peel`, this leaves an annotated tag what it is.
        if let Some(id) = found.ok().and_then(|found| found.resolve().ok()?.target()) {
            return repository.find_object(id, None);
        }
    }
    repository.revparse_single(name)
}

/// The commit that a name stands for in a local repository.
pub(super) fn resolve(repository: &Repository, path: &Path, name: &str) -> Result<Oid, SourceError> {
    named(repository, name).and_then(|object| object.peel_to_commit()).map(|commit| commit.id()).map_err(
        |_| SourceError::NoReference {
            url: path.display().to_string(),
            reference: name.to_owned(),
            names: branches(repository),
            hint: hint(repository, name),
        },
    )
}

/// Why a name that people expect is not there.
fn hint(repository: &Repository, name: &str) -> String {
    if repository.is_empty().unwrap_or_default() || (name == "HEAD" && repository.head().is_err()) {
        return "the repository has no commit yet; commit first, or leave out --base".to_owned();
    }
    match name.split_once('/') {
        Some((remote, branch)) if repository.find_remote(remote).is_ok() || remote == "origin" => {
            format!("fetch it first: `git fetch {remote} {branch}`, or `fetch-depth: 0` in the checkout step of CI")
        }
        Some(_) | None if repository.is_shallow() => {
            "this clone is shallow; fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0` in CI".to_owned()
        }
        Some(_) | None => String::new(),
    }
}

fn branches(repository: &Repository) -> Vec<String> {
    let Ok(found) = repository.branches(Some(BranchType::Local)) else { return Vec::new() };
    found
        .filter_map(Result::ok)
        .filter_map(|(branch, _)| branch.name().ok().flatten().map(str::to_owned))
        .take(super::fetch::NAMES_AT_MOST)
        .collect()
}

fn failed(path: &Path, error: git2::Error) -> SourceError {
    SourceError::Repository { path: path.to_path_buf(), source: Box::new(error) }
}
