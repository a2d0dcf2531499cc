//! Messages for a module's inputs on their way to the handler, and its acknowledgements on their way back.
//!
//! An acknowledgement is worth something on the connection only that brought the message: after a reconnect the hub
//! sends what was not acknowledged again, so what is left of the old connection is passed over.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use hemline_protocol::properties::Properties;
use tokio::sync::mpsc;

/// More than the hub has under way for one module; a message beyond is left to be sent again.
const BACKLOG: usize = 64;

/// Acknowledges one message on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    connection: u64,
    packet: u16,
}

/// A message for an input. The hub sends it again on the next connection unless [`ack`](Self::ack) is called.
#[derive(Debug)]
pub struct InputMessage {
    /// Name of the input.
    pub input: String,
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: Bytes,
    ack: Ack,
    acks: mpsc::Sender<Ack>,
}

impl InputMessage {
    /// Tells the hub that the message has been dealt with. Without effect when the connection that brought it is gone:
    /// then the message comes again.
    pub async fn ack(self) {
        if self.acks.send(self.ack).await.is_err() {
            tracing::debug!(
                input = self.input,
                "the client is closed, so the hub will send the message again"
            );
        }
    }
}

/// The handler's end.
#[derive(Debug)]
pub struct Inputs {
    messages: mpsc::Receiver<InputMessage>,
    connection: Arc<AtomicU64>,
}

impl Inputs {
    /// The next message; `None` when the client has been closed. Can be cancelled without losing a message.
    pub async fn recv(&mut self) -> Option<InputMessage> {
        loop {
            let message = self.messages.recv().await?;
            if message.ack.connection == self.connection.load(Ordering::Acquire) {
                return Some(message);
            }
        }
    }
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct InputSink {
    messages: mpsc::Sender<InputMessage>,
    acks: mpsc::Receiver<Ack>,
    acks_sender: mpsc::Sender<Ack>,
    backlog: VecDeque<InputMessage>,
    connection: Arc<AtomicU64>,
}

/// What became of a message that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The handler gets it, or there is none: then the hub keeps it.
    Yes,
    /// Too many wait. It has to be sent again, which takes a new connection.
    TooMany,
}

pub(crate) fn channel(capacity: usize) -> (InputSink, Inputs) {
    let (messages, receiver) = mpsc::channel(capacity);
    let (acks_sender, acks) = mpsc::channel(capacity);
    let connection = Arc::new(AtomicU64::new(0));
    let inputs = Inputs { messages: receiver, connection: Arc::clone(&connection) };
    (InputSink { messages, acks, acks_sender, backlog: VecDeque::new(), connection }, inputs)
}

impl InputSink {
    /// The connection is gone: its messages come again on the next one.
    pub(super) fn disconnected(&mut self) {
        self.connection.fetch_add(1, Ordering::AcqRel);
        self.backlog.clear();
    }

    pub(super) fn take(&mut self, input: String, properties: Properties, body: Bytes, packet: u16) -> Taken {
        let ack = Ack { connection: self.connection.load(Ordering::Acquire), packet };
        if self.messages.is_closed() {
            return Taken::Yes;
        }
        if self.backlog.len() >= BACKLOG {
            return Taken::TooMany;
        }
        self.backlog.push_back(InputMessage { input, properties, body, ack, acks: self.acks_sender.clone() });
        self.deliver();
        Taken::Yes
    }

    fn deliver(&mut self) {
        while !self.backlog.is_empty() {
            match self.messages.try_reserve() {
                Ok(permit) => match self.backlog.pop_front() {
                    Some(message) => permit.send(message),
                    None => return,
                },
                Err(mpsc::error::TrySendError::Full(())) => return,
                Err(mpsc::error::TrySendError::Closed(())) => self.backlog.clear(),
            }
        }
    }

    /// Does what can be done without the socket until there is an acknowledgement to send; gives its packet id.
    /// Can be cancelled.
    pub(super) async fn next_ack(&mut self) -> u16 {
        loop {
            let ack = tokio::select! {
                ack = self.acks.recv() => ack,
                // Whether there is room now or nobody takes messages any more is seen again on delivery.
                _ = self.messages.reserve(), if !self.backlog.is_empty() => None,
            };
            match ack {
                Some(ack) if self.is_current(ack) => return ack.packet,
                Some(_) | None => self.deliver(),
            }
        }
    }

    /// An acknowledgement that waits already, for the last moment of a connection.
    pub(super) fn waiting_ack(&mut self) -> Option<u16> {
        loop {
            let ack = self.acks.try_recv().ok()?;
            if self.is_current(ack) {
                return Some(ack.packet);
            }
        }
    }

    fn is_current(&self, ack: Ack) -> bool {
        ack.connection == self.connection.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sink: &mut InputSink, packet: u16) -> Taken {
        sink.take("in".to_owned(), Properties::default(), Bytes::new(), packet)
    }

    #[tokio::test]
    async fn what_is_left_of_an_old_connection_is_passed_over() {
        let (mut sink, mut inputs) = channel(4);
        sink.disconnected();
        for packet in 1..=3 {
            assert_eq!(put(&mut sink, packet), Taken::Yes);
        }
        let old = inputs.recv().await.unwrap();
        inputs.recv().await.unwrap().ack().await;
        assert_eq!(sink.next_ack().await, 2);
        sink.disconnected();
        put(&mut sink, 1);
        old.ack().await;
        inputs.recv().await.unwrap().ack().await;
        assert_eq!(sink.next_ack().await, 1);
        assert_eq!(sink.waiting_ack(), None);
    }

    #[tokio::test]
    async fn a_slow_handler_gets_everything_up_to_the_bound() {
        let (mut sink, mut inputs) = channel(2);
        let mut taken = 0;
        while put(&mut sink, taken + 1) == Taken::Yes {
            taken += 1;
        }
        assert_eq!(usize::from(taken), 2 + BACKLOG);
        for packet in 1..=taken {
            let (message, ()) = tokio::join!(inputs.recv(), async {
                tokio::select! { biased; _ = sink.next_ack() => {}, () = std::future::ready(()) => {} }
            });
            assert_eq!(message.unwrap().ack.packet, packet);
        }
    }

    #[tokio::test]
    async fn without_a_handler_the_hub_keeps_it() {
        let (mut sink, inputs) = channel(2);
        drop(inputs);
        for packet in 1..200 {
            assert_eq!(put(&mut sink, packet), Taken::Yes);
        }
    }
}
