//! Rules about `TwinConfiguration` documents that only the whole fleet shows.

use super::{Rule, error, warning};

/// In the order in which a fleet meets them.
pub(super) const RULES: &[Rule] = &[
    error(
        "configuration-conflict",
        "Two twin configurations of the same priority disagree on a property of one twin.",
        "Git has no time of creation that could decide, and a coin flip would decide differently every day.",
        "Give the one that should win the higher priority, or say the property in the Device document.",
        "two configurations of priority 10, one with fps: 1 and one with fps: 2",
        "priorities 10 and 20",
    ),
    warning(
        "configuration-without-target",
        "The condition of a twin configuration selects no device, or no module.",
        "Its properties reach nobody, most often because of a slip in the condition.",
        "Correct the condition, or the tags of the devices.",
        "targetCondition: tags.sight = 'lyon'",
        "targetCondition: tags.site = 'lyon'",
    ),
];
