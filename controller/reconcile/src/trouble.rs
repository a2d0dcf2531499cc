//! Trouble: every reason why the fleet stays on an earlier revision, or why people do not hear of it. Since when, in the log
//! once when it comes and once when it goes.
//!
//! Not here: devices that fail (their conditions).

use std::time::Duration;

use hemline_sources::{Reason, Trouble};
use jiff::Timestamp;
use serde::Serialize;

use crate::{pass::State, report::PassReport};

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ongoing {
    /// Name of the source that it is about.
    pub source: String,
    /// One word: of [`hemline_sources::Reason`], or `refused`, `halted`, `reverted`, `not-kept`, `clock-set`.
    pub reason: &'static str,
    /// What it means, why, and what to do.
    pub message: String,
    /// Since when; a restart begins anew.
    pub since: Timestamp,
}

/// How long it is told that the clock was set.
const CLOCK_TOLD: Duration = Duration::from_secs(3600);

/// The reasons that there are now.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Vec<Ongoing>);

/// What the pass itself tells in its log, when it happens, and the report in lines of its own.
const TOLD: [&str; 3] = ["refused", "halted", "reverted"];

/// Does the report say in lines of its own what has this reason?
#[must_use]
pub fn is_told_elsewhere(reason: &str) -> bool {
    TOLD.contains(&reason)
}

impl Ongoing {
    /// Does the report say the same elsewhere?
    #[must_use]
    pub fn is_told_elsewhere(&self) -> bool {
        is_told_elsewhere(self.reason)
    }
}

impl Troubles {
    /// What there is now, by what was found. Logs what came and what went.
    pub(crate) fn look(
        &mut self,
        found: Vec<(String, &'static str, String)>,
        now: Timestamp,
    ) -> Vec<Ongoing> {
        let mut all: Vec<Ongoing> = Vec::new();
        for (source, reason, message) in found {
            let same = |one: &&Ongoing| one.source == source && one.reason == reason;
            if all.iter().any(|one| same(&one)) {
                continue;
            }
            let before = self.0.iter().find(same);
            let one = Ongoing { since: before.map_or(now, |before| before.since), source, reason, message };
            if before.is_none() && !one.is_told_elsewhere() {
                tracing::warn!(source = one.source, reason, "{}", one.message);
            }
            all.push(one);
        }
        for gone in self.0.iter().filter(|gone| !gone.is_told_elsewhere()) {
            if !all.iter().any(|one| one.source == gone.source && one.reason == gone.reason) {
                tracing::info!(source = gone.source, reason = gone.reason, "that is over");
            }
        }
        self.0.clone_from(&all);
        all
    }
}

/// Every reason that source, pass and proposals know.
pub(crate) fn found<'a>(
    state: &State,
    report: &PassReport,
    told: impl IntoIterator<Item = &'a Trouble>,
) -> Vec<(String, &'static str, String)> {
    let mut found: Vec<(String, &'static str, String)> = told
        .into_iter()
        .map(|Trouble { source, reason, message }| {
            (source.clone(), reason.word(), format!("{}: {message}", reason.means()))
        })
        .collect();
    if let Some(error) = state.unreadable.as_ref().filter(|_| !found.iter().any(|(_, word, _)| reads(word))) {
        // The look took longer than any limit of the source itself.
        let reason = Reason::Unreachable;
        let what = format!("{}: {error}", reason.means());
        found.push((hemline_sources::ONLY.to_owned(), reason.word(), what));
    }
    let mut own = |reason, message: String| found.push((hemline_sources::ONLY.to_owned(), reason, message));
    let stays = report.revision.as_ref().map_or_else(
        || "nothing is in force yet".to_owned(),
        |revision| format!("{} stays in force", revision.short()),
    );
    let errors = report.findings.iter().filter(|finding| finding.is_error()).count();
    if errors > 0 {
        let first = report.findings.iter().find(|finding| finding.is_error());
        let first = first.map(|finding| finding.message.as_str()).unwrap_or_default();
        own("refused", format!("{stays}: {errors} errors, first: {first}"));
    }
    if let Some(bad) = &report.revert {
        own("reverted", format!("{stays}: {} went back: {}", bad.quarantined.short(), bad.reason));
    }
    for rollout in report.rollouts.iter().filter(|rollout| rollout.phase == "halted") {
        own("halted", format!("the rollout of {} {}", rollout.deployment, rollout.says));
    }
    let lacking = state.kept.what_lacks().map(|files| {
        format!("the next start would not know all of this one, {files}; make room in the data directory, it is tried again")
    });
    for why in [&state.unkept, &state.not_in_force, &lacking].into_iter().flatten() {
        own("not-kept", why.clone());
    }
    if let Some((_, by)) = state.clock_set.filter(|(at, _)| at.elapsed() < CLOCK_TOLD) {
        let seconds = by.as_secs();
        own(
            "clock-set",
            format!(
                "the clock of this machine was set by {seconds} s; the deadlines of rollouts moved with it"
            ),
        );
    }
    found
}

/// Is it about reading?
fn reads(word: &str) -> bool {
    use Reason::{Denied, Missing, Unreachable, Unreadable, Untrusted};
    [Unreachable, Denied, Untrusted, Missing, Unreadable].iter().any(|reason| reason.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn one(reason: &'static str, message: &str) -> (String, &'static str, String) {
        ("default".to_owned(), reason, message.to_owned())
    }

    #[test]
    fn a_reason_keeps_its_time_while_its_words_change() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.look(Vec::new(), at(1)), []);
        let first = troubles.look(vec![one("denied", "401")], at(2));
        assert_eq!((first[0].since, first[0].message.as_str()), (at(2), "401"));
        let second =
            troubles.look(vec![one("denied", "403"), one("denied", "again"), one("status", "x")], at(3));
        let told: Vec<_> = second.iter().map(|one| (one.reason, one.message.as_str(), one.since)).collect();
        assert_eq!(told, [("denied", "403", at(2)), ("status", "x", at(3))]);
        assert_eq!(troubles.look(vec![one("status", "x")], at(4))[0].since, at(3));
        assert_eq!(troubles.look(Vec::new(), at(5)), []);
        assert_eq!(troubles.look(vec![one("denied", "401")], at(6))[0].since, at(6));
    }
}
