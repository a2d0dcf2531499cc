//! Why a load could not be put on, or a client of it did not get what it wanted.

use std::{io, net::SocketAddr, time::Duration};

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The name leads nowhere.
    #[error("{host:?} is no host that is known here")]
    Unknown {
        /// As typed.
        host: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// Not this machine.
    #[error(
        "{address} is not on this machine; a load test of somebody else's server is an attack. With --allow-remote it is done all the same: ask its owner first"
    )]
    Remote {
        /// Where the host leads.
        address: SocketAddr,
    },
    /// The trust anchor, or the name of the server, is none.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Too few open files.
    #[error(
        "{wanted} open files are needed and {allowed} allowed; `ulimit -n {wanted}` first, or fewer --sessions"
    )]
    Files {
        /// For the connections, and a few.
        wanted: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// No connection.
    #[error("no connection to {address}")]
    Dial {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// CONNACK with another code than 0.
    #[error("{client} is refused (CONNACK {code})")]
    Refused {
        /// Its client id.
        client: String,
        /// Of MQTT 3.1.1.
        code: u8,
    },
    /// The connection ended.
    #[error("the server closed a connection")]
    Closed,
    /// The connection broke.
    #[error("a connection broke")]
    Broken(#[source] io::Error),
    /// The server does not speak MQTT, or speaks it wrongly.
    #[error("the server sent something that is not expected here: {0}")]
    Unexpected(String),
    /// It took longer than it may.
    #[error("{what} did not come within {} s", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A task of this program ended early.
    #[error("a task of the load ended early")]
    Task(#[source] tokio::task::JoinError),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<tokio::task::JoinError> for LoadError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task(error)
    }
}
