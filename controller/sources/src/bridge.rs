//! Loopback bridges between libgit2 and remotes that it must not reach by itself.
//!
//! libgit2 speaks HTTP without TLS, or its daemon protocol, to a socket of this process on 127.0.0.1; behind it HTTPS goes
//! out through rustls (`http.rs`) and SSH through russh (`ssh.rs`). So there is one TLS stack, whole certificate chains are
//! judged, credentials never enter libgit2, a refusal keeps its reason, and closing the socket ends a look at a silent
//! server. The first part of every path is a random word: other users of the machine reach the port but not the remote.

mod http;
mod known_hosts;
mod pkt;
mod ssh;

pub(crate) use self::http::client;

use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    SourceError,
    remote::{Remote, Transport},
};

/// What one bridge carries at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carries {
    /// Bytes that may come from the remote.
    pub(crate) bytes: u64,
    /// Blobs above this are left out where the remote can do so; `None` leaves nothing out.
    pub(crate) blob_bytes: Option<u64>,
}

/// An open bridge. Dropping it cuts every connection through it.
#[derive(Debug)]
pub(crate) struct Bridge {
    /// What libgit2 is told to connect to.
    pub(crate) url: String,
    failure: Failure,
    _serving: Option<AbortOnDropHandle<()>>,
}

/// The first thing that went wrong behind the bridge; libgit2 only sees a closed connection.
#[derive(Debug, Clone, Default)]
struct Failure(Arc<Mutex<Option<SourceError>>>);

impl Failure {
    fn tell(&self, error: SourceError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    fn take(&self) -> Option<SourceError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Bridge {
    /// Opens a bridge to a remote. For `file://` there is nothing to bridge.
    ///
    /// # Errors
    /// When credentials or trust cannot be read, or an SSH server is not the one that is known or refuses the key.
    pub(crate) async fn open(remote: &Remote, carries: Carries) -> Result<Self, SourceError> {
        let failure = Failure::default();
        let Transport::Ssh { .. } = &remote.transport else {
            if remote.transport == Transport::File {
                return Ok(Self { url: remote.url.clone(), failure, _serving: None });
            }
            let (listener, port, word) = listen(remote).await?;
            let forward = Arc::new(http::Forward::new(remote, carries, word.clone(), failure.clone())?);
            let serving = serve(listener, move |stream| http::connection(stream, Arc::clone(&forward)));
            return Ok(Self {
                url: format!("http://127.0.0.1:{port}/{word}"),
                failure,
                _serving: Some(serving),
            });
        };
        let (listener, port, word) = listen(remote).await?;
        let session = Arc::new(ssh::Session::open(remote, carries, word.clone(), failure.clone()).await?);
        let serving = serve(listener, move |stream| ssh::connection(stream, Arc::clone(&session)));
        Ok(Self { url: format!("git://127.0.0.1:{port}/{word}"), failure, _serving: Some(serving) })
    }

    /// What a failure of libgit2 really was: what went wrong behind the bridge, or else what `otherwise` says.
    pub(crate) fn explain(&self, otherwise: SourceError) -> SourceError {
        self.failure.take().unwrap_or(otherwise)
    }
}

async fn listen(remote: &Remote) -> Result<(TcpListener, u16, String), SourceError> {
    let unreachable = |source: std::io::Error| SourceError::Unreachable {
        url: remote.url.clone(),
        source: Box::new(source),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unreachable)?;
    let port = listener.local_addr().map_err(unreachable)?.port();
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| SourceError::Interrupted)?;
    Ok((listener, port, random.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Accepts until dropped; connections end with it.
fn serve<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    connection: impl Fn(TcpStream) -> F + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // Without it every answer in two parts waits for an acknowledgement; one that cannot have it is slower, no more.
            drop(stream.set_nodelay(true));
            connections.spawn(connection(stream));
            while connections.try_join_next().is_some() {}
        }
    }))
}
