//! Time passed: tokens run out, calls fail, messages expire. And the clock was set: what was to last for a while still does.

use jiff::{SignedDuration, Timestamp};

use super::{Core, connections::End};
use crate::{
    effect::{CloseReason, Effect},
    queue::Line,
};

impl Core {
    /// Whoever was told "thirty seconds" has them, whatever the clock shows then.
    pub(super) fn clock_set(&mut self, by: SignedDuration) {
        self.calls.clock_set(by);
        self.cloud.clock_set(by);
        self.feedback.clock_set(by);
        self.file_notices.clock_set(by);
    }

    pub(super) fn tick(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some((closes, connection)) = self.closing.first().copied() {
            if closes >= now {
                break;
            }
            self.closing.remove(&(closes, connection));
            if let Some(client) = self.connections.get(&connection).cloned() {
                self.end(&client, End::Closed(CloseReason::TokenExpired), now, out);
            }
        }
        self.fail_overdue_calls(now, out);
        self.settle_due(now, out);
        self.drop_file_notices(now, out);
        self.tick_topics(now, out);
        self.tick_bridges(now, out);
        self.tick_twins(out);
        self.expire(Line::Upstream, now, out);
        for module in self.queues.clients() {
            self.expire(Line::Module(&module), now, out);
            // Goes on with the backlog of a client that acknowledges nothing.
            self.pump(&module, now, out);
        }
    }
}
