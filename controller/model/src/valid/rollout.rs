//! `rollout:` of a deployment: what is written → a specification whose every value can be used, with its defaults.

use std::fmt;

use hemline_query::target::TargetCondition;
use serde_json::Value;

use super::{Context, deployment::target, duration, window::Window};
use crate::document::{Approve, Offline, OnFailure, Rollout, Wave};

/// Modules must run this long when nobody says so: longer than a program takes to find out that it cannot.
const HEALTHY_FOR_SECS: u64 = 30;
/// Seconds after which a device has failed when its documents do not say: the controller counts it as failed, and its agent
/// goes back to its last good configuration.
pub const DEADLINE_SECS: u64 = 30 * 60;

/// How a change reaches the devices, ready to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutSpec {
    /// In order; never empty, and the last one takes every device that is left.
    pub waves: Vec<WaveSpec>,
    /// Devices of a wave that may have a change and not be healthy yet. Those that failed do not count.
    pub max_unavailable: Share,
    /// Failed devices of a wave at which the rollout stops.
    pub max_failures: Share,
    /// Seconds that modules must run.
    pub healthy_for_secs: u64,
    /// Seconds that a device has, from the moment it may take the change.
    pub deadline_secs: u64,
    /// The same as it was written, which devices are told too; absent when nobody said so.
    pub deadline: Option<String>,
    /// Devices that are not connected.
    pub offline: Offline,
    /// When devices may take a change; always when absent.
    pub window: Option<Window>,
    /// Does a person have to agree?
    pub approve: Approve,
    /// After too many failures.
    pub on_failure: OnFailure,
}

/// One wave.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveSpec {
    /// For people.
    pub name: String,
    /// Which devices.
    pub pick: Pick,
}

/// Which devices a wave takes of those that no earlier one took.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// Those that a condition selects.
    Selector(Box<TargetCondition>),
    /// So many.
    Count(u32),
    /// So many that this share of all has the change afterwards.
    Percent(u32),
    /// All that are left.
    Rest,
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(condition) => condition.fmt(f),
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Rest => f.write_str("the rest"),
        }
    }
}

/// A number of devices, or a share of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Number(u32),
    /// A percentage, rounded down.
    Percent(u32),
}

impl Share {
    /// Of so many devices; at least one, or nothing could ever begin or fail.
    #[must_use]
    pub fn of(self, devices: usize) -> usize {
        let share = match self {
            Self::Number(number) => number as usize,
            Self::Percent(percent) => devices.saturating_mul(percent as usize) / 100,
        };
        share.max(1)
    }

    fn parse(value: &Value) -> Result<Self, String> {
        const HOW: &str = "write a number of devices, or a percentage such as 10%";
        match value {
            Value::Number(number) => {
                let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
                number.map(Self::Number).ok_or_else(|| format!("{value} is no number of devices; {HOW}"))
            }
            Value::String(text) => {
                let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<u32>().ok());
                number
                    .filter(|percent| *percent <= 100)
                    .map(Self::Percent)
                    .ok_or_else(|| format!("{text:?} is no percentage; {HOW}"))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(HOW.to_owned()),
        }
    }
}

