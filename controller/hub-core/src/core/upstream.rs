//! What waits for the parent goes up: in order, several at a time, each kept on disk until the parent acknowledged it.
//!
//! A link that is lost gives back what was on its way; it goes out again on the next one, in the same order. The parent
//! may so get a message twice, and never misses one.

use jiff::Timestamp;

use super::{Core, methods::Invocation};
use crate::{
    call::Asker,
    effect::{Effect, Notice},
    event::{DeliveryId, Qos},
    queue::{History, Line},
    upstream::{Dialect, FromParent, Link, LinkId, Said, ToParent, Up},
};

impl Core {
    pub(super) fn upstream(
        &mut self,
        link: LinkId,
        happened: FromParent,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        match happened {
            FromParent::Linked => {
                // A link that was replaced without having been lost is lost.
                self.lost(None);
                self.link = Link::Up(Box::new(Up::new(link)));
                self.counters.links += 1;
                out.push(Effect::Notify(Notice::Upstream { connected: true }));
                if self.config.parent.as_ref().is_some_and(|parent| parent.dialect == Dialect::Nested) {
                    self.read_scope(out);
                    self.all_twins_due(out);
                    self.ask_topics(out);
                    self.pump_bridge(out);
                }
                self.pump_upstream(now, out);
            }
            FromParent::Lost => {
                if self.lost(Some(link)) {
                    out.push(Effect::Notify(Notice::Upstream { connected: false }));
                }
            }
            FromParent::Acknowledged(delivery) => self.passed_on(link, delivery, now, out),
            FromParent::Said(said) => {
                if self.up(link).is_some() {
                    self.hear(link, *said, now, out);
                }
            }
        }
    }

    fn hear(&mut self, link: LinkId, said: Said, now: Timestamp, out: &mut Vec<Effect>) {
        match said {
            // The acknowledgement of that very message is on its way, and takes it off the queue.
            Said::Refused(_) => self.counters.upstream_refused += 1,
            Said::Scope { ask, page } => self.take_scope(ask, page, now, out),
            Said::ScopeChanged => self.scope_changed(out),
            Said::Twin { ask, status, twin } => self.twin_answered(ask, status, twin, now, out),
            Said::Desired { client, version, patch } => {
                self.follow_parent(&client, version, patch, now, out);
            }
            Said::Call { client, rid, name, payload, connect, response } => {
                // It is not kept: a call fails with the link.
                let (asker, connect_timeout, response_timeout) =
                    (Asker::Parent { link, rid }, connect, response);
                let asked = Invocation { asker, client, name, payload, response_timeout, connect_timeout };
                self.invoke(asked, now, out);
            }
            Said::CloudToDevice { device, receipt, properties, body } => {
                let message = super::relay::Relayed { device, receipt, properties, body };
                self.relay_to_device(message, now, out);
            }
            Said::Published { topic, receipt, retained, body } => {
                let said = super::topics::Said { topic, body, qos: Qos::AtLeastOnce, retain: retained };
                self.arrived_over_bridge(said, receipt, now, out);
            }
            Said::TopicsRefused(filters) => self.topics_refused(&filters, now),
        }
    }

    fn up(&mut self, link: LinkId) -> Option<&mut Up> {
        self.linked().filter(|up| up.id == link)
    }

    /// The link, if it is up.
    pub(super) fn linked(&mut self) -> Option<&mut Up> {
        match &mut self.link {
            Link::Up(up) => Some(up),
            Link::Down => None,
        }
    }

    /// The link is gone; `None` means whichever there is. Was there one?
    fn lost(&mut self, link: Option<LinkId>) -> bool {
        match std::mem::replace(&mut self.link, Link::Down) {
            Link::Up(up) if link.is_none_or(|link| link == up.id) => {
                self.queues.take_back(Line::Upstream, up.flight.into_values());
                if let Some(hub) = self.own_hub() {
                    self.topics.queues.ground(&hub);
                }
                for (sequence, (device, _)) in up.relayed {
                    // The parent has it still, and sends it again.
                    self.cloud.remove(&device, sequence);
                }
                true
            }
            other => {
                self.link = other;
                false
            }
        }
    }

    fn passed_on(&mut self, link: LinkId, delivery: DeliveryId, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(up) = self.up(link) else {
            return;
        };
        let Some((place, waiting)) = up.flight.remove(&delivery) else {
            return self.crossed(delivery, out);
        };
        self.counters.upstream_acknowledged += 1;
        out.push(Effect::Persist(self.queues.done(Line::Upstream, place, &waiting.message)));
        self.pump_upstream(now, out);
    }

    /// Sends what waits for the parent, as far as the window goes.
    pub(super) fn pump_upstream(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let window = self.config.limits.upstream_in_flight;
        let Link::Up(up) = &mut self.link else {
            return;
        };
        while up.flight.len() < window {
            let Some((place, waiting)) = self.queues.next(Line::Upstream) else {
                return;
            };
            if waiting.expires.is_some_and(|expires| expires <= now) {
                self.counters.messages_expired += 1;
                out.push(Effect::Persist(self.queues.done(Line::Upstream, place, &waiting.message)));
                continue;
            }
            match waiting.history {
                History::Fresh => {}
                History::SentBefore => self.counters.upstream_repeated += 1,
            }
            let (delivery, message) = (up.delivery(), waiting.message.clone());
            up.flight.insert(delivery, (place, waiting));
            let what = ToParent::Message { delivery, message };
            out.push(Effect::Upstream { link: up.id, what });
        }
    }
}
