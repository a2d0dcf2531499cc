//! Everything that is wrong with a set of documents, in one list: what `model` found in each document and between them,
//! and what only layering shows.
//!
//! A mistake in one document must not hide those of others until the next run. So documents with errors are layered too, as
//! far as they could be read; of what that shows only such findings are kept as more documents could not take back: two
//! priorities that tie stay a tie, but a device without a base may well get one from the document that could not be read.

use hemline_model::{Finding, Fleet, Loaded};

use crate::{Facts, Resolution, resolve, resolve_knowing};

/// Rules about what is there. All others of the resolution are about what is missing, or follow from it.
const HOLD_ANYWAY: [&str; 10] = [
    "priority-tie",
    "layer-conflict",
    "configuration-conflict",
    "layer-below-base",
    "port-clash",
    "mount-clash",
    "bind-clash",
    "name-clash",
    "too-many-modules",
    "twin-limit",
];

/// Documents and everything that there is to say of them.
#[derive(Debug)]
pub struct Judged {
    /// The documents and what each device should be; `None` when any finding is an error.
    pub usable: Option<(Fleet, Resolution)>,
    /// In order of file and line.
    pub findings: Vec<Finding>,
}

/// Judges what was loaded.
#[must_use]
pub fn judge(loaded: Loaded, facts: &Facts) -> Judged {
    judge_knowing(loaded, facts, &Resolution::default())
}

/// The same, for a revision that has most of its documents in common with one that is resolved.
#[must_use]
pub fn judge_knowing(loaded: Loaded, facts: &Facts, known: &Resolution) -> Judged {
    let Loaded { fleet, remnant, mut findings } = loaded;
    if let Some(remnant) = remnant {
        let holds = |finding: &Finding| HOLD_ANYWAY.contains(&finding.rule);
        findings.extend(resolve(&remnant, facts).findings.into_iter().filter(holds));
    }
    let resolved = fleet.map(|fleet| {
        let resolution = resolve_knowing(&fleet, facts, known);
        findings.extend(resolution.findings.iter().cloned());
        (fleet, resolution)
    });
    findings.sort_by(|a, b| a.position.cmp(&b.position).then(a.severity.cmp(&b.severity)));
    Judged { usable: resolved.filter(|(_, resolution)| resolution.is_usable()), findings }
}
