//! `hem up` on a Git repository: a commit is what changes the fleet.

use std::{fs, path::Path};

use crate::{
    hem::Hem,
    repository::{git, git_is_here},
};

fn device(name: &str) -> String {
    format!("apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{}}\n")
}

fn commit(folder: &Path, file: &str, text: &str) {
    fs::create_dir_all(folder.join("lyon")).expect("writable");
    fs::write(folder.join("lyon").join(file), text).expect("writable");
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "change"]);
}

fn device_ids(hem: &Hem) -> Vec<String> {
    let rows = hem.json(&["query", "SELECT * FROM devices"]);
    let mut ids: Vec<String> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["deviceId"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn commits_change_the_fleet_and_files_do_not() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let repository = folder.path().join("fleet");
    fs::create_dir(&repository).expect("a new folder");
    git(&repository, &["init", "--quiet", "-b", "main"]);
    commit(&repository, "a.yaml", &device("a"));
    let hem = Hem::up_on(folder, &["--branch", "main", "--folder", "lyon", "--interval", "1s"]);
    hem.eventually("the first commit is in force", |hem| (device_ids(hem) == ["a"]).then_some(()));
    fs::write(repository.join("lyon/c.yaml"), device("c")).expect("writable");
    fs::remove_file(repository.join("lyon/c.yaml")).expect("writable");
    commit(&repository, "b.yaml", &device("b"));
    hem.eventually("the second commit is in force", |hem| (device_ids(hem) == ["a", "b"]).then_some(()));
    // A broken commit changes nothing, the next good one does.
    commit(&repository, "b.yaml", "kind: Nonsense\n");
    hem.eventually("status shows the finding", |hem| hem.status().contains("b.yaml:1").then_some(()));
    assert_eq!(device_ids(&hem), ["a", "b"]);
    commit(&repository, "b.yaml", &device("d"));
    hem.eventually("the last commit is in force", |hem| (device_ids(hem) == ["a", "d"]).then_some(()));
}
