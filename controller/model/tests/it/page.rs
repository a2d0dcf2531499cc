//! The committed page of rules follows the catalogue: a stale file is rewritten and fails the test once.

use std::{fs, path::Path};

use hemline_model::rules::{all, page, uri};

#[test]
fn the_committed_page_of_rules_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../RULES.md");
    let page = page();
    let current = fs::read_to_string(&path).is_ok_and(|committed| committed == page);
    if !current {
        fs::write(&path, &page).unwrap();
    }
    assert!(current, "controller/RULES.md was stale and has been rewritten; commit it with its cause");
}

#[test]
fn every_rule_has_an_anchor_that_its_address_names() {
    let page = page();
    for rule in all() {
        // A heading of small letters, digits and hyphens is its own anchor.
        let (_, anchor) = uri(rule.id).split_once('#').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(page.matches(&format!("\n### {anchor}\n")).count(), 1, "{anchor}");
    }
}
