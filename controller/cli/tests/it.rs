//! The `hem` binary from outside: real processes, real sockets, real clients.
//!
//! Every test has an address, a folder and a hub of its own and needs no other test. What a machine may lack (the SDK,
//! an engine) is asked for with `hemline_testkit::require`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests say what went wrong that way"
)]

#[path = "it/also.rs"]
mod also;
#[path = "it/apply.rs"]
mod apply;
#[path = "it/azure.rs"]
mod azure;
#[path = "it/bad_clients.rs"]
mod bad_clients;
#[path = "it/bad_documents.rs"]
mod bad_documents;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/bench.rs"]
mod bench;
#[path = "it/by_hand.rs"]
mod by_hand;
#[path = "it/chain.rs"]
mod chain;
#[path = "it/check.rs"]
mod check;
#[path = "it/clock.rs"]
mod clock;
#[path = "it/commands.rs"]
mod commands;
#[path = "it/conflict.rs"]
mod conflict;
#[path = "it/container.rs"]
mod container;
#[path = "it/credentials.rs"]
mod credentials;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/edge_module.rs"]
mod edge_module;
#[path = "it/editor.rs"]
mod editor;
#[path = "it/engines.rs"]
mod engines;
#[path = "it/factory.rs"]
mod factory;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/fix.rs"]
mod fix;
#[path = "it/forge.rs"]
mod forge;
#[path = "it/git_source.rs"]
mod git_source;
#[path = "it/hem.rs"]
mod hem;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/kill_in_rollout.rs"]
mod kill_in_rollout;
#[path = "it/manifest.rs"]
mod manifest;
#[path = "it/matrix.rs"]
mod matrix;
#[path = "it/missing_image.rs"]
mod missing_image;
#[path = "it/night.rs"]
mod night;
#[path = "it/plan.rs"]
mod plan;
#[path = "it/pull_request.rs"]
mod pull_request;
#[path = "it/query.rs"]
mod query;
#[path = "it/quickstart.rs"]
mod quickstart;
#[path = "it/readers.rs"]
mod readers;
#[path = "it/repository.rs"]
mod repository;
#[path = "it/rollout.rs"]
mod rollout;
#[path = "it/route_test.rs"]
mod route_test;
#[path = "it/script.rs"]
mod script;
#[path = "it/sdk.rs"]
mod sdk;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/signed.rs"]
mod signed;
#[path = "it/topics.rs"]
mod topics;
#[path = "it/trouble.rs"]
mod trouble;
#[path = "it/watch.rs"]
mod watch;
#[path = "it/webhook.rs"]
mod webhook;
#[path = "it/why.rs"]
mod why;
#[path = "it/wire.rs"]
mod wire;
