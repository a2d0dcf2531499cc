//! What waits for one connection: bounded in packets and in bytes, and with no room of its own while nothing waits. Most
//! connections are idle for days, and a channel keeps a block of places for each of them.
//!
//! One side puts in (`Outbox`, never blocking), one connection takes out. Not here: which connection a packet is for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::ToClient;

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// One connection waits, so one permit is enough.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<ToClient>,
    bytes: usize,
    end: Option<End>,
}

/// Nothing more is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What waits is still told.
    Said,
    /// The client did not keep up; nothing waits any more.
    Slow,
    /// The hub has stopped or failed; nothing waits any more.
    Hub,
}

/// What a connection learns of its queue.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Packet(ToClient),
    End(End),
}

/// Bounds of one queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) packets: usize,
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole at each step, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in. Without room for it the client is too slow, and the queue has ended: `false`.
    pub(super) fn put(&self, packet: ToClient, room: Room) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        let bytes = packet.bytes();
        let fits = state.waiting.len() < room.packets && state.bytes + bytes <= room.bytes;
        if fits {
            state.bytes += bytes;
            state.waiting.push_back(packet);
        } else {
            *state = State { end: Some(End::Slow), ..State::default() };
        }
        drop(state);
        self.changed.notify_one();
        fits
    }

    /// Would this one leave less than half of the room?
    pub(super) fn is_crowded_by(&self, packet: &ToClient, room: Room) -> bool {
        let state = self.state();
        state.waiting.len() > room.packets / 2 || state.bytes + packet.bytes() > room.bytes / 2
    }

    /// Nothing more will come.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        if end != End::Said {
            state.waiting = VecDeque::new();
            state.bytes = 0;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What can be heard now. Packets only when they are wanted; that there will be none for a client that is too slow always.
    fn look(&self, wants_packets: bool) -> Option<Heard> {
        let mut state = self.state();
        if wants_packets && let Some(packet) = state.waiting.pop_front() {
            state.bytes -= packet.bytes();
            if state.waiting.is_empty() {
                state.waiting = VecDeque::new();
            }
            return Some(Heard::Packet(packet));
        }
        match state.end {
            Some(End::Said) if !state.waiting.is_empty() => None,
            Some(end) => Some(Heard::End(end)),
            None => None,
        }
    }

    /// Waits for the next thing. Cancel-safe: whatever is there stays there until it is returned.
    pub(super) async fn next(&self, wants_packets: bool) -> Heard {
        loop {
            if let Some(heard) = self.look(wants_packets) {
                return heard;
            }
            self.changed.notified().await;
        }
    }

    /// The next packet, if one is there.
    pub(super) fn ready(&self) -> Option<ToClient> {
        match self.look(true) {
            Some(Heard::Packet(packet)) => Some(packet),
            Some(Heard::End(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hemline_hub_core::event::AckToken;

    use super::*;

    const ROOM: Room = Room { packets: 4, bytes: 1_000 };

    fn ack(id: u32) -> ToClient {
        ToClient::Ack { token: AckToken(id) }
    }

    #[tokio::test]
    async fn packets_come_in_order_and_then_the_end() {
        let queue = Queue::new();
        for id in 1..=3 {
            assert!(queue.put(ack(id), ROOM));
        }
        queue.end(End::Said);
        assert!(!queue.put(ack(9), ROOM), "after the end nothing is taken");
        assert_eq!(queue.look(false), None, "what waits comes before the end");
        assert_eq!(queue.next(true).await, Heard::Packet(ack(1)));
        assert_eq!(queue.ready(), Some(ack(2)));
        assert_eq!(queue.next(true).await, Heard::Packet(ack(3)));
        assert_eq!((queue.ready(), queue.next(true).await), (None, Heard::End(End::Said)));
        assert_eq!(queue.next(false).await, Heard::End(End::Said), "as often as it is asked");
    }

    #[tokio::test]
    async fn a_full_queue_ends_and_says_so_to_whoever_wants_nothing() {
        let queue = Queue::new();
        let full = (1..).position(|id| !queue.put(ack(id), ROOM));
        assert_eq!(full, Some(ROOM.packets));
        assert_eq!(queue.next(false).await, Heard::End(End::Slow));
        assert_eq!(queue.ready(), None, "what waited is gone");
        queue.end(End::Hub);
        assert_eq!(queue.next(true).await, Heard::End(End::Slow), "the first reason counts");

        let queue = Queue::new();
        let few_bytes = Room { packets: 100, bytes: 100 };
        assert!(queue.put(ack(1), few_bytes));
        assert!(queue.is_crowded_by(&ack(2), few_bytes));
        assert!(!queue.put(ack(2), few_bytes), "two of them are more than 100 bytes");
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let queue = Queue::new();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { (queue.next(true).await, queue.next(true).await) }
        });
        tokio::task::yield_now().await;
        queue.put(ack(1), ROOM);
        tokio::task::yield_now().await;
        queue.end(End::Hub);
        assert_eq!(waiting.await.unwrap(), (Heard::Packet(ack(1)), Heard::End(End::Hub)));
    }

    #[test]
    fn an_empty_queue_keeps_nothing() {
        let queue = Queue::new();
        queue.put(ack(1), ROOM);
        queue.ready();
        let state = queue.state();
        assert_eq!((state.waiting.capacity(), state.bytes), (0, 0));
    }
}
