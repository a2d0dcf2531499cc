//! One device: what its documents say against what the hub holds, what its agent reports, and what somebody changed on it by
//! hand. Value by value; secrets are masked.

use std::fmt;

use hemline_model::{
    edge::{AgentDesired, AgentReported, ModuleStatus, RuntimeStatus},
    id::{DeviceId, ModuleId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Action, Effective, ObservedDevice, ObservedModule,
    drift::{DriftKind, DriftLedger, DriftRow, Standing, values},
    plan::{back_to, explain_agent},
};

/// Everything in which a device is not what its documents say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceDiff {
    /// Which device.
    pub device: DeviceId,
    /// The revision that it was given; absent when it was given none completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Is it connected? What is said of one that is not may be old.
    pub connected: bool,
    /// Module by module; what is not of a module stands at the end.
    pub differences: Vec<Difference>,
}

/// One value that is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Of which module; of the device itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// In the words of the documents: `modules.camera.image`.
    pub path: String,
    /// What it should be.
    pub desired: String,
    /// What it is.
    pub actual: String,
    /// Who says so.
    pub at: Witness,
    /// How it stands in the drift ledger: `present`, `reported` or `ignored`; absent when it has no row there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
    /// Since when, for what has a row there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Who says what a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// A twin or the registry of the hub holds something else.
    Hub,
    /// The agent reports something else.
    Report,
    /// The agent says that somebody changed it by hand.
    Hand,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "in the hub",
            Self::Report => "reported by the agent",
            Self::Hand => "changed on the device by hand",
        })
    }
}

/// Compares one device. `there`: what the hub holds of it; nothing when it does not know it.
#[must_use]
pub fn device_diff(
    id: &DeviceId,
    said: &Effective,
    there: Option<&ObservedDevice>,
    ledger: &DriftLedger,
) -> DeviceDiff {
    let open = |kind: DriftKind| {
        let of_device = ledger.rows.iter().filter(move |row| row.kind == kind && row.device == *id);
        of_device.filter(|row| row.standing.is_open())
    };
    let mut differences = Vec::new();
    let back = back_to(id, said, there);
    for (path, off) in values(back.actions.iter().map(|planned| &planned.action)) {
        let row = open(DriftKind::Desired).find(|row| row.path == path);
        differences.push(Difference {
            module: off.module,
            path,
            desired: off.expected,
            actual: off.found,
            at: Witness::Hub,
            drift: row.map(|row| row.standing.as_str().to_owned()),
            since: row.map(|row| row.first_seen),
        });
    }
    let agent = there.and_then(|there| there.modules.get(&ModuleId::edge_agent()));
    if let Some(agent) = agent.filter(|_| said.identity.edge) {
        differences.extend(reported(said, agent));
    }
    differences.extend(open(DriftKind::Actual).map(by_hand));
    // Those of no module last.
    differences.sort_by(|a, b| {
        let key = |one: &Difference| (one.module.is_none(), one.module.clone(), one.path.clone(), one.at);
        key(a).cmp(&key(b))
    });
    DeviceDiff {
        device: id.clone(),
        revision: None,
        connected: there.is_some_and(ObservedDevice::is_connected),
        differences,
    }
}

fn by_hand(row: &DriftRow) -> Difference {
    Difference {
        module: row.module.clone(),
        path: row.path.clone(),
        desired: row.expected.clone(),
        actual: row.found.clone(),
        at: Witness::Hand,
        drift: Some(Standing::as_str(row.standing).to_owned()),
        since: Some(row.first_seen),
    }
}

