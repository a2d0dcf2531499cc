//! Where documents come from and status goes back to.
//!
//! A source yields snapshots: one consistent set of files with a revision. It says when a new snapshot may differ, and it
//! takes the status files. What the files mean is the model's business.
//!
//! ```text
//! source.rs       the trait, the snapshot, the nudge
//! select.rs       which paths are documents; limits; the digest of a set of files
//! directory.rs    a folder: walk, watch, status
//! git.rs          a repository: open, fetch, tree (git2 stays in git.rs and git/)
//! error.rs        why a source could not be read
//! ```

mod any;
pub mod directory;
mod error;
pub mod git;
mod select;
mod source;

pub use any::AnySource;
pub use directory::{Directory, read_paths};
pub use error::SourceError;
pub use git::{Bounds, Git, GitConfig, Located, locate, merge_base, read_file, read_revision};
pub use select::{Limits, contents, digest};
pub use source::{Note, Nudge, Snapshot, Source, StatusFile};
