//! Stage 3, pure: a revision and what devices report → what each device should be.

use hemline_plan::{Facts, Resolution};

use crate::validate::Good;

/// Resolves the revision. Unusable when facts that came later make its layers disagree.
pub(crate) fn resolve(good: &Good, facts: &Facts) -> Resolution {
    hemline_plan::resolve(&good.fleet, facts)
}
