//! What a plan must not do: limits on how far a change may reach, and kinds of change that need another way.
//!
//! A policy judges; it changes no plan. Exit code 3 of the command line says that it refused.

use std::{collections::BTreeSet, fmt, str::FromStr};

use hemline_model::id::DeviceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, DangerKind, Forecast, Plan, Reason, names::some_names, print::count};

/// What is not allowed. The default allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Kinds of change that must not happen at all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<Deny>,
    /// Most devices that may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_devices: Option<Limit>,
    /// Most devices on which a module may restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<Limit>,
}

/// A kind of change that must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deny {
    /// A device identity goes.
    RemoveDevice,
    /// A module goes.
    RemoveModule,
    /// A route goes.
    RemoveRoute,
    /// A module restarts.
    Restart,
    /// A change from outside the documents is overwritten.
    Drift,
    /// A module gets more access to its host.
    HostAccess,
    /// A volume or bind is no longer mounted.
    DataDropped,
    /// A device loses its base or a layer, or gets another base.
    Retarget,
    /// A device that changes is not connected.
    Offline,
}

/// So many devices, or such a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Limit {
    /// Devices.
    Number(usize),
    /// Percent of the devices of the plan, rounded down.
    Percent(u8),
}

/// What a policy says to a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What was judged by.
    pub policy: Policy,
    /// What it refuses; empty when it allows the plan.
    pub refused: Vec<Refusal>,
}

/// One thing that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// As on the command line: `deny restart`, `max-devices 10%`.
    pub rule: String,
    /// What breaks it.
    pub message: String,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

impl Deny {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::RemoveDevice,
        Self::RemoveModule,
        Self::RemoveRoute,
        Self::Restart,
        Self::Drift,
        Self::HostAccess,
        Self::DataDropped,
        Self::Retarget,
        Self::Offline,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemoveDevice => "remove-device",
            Self::RemoveModule => "remove-module",
            Self::RemoveRoute => "remove-route",
            Self::Restart => "restart",
            Self::Drift => "drift",
            Self::HostAccess => "host-access",
            Self::DataDropped => "data-dropped",
            Self::Retarget => "retarget",
            Self::Offline => "offline",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::RemoveDevice => "devices deleted",
            Self::RemoveModule => "modules removed",
            Self::RemoveRoute => "routes removed",
            Self::Restart => "modules restart",
            Self::Drift => "changes from outside the documents overwritten",
            Self::HostAccess => "more access to the host",
            Self::DataDropped => "volumes or binds no longer mounted",
            Self::Retarget => "another base, or a base or layer lost",
            Self::Offline => "not connected",
        }
    }

    /// The devices on which it happens.
    fn devices(self, plan: &Plan, forecast: &Forecast) -> BTreeSet<DeviceId> {
        let acting = |wanted: fn(&Action) -> bool| -> BTreeSet<DeviceId> {
            let there = plan.devices.iter();
            there
                .filter(|device| device.actions.iter().any(|planned| wanted(&planned.action)))
                .map(|device| device.device.clone())
                .collect()
        };
        let dangers = |kinds: &[DangerKind]| -> BTreeSet<DeviceId> {
            let found = forecast.dangers.iter().filter(|danger| kinds.contains(&danger.kind));
            found.flat_map(|danger| danger.devices.iter().cloned()).collect()
        };
        match self {
            Self::RemoveDevice => acting(|action| matches!(action, Action::DeleteDevice)),
            Self::RemoveModule => acting(|action| matches!(action, Action::RemoveModule { .. })),
            Self::RemoveRoute => acting(|action| matches!(action, Action::RemoveRoute { .. })),
            Self::Restart => acting(|action| matches!(action, Action::RecreateModule { .. })),
            Self::Drift => {
                let drifted = plan.devices.iter().filter(|device| {
                    device.actions.iter().any(|planned| {
                        planned.reason == Reason::Drift
                            || planned.action.changes().iter().any(|change| change.drift)
                    })
                });
                drifted.map(|device| device.device.clone()).collect()
            }
            Self::HostAccess => dangers(&[DangerKind::HostAccess]),
            Self::DataDropped => dangers(&[DangerKind::DataDropped]),
            Self::Retarget => {
                dangers(&[DangerKind::DeviceUncovered, DangerKind::BaseMoved, DangerKind::LayerLost])
            }
            Self::Offline => forecast.offline.clone().unwrap_or_default(),
        }
    }
}

impl Policy {
    /// Judges a plan.
    #[must_use]
    pub fn judge(&self, plan: &Plan, forecast: &Forecast) -> Verdict {
        let mut refused = Vec::new();
        for deny in &self.deny {
            let devices = deny.devices(plan, forecast);
            if !devices.is_empty() {
                let names: Vec<&DeviceId> = devices.iter().collect();
                let message = match names.as_slice() {
                    [one] => format!("{}: {one}", deny.what()),
                    many => {
                        format!("{}: {} ({})", deny.what(), count(many.len(), "device"), some_names(many))
                    }
                };
                refused.push(Refusal { rule: format!("deny {}", deny.as_str()), message, devices });
            }
        }
        let changing = || plan.devices.iter().map(|device| device.device.clone()).collect();
        let restarting = || forecast.restarting().into_iter().cloned().collect();
        let limits: [(&str, Option<Limit>, &str, BTreeSet<DeviceId>); 2] = [
            ("max-devices", self.max_devices, "changes", changing()),
            ("max-restarts", self.max_restarts, "restarts modules on", restarting()),
        ];
        for (name, limit, what, devices) in limits {
            let Some(limit) = limit else { continue };
            let (have, all) = (devices.len(), forecast.devices);
            if have > limit.of(all) {
                let message =
                    format!("{what} {have} of {}; at most {} may", count(all, "device"), limit.of(all));
                refused.push(Refusal { rule: format!("{name} {limit}"), message, devices });
            }
        }
        Verdict { policy: self.clone(), refused }
    }
}

impl Verdict {
    /// May the plan be carried out?
    #[must_use]
    pub fn allows(&self) -> bool {
        self.refused.is_empty()
    }
}

impl Limit {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => all * usize::from(percent) / 100,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number of devices nor a percentage such as 10%");
        match text.strip_suffix('%') {
            Some(percent) => match percent.trim_end().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                Ok(_) | Err(_) => Err(wrong()),
            },
            None => text.parse().map(Self::Number).map_err(|_| wrong()),
        }
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

impl FromStr for Deny {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|deny| deny.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("{text:?} is none of {}", names.join(", "))
        })
    }
}
