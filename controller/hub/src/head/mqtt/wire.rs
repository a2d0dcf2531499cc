//! The bytes of one connection: what was read and not yet parsed, what was written and not yet sent.
//!
//! Reading and writing go on side by side, so that a client that sends much before it reads is not a deadlock. Bytes to
//! the client are collected and flushed when nothing more is ready, so that a burst of acknowledgements is one write.

use std::{
    future::poll_fn,
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf},
    time::Instant,
};

use super::{
    closed::Closed,
    codec::{self, ClientPacket, Decoded},
};

/// Beyond this many unsent bytes nothing more is read or taken for the client.
const HIGH_WATER: usize = 256 << 10;

/// Most bytes of one read: those of one TLS record.
const READ: usize = 16 << 10;

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    /// Bytes for the client.
    pub(super) output: BytesMut,
    unflushed: bool,
    /// When a byte last came in.
    pub(super) heard: Instant,
    /// Since when the client has been taking nothing; meaningful while something is pending.
    pub(super) stuck_since: Instant,
}

enum Sent {
    Bytes(usize),
    Flushed,
}

/// Appends what is there; how much that was. The room is on the stack: idle connections are many, and each would keep a buffer
/// only to wait with it. So memory also follows the bytes that really come, whatever a packet announces.
async fn read<R: AsyncRead + Unpin>(reader: &mut R, input: &mut BytesMut) -> std::io::Result<usize> {
    poll_fn(|context| {
        let mut room = [MaybeUninit::uninit(); READ];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut room))?;
        input.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    })
    .await
}

/// Writes what is there; flushes when nothing is.
async fn send<W: AsyncWrite + Unpin>(writer: &mut W, output: &mut BytesMut) -> std::io::Result<Sent> {
    if output.is_empty() {
        writer.flush().await.map(|()| Sent::Flushed)
    } else {
        writer.write_buf(output).await.map(Sent::Bytes)
    }
}

/// What moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes came in, or went out.
    Bytes,
    /// The client closed its side.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let now = Instant::now();
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            heard: now,
            stuck_since: now,
        }
    }

    /// The next whole packet that was read already.
    pub(super) fn packet(&mut self, limit: usize) -> Result<Option<ClientPacket>, Closed> {
        match codec::decode(&mut self.input, limit)? {
            Decoded::Packet(packet) => Ok(Some(packet)),
            Decoded::Incomplete(_) => {
                if self.input.is_empty() {
                    // An idle connection keeps no buffer.
                    self.input = BytesMut::new();
                }
                Ok(None)
            }
        }
    }

    /// Is this the first byte that was read, if any was?
    pub(super) fn begins_with(&self, byte: u8) -> bool {
        self.input.first().is_none_or(|first| *first == byte)
    }

    /// May more be read, and more be written to `output`?
    pub(super) fn has_room(&self) -> bool {
        self.output.len() < HIGH_WATER
    }

    /// Is something on its way to the client?
    pub(super) fn pending(&self) -> bool {
        !self.output.is_empty() || self.unflushed
    }

    /// Moves bytes in whichever direction is possible. Cancel-safe: every arm either moved bytes or did nothing.
    pub(super) async fn step(&mut self) -> Result<Moved, Closed> {
        let has_room = self.has_room();
        let pending = self.pending();
        tokio::select! {
            // Cancel-safe: bytes are in the buffer or still in the socket.
            read = read(&mut self.reader, &mut self.input), if has_room => {
                self.heard = Instant::now();
                Ok(if read? == 0 { Moved::End } else { Moved::Bytes })
            }
            // write_buf is cancel-safe: it takes off the buffer only what was written; flush can be repeated.
            sent = send(&mut self.writer, &mut self.output), if pending => {
                self.stuck_since = Instant::now();
                match sent? {
                    Sent::Bytes(0) => return Ok(Moved::End),
                    Sent::Bytes(_) => self.unflushed = true,
                    Sent::Flushed => self.unflushed = false,
                }
                if self.output.is_empty() {
                    self.output = BytesMut::new();
                }
                Ok(Moved::Bytes)
            }
        }
    }

    /// Something is about to be put into an empty `output`: from now on the client owes progress.
    pub(super) fn begin_output(&mut self) {
        if !self.pending() {
            self.stuck_since = Instant::now();
        }
    }

    /// Sends what is left and closes.
    pub(super) async fn finish(mut self) {
        // The client may be gone; then there is nobody to tell.
        if self.writer.write_all_buf(&mut self.output).await.is_ok() {
            drop(self.writer.shutdown().await);
        }
    }
}
