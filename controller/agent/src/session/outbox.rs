//! Messages between a sender and the hub's acknowledgement.
//!
//! Packet ids belong to a connection, messages outlive it. The MQTT library tells the id of each publish in the order in
//! which they were handed to it. Pure; not here: the socket.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};

/// Messages that may be unacknowledged at once. Counted from the oldest, so packet ids never come round to one in use.
const WINDOW: usize = 16;

/// A message to send.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    /// Told when the hub has acknowledged it; closed when nobody waits any more.
    pub(crate) done: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Entry {
    /// Empty when acknowledged before an older one.
    output: Option<Output>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Handed { at: Instant },
    Sent { packet: u16, at: Instant },
    Done,
}

/// The messages of one client that are not acknowledged, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: VecDeque<Entry>,
}

impl Outbox {
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < WINDOW
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a message, unless its sender has given up already.
    pub(super) fn push(&mut self, output: Output) {
        if !output.done.is_closed() {
            self.entries.push_back(Entry { output: Some(output), state: State::Waiting });
        }
    }

    /// The next message to hand to the MQTT library, as topic and body.
    pub(super) fn next(&mut self, now: Instant) -> Option<(String, Bytes)> {
        let entry = self.entries.iter_mut().find(|entry| entry.state == State::Waiting)?;
        let output = entry.output.as_ref()?;
        entry.state = State::Handed { at: now };
        Some((output.topic.clone(), output.body.clone()))
    }

    /// The library has given an id to the oldest message that was handed to it.
    pub(super) fn sent(&mut self, packet: u16) {
        let handed = self.entries.iter_mut().find_map(|entry| match entry.state {
            State::Handed { at } => Some((entry, at)),
            State::Waiting | State::Sent { .. } | State::Done => None,
        });
        if let Some((entry, at)) = handed {
            entry.state = State::Sent { packet, at };
        }
    }

    /// The hub has it.
    pub(super) fn acknowledged(&mut self, packet: u16) {
        let sent = |entry: &&mut Entry| matches!(entry.state, State::Sent { packet: id, .. } if id == packet);
        if let Some(entry) = self.entries.iter_mut().find(sent) {
            entry.state = State::Done;
            if let Some(output) = entry.output.take() {
                // Whoever sent it may have given up: then it is the hub's all the same.
                output.done.send(()).ok();
            }
        }
        while self.entries.front().is_some_and(|entry| entry.state == State::Done) {
            self.entries.pop_front();
        }
    }

    /// The connection is gone: everything unacknowledged is to be sent again, unless nobody waits for it.
    pub(super) fn disconnected(&mut self) {
        self.entries.retain_mut(|entry| {
            entry.state = State::Waiting;
            entry.output.as_ref().is_some_and(|output| !output.done.is_closed())
        });
    }

    /// When the oldest unacknowledged message was handed over.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.iter().find_map(|entry| match entry.state {
            State::Handed { at } | State::Sent { at, .. } => Some(at),
            State::Waiting | State::Done => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(topic: &str) -> (Output, oneshot::Receiver<()>) {
        let (done, acknowledged) = oneshot::channel();
        (Output { topic: topic.to_owned(), body: Bytes::new(), done }, acknowledged)
    }

    fn hand_over(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.next(Instant::now())).map(|(topic, _)| topic).collect()
    }

    #[test]
    fn acknowledgements_reach_their_sender_in_any_order() {
        let mut outbox = Outbox::default();
        let (a, mut a_done) = output("a");
        let (b, mut b_done) = output("b");
        outbox.push(a);
        outbox.push(b);
        assert_eq!(hand_over(&mut outbox), ["a", "b"]);
        outbox.sent(2);
        outbox.sent(3);
        outbox.acknowledged(3);
        assert!(b_done.try_recv().is_ok() && a_done.try_recv().is_err() && !outbox.is_empty());
        outbox.acknowledged(9);
        outbox.acknowledged(2);
        assert!(a_done.try_recv().is_ok() && outbox.is_empty());
    }

    #[test]
    fn after_a_broken_connection_the_rest_goes_again_in_order() {
        let mut outbox = Outbox::default();
        let mut receivers = Vec::new();
        for topic in ["a", "b", "c", "d"] {
            let (output, done) = output(topic);
            outbox.push(output);
            receivers.push(done);
        }
        assert_eq!(hand_over(&mut outbox).len(), 4);
        outbox.sent(1);
        outbox.sent(2);
        outbox.acknowledged(2);
        receivers.remove(2).close();
        outbox.disconnected();
        assert!(outbox.oldest().is_none());
        assert_eq!(hand_over(&mut outbox), ["a", "d"]);
        // The ids of the old connection mean nothing now.
        outbox.acknowledged(1);
        outbox.sent(7);
        outbox.acknowledged(7);
        assert!(receivers[0].try_recv().is_ok());
    }

    #[test]
    fn the_window_counts_from_the_oldest() {
        let mut outbox = Outbox::default();
        let mut receivers = Vec::new();
        for id in 1..=16 {
            assert!(outbox.has_room());
            let (output, done) = output("x");
            outbox.push(output);
            receivers.push(done);
            hand_over(&mut outbox);
            outbox.sent(id);
        }
        assert!(!outbox.has_room());
        outbox.acknowledged(5);
        assert!(!outbox.has_room());
        outbox.acknowledged(1);
        assert!(outbox.has_room());
    }

    #[test]
    fn nobody_waits() {
        let mut outbox = Outbox::default();
        let (output, done) = output("a");
        drop(done);
        outbox.push(output);
        assert!(outbox.is_empty());
    }
}
