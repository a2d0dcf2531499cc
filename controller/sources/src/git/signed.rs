//! Is what a reference names signed by somebody who may? An annotated tag answers for its commit when it is signed itself; else
//! the commit has to be. Not here: keys and formats (`signature.rs`).

use git2::{Oid, Repository, Tag, Time};
use jiff::Timestamp;

use super::tree::revision;
use crate::{Note, Signers, Snapshot, SourceError};

/// How signatures begin, which stand at the end of a tag.
const SIGNATURES: [&[u8]; 2] = [b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"];

/// Why a commit must not be read; `None` when it may. `tag` is the annotated tag that was asked for by `name`, if it was one.
pub(super) fn refusal(
    repository: &Repository,
    commit: Oid,
    tag: Option<(Oid, &str)>,
    signers: &Signers,
) -> Result<Option<Note>, SourceError> {
    if let Some((tag, name)) = tag
        && let Some(judged) = judge_tag(repository, tag, name, signers)?
    {
        return Ok(judged.err().map(|why| refusing(format!("tag {name} {why}"))));
    }
    let found = repository.find_commit(commit).map_err(|error| failed(repository, error))?;
    let at = seconds(found.time());
    let judged = match repository.extract_signature(&commit, None) {
        Ok((signature, signed)) => signers.judge(Some(&signature), &signed, at)?,
        Err(_) => signers.judge(None, &[], at)?,
    };
    Ok(match judged {
        Ok(signer) => {
            tracing::debug!(%commit, signer, "the signature counts");
            None
        }
        Err(refusal) => {
            let author = found.committer().name().unwrap_or("nobody").to_owned();
            Some(refusing(format!("commit {} by {author} is refused: {refusal}", &commit.to_string()[..7])))
        }
    })
}

/// A snapshot of a commit that must not be read.
pub(super) fn refused(repository: &Repository, commit: Oid, why: Note) -> Result<Snapshot, SourceError> {
    let found = repository.find_commit(commit).map_err(|error| failed(repository, error))?;
    Ok(Snapshot {
        revision: revision(commit)?,
        files: Vec::new(),
        message: found.summary().ok().flatten().map(str::to_owned),
        notes: vec![why],
    })
}

/// The tag that a reference leads to, when it is an annotated one for this commit.
pub(super) fn tag_of(repository: &Repository, reference: &str, commit: Oid) -> Option<Oid> {
    let object = super::open::named(repository, reference).ok()?;
    let tag = object.as_tag()?;
    let of_it = object.peel_to_commit().is_ok_and(|found| found.id() == commit);
    of_it.then(|| tag.id())
}

/// Whether a tag answers for its commit; `None` when it is not signed.
fn judge_tag(
    repository: &Repository,
    tag: Oid,
    name: &str,
    signers: &Signers,
) -> Result<Option<Result<(), String>>, SourceError> {
    let objects = repository.odb().map_err(|error| failed(repository, error))?;
    let object = objects.read(tag).map_err(|error| failed(repository, error))?;
    let Some((signed, signature)) = cut(object.data()) else { return Ok(None) };
    let tag = repository.find_tag(tag).map_err(|error| failed(repository, error))?;
    // A signature says what the tag is called; another name for it is somebody else's word.
    let called = tag.name().unwrap_or_default();
    let wanted = name.strip_prefix("refs/tags/").unwrap_or(name);
    if called != wanted {
        return Ok(Some(Err(format!("is refused: what is signed is called {called:?}"))));
    }
    let judged = signers.judge(Some(signature), signed, tagged_at(&tag))?;
    Ok(Some(judged.map(drop).map_err(|refusal| format!("is refused: {refusal}"))))
}

/// What was signed, and the signature behind it: the last one, as Git takes it.
fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let starts = |at: &usize| {
        let line = data.get(*at..).unwrap_or_default();
        SIGNATURES.iter().any(|head| line.starts_with(head))
    };
    let mut behind = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let at = behind.rfind(starts)?;
    Some(data.split_at(at))
}

fn tagged_at(tag: &Tag<'_>) -> Timestamp {
    tag.tagger().map_or(Timestamp::UNIX_EPOCH, |tagger| seconds(tagger.when()))
}

fn seconds(time: Time) -> Timestamp {
    Timestamp::from_second(time.seconds()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn refusing(message: String) -> Note {
    Note::refusing("source-signature", message)
}

fn failed(repository: &Repository, error: git2::Error) -> SourceError {
    SourceError::Repository { path: repository.path().to_path_buf(), source: Box::new(error) }
}
