//! One client of the load: its bytes both ways, and how it comes in.

use std::{future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    cast::Actor,
    error::LoadError,
    packet::{self, Received},
    target::{Stream, Target},
};

/// Nothing that is waited for comes later than that, unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds of silence that a client announces: longer than any load lasts, so that nobody pings.
const KEEP_ALIVE: u16 = 1_100;
/// Room made for a read; idle connections keep none.
const READ: usize = 4 << 10;

/// A client that is in.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: BytesMut,
}

impl Connection {
    /// Connects, says CONNECT, subscribes if there is something to subscribe to.
    pub(crate) async fn enter(target: &Target, actor: &Actor) -> Result<Self, LoadError> {
        let entered = async {
            let stream = target.open().await?;
            let mut connection = Self { stream, input: BytesMut::new(), output: BytesMut::new() };
            connection.log_in(actor).await?;
            Ok(connection)
        };
        in_time("the answer to a client that comes", entered).await
    }

    async fn log_in(&mut self, actor: &Actor) -> Result<(), LoadError> {
        let login = actor.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        packet::connect(&mut self.output, &actor.client, login, actor.clean, KEEP_ALIVE)?;
        self.flush().await?;
        match self.receive().await? {
            Received::ConnAck(0) => {}
            Received::ConnAck(code) => return Err(LoadError::Refused { client: actor.client.clone(), code }),
            other => return Err(LoadError::Unexpected(format!("{other:?} instead of CONNACK"))),
        }
        if actor.filters.is_empty() {
            return Ok(());
        }
        packet::subscribe(&mut self.output, 1, &actor.filters)?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Received::SubAck { granted: true } => return Ok(()),
                Received::SubAck { granted: false } => {
                    return Err(LoadError::Unexpected("a subscription was refused".to_owned()));
                }
                // What waited may come before the answer.
                Received::Message { id, .. } => self.acknowledge(id)?,
                Received::PubAck(_) | Received::Other => {}
                other @ Received::ConnAck(_) => {
                    return Err(LoadError::Unexpected(format!("{other:?} instead of SUBACK")));
                }
            }
        }
    }

    /// The next packet. Cancel-safe: bytes are in the buffer or still in the socket.
    pub(crate) async fn receive(&mut self) -> Result<Received, LoadError> {
        loop {
            if let Some(received) = self.ready()? {
                return Ok(received);
            }
            self.input.reserve(READ);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(LoadError::Closed);
            }
        }
    }

    /// The next packet that was read already.
    pub(crate) fn ready(&mut self) -> Result<Option<Received>, LoadError> {
        let received = packet::decode(&mut self.input)?;
        if received.is_none() && self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(received)
    }

    /// Puts a PUBLISH into the buffer.
    pub(crate) fn publish(&mut self, topic: &str, id: Option<u16>, body: Bytes) -> Result<(), LoadError> {
        packet::publish(&mut self.output, topic, id, body)
    }

    /// Puts a PUBACK into the buffer, where one is wanted.
    pub(crate) fn acknowledge(&mut self, id: Option<u16>) -> Result<(), LoadError> {
        id.map_or(Ok(()), |id| packet::puback(&mut self.output, id))
    }

    /// Sends what is in the buffer.
    pub(crate) async fn flush(&mut self) -> Result<(), LoadError> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.stream.write_all_buf(&mut self.output).await?;
        self.stream.flush().await?;
        if self.output.capacity() > READ {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Says goodbye and closes. A server that is gone already needs no goodbye.
    pub(crate) async fn leave(mut self) {
        let farewell = async {
            packet::disconnect(&mut self.output)?;
            self.flush().await?;
            self.stream.shutdown().await?;
            Ok::<_, LoadError>(())
        };
        drop(timeout(PATIENCE, farewell).await);
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn in_time<T>(
    what: &str,
    future: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    match timeout(PATIENCE, future).await {
        Ok(outcome) => outcome,
        Err(_) => Err(LoadError::Late { what: what.to_owned(), limit: PATIENCE }),
    }
}
