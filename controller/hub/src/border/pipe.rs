//! Both ends of a connection in one place: what the client has sent and the hub not yet read, and what the hub has sent.
//! Nothing waits here; whoever polls the hub's end polls it again after having put something in.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's end.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    to_hub: VecDeque<u8>,
    from_hub: Vec<u8>,
    /// The client sends no more.
    ended: bool,
    /// Reads and writes of the hub.
    steps: u64,
}

/// The hub's end.
#[derive(Debug)]
pub(super) struct HubEnd(Pipe);

impl Pipe {
    pub(super) fn hub_end(&self) -> HubEnd {
        HubEnd(self.clone())
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        self.content().to_hub.extend(bytes);
    }

    pub(super) fn end(&self) {
        self.content().ended = true;
    }

    /// Grows with everything that the hub reads or writes.
    pub(super) fn steps(&self) -> u64 {
        self.content().steps
    }

    /// All that the hub has sent.
    pub(super) fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.content().from_hub)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for HubEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut content = self.0.content();
        let count = buffer.remaining().min(content.to_hub.len());
        if count == 0 {
            return if content.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let bytes: Vec<u8> = content.to_hub.drain(..count).collect();
        buffer.put_slice(&bytes);
        content.steps += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HubEnd {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut content = self.0.content();
        content.from_hub.extend_from_slice(bytes);
        content.steps += 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
