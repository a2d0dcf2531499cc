//! Time passed: tokens run out, calls fail, messages expire.

use jiff::Timestamp;

use super::{Core, connections::End};
use crate::{
    effect::{CloseReason, Effect},
    queue::Line,
};

impl Core {
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
        self.expire(Line::Upstream, now, out);
        for module in self.queues.clients() {
            self.expire(Line::Module(&module), now, out);
            // Goes on with the backlog of a client that acknowledges nothing.
            self.pump(&module, now, out);
        }
    }
}
