//! What may hurt: things that go, data that is no longer mounted, doors to the host that open.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    edge::ModuleSettings,
    id::{DeviceId, ModuleId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Action, Change, desired::object, plan::Gone};

/// Members of `HostConfig` that open the host to a container when they hold these texts.
const HOST_MODES: [&str; 4] = ["NetworkMode", "PidMode", "IpcMode", "UTSMode"];
/// Members of `HostConfig` that open the host when they are not empty.
const HOST_LISTS: [&str; 2] = ["CapAdd", "Devices"];

/// Something that a reviewer should see first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Danger {
    /// What kind.
    pub kind: DangerKind,
    /// What it happens to: a module, route, deployment or twin; empty for the device itself.
    pub subject: String,
    /// Which value, or which ones; may be empty.
    pub detail: String,
    /// Where.
    #[schemars(with = "Vec<String>")]
    pub devices: BTreeSet<DeviceId>,
}

/// Kinds of danger, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DangerKind {
    /// The identity goes, with keys, modules and twins.
    DeviceDeleted,
    /// No base deployment selects the device any more; it runs nothing.
    DeviceUncovered,
    /// A module goes.
    ModuleRemoved,
    /// A volume or bind of a module is not mounted any more.
    DataDropped,
    /// A module gets more access to its host.
    HostAccess,
    /// A route goes, and with it the messages that took it.
    RouteLost,
    /// Another base deployment than before is in force.
    BaseMoved,
    /// A layer that still exists is no longer in force.
    LayerLost,
    /// The priority of a deployment changes.
    PriorityChanged,
    /// A desired property goes.
    PropertyRemoved,
}

impl DangerKind {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::DeviceDeleted => "device deleted, with its keys, modules and twins",
            Self::DeviceUncovered => "no base deployment any more; runs nothing",
            Self::ModuleRemoved => "module removed",
            Self::DataDropped => "volume or bind no longer mounted",
            Self::HostAccess => "more access to the host",
            Self::RouteLost => "route removed",
            Self::BaseMoved => "another base deployment",
            Self::LayerLost => "layer no longer in force, nor what it said",
            Self::PriorityChanged => "priority changes",
            Self::PropertyRemoved => "desired property removed",
        }
    }

    /// Is it told well enough by the sign of its own that it has in a printed plan? A device goes for good and a route takes
    /// messages with it; a module can be deployed again.
    pub(crate) fn shows_itself(self) -> bool {
        match self {
            Self::ModuleRemoved => true,
            Self::DeviceDeleted
            | Self::RouteLost
            | Self::DeviceUncovered
            | Self::DataDropped
            | Self::HostAccess
            | Self::BaseMoved
            | Self::LayerLost
            | Self::PriorityChanged
            | Self::PropertyRemoved => false,
        }
    }
}

/// Dangers while they are gathered: the same on many devices is one.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<(DangerKind, String, String), BTreeSet<DeviceId>>);

impl Found {
    pub(super) fn add<'a>(
        &mut self,
        kind: DangerKind,
        subject: impl Into<String>,
        detail: impl Into<String>,
        devices: impl IntoIterator<Item = &'a DeviceId>,
    ) {
        self.0.entry((kind, subject.into(), detail.into())).or_default().extend(devices.into_iter().cloned());
    }

    pub(super) fn finish(self) -> Vec<Danger> {
        let list = self.0.into_iter();
        list.map(|((kind, subject, detail), devices)| Danger { kind, subject, detail, devices }).collect()
    }

    pub(super) fn in_action(&mut self, action: &Action, devices: &[&DeviceId]) {
        let devices = || devices.iter().copied();
        match action.gone() {
            Some(Gone::Device) => self.add(DangerKind::DeviceDeleted, "", "", devices()),
            Some(Gone::Module(module)) => {
                self.add(DangerKind::ModuleRemoved, module.as_str(), "", devices());
            }
            Some(Gone::Route { name, was }) => {
                let text = was.and_then(|was| was.0.as_str()).unwrap_or_default();
                self.add(DangerKind::RouteLost, name, text, devices());
            }
            None => {}
        }
        if let Action::RecreateModule { module, because } = action {
            for change in because {
                let (dropped, gained) = judged(change);
                for mount in dropped {
                    self.add(DangerKind::DataDropped, module.as_str(), mount, devices());
                }
                for door in gained {
                    self.add(DangerKind::HostAccess, module.as_str(), door, devices());
                }
            }
        }
        if let Action::PatchTwin { changes, .. } = action {
            for change in changes.iter().filter(|change| change.to.is_none()) {
                self.add(DangerKind::PropertyRemoved, action.subject(), &change.path, devices());
            }
        }
    }

    /// A module that is new may do what a changed one may only begin to do.
    pub(super) fn in_new_module(&mut self, module: &ModuleId, settings: &ModuleSettings, device: &DeviceId) {
        let ModuleSettings::Docker(docker) = settings else { return };
        for (member, value) in object(&docker.create_options, "HostConfig") {
            for door in doors(member, value) {
                self.add(DangerKind::HostAccess, module.as_str(), door, [device]);
            }
        }
    }
}

