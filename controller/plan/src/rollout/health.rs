//! What an agent reports of the configuration that its hub holds → healthy, on its way, or failed.
//!
//! Judged from the twin alone: the version that the agent tried last, what came of it, and what each module does.

use std::collections::BTreeMap;

use hemline_model::{
    edge::{
        AgentDesired, AgentModule, AgentModuleReported, AgentReported, ModuleStatus, RestartPolicy,
        RuntimeStatus,
    },
    id::ModuleId,
};

use crate::ObservedDevice;

/// Restarts after which a module that is down again will not come right by itself.
const RESTARTS_AT_MOST: u64 = 5;

/// How one device is doing with the configuration that its hub holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// Nobody looked.
    #[default]
    Unseen,
    /// Not there yet, or not right now.
    Ailing(Ailment),
    /// It will not get there.
    Failed(Ailment),
    /// Every module is as desired.
    Healthy,
}

/// What is wrong, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    /// The module, when it is one.
    pub module: Option<ModuleId>,
    /// For example `exits 1`, `waits for its first report`.
    pub what: String,
    /// Last exit code.
    pub exit_code: Option<i64>,
    /// Restarts since the change.
    pub restarts: Option<u64>,
}

impl Ailment {
    pub(super) fn of_device(what: impl Into<String>) -> Self {
        Self { module: None, what: what.into(), exit_code: None, restarts: None }
    }
}

/// Judges a device, and counts the restarts of its modules. `before` holds the restarts that are none of the change's.
#[must_use]
pub fn health(
    device: &ObservedDevice,
    before: &BTreeMap<ModuleId, u64>,
) -> (Health, BTreeMap<ModuleId, u64>) {
    let waits = |what: &str| (Health::Ailing(Ailment::of_device(what)), BTreeMap::new());
    let Some(agent) = device.modules.get(&ModuleId::edge_agent()) else {
        return waits("has no agent yet");
    };
    if agent.reported.is_empty() {
        return waits("has not reported yet");
    }
    let (Ok(wanted), Ok(reported)) =
        (AgentDesired::parse(&agent.desired), AgentReported::parse(&agent.reported))
    else {
        return waits("reports nothing that can be read");
    };
    let restarts = restarts(&reported);
    if reported.last_desired_version < agent.desired_version {
        return (Health::Ailing(Ailment::of_device("has not tried the new configuration yet")), restarts);
    }
    let modules = modules(&wanted, &reported, before);
    let status = &reported.last_desired_status;
    let says = || super::record::sentence(&status.description);
    let course = reported.hemline.as_ref().and_then(|hemline| hemline.config.as_ref());
    if let Some(course) =
        course.filter(|course| course.state == "rolledBack" && course.version == agent.desired_version)
    {
        let why = super::record::sentence(course.reason.as_deref().unwrap_or_default());
        let what = format!("gave the configuration up and went back to its last good one: {why}");
        return (Health::Failed(Ailment::of_device(what)), restarts);
    }
    let health = match status.code {
        200 => modules,
        400 | 412 | 417 => {
            let what = format!("refuses the configuration (code {}): {}", status.code, says());
            Health::Failed(Ailment::of_device(what))
        }
        406 => Health::Ailing(Ailment::of_device("has an agent that does not run")),
        code => match modules {
            // Which module it is says more than that something is wrong.
            found @ (Health::Failed(_) | Health::Ailing(Ailment { module: Some(_), .. })) => found,
            Health::Unseen | Health::Ailing(_) | Health::Healthy => {
                let what = format!("could not apply the configuration (code {code}): {}", says());
                Health::Ailing(Ailment::of_device(what))
            }
        },
    };
    (health, restarts)
}

/// Restarts of modules that have some.
fn restarts(reported: &AgentReported) -> BTreeMap<ModuleId, u64> {
    let some = reported.modules.iter().filter_map(|(name, module)| {
        let count = module.restart_count.filter(|count| *count > 0)?;
        Some((ModuleId::new(name).ok()?, count))
    });
    some.collect()
}

/// The worst module decides; of equals the first.
fn modules(wanted: &AgentDesired, reported: &AgentReported, before: &BTreeMap<ModuleId, u64>) -> Health {
    let mut ailing = None;
    for (name, module) in &wanted.modules {
        let Ok(id) = ModuleId::new(name) else { continue };
        match module_health(&id, module, reported.modules.get(name), before) {
            Health::Failed(ailment) => return Health::Failed(ailment),
            Health::Ailing(ailment) => ailing = ailing.or(Some(ailment)),
            Health::Healthy | Health::Unseen => {}
        }
    }
    ailing.map_or(Health::Healthy, Health::Ailing)
}

fn module_health(
    id: &ModuleId,
    wanted: &AgentModule,
    found: Option<&AgentModuleReported>,
    before: &BTreeMap<ModuleId, u64>,
) -> Health {
    let status = found.map_or(RuntimeStatus::Unknown, |found| found.runtime_status);
    let exit_code = found.map(|found| found.exit_code);
    let count = found.and_then(|found| found.restart_count).unwrap_or_default();
    // A module that was made anew counts from nothing again.
    let earlier = before.get(id).copied().filter(|earlier| *earlier <= count).unwrap_or_default();
    let restarts = count - earlier;
    let ailment =
        |what: String| Ailment { module: Some(id.clone()), what, exit_code, restarts: Some(restarts) };
    let code = exit_code.unwrap_or_default();
    let never_again = match wanted.restart_policy {
        RestartPolicy::Never => true,
        RestartPolicy::OnFailure => code == 0,
        RestartPolicy::OnUnhealthy | RestartPolicy::Always => false,
    };
    match (wanted.status, status) {
        // A job that ended well and is not to run again has done what was wanted.
        (ModuleStatus::Running, RuntimeStatus::Stopped) if never_again && code == 0 => Health::Healthy,
        (ModuleStatus::Running, RuntimeStatus::Failed | RuntimeStatus::Dead) if never_again => {
            Health::Failed(ailment(format!("exits {code}")))
        }
        (
            ModuleStatus::Running,
            RuntimeStatus::Backoff | RuntimeStatus::Failed | RuntimeStatus::Dead | RuntimeStatus::Stopped,
        ) => {
            let found = ailment(format!("exits {code}"));
            if restarts >= RESTARTS_AT_MOST { Health::Failed(found) } else { Health::Ailing(found) }
        }
        (ModuleStatus::Running, RuntimeStatus::Unhealthy) => {
            let found = ailment("is not healthy".to_owned());
            if restarts >= RESTARTS_AT_MOST { Health::Failed(found) } else { Health::Ailing(found) }
        }
        (ModuleStatus::Running, RuntimeStatus::Unknown) => {
            Health::Ailing(ailment("has not started".to_owned()))
        }
        (
            ModuleStatus::Stopped,
            RuntimeStatus::Running | RuntimeStatus::Unhealthy | RuntimeStatus::Backoff,
        ) => Health::Ailing(ailment("still runs".to_owned())),
        (ModuleStatus::Running, RuntimeStatus::Running)
        | (
            ModuleStatus::Stopped,
            RuntimeStatus::Stopped | RuntimeStatus::Failed | RuntimeStatus::Dead | RuntimeStatus::Unknown,
        ) => Health::Healthy,
    }
}
