//! The four standard conditions, set together so that none is forgotten.

use hemline_model::status::{Condition, ConditionStatus};
use jiff::Timestamp;

/// What a device or deployment is up to. Each state sets all four conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// As the documents say.
    Ready,
    /// On its way; nothing is known to be wrong.
    Progressing,
    /// Something is wrong that may still come right by itself.
    Degraded,
    /// Something is wrong and only a change helps.
    Stalled,
}

/// The state with its reason for programs and its sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn new(state: State, reason: &'static str, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into() }
    }

    /// The conditions, with the transition times of those that hold already.
    pub(super) fn conditions(&self, before: &[Condition], at: Timestamp) -> Vec<Condition> {
        let mut conditions = before.to_vec();
        let is = |yes: bool| if yes { ConditionStatus::True } else { ConditionStatus::False };
        for (kind, status) in [
            ("Ready", is(self.state == State::Ready)),
            ("Progressing", is(matches!(self.state, State::Progressing | State::Degraded))),
            ("Degraded", is(matches!(self.state, State::Degraded | State::Stalled))),
            ("Stalled", is(self.state == State::Stalled)),
        ] {
            let condition = Condition {
                kind: kind.to_owned(),
                status,
                reason: self.reason.to_owned(),
                message: self.message.clone(),
                last_transition_time: at,
            };
            Condition::set(&mut conditions, condition);
        }
        conditions
    }
}

/// Does a condition hold?
pub(super) fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status == ConditionStatus::True)
}

/// The sentence of the conditions; all four carry the same one.
pub(super) fn message(conditions: &[Condition]) -> &str {
    conditions.first().map_or("", |condition| condition.message.as_str())
}
