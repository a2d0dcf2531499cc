//! For tests: parts that may be missing, deadlines, loopback addresses and disks of one's own, git, made-up fleets.
//!
//! Not a dependency of production code, ever.

pub mod address;
pub mod corpus;
pub mod deadline;
pub mod disk;
pub mod git;
pub mod part;

pub use address::loopback;
pub use deadline::{eventually, within};
pub use disk::Disk;
pub use git::{git, git_at, git_is_here};
pub use part::require;
