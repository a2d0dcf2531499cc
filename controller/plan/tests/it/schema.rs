//! The committed schemas follow the types: a stale file is rewritten and fails the test once.

use std::{fs, path::Path};

use hemline_plan::schemas;

#[test]
fn the_committed_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let mut stale = Vec::new();
    for (name, text) in schemas() {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(&path, text).unwrap();
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "schemas/ was stale and has been rewritten: {stale:?}; commit it with its cause"
    );
}
