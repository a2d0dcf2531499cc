//! Why a hub does not start, or stopped by itself.

use std::net::SocketAddr;

use crate::store::StoreError;

/// Why a hub does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// An address cannot be listened on: taken, or not of this machine, or a privileged port.
    #[error(
        "cannot listen on {address} for {head}; stop the program that uses it, or choose another address"
    )]
    Listen {
        /// `MQTT` or `HTTPS`.
        head: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The store cannot be read, or a change could not be made durable. After the latter the hub stops, because what
    /// it has in memory is ahead of the disk; started again it continues from the disk.
    #[error(
        "the hub's store failed; nothing that was acknowledged is lost, repair the cause and start again"
    )]
    Store(#[from] StoreError),
    /// The folder of uploaded files cannot be used.
    #[error("cannot use {path} for uploaded files; make it readable and writable for this user")]
    Files {
        /// Where.
        path: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The configuration cannot work.
    #[error("the hub's configuration is not usable: {0}")]
    Config(&'static str),
    /// The system gives no random numbers or no thread.
    #[error("the system refused {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it says.
        #[source]
        source: std::io::Error,
    },
    /// A task of the hub ended by a defect.
    #[error("a part of the hub ({0}) ended unexpectedly; the log before this line says more")]
    Defect(&'static str),
}
