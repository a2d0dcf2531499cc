//! TLS handshakes: bounded in number and time, never inside an accept loop.

pub(crate) mod verifier;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{config::Limits, door::Pass, visitor::Visitor, x509::DeviceAuthorities};

/// A connection after its handshake. Boxed, because it is handed on often and large.
pub(crate) type Shaken = Box<TlsStream<TcpStream>>;

/// Shakes hands for one listener.
#[derive(Clone)]
pub(crate) struct Handshakes {
    acceptor: TlsAcceptor,
    permits: Arc<Semaphore>,
    limit: Duration,
    authorities: watch::Receiver<Arc<DeviceAuthorities>>,
}

impl Handshakes {
    pub(crate) fn new(
        config: Arc<rustls::ServerConfig>,
        limits: &Limits,
        authorities: watch::Receiver<Arc<DeviceAuthorities>>,
    ) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            permits: Arc::new(Semaphore::new(limits.handshakes)),
            limit: limits.handshake,
            authorities,
        }
    }

    /// Waits for its turn and shakes hands, both within the limit. Call it in the task of the connection.
    ///
    /// The handshake has memory of its own, which goes when it is over: a task is as large as the largest thing it ever waits
    /// for, and most connections do nothing else for days than to wait for a packet.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        pass: &Pass,
    ) -> io::Result<(Shaken, Visitor)> {
        let shaken = Box::pin(async {
            // Somebody who says nothing waits here, not at the turns of others; and those of one address are not all.
            stream.readable().await?;
            let _of_address = pass.shaking.acquire().await.map_err(io::Error::other)?;
            let _turn = self.permits.acquire().await.map_err(io::Error::other)?;
            // Small packets both ways: waiting to fill a segment only costs time.
            stream.set_nodelay(true)?;
            self.acceptor.accept(stream).await.map(Box::new)
        });
        let stream =
            timeout(self.limit, shaken).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        let chain = stream.get_ref().1.peer_certificates();
        let visitor = Visitor::new(peer.ip(), chain, self.authorities.clone());
        Ok((stream, visitor))
    }
}
