//! The modules that may be on a device together: those that a route of a deployment may name.

use std::collections::BTreeSet;

use super::draft::ModuleNames;

/// Names of the modules of a set of documents.
#[derive(Default)]
pub(super) struct AllModules {
    /// Those of all layers, which may lie on any base.
    in_layers: BTreeSet<String>,
    anywhere: BTreeSet<String>,
}

/// What may be on a device together with the modules of one deployment, its own included.
pub(super) struct Beside<'a> {
    own: BTreeSet<&'a str>,
    others: &'a BTreeSet<String>,
}

impl AllModules {
    pub(super) fn of<'a>(deployments: impl Iterator<Item = &'a ModuleNames>) -> Self {
        let mut all = Self::default();
        for ModuleNames { layered, names } in deployments {
            for name in names {
                // Few names, each in many documents.
                insert(&mut all.anywhere, name);
                if *layered {
                    insert(&mut all.in_layers, name);
                }
            }
        }
        all
    }

    /// Is every module of the others here too?
    pub(super) fn cover(&self, others: &Self) -> bool {
        self.in_layers.is_superset(&others.in_layers) && self.anywhere.is_superset(&others.anywhere)
    }

    pub(super) fn beside<'a>(&'a self, own: &'a ModuleNames) -> Beside<'a> {
        let others = if own.layered { &self.anywhere } else { &self.in_layers };
        Beside { own: own.names.iter().map(String::as_str).collect(), others }
    }
}

impl Beside<'_> {
    pub(super) fn contains(&self, module: &str) -> bool {
        self.own.contains(module) || self.others.contains(module)
    }

    /// In order, each once. Only asked for when there is something to say.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.own.iter().copied().chain(self.others.iter().map(String::as_str)).collect()
    }
}

fn insert(names: &mut BTreeSet<String>, name: &str) {
    if !names.contains(name) {
        names.insert(name.to_owned());
    }
}