/// What the agent reports and the documents do not say.
fn reported(said: &Effective, agent: &ObservedModule) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |module: Option<ModuleId>, path: String, desired: String, actual: String| {
        found.push(Difference {
            module,
            path,
            desired,
            actual,
            at: Witness::Report,
            drift: None,
            since: None,
        });
    };
    let Some(want) = said.twins.modules.get(&ModuleId::edge_agent()) else { return found };
    let (Ok(wanted), Ok(reported)) = (AgentDesired::parse(want), AgentReported::parse(&agent.reported))
    else {
        return found;
    };
    if agent.reported.is_empty() {
        add(None, "report".to_owned(), "a report".to_owned(), "none yet".to_owned());
        return found;
    }
    let (version, status) = (reported.last_desired_version, &reported.last_desired_status);
    if version < agent.desired_version {
        let newest = format!("version {}", agent.desired_version);
        add(None, "configuration".to_owned(), newest, format!("version {version}"));
    } else if status.code != 200 {
        let actual = format!("code {} {}", status.code, status.description);
        add(None, "configuration".to_owned(), "applied".to_owned(), actual.trim_end().to_owned());
    }
    let actions: Vec<Action> = explain_agent(&as_desired(&agent.reported, want), want)
        .into_iter()
        // The rest of a report is no part of a configuration.
        .filter(|action| !matches!(action, Action::UpdateAgent { .. } | Action::ConfigureAgent))
        .collect();
    for (path, off) in values(actions.iter()) {
        // A module that is not reported is not removed: nobody has made it yet.
        let actual = if off.found == "removed" { "not there".to_owned() } else { off.found };
        add(off.module, path, off.expected, actual);
    }
    for (name, module) in &wanted.modules {
        let Some(have) = reported.modules.get(name) else { continue };
        let state = have.runtime_status;
        let fine = match module.status {
            ModuleStatus::Running => state == RuntimeStatus::Running,
            ModuleStatus::Stopped => {
                matches!(state, RuntimeStatus::Stopped | RuntimeStatus::Failed | RuntimeStatus::Dead)
            }
        };
        if !fine {
            let wanted = if module.status == ModuleStatus::Running { "running" } else { "stopped" };
            let mut actual = state.as_str().to_owned();
            if !have.status_description.is_empty() {
                actual.push_str(&format!(": {}", have.status_description));
            }
            let path = format!("modules.{name}.runtimeStatus");
            add(ModuleId::new(name).ok(), path, wanted.to_owned(), actual);
        }
    }
    found
}

/// The modules of a report as they would stand in a configuration. What agents do not report is as wanted.
fn as_desired(reported: &Map<String, Value>, want: &Map<String, Value>) -> Map<String, Value> {
    let wanted = |name: &str| want.get("modules").and_then(|modules| modules.get(name));
    let mut modules = reported.get("modules").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, module) in &mut modules {
        let Some(module) = module.as_object_mut() else { continue };
        // Without a version agents report an empty one.
        if module.get("version").and_then(Value::as_str) == Some("") {
            module.remove("version");
        }
        if let Some(health) = wanted(name).and_then(|wanted| wanted.get("health")) {
            module.insert("health".to_owned(), health.clone());
        }
    }
    let version = want.get("schemaVersion").cloned().unwrap_or_default();
    Map::from_iter([("schemaVersion".to_owned(), version), ("modules".to_owned(), Value::Object(modules))])
}

impl fmt::Display for DeviceDiff {
    /// For people: `-` is what it should be, `+` what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.revision.as_deref().map_or_else(String::new, |revision| {
            let short = hemline_model::id::Revision::new(revision);
            format!(", revision {}", short.map_or_else(|_| revision.to_owned(), |one| one.short().to_owned()))
        });
        let away = if self.connected { "connected" } else { "not connected, so this may be old" };
        let count = match self.differences.len() {
            0 => "as its documents say".to_owned(),
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        writeln!(f, "{}: {count}{revision}, {away}", self.device)?;
        let mut last = None;
        for one in &self.differences {
            if last != Some(&one.module) {
                match &one.module {
                    Some(module) => writeln!(f, "\n{module}")?,
                    None => writeln!(f, "\nthe device")?,
                }
                last = Some(&one.module);
            }
            let prefix = one.module.as_ref().map(|module| format!("modules.{module}."));
            let path = prefix.and_then(|prefix| one.path.strip_prefix(&prefix)).unwrap_or(&one.path);
            writeln!(f, "  {path}")?;
            writeln!(f, "    - {}", one.desired)?;
            write!(f, "    + {}   {}", one.actual, one.at)?;
            if let Some(since) = one.since {
                write!(f, " since {}", since.strftime("%F %TZ"))?;
            }
            match one.drift.as_deref() {
                Some("present") => writeln!(f, ", is being put right")?,
                Some(word) => writeln!(f, ", {word} only")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
