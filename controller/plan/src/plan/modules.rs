//! The modules of one device, compared. Devices with the same modules on both sides get the same answer, so each pair of
//! configs is compared once, and its actions and patches are shared.

use std::{collections::HashMap, sync::Arc};

use hemline_model::id::{DeviceId, ModuleId};
use serde_json::{Map, Value};

use super::{Action, Planned, Reason, Step, edge, patch, side::Side};
use crate::{Effective, ModuleTwins, change::changes};

/// What happens to the modules of a device.
#[derive(Debug, Default)]
pub(super) struct ModulePart {
    /// In the order of a printed plan; the reason is right for plans between documents.
    pub(super) actions: Vec<Arc<Planned>>,
    steps: Vec<ModuleStep>,
}

#[derive(Debug)]
enum ModuleStep {
    Create(ModuleId),
    Delete(ModuleId),
    Patch(ModuleId, Arc<Map<String, Value>>),
}

impl ModulePart {
    /// The steps for one device.
    pub(super) fn steps<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = Step> + 'a {
        let device = || device.clone();
        self.steps.iter().map(move |step| match step {
            ModuleStep::Create(module) => Step::CreateModule { device: device(), module: module.clone() },
            ModuleStep::Delete(module) => Step::DeleteModule { device: device(), module: module.clone() },
            ModuleStep::Patch(module, desired) => Step::PatchTwin {
                device: device(),
                module: Some(module.clone()),
                tags: None,
                desired: Some(Arc::clone(desired)),
            },
        })
    }
}

/// The modules of a set of deployments by their place in memory, which does not change while a plan is made.
type ModulesAt = *const ModuleTwins;

/// Answers by what was compared: modules before, modules wanted, and whether the device runs modules at all.
#[derive(Debug, Default)]
pub(super) struct Pairs(HashMap<(Option<ModulesAt>, ModulesAt, bool), Arc<ModulePart>>);

impl Pairs {
    /// Compares, or remembers.
    pub(super) fn part(
        &mut self,
        effective: &Effective,
        there: Option<Side<'_>>,
        said: Option<Side<'_>>,
    ) -> Arc<ModulePart> {
        let before = match (there, said) {
            (None, None) => None,
            (Some(Side::Documents(there)), Some(Side::Documents(said))) if std::ptr::eq(there, said) => {
                Some(Arc::as_ptr(&there.twins.modules))
            }
            // What a hub holds is a device's own.
            (_, _) => return Arc::new(compare(effective, there, said)),
        };
        let wanted = Arc::as_ptr(&effective.twins.modules);
        // Two revisions share what both say: there is nothing to compare, and nothing to make for it.
        if before == Some(wanted) {
            return Arc::default();
        }
        let key = (before, wanted, effective.identity.edge);
        Arc::clone(self.0.entry(key).or_insert_with(|| Arc::new(compare(effective, there, said))))
    }
}

fn compare(effective: &Effective, there: Option<Side<'_>>, said: Option<Side<'_>>) -> ModulePart {
    let mut work = Work { effective, there, said, actions: Vec::new(), steps: Vec::new() };
    if effective.identity.edge {
        work.wanted();
    }
    work.gone();
    let mut actions: Vec<Planned> =
        work.actions.into_iter().map(|action| Planned { action, reason: Reason::Documents }).collect();
    actions.sort();
    ModulePart { actions: actions.into_iter().map(Arc::new).collect(), steps: work.steps }
}

/// Puts the difference between two system twins into words.
type Explain = fn(&Map<String, Value>, &Map<String, Value>) -> Vec<Action>;

struct Work<'a> {
    effective: &'a Effective,
    there: Option<Side<'a>>,
    said: Option<Side<'a>>,
    actions: Vec<Action>,
    steps: Vec<ModuleStep>,
}

impl<'a> Work<'a> {
    fn there(&self, module: &ModuleId) -> Option<&'a Map<String, Value>> {
        self.there.and_then(|there| there.module(module))
    }

    fn wanted(&mut self) {
        let nothing = Map::new();
        for (module, desired) in self.effective.twins.modules.iter().filter(|(module, _)| !module.is_system())
        {
            let have = self.there(module);
            if have.is_none() {
                self.steps.push(ModuleStep::Create(module.clone()));
            }
            let said = self.said.and_then(|said| said.module(module));
            let have = have.unwrap_or(&nothing);
            let patch = patch::owned(have, desired, said);
            if !patch.is_empty() {
                let changes = changes("desired", have, &patch::patched(have, &patch));
                self.actions.push(Action::PatchTwin { module: Some(module.clone()), changes });
                self.steps.push(ModuleStep::Patch(module.clone(), Arc::new(patch)));
            }
        }
        self.system(&ModuleId::edge_agent(), edge::agent);
        self.system(&ModuleId::edge_hub(), edge::hub);
    }

    /// `$edgeAgent` or `$edgeHub`: replaced as a whole, explained in parts.
    fn system(&mut self, module: &ModuleId, explain: Explain) {
        let empty = Map::new();
        let Some(want) = self.effective.twins.modules.get(module) else { return };
        let have = self.there(module).unwrap_or(&empty);
        let patch = patch::whole(have, want);
        if !patch.is_empty() {
            self.actions.extend(explain(have, want));
            self.steps.push(ModuleStep::Patch(module.clone(), Arc::new(patch)));
        }
    }

    /// Identities that Hemline made and no document asks for. After the agent's twin, so that it stops them first.
    fn gone(&mut self) {
        for module in self.there.map(Side::own_modules).unwrap_or_default() {
            if self.effective.twins.modules.contains_key(module) {
                continue;
            }
            let action = Action::RemoveModule { module: module.clone() };
            if !self.actions.contains(&action) {
                self.actions.push(action);
            }
            self.steps.push(ModuleStep::Delete(module.clone()));
        }
    }
}
