//! The laws on the committed seeds, and on the inputs that the other crates test with.
//!
//! A seed that once broke a law is a test of the crate that was wrong; it stays here too, so that libFuzzer starts from it.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the lint's exception for tests leaves out their shared functions"
)]

use std::{fs, path::Path};

/// Calls for each file of a folder below `controller/`; says how many there were.
fn each(folder: &str, law: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    for path in &paths {
        // A broken law says what, this says where.
        println!("{}", path.display());
        law(&fs::read(path).expect("readable"));
    }
    paths.len()
}

#[test]
fn documents_hold() {
    assert!(each("fuzz/seeds/documents", hemline_fuzz::documents) > 0);
    assert!(each("model/tests/cases", hemline_fuzz::documents) > 30);
    assert!(each("../examples/quickstart", hemline_fuzz::documents) > 0);
}

#[test]
fn blobs_hold() {
    assert!(each("fuzz/seeds/blobs", hemline_fuzz::blobs) > 10);
}

#[test]
fn workload_holds() {
    assert!(each("fuzz/seeds/workload", hemline_fuzz::workload) > 8);
}

#[test]
fn queries_hold() {
    assert!(each("fuzz/seeds/queries", hemline_fuzz::queries) > 10);
}

#[test]
fn routes_hold() {
    assert!(each("fuzz/seeds/routes", hemline_fuzz::routes) > 10);
}

#[test]
fn manifests_hold() {
    assert!(each("fuzz/seeds/manifests", hemline_fuzz::manifests) > 0);
    assert!(each("model/tests/azure", hemline_fuzz::manifests) > 8);
}

#[test]
fn sessions_hold() {
    assert!(each("fuzz/seeds/session", hemline_fuzz::session) > 10);
}

#[test]
fn what_is_on_the_wire_holds() {
    assert!(each("fuzz/seeds/wire", hemline_fuzz::wire) > 10);
}
