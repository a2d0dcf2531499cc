//! A stream that lets in little until something was sent back: a WebSocket frame is held until it is whole, and nobody knows yet
//! who sends it. What is not read waits on the client's side, and goes on when there was an answer.
//!
//! Not here: how large a frame of a known client may be (`websocket.rs`), and how long the first packet may take
//! (`mqtt/connection.rs`).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait to become a frame: the largest first packet, and the head of its frame.
const HELD_BYTES: usize = 33 << 10;

/// A stream with a gate for what comes in.
#[derive(Debug)]
pub(super) struct Sluice<S> {
    stream: S,
    /// Read since the last whole frame.
    held: usize,
    is_open: bool,
    waiting: Option<Waker>,
}

impl<S> Sluice<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, held: 0, is_open: false, waiting: None }
    }

    /// What was read has become a frame.
    pub(super) fn emptied(&mut self) {
        self.held = 0;
    }

    /// Something was sent back: somebody knows who it is, or wants to be rid of it.
    pub(super) fn open(&mut self) {
        self.is_open = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sluice<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_open {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if self.held >= HELD_BYTES {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.held += buffer.filled().len() - before;
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sluice<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn little_comes_in_before_there_was_an_answer() {
        let (mut client, hub) = duplex(1 << 20);
        client.write_all(&[7; 100 << 10]).await.unwrap();
        let mut hub = Sluice::new(hub);
        let mut room = vec![0; 4 << 10];
        let mut read = 0;
        while let Ok(bytes) =
            tokio::time::timeout(std::time::Duration::from_millis(20), hub.read(&mut room)).await
        {
            read += bytes.unwrap();
        }
        assert!((HELD_BYTES..HELD_BYTES + room.len()).contains(&read), "{read}");
        hub.emptied();
        assert_eq!(hub.read(&mut room).await.unwrap(), room.len(), "a frame made room");
        hub.open();
        while read + 2 * room.len() < 100 << 10 {
            read += hub.read(&mut room).await.unwrap();
        }
    }
}
