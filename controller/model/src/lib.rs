//! What users write: documents, positions, findings, validation, JSON Schema; twins and patches. Pure.
//!
//! The way of a file through this crate: bytes → [`text::read`] (syntax, with positions) → [`document`] (shape) →
//! [`valid`] (meaning) → [`Fleet`]. Everything that is wrong on that way is a [`Finding`], never an error.
//! Beside it: the twin arithmetic ([`twin`]), the IoT Edge wire types ([`edge`]) that documents become, the body of the
//! engine's container-create call ([`engine`]), and the reader of Azure's deployment manifests ([`azure`]), which become
//! documents.
//!
//! Not here: reading files (`sources`), layering of deployments (`plan`), sockets and clocks.

pub mod azure;
pub mod document;
pub mod duration;
pub mod edge;
pub mod engine;
pub mod finding;
pub mod id;
pub mod packed;
pub mod pointer;
pub mod rules;
pub mod schema;
pub mod secret;
pub mod status;
pub mod text;
pub mod topic_filter;
pub mod twin;
pub mod valid;

pub use finding::{Finding, Position, Severity};
pub use packed::Packed;
pub use secret::Secret;
pub use valid::{
    DeploymentDoc, DeviceDoc, Fleet, Known, Loaded, Origin, SecretDoc, SourceFile, TwinConfigurationDoc,
    load, load_knowing,
};
