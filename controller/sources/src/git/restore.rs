//! The tree of a commit with the documents of another: what is no document stays as it is.
//!
//! Documents are what a source reads ([`selected`]), so nothing else of the repository goes back with them.

use std::collections::BTreeSet;

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

use super::tree::SYMLINK;
use crate::{
    Limits, SourceError,
    select::{Entry, Gathering, selected},
};

/// Puts documents back, within the limits of a reader.
pub(super) struct Restoring<'a> {
    objects: &'a Repository,
    gathering: Gathering,
}

impl<'a> Restoring<'a> {
    pub(super) fn new(objects: &'a Repository, limits: Limits) -> Self {
        Self { objects, gathering: Gathering::new(limits) }
    }

    /// The tree of a folder as it is in `head`, with the documents of `good`; `None` when nothing is left in it.
    pub(super) fn folder(
        &mut self,
        head: Option<Oid>,
        good: Option<Oid>,
    ) -> Result<Option<Oid>, git2::Error> {
        self.inside(head, good, "", 0)
    }

    fn inside(
        &mut self,
        head: Option<Oid>,
        good: Option<Oid>,
        folder: &str,
        depth: u64,
    ) -> Result<Option<Oid>, git2::Error> {
        if head == good {
            return Ok(head);
        }
        self.gathering.enter(folder, depth).map_err(|error| limit(&error))?;
        let objects = self.objects;
        let find = |id: Option<Oid>| id.map(|id| objects.find_tree(id)).transpose();
        let (head, good) = (find(head)?, find(good)?);
        let names: BTreeSet<String> = head.iter().chain(&good).flat_map(names).collect();
        let mut builder = objects.treebuilder(head.as_ref())?;
        for name in names {
            self.gathering.look(folder).map_err(|error| limit(&error))?;
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let of = |tree: &Option<Tree<'_>>| tree.as_ref().and_then(|tree| What::of(tree, &name, &path));
            let (now, then) = (of(&head), of(&good));
            match (&now, &then) {
                (_, Some(What::Document(id, mode))) => drop(builder.insert(name.as_str(), *id, *mode)?),
                (Some(What::Document(..)), None | Some(What::Other)) => builder.remove(name.as_str())?,
                (None | Some(What::Other | What::Document(..) | What::Folder(_)), _) => {
                    let (now_in, then_in) = (folder_of(now.as_ref()), folder_of(then.as_ref()));
                    if now_in.is_none() && then_in.is_none() {
                        continue;
                    }
                    match self.inside(now_in, then_in, &path, depth + 1)? {
                        Some(id) if Some(id) != now_in => {
                            drop(builder.insert(name.as_str(), id, 0o040_000)?);
                        }
                        None if matches!(now, Some(What::Document(..) | What::Folder(_))) => {
                            builder.remove(name.as_str())?;
                        }
                        Some(_) | None => {}
                    }
                }
            }
        }
        if builder.is_empty() { Ok(None) } else { builder.write().map(Some) }
    }
}

/// What stands at a name, as a reader of documents sees it.
enum What {
    Document(Oid, i32),
    Folder(Oid),
    /// Nothing that is read.
    Other,
}

impl What {
    fn of(tree: &Tree<'_>, name: &str, path: &str) -> Option<Self> {
        let entry: TreeEntry<'_> = tree.get_name(name)?;
        Some(match entry.kind() {
            Some(ObjectType::Tree) if selected(path, Entry::Folder) => Self::Folder(entry.id()),
            Some(ObjectType::Blob) if entry.filemode() != SYMLINK && selected(path, Entry::File) => {
                Self::Document(entry.id(), entry.filemode())
            }
            Some(_) | None => Self::Other,
        })
    }
}

fn folder_of(what: Option<&What>) -> Option<Oid> {
    match what {
        Some(What::Folder(id)) => Some(*id),
        Some(What::Document(..) | What::Other) | None => None,
    }
}

/// A name that is not UTF-8 is none of a document.
fn names(tree: &Tree<'_>) -> Vec<String> {
    tree.iter().filter_map(|entry| entry.name().ok().map(str::to_owned)).collect()
}

fn limit(error: &SourceError) -> git2::Error {
    git2::Error::from_str(&error.to_string())
}
