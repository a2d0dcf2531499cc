//! Stage 4, pure: what should be, what was applied last and what is there → actions and steps.

use hemline_model::id::Revision;
use hemline_plan::{Observed, Plan, Resolution};

/// Plans towards a revision. A resolution with errors is not planned for: what is there stays.
pub(crate) fn plan(
    revision: &Revision,
    resolution: &Resolution,
    applied: Option<&Resolution>,
    observed: &Observed,
) -> Plan {
    if !resolution.is_usable() {
        return Plan::default();
    }
    hemline_plan::plan(resolution, applied, Some(observed)).between(None, Some(revision.short().to_owned()))
}
