//! What survives: the `Store` trait and its two implementations.
//!
//! Not here: who commits when (`writer.rs`). A store never decides anything; it applies the writes of the core.

pub mod memory;
pub mod sqlite;

use std::{path::PathBuf, sync::Arc};

use hemline_hub_core::{
    message::{Message, Sequence},
    write::{Restored, Write},
};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// Bytes of bodies that one `Store::events` returns at most (the first message always comes).
pub const EVENTS_PAGE_BYTES: usize = 8 << 20;

/// Why a store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("cannot open {path}; check that the folder exists and belongs to this user")]
    Open {
        /// Which.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else has it open.
    #[error("{path} is in use by another hub; stop that one, or use another data directory")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{path} has schema {found}, this program knows up to {known}; use the newer program")]
    TooNew {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// What was read is not what was written.
    #[error("the store holds a {what} that cannot be read; restore a backup")]
    Damaged {
        /// Kind of row.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full. Nothing of the batch was applied.
    #[error("the disk of the store is full; make room and start again")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed. Nothing of the batch was applied.
    #[error("the store cannot {what}")]
    Io {
        /// `read`, `write` …
        what: &'static str,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub is stopping and reads no more.
    #[error("the hub has stopped; ask the one that runs")]
    Stopped,
}

/// Durable state of one hub. One owner at a time: the writer thread.
pub trait Store: Send {
    /// Everything that the core starts from.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> Result<Restored, StoreError>;

    /// Applies all writes in order, or none. When this returns, they survive a power loss.
    ///
    /// # Errors
    /// When the batch was not applied.
    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError>;

    /// Messages of the event log after a place, oldest first; at most `limit`, at most `EVENTS_PAGE_BYTES` of bodies.
    ///
    /// # Errors
    /// When they cannot be read.
    fn events(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, StoreError>;
}
