//! Clients that do not come back: what they subscribed to on user-defined topics ends after so many days, with what waits for it.
//!
//! Subscriptions to the hub's own topics stay for ever, because SDKs never subscribe twice. Days are counted, one at most per
//! look, however far the clock has gone: after a jump, or a year in a drawer, no session is gone before its client could come.

use hemline_model::id::ClientId;
use jiff::Timestamp;

use super::Core;
use crate::{
    clock::later,
    effect::Effect,
    session::{Offline, Session},
    write::{Away, Write},
};

const DAY: i64 = 86_400;

impl Core {
    /// Did a client stay away for too long?
    pub(super) fn has_expired(&self, away: Away) -> bool {
        away.days >= self.config.limits.topic_session_days
    }

    /// Counts one more day for each client that listens to user-defined topics and is not there, where one has passed.
    pub(super) fn count_days_away(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let is_away = |client: &ClientId| {
            let session = self.sessions.get(client);
            matches!(session, Some(Session::Offline(Offline { stored: Some(_), .. })))
        };
        let away: Vec<ClientId> =
            self.topics.all_listeners().filter(|client| is_away(client)).cloned().collect();
        for client in away {
            let Some(Session::Offline(offline)) = self.sessions.get_mut(&client) else { continue };
            let Some(grants) = &offline.stored else { continue };
            let counted = match offline.away {
                None => Away { days: 0, counted: now },
                Some(Away { days, counted }) if later(counted, DAY) <= now => {
                    Away { days: days.saturating_add(1), counted: now }
                }
                Some(_) => continue,
            };
            offline.away = Some(counted);
            let record = grants.record(&client, Some(counted));
            if self.has_expired(counted) {
                self.end_topics_of(&client, out);
            } else {
                out.push(Effect::Persist(Write::PutSession(record)));
            }
        }
    }

    /// Ends what a client that is not there listens to; the session too when nothing else is in it.
    fn end_topics_of(&mut self, client: &ClientId, out: &mut Vec<Effect>) {
        let Some(Session::Offline(offline)) = self.sessions.get_mut(client) else { return };
        let Some(mut left) = offline.stored.take() else { return };
        left.forget_users_topics();
        let waited = self.topics.queues.sequences(client);
        self.counters.topics_expired += 1;
        self.counters.topics_dropped += waited.len() as u64;
        if left.is_empty() {
            // With what waits in it.
            out.push(Effect::Persist(Write::DeleteSession(client.clone())));
            offline.away = None;
        } else {
            out.push(Effect::Persist(Write::PutSession(left.record(client, offline.away))));
            offline.stored = Some(left);
            for sequence in waited {
                let client = client.clone();
                out.push(Effect::Persist(Write::RemoveTopicMessage { client, sequence }));
            }
        }
        self.topics.queues.forget(client);
        self.enter_topics(client);
    }
}