/// Judges the section. What is wrong is left at its default; the finding keeps the document from being used.
pub(super) fn check(written: &Rollout, context: &mut Context<'_>) -> RolloutSpec {
    let (mut places, mut waves) = (Vec::new(), Vec::new());
    for (index, wave) in written.waves.iter().enumerate() {
        if let Some(wave) = check_wave(wave, index, context) {
            places.push(index);
            waves.push(wave);
        }
    }
    let ends = |wave: &WaveSpec| matches!(wave.pick, Pick::Rest | Pick::Percent(100));
    if let Some(place) = waves.iter().position(ends)
        && let (Some(wave), Some(next)) = (waves.get(place), places.get(place + 1))
    {
        let message =
            format!("wave {:?} before it takes every device, so none is left for this one", wave.name);
        context.warning_at("rollout-wave-empty", &format!("/spec/rollout/waves/{next}"), message);
    }
    if !waves.last().is_some_and(ends) {
        let name = if waves.is_empty() { "all" } else { "the rest" };
        waves.push(WaveSpec { name: name.to_owned(), pick: Pick::Rest });
    }
    let share = |value: &Option<Value>, field: &str, default: Share, context: &mut Context<'_>| {
        let Some(value) = value else { return default };
        Share::parse(value).unwrap_or_else(|why| {
            context.error("rollout-share", &format!("/spec/rollout/{field}"), why);
            default
        })
    };
    let max_unavailable = share(&written.max_unavailable, "maxUnavailable", Share::Percent(100), context);
    let max_failures = share(&written.max_failures, "maxFailures", Share::Number(1), context);
    if matches!(max_unavailable, Share::Number(0) | Share::Percent(0)) {
        context.error(
            "rollout-share",
            "/spec/rollout/maxUnavailable",
            "with no device unavailable at any time, none could ever take a change",
        );
    }
    let before = context.findings.len();
    let span = |text: &Option<String>, field: &str, default: u64, context: &mut Context<'_>| {
        let Some(text) = text else { return default };
        duration::seconds(text).unwrap_or_else(|why| {
            context.error("duration", &format!("/spec/rollout/{field}"), why);
            default
        })
    };
    let healthy_for_secs = span(&written.healthy_for, "healthyFor", HEALTHY_FOR_SECS, context);
    let deadline_secs = span(&written.deadline, "deadline", DEADLINE_SECS, context);
    if healthy_for_secs >= deadline_secs && context.findings.len() == before {
        let field = if written.deadline.is_some() { "deadline" } else { "healthyFor" };
        let message = format!(
            "a device has {deadline_secs} s to be healthy for {healthy_for_secs} s, so every device would fail"
        );
        context.error("rollout-deadline", &format!("/spec/rollout/{field}"), message).hint = Some(
            "make `deadline` longer than `healthyFor` and the time that images take to arrive".to_owned(),
        );
    }
    let window = written.window.as_ref().and_then(|text| {
        text.parse::<Window>()
            .inspect_err(|why| {
                context.error("rollout-window", "/spec/rollout/window", why.as_str());
            })
            .ok()
    });
    RolloutSpec {
        waves,
        max_unavailable,
        max_failures,
        healthy_for_secs,
        deadline_secs,
        deadline: written.deadline.clone(),
        offline: written.offline.unwrap_or_default(),
        window,
        approve: written.approve.unwrap_or_default(),
        on_failure: written.on_failure.unwrap_or_default(),
    }
}

fn check_wave(wave: &Wave, index: usize, context: &mut Context<'_>) -> Option<WaveSpec> {
    let at = format!("/spec/rollout/waves/{index}");
    let said = usize::from(wave.selector.is_some())
        + usize::from(wave.count.is_some())
        + usize::from(wave.percent.is_some());
    if said > 1 {
        let message = "a wave takes its devices by `selector`, `count` or `percent`, not by two of them";
        context.error("rollout-wave", &at, message);
    }
    // What has the wrong shape is told already; without it the wave would be another one.
    if ["count", "percent", "selector"].iter().any(|field| context.was_dropped(&format!("{at}/{field}"))) {
        return None;
    }
    let pick = match (&wave.selector, wave.count, wave.percent) {
        (Some(selector), _, _) => {
            Pick::Selector(Box::new(target(selector, &format!("{at}/selector"), context)?))
        }
        (None, Some(count), _) => Pick::Count(count),
        (None, None, Some(percent)) => Pick::Percent(percent),
        (None, None, None) => Pick::Rest,
    };
    let name = match (&wave.name, &pick) {
        (Some(name), _) => name.clone(),
        (None, Pick::Selector(_)) => wave.selector.clone().unwrap_or_default(),
        (None, Pick::Count(count)) => format!("{count} device{}", if *count == 1 { "" } else { "s" }),
        (None, Pick::Percent(percent)) => format!("{percent} %"),
        (None, Pick::Rest) => "the rest".to_owned(),
    };
    Some(WaveSpec { name, pick })
}
