//! What clients of file uploads say to the blob endpoint: the part of Azure Blob Storage's REST interface that the storage
//! SDKs use to put a block blob and to look whether it is there (reference device-protocol §8.4).
//!
//! Shapes only. Which uploads there are and what they may take is decided in `hub-core`, what lies on the disk in `hub`.

mod block;
mod error;
mod list;
mod name;
mod request;
mod sas;

pub use block::{BlockId, NoBlockId};
pub use error::BlobErrorCode;
pub use list::{BadBlockList, BlockSource, read_block_list};
pub use name::{BlobName, NoBlobName};
pub use request::{Action, BlobQuery, ByteRange, Precondition, Verb};
pub use sas::{BadBlobSas, BlobPermission, BlobSas, BlobSecret};

/// The only container: files of all devices.
pub const CONTAINER: &str = "files";

/// Version of the interface that answers name.
pub const STORAGE_VERSION: &str = "2021-08-06";
