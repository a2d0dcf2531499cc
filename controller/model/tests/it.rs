//! All integration tests of the model in one binary: mostly data (`cases/`), some properties.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lint's exception for tests leaves out their shared functions"
)]

#[path = "it/azure.rs"]
mod azure;
#[path = "it/cases.rs"]
mod cases;
#[path = "it/edge.rs"]
mod edge;
#[path = "it/formats.rs"]
mod formats;
#[path = "it/page.rs"]
mod page;
#[path = "it/reader.rs"]
mod reader;
#[path = "it/rules.rs"]
mod rules;
#[path = "it/schemas.rs"]
mod schemas;
#[path = "it/twin.rs"]
mod twin;
