//! Which files of a tree are documents, how much may be read, and the digest that names a set of files.
//!
//! The same rules for a folder and for a Git tree, so that `hem plan` over a folder and over a commit agree.

use hemline_model::{SourceFile, id::Revision, text::FILE_BYTES};
use sha2::{Digest as _, Sha256};

use crate::{Note, SourceError};

/// Files and folders of any kind that are looked at for one snapshot.
const ENTRIES_AT_MOST: u64 = 1_000_000;

/// How many bytes of one file are worth reading: one more than allowed, so that "too large" is noticed.
pub(crate) const READ_AT_MOST: u64 = FILE_BYTES as u64 + 1;

/// Bounds on one snapshot. The bound on a single file is the model's: a file that is too large is a finding of that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Documents.
    pub files: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
    /// Folders inside folders.
    pub depth: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 10_000, total_bytes: 64 << 20, depth: 32 }
    }
}

/// What stands at a path, as far as selection cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    File,
}

/// Is this entry looked at? Dot names never are, nor the status folder at the top, nor files that are not documents.
pub(crate) fn selected(relative: &str, entry: Entry) -> bool {
    let name = relative.rsplit('/').next().unwrap_or(relative);
    if name.starts_with('.') {
        return false;
    }
    match entry {
        Entry::Folder => relative != "status",
        Entry::File => name.rsplit_once('.').is_some_and(|(stem, extension)| {
            !stem.is_empty() && matches!(extension, "yaml" | "yml" | "json")
        }),
    }
}

/// Files and notes on their way into a snapshot, within limits.
#[derive(Debug)]
pub(crate) struct Gathering {
    limits: Limits,
    bytes: u64,
    entries: u64,
    pub(crate) files: Vec<SourceFile>,
    pub(crate) notes: Vec<Note>,
}

impl Gathering {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, entries: 0, files: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn enter(&self, folder: &str, depth: u64) -> Result<(), SourceError> {
        if depth > self.limits.depth {
            return Err(SourceError::Limit {
                what: "folders deep",
                limit: self.limits.depth,
                path: folder.to_owned(),
            });
        }
        Ok(())
    }

    /// Counts everything that is looked at. A Git tree can name itself a million times over, so depth alone bounds nothing.
    pub(crate) fn look(&mut self, path: &str) -> Result<(), SourceError> {
        self.entries += 1;
        if self.entries > ENTRIES_AT_MOST {
            return Err(SourceError::Limit {
                what: "entries",
                limit: ENTRIES_AT_MOST,
                path: path.to_owned(),
            });
        }
        Ok(())
    }

    /// Takes a file in. `content` is asked for only when it is not too large to be read; such a file comes in without its
    /// content, so that it is told of and everything else is still judged.
    pub(crate) fn take(
        &mut self,
        path: &str,
        size: u64,
        content: impl FnOnce() -> Result<Vec<u8>, SourceError>,
    ) -> Result<(), SourceError> {
        let shown = if path.is_empty() { "the file" } else { path };
        let limit = |what, limit| Err(SourceError::Limit { what, limit, path: shown.to_owned() });
        if self.files.len() as u64 >= self.limits.files {
            return limit("documents", self.limits.files);
        }
        let worth = size.min(READ_AT_MOST);
        self.bytes = self.bytes.saturating_add(worth);
        if self.bytes > self.limits.total_bytes {
            return limit("bytes in all documents", self.limits.total_bytes);
        }
        self.files.push(if size < READ_AT_MOST {
            SourceFile { path: path.into(), bytes: content()? }
        } else {
            SourceFile::too_large(path)
        });
        Ok(())
    }

    pub(crate) fn note(&mut self, rule: &'static str, path: &str, message: impl Into<String>) {
        // Bounded like the files: a tree of a million symlinks must not fill the memory with notes.
        if (self.notes.len() as u64) < self.limits.files {
            self.notes.push(Note::new(rule, Some(path.to_owned()), message));
        }
    }

    pub(crate) fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.notes.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// The revision of files that have no commit: a digest over paths and contents, which are taken in the order given. Each
/// part is preceded by its length, so that no two different sets read as the same bytes.
#[must_use]
#[expect(clippy::expect_used, reason = "hexadecimal digits are valid in a revision")]
pub fn digest(files: &[SourceFile]) -> Revision {
    let mut hash = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), &file.bytes] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Revision::new(format!("sha256:{:x}", hash.finalize())).expect("a hexadecimal digest is a revision")
}

/// `sha256:…` of what the files hold, whatever their names are and wherever they stand: the same documents read from a
/// folder and from a commit have the same digest.
#[must_use]
pub fn contents(files: &[SourceFile]) -> String {
    let mut parts: Vec<[u8; 32]> = files.iter().map(|file| Sha256::digest(&file.bytes).into()).collect();
    parts.sort_unstable();
    format!("sha256:{:x}", Sha256::digest(parts.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_chosen_by_name() {
        for (path, entry, wanted) in [
            ("fleet.yaml", Entry::File, true),
            ("a/b/fleet.yml", Entry::File, true),
            ("fleet.json", Entry::File, true),
            ("fleet.YAML", Entry::File, false),
            ("notes.md", Entry::File, false),
            ("yaml", Entry::File, false),
            (".yaml", Entry::File, false),
            (".hidden.yaml", Entry::File, false),
            (".git", Entry::Folder, false),
            ("status", Entry::Folder, false),
            ("a/status", Entry::Folder, true),
            ("status.yaml", Entry::File, true),
        ] {
            assert_eq!(selected(path, entry), wanted, "{path}");
        }
    }

    #[test]
    fn the_digest_depends_on_where_a_path_ends() {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), bytes: text.as_bytes().to_vec() };
        assert_ne!(digest(&[file("a.yaml", "b")]), digest(&[file("a.yam", "lb")]));
        assert_eq!(digest(&[file("a.yaml", "b")]), digest(&[file("a.yaml", "b")]));
        assert_eq!(contents(&[file("a", "1"), file("b", "2")]), contents(&[file("x", "2"), file("y", "1")]));
        assert_ne!(contents(&[file("a", "1"), file("b", "2")]), contents(&[file("a", "12")]));
    }
}
