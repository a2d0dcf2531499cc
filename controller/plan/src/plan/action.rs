//! The vocabulary of a plan: what happens to what, and why.

use hemline_model::id::ModuleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Change, Json};

/// One action and its reason. The order is the order of a printed plan: deletions first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// Why something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The documents say something else than before.
    Documents,
    /// The documents said it before this change already, and it has not reached the device yet.
    Pending,
    /// Somebody changed it outside the documents; they say the same as before.
    Drift,
}

/// Something that happens on one device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// The identity goes, with its modules and twins.
    DeleteDevice,
    /// A module goes.
    RemoveModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
    },
    /// A route goes.
    RemoveRoute {
        /// Which.
        route: String,
        /// Its text.
        change: Change,
    },
    /// A device is made.
    CreateDevice {
        /// Does it run modules?
        edge: bool,
    },
    /// A module is made and started.
    CreateModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
        /// Its image, or its program and arguments.
        runs: String,
        /// Is it started too?
        started: bool,
    },
    /// A module is stopped, removed and made anew.
    RecreateModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
        /// What makes that necessary, and what changes besides.
        because: Vec<Change>,
    },
    /// A stopped module is started.
    StartModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
    },
    /// A running module is stopped, and stays.
    StopModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
    },
    /// Settings of a module change while it runs.
    UpdateModule {
        /// Which.
        #[schemars(with = "String")]
        module: ModuleId,
        /// What.
        changes: Vec<Change>,
    },
    /// The identity changes.
    UpdateDevice {
        /// What.
        changes: Vec<Change>,
    },
    /// A route is new.
    AddRoute {
        /// Which.
        route: String,
        /// Its text.
        change: Change,
    },
    /// A route changes.
    SetRoute {
        /// Which.
        route: String,
        /// What.
        changes: Vec<Change>,
    },
    /// The edge hub gets its first configuration.
    ConfigureHub,
    /// The agent gets its first configuration.
    ConfigureAgent,
    /// Other settings of the edge hub change.
    UpdateHub {
        /// What.
        changes: Vec<Change>,
    },
    /// Other settings of the agent change.
    UpdateAgent {
        /// What.
        changes: Vec<Change>,
    },
    /// Desired properties change.
    PatchTwin {
        /// Of a module; of the device when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        module: Option<ModuleId>,
        /// What.
        changes: Vec<Change>,
    },
    /// Tags change.
    PatchTags {
        /// What.
        changes: Vec<Change>,
    },
}

/// What an action does to its subject; decides sign, order and counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It goes: `-`.
    Remove,
    /// It is new: `+`.
    Add,
    /// It is made anew: `-/+`.
    Recreate,
    /// It changes in place: `~`.
    Change,
}

/// What an action ends for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone<'a> {
    /// The identity, with its modules and twins.
    Device,
    /// A module.
    Module(&'a ModuleId),
    /// A route.
    Route {
        /// Which.
        name: &'a str,
        /// Its text.
        was: Option<&'a Json>,
    },
}

/// Whose twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TwinOf<'a> {
    /// That of the device.
    Device,
    /// That of a module.
    Module(&'a ModuleId),
}

/// The list of single values of an action, shared or to be changed, as the action itself is.
macro_rules! list_of {
    ($action:expr) => {
        match $action {
            Action::RecreateModule { because: changes, .. }
            | Action::UpdateModule { changes, .. }
            | Action::UpdateDevice { changes }
            | Action::SetRoute { changes, .. }
            | Action::UpdateHub { changes }
            | Action::UpdateAgent { changes }
            | Action::PatchTwin { changes, .. }
            | Action::PatchTags { changes } => Some(changes),
            Action::DeleteDevice
            | Action::CreateDevice { .. }
            | Action::RemoveModule { .. }
            | Action::CreateModule { .. }
            | Action::StartModule { .. }
            | Action::StopModule { .. }
            | Action::ConfigureHub
            | Action::ConfigureAgent
            | Action::RemoveRoute { .. }
            | Action::AddRoute { .. } => None,
        }
    };
}

