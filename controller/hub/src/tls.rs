//! TLS handshakes: bounded in number and time, never inside an accept loop.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::config::Limits;

/// Shakes hands for one listener.
#[derive(Clone)]
pub(crate) struct Handshakes {
    acceptor: TlsAcceptor,
    permits: Arc<Semaphore>,
    limit: Duration,
}

impl Handshakes {
    pub(crate) fn new(config: Arc<rustls::ServerConfig>, limits: &Limits) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            permits: Arc::new(Semaphore::new(limits.handshakes)),
            limit: limits.handshake,
        }
    }

    /// Waits for its turn and shakes hands, both within the limit. Call it in the task of the connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let shaken = async {
            let _turn = self.permits.acquire().await.map_err(io::Error::other)?;
            // Small packets both ways: waiting to fill a segment only costs time.
            stream.set_nodelay(true)?;
            self.acceptor.accept(stream).await
        };
        timeout(self.limit, shaken).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
