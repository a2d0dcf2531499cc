//! Where the nodes of a document stand: a tree that mirrors the value.

/// A place in a file: line and column from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// From a place up to, but not including, another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stretch {
    pub(super) start: Place,
    pub(super) end: Place,
}

/// One node.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    /// The key in front of it, for members of a mapping.
    pub(super) key: Option<Stretch>,
    /// The node itself.
    pub(super) value: Stretch,
    /// Is it a mapping or a sequence?
    pub(super) container: bool,
    /// What a scalar says, when it may be the JSON text of an object or a piece of one.
    pub(super) text: Option<Box<str>>,
    /// Members by key, or items by index.
    pub(super) children: Vec<(Box<str>, Self)>,
}

/// What a pointer led to.
pub(super) struct Found<'a> {
    pub(super) mark: &'a Mark,
    /// The mapping or list around it.
    pub(super) parent: Option<&'a Mark>,
    /// The steps that are left, when the pointer led further.
    pub(super) rest: Vec<String>,
    /// `false` when the pointer led further than the document; then this is the nearest parent.
    pub(super) exact: bool,
}

impl Mark {
    /// Follows a JSON pointer as far as it leads.
    pub(super) fn find(&self, pointer: &str) -> Found<'_> {
        let (mut mark, mut parent) = (self, None);
        let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        while let Some(step) = steps.next() {
            match mark.children.iter().find(|(key, _)| **key == *step) {
                Some((_, child)) => (mark, parent) = (child, Some(mark)),
                None => {
                    let rest = std::iter::once(step).chain(steps).collect();
                    return Found { mark, parent, rest, exact: false };
                }
            }
        }
        Found { mark, parent, rest: Vec::new(), exact: true }
    }
}
