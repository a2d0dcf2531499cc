//! Rules about how a change reaches the devices.

use super::{Rule, error, warning};

pub(super) const RULES: &[Rule] = &[
    error(
        "rollout-wave",
        "A wave takes its devices by more than one measure.",
        "Which of them counts would be a guess, and a wrong guess is a wave that is too large.",
        "Use one of `selector`, `count` and `percent` per wave.",
        "rollout: {waves: [{count: 1, percent: 50}]}",
        "rollout: {waves: [{count: 1}, {percent: 50}]}",
    ),
    warning(
        "rollout-wave-empty",
        "A wave comes after one that takes every device.",
        "No device is left for it, so it says something that never happens.",
        "Put the wave with `percent: 100`, or without a measure, last.",
        "rollout: {waves: [{percent: 100}, {count: 1}]}",
        "rollout: {waves: [{count: 1}, {percent: 100}]}",
    ),
    error(
        "rollout-share",
        "A number of devices or a percentage cannot be used.",
        "The budget of a rollout is what keeps a bad change small.",
        "Write a whole number, or a percentage from 0% to 100%; `maxUnavailable` is at least one device.",
        "rollout: {maxUnavailable: a few}",
        "rollout: {maxUnavailable: 10%}",
    ),
    error(
        "rollout-deadline",
        "A device must be healthy for longer than it has time.",
        "Every device would fail, and no rollout would end well.",
        "Make `deadline` longer than `healthyFor` and the time that images take to arrive.",
        "rollout: {healthyFor: 30m, deadline: 10m}",
        "rollout: {healthyFor: 10m, deadline: 30m}",
    ),
    error(
        "rollout-window",
        "The window of a rollout cannot be read.",
        "Changes would happen at any time, or never.",
        "Write days, times and a time zone, such as `Mon-Fri 22:00-04:00 Europe/Paris`.",
        "rollout: {window: at night}",
        "rollout: {window: 'Mon-Fri 22:00-04:00 Europe/Paris'}",
    ),
];
