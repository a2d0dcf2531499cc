//! What is measured beside the engine, and whether it keeps what the design promises. Not here: measuring.

use std::time::Duration;

/// Of what was killed, at its first restart.
pub(super) const RESTART_AT_MOST: Duration = Duration::from_secs(1);
/// Of what is committed: so many times a `docker run`, and the fetch.
const RUNS_AT_MOST: f64 = 1.3;

/// How long it may take.
pub(super) enum Budget {
    /// Nobody said.
    None,
    /// So long.
    AtMost(Duration),
    /// As long as [`RUNS_AT_MOST`] of what the engine takes, and this fetch.
    Runs { fetch: Duration },
}

impl Budget {
    fn at_most(&self, theirs: Duration) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::AtMost(limit) => Some(*limit),
            Self::Runs { fetch } => Some(theirs.mul_f64(RUNS_AT_MOST) + *fetch),
        }
    }
}

/// One line of the table.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) ours: Vec<Duration>,
    pub(super) how: &'static str,
    pub(super) theirs: Vec<Duration>,
    pub(super) budget: Budget,
}

impl Row {
    /// Prints it. Was the budget kept?
    pub(super) fn print(mut self) -> bool {
        let (ours, theirs) = (median(&mut self.ours), median(&mut self.theirs));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64().max(0.000_001);
        let limit = self.budget.at_most(theirs);
        let kept = limit.is_none_or(|limit| ours <= limit);
        let verdict = if kept { "kept" } else { "missed" };
        let budget = limit.map_or("none".to_owned(), |limit| format!("≤ {} ms {verdict}", limit.as_millis()));
        let Self { what, how, .. } = self;
        println!(
            "| {what} | {} ms | {} ms | {how} | {ratio:.2} | {budget} |",
            ours.as_millis(),
            theirs.as_millis()
        );
        kept
    }
}

/// The middle one.
pub(super) fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
