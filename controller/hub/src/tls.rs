//! TLS handshakes: bounded in number and time, never inside an accept loop.

pub(crate) mod verifier;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::PollSemaphore;

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

    /// Shakes hands within the limit. Turns are taken for work and given back while the client is waited for: whoever begins a
    /// handshake and does not go on keeps nobody from theirs. Call it in the task of the connection.
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
            // Somebody who says nothing waits here, without anything of TLS.
            stream.readable().await?;
            // Small packets both ways: waiting to fill a segment only costs time.
            stream.set_nodelay(true)?;
            let mut handshake = pin!(self.acceptor.accept(stream));
            // Those of one address are not all.
            let mut of_address = PollSemaphore::new(Arc::clone(&pass.shaking));
            let mut of_all = PollSemaphore::new(Arc::clone(&self.permits));
            poll_fn(|cx| {
                let (Some(_turn_here), Some(_turn)) =
                    (ready!(of_address.poll_acquire(cx)), ready!(of_all.poll_acquire(cx)))
                else {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                };
                handshake.as_mut().poll(cx)
            })
            .await
            .map(Box::new)
        });
        let stream =
            timeout(self.limit, shaken).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        let chain = stream.get_ref().1.peer_certificates();
        let visitor = Visitor::new(peer.ip(), chain, self.authorities.clone());
        Ok((stream, visitor))
    }
}
