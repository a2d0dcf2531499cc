//! What must hold for any bytes that reach a border: each law is a function that panics when it is broken.
//!
//! Eight borders: documents, queries, routes, Azure manifests, requests to the blob endpoint and to the workload API, MQTT connections, and what else
//! clients write on their way in. "Does not panic" is the least of it: positions stand inside the text, a fleet and an error
//! exclude each other, what is printed reads back as the same, what comes in pieces means what it means as a whole, and what is
//! acknowledged is on disk.
//!
//! Here are laws only. `src/targets` hands them what libFuzzer makes up (`cargo xtask fuzz`), `tests` the committed seeds.
#![expect(clippy::panic, clippy::expect_used, reason = "a broken law stops the run")]

#[path = "laws/blobs.rs"]
mod blobs;
#[path = "laws/documents.rs"]
mod documents;
#[path = "laws/manifests.rs"]
mod manifests;
#[path = "laws/places.rs"]
mod places;
#[path = "laws/queries.rs"]
mod queries;
#[path = "laws/routes.rs"]
mod routes;
#[path = "laws/rows.rs"]
mod rows;
#[path = "laws/session.rs"]
mod session;
#[path = "laws/wire.rs"]
mod wire;
#[path = "laws/workload.rs"]
mod workload;

pub use blobs::blobs;
pub use documents::documents;
pub use manifests::manifests;
pub use queries::queries;
pub use routes::routes;
pub use session::session;
pub use wire::wire;
pub use workload::workload;