impl Action {
    /// What it does to its subject.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::DeleteDevice | Self::RemoveModule { .. } | Self::RemoveRoute { .. } => Effect::Remove,
            Self::CreateDevice { .. } | Self::CreateModule { .. } | Self::AddRoute { .. } => Effect::Add,
            Self::RecreateModule { .. } => Effect::Recreate,
            Self::StartModule { .. }
            | Self::StopModule { .. }
            | Self::UpdateModule { .. }
            | Self::UpdateDevice { .. }
            | Self::SetRoute { .. }
            | Self::ConfigureHub
            | Self::ConfigureAgent
            | Self::UpdateHub { .. }
            | Self::UpdateAgent { .. }
            | Self::PatchTwin { .. }
            | Self::PatchTags { .. } => Effect::Change,
        }
    }

    /// What goes for good with it.
    pub(crate) fn gone(&self) -> Option<Gone<'_>> {
        match self {
            Self::DeleteDevice => Some(Gone::Device),
            Self::RemoveModule { module } => Some(Gone::Module(module)),
            Self::RemoveRoute { route, change } => {
                Some(Gone::Route { name: route, was: change.from.as_ref() })
            }
            Self::CreateDevice { .. }
            | Self::CreateModule { .. }
            | Self::RecreateModule { .. }
            | Self::StartModule { .. }
            | Self::StopModule { .. }
            | Self::UpdateModule { .. }
            | Self::UpdateDevice { .. }
            | Self::AddRoute { .. }
            | Self::SetRoute { .. }
            | Self::ConfigureHub
            | Self::ConfigureAgent
            | Self::UpdateHub { .. }
            | Self::UpdateAgent { .. }
            | Self::PatchTwin { .. }
            | Self::PatchTags { .. } => None,
        }
    }

    /// Whose twin it writes to, when that is all it does.
    pub(crate) fn twin(&self) -> Option<TwinOf<'_>> {
        match self {
            Self::PatchTwin { module: Some(module), .. } => Some(TwinOf::Module(module)),
            Self::PatchTwin { module: None, .. } | Self::PatchTags { .. } => Some(TwinOf::Device),
            Self::DeleteDevice
            | Self::RemoveModule { .. }
            | Self::RemoveRoute { .. }
            | Self::CreateDevice { .. }
            | Self::CreateModule { .. }
            | Self::RecreateModule { .. }
            | Self::StartModule { .. }
            | Self::StopModule { .. }
            | Self::UpdateModule { .. }
            | Self::UpdateDevice { .. }
            | Self::AddRoute { .. }
            | Self::SetRoute { .. }
            | Self::ConfigureHub
            | Self::ConfigureAgent
            | Self::UpdateHub { .. }
            | Self::UpdateAgent { .. } => None,
        }
    }

    /// The single values that change, to be judged one by one.
    pub(crate) fn changes_mut(&mut self) -> &mut [Change] {
        match self {
            Self::RemoveRoute { change, .. } | Self::AddRoute { change, .. } => std::slice::from_mut(change),
            other => other.change_list().map_or(&mut [], Vec::as_mut_slice),
        }
    }

    /// The list of single values, where there is one.
    pub(crate) fn change_list(&mut self) -> Option<&mut Vec<Change>> {
        list_of!(self)
    }

    /// What it happens to, in words: `module camera`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::DeleteDevice | Self::CreateDevice { .. } | Self::UpdateDevice { .. } => "device".to_owned(),
            Self::RemoveModule { module }
            | Self::CreateModule { module, .. }
            | Self::RecreateModule { module, .. }
            | Self::StartModule { module }
            | Self::StopModule { module }
            | Self::UpdateModule { module, .. } => format!("module {module}"),
            Self::RemoveRoute { route, .. } | Self::AddRoute { route, .. } | Self::SetRoute { route, .. } => {
                format!("route {route}")
            }
            Self::ConfigureHub | Self::UpdateHub { .. } => "edge hub".to_owned(),
            Self::ConfigureAgent | Self::UpdateAgent { .. } => "edge agent".to_owned(),
            Self::PatchTwin { module: Some(module), .. } => format!("twin of {module}"),
            Self::PatchTwin { module: None, .. } => "device twin".to_owned(),
            Self::PatchTags { .. } => "tags".to_owned(),
        }
    }

    /// The single values that change.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        match self {
            Self::RemoveRoute { change, .. } | Self::AddRoute { change, .. } => std::slice::from_ref(change),
            other => list_of!(other).map_or(&[], Vec::as_slice),
        }
    }
}