/// What one changed value of createOptions takes away and what it opens.
fn judged(change: &Change) -> (BTreeSet<String>, BTreeSet<String>) {
    let side = |json: &Option<crate::Json>| json.as_ref().map(|json| json.0.clone()).unwrap_or_default();
    let (from, to) = (side(&change.from), side(&change.to));
    let Some(path) = change.path.strip_prefix("createOptions.") else { return Default::default() };
    if path.starts_with("Volumes") {
        let gone = if to.is_null() { path.strip_prefix("Volumes.") } else { None };
        return (gone.map(str::to_owned).into_iter().collect(), BTreeSet::new());
    }
    let Some(member) = path.strip_prefix("HostConfig.") else { return Default::default() };
    // Below a member, say `Binds`, lists are compared whole; a path that goes deeper is no list.
    let dropped = &mounts(member, &from) - &mounts(member, &to);
    let gained = &doors(member, &to) - &doors(member, &from);
    (dropped, gained)
}

/// Where a member of `HostConfig` mounts something: the paths inside the container.
fn mounts(member: &str, value: &Value) -> BTreeSet<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    match member {
        "Binds" => {
            items.iter().filter_map(Value::as_str).filter_map(bind_target).map(str::to_owned).collect()
        }
        "Mounts" => {
            let target = |mount: &Value| mount.get("Target").and_then(Value::as_str).map(str::to_owned);
            items.iter().filter_map(target).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// `source:target[:options]` → target.
fn bind_target(bind: &str) -> Option<&str> {
    bind.split(':').nth(1)
}

/// What a member of `HostConfig` opens.
fn doors(member: &str, value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if member == "Privileged" && value == &Value::Bool(true) {
        found.insert("Privileged".to_owned());
    }
    if HOST_MODES.contains(&member) && value.as_str() == Some("host") {
        found.insert(format!("{member} host"));
    }
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if HOST_LISTS.contains(&member) {
        let named = |item: &Value| match item {
            Value::String(text) => text.clone(),
            Value::Object(map) => device_path(map),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => item.to_string(),
        };
        found.extend(items.iter().map(|item| format!("{member} {}", named(item))));
    }
    let source = |item: &Value| match (member, item) {
        ("Binds", Value::String(bind)) => bind.split(':').next().map(str::to_owned),
        ("Mounts", Value::Object(mount)) if mount.get("Type").and_then(Value::as_str) == Some("bind") => {
            mount.get("Source").and_then(Value::as_str).map(str::to_owned)
        }
        _ => None,
    };
    // A named volume is the engine's; a path is the host's.
    let paths = items.iter().filter_map(source).filter(|source| source.starts_with('/'));
    found.extend(paths.map(|path| format!("host path {path}")));
    found
}

fn device_path(map: &Map<String, Value>) -> String {
    map.get("PathOnHost").and_then(Value::as_str).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_change_of_create_options_takes_and_opens() {
        let none: [&str; 0] = [];
        for (path, from, to, dropped, gained) in [
            ("HostConfig.Privileged", json!(false), json!(true), &none[..], &["Privileged"][..]),
            ("HostConfig.Privileged", json!(true), json!(false), &none, &none),
            ("HostConfig.NetworkMode", json!("bridge"), json!("host"), &none, &["NetworkMode host"]),
            ("HostConfig.CapAdd", json!(["A"]), json!(["A", "SYS_ADMIN"]), &none, &["CapAdd SYS_ADMIN"]),
            (
                "HostConfig.Binds",
                json!(["data:/data", "/a:/b:ro"]),
                json!(["/c:/b"]),
                &["/data"],
                &["host path /c"],
            ),
            (
                "HostConfig.Mounts",
                json!([{"Type": "volume", "Source": "v", "Target": "/v"}]),
                Value::Null,
                &["/v"],
                &none,
            ),
            (
                "HostConfig.Devices",
                Value::Null,
                json!([{"PathOnHost": "/dev/video0"}]),
                &none,
                &["Devices /dev/video0"],
            ),
            ("Volumes./data", json!({}), Value::Null, &["/data"], &none),
            ("HostConfig.Memory", json!(1), json!(2), &none, &none),
            ("Env", json!(["A"]), json!(["B"]), &none, &none),
        ] {
            let some = |value: &Value| (!value.is_null()).then(|| value.clone());
            let change =
                Change::new(format!("createOptions.{path}"), some(&from).as_ref(), some(&to).as_ref());
            let set = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
            assert_eq!(judged(&change), (set(dropped), set(gained)), "{path}");
        }
    }
}
