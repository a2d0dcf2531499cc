//! What is wrong with a merged config, before it is known which devices have it.

use hemline_model::{Severity, finding::RuleId};

use super::{
    layer::{Path, pointer},
    tree::Tree,
};

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) rule: RuleId,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// What the finding points at.
    pub(super) at: Place,
    /// What it clashes with, and where that is said.
    pub(super) other: Option<(String, Place)>,
    /// Does it matter only where other devices connect through this one?
    pub(super) on_parents: bool,
}

/// A value of a merged config.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Place of its layer in the list.
    pub(super) layer: usize,
    pub(super) pointer: String,
}

impl Fault {
    /// An error without anything else that it clashes with.
    pub(super) fn error(rule: RuleId, at: Place, message: String) -> Self {
        Self { rule, severity: Severity::Error, message, hint: None, at, other: None, on_parents: false }
    }
}

impl Place {
    /// The place of a path: the layer that says it, or that says the value it is in.
    pub(super) fn of(tree: &Tree<'_>, path: &Path) -> Self {
        let layer = tree.layer_of(path).unwrap_or_default();
        Self { layer, pointer: pointer(path) }
    }

    /// The last layer that says something below a path: the one that made it what it is.
    pub(super) fn last(tree: &Tree<'_>, path: &Path) -> Self {
        Self { layer: tree.layers_below(path).1, pointer: pointer(path) }
    }

    /// The first layer that says something below a path: the one that brought it.
    pub(super) fn first(tree: &Tree<'_>, path: &Path) -> Self {
        Self { layer: tree.layers_below(path).0, pointer: pointer(path) }
    }
}
