//! Where documents come from and status goes back to.
//!
//! A source yields snapshots: one consistent set of files with a revision. It says when a new snapshot may differ, and it
//! takes the status files. What the files mean is the model's business.
//!
//! ```text
//! source.rs       the trait, the snapshot, the nudge
//! access.rs       credentials and trust for remotes; remote.rs their addresses; tls.rs authorities
//! bridge.rs       HTTPS and SSH for libgit2, over loopback
//! signature.rs    who signed a commit; pattern.rs the wildcards of OpenSSH's files
//! batch.rs        when status is sent; pace.rs jitter
//! select.rs       which paths are documents; limits; the digest of a set of files
//! directory.rs    a folder: walk, watch, status
//! git.rs          a repository: open, fetch, tree (git2 stays in git.rs and git/)
//! forge.rs        commit statuses, comments and pull requests at GitHub, GitLab, Gitea, Forgejo
//! webhook.rs      is a request really from the forge
//! trouble.rs      what does not work, in one word
//! several.rs      several sources as one, each owner of what it brings
//! error.rs        why a source could not be read
//! ```

mod access;
mod any;
mod batch;
mod bridge;
pub mod directory;
mod error;
mod forge;
pub mod git;
mod pace;
mod pattern;
mod remote;
mod select;
mod several;
mod signature;
mod source;
mod tls;
mod trouble;
mod webhook;

pub use access::{Access, Credentials, SecretText};
pub use any::{AnySource, OneSource, Proposal};
pub use batch::{BACKOFF_AT_MOST, REFUSED};
pub use directory::{Directory, read_paths};
pub use error::{SourceError, chain};
pub use forge::{ForgeConfig, ForgeError, ForgeKind, Outcome, Phase};
pub use git::{
    Bounds, Git, GitConfig, Located, Proposed, Proposer, Revert, StatusBranch, Way, locate, merge_base,
    read_file, read_revision, way,
};
pub use select::{Limits, contents, digest};
pub use several::Several;
pub use signature::Signers;
pub use source::{News, Note, Nudge, Snapshot, Source, StatusFile};
pub use trouble::{ONLY, Reason, Trouble};
pub use webhook::{WEBHOOK_AT_MOST, WebhookError, verify as verify_webhook};
