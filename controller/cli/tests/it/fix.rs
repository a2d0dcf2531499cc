//! `hem validate --fix`: what it writes, what it says, and what it leaves alone.

use std::fs;

use crate::hem::hem;

const BROKEN: &str = "# a device\r\napiVersion: hemline.dev/v1alpha1\r\nkind: Devcie\r\nmetadata: {name: press}\r\nspec: {edge: true, tgas: {site: lyon}, auth: {}}\r\n";

#[test]
fn slips_are_mended_in_the_file_and_the_rest_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("press.yaml");
    fs::write(&path, BROKEN).expect("writable");
    fs::write(folder.path().join("good.yaml"), "# nothing\n").expect("writable");
    let fix =
        || hem().current_dir(folder.path()).args(["validate", "--fix", "."]).output().expect("hem starts");
    let output = fix();
    let text = fs::read_to_string(&path).expect("there");
    assert_eq!(text, BROKEN.replace("Devcie", "Device").replace("tgas", "tags"));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
    let again = fix();
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("nothing to fix\n"));
    assert_eq!(fs::read_to_string(&path).expect("there"), text);
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(names.len(), 2, "something was left behind: {names:?}");
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, link) = (folder.path().join("press.txt"), folder.path().join("link.yaml"));
    fs::write(&path, BROKEN).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("allowed");
    symlink(&path, &link).expect("allowed");
    let output = hem().args(["validate", "--fix"]).arg(&path).output().expect("hem starts");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("fixed "), "{output:?}");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
}
