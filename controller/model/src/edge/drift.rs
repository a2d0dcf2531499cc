//! What happens to differences, as it goes to the agent: the rule for everything, and rules for single paths.
//!
//! A list, because the names of a twin's members hold no dots. Not here: finding differences (the agent, the controller).

use serde::{Deserialize, Serialize};

use super::{Drift, DriftMode};

/// What happens to differences.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftRules {
    /// The rule for everything.
    pub mode: DriftMode,
    /// Rules for single paths; the most particular one that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRule>,
}

/// The rule for one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathRule {
    /// Steps with dots between them, as in `modules.camera.env.*`. `*` stands for one step, and at the end for all that
    /// follow. A path stands for what is below it, too.
    pub path: String,
    /// What happens there.
    pub mode: DriftMode,
}

impl From<Drift> for DriftRules {
    fn from(drift: Drift) -> Self {
        let paths = drift.paths.into_iter().map(|(path, mode)| PathRule { path, mode });
        Self { mode: drift.mode, paths: paths.collect() }
    }
}

impl DriftRules {
    /// The rule for a path.
    #[must_use]
    pub fn mode_of(&self, path: &str) -> DriftMode {
        let fitting = self.paths.iter().filter(|rule| rule.fits(path));
        // More steps by name are more particular; of two that are equal in that, the longer one.
        let best = fitting.max_by_key(|rule| {
            let steps = rule.path.split('.');
            (steps.clone().filter(|step| *step != "*").count(), steps.count())
        });
        best.map_or(self.mode, |rule| rule.mode)
    }
}

impl PathRule {
    fn fits(&self, path: &str) -> bool {
        let mut steps = path.split('.');
        self.path.split('.').all(|wanted| match steps.next() {
            Some(step) => wanted == "*" || wanted == step,
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_rule_counts() {
        let rules = DriftRules {
            mode: DriftMode::Heal,
            paths: [
                ("modules.*", DriftMode::Report),
                ("modules.camera", DriftMode::Heal),
                ("modules.camera.createOptions.*", DriftMode::Ignore),
                ("modules.*.status", DriftMode::Ignore),
            ]
            .map(|(path, mode)| PathRule { path: path.to_owned(), mode })
            .to_vec(),
        };
        for (path, expected) in [
            ("routes.cloud", DriftMode::Heal),
            ("modules", DriftMode::Heal),
            ("modules.filter", DriftMode::Report),
            ("modules.filter.image", DriftMode::Report),
            ("modules.filter.status", DriftMode::Ignore),
            ("modules.camera", DriftMode::Heal),
            ("modules.camera.image", DriftMode::Heal),
            ("modules.camera.createOptions.HostConfig.Memory", DriftMode::Ignore),
        ] {
            assert_eq!(rules.mode_of(path), expected, "{path}");
        }
    }
}
