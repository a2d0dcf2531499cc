//! Secrets that stand in the repository encrypted: they reach the module and are seen nowhere on the way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    hem::{Hem, hem},
    repository::{git, git_is_here},
};

const FIRST: &str = include_str!("../../../agent/tests/sops/every-type.yaml");
const SECOND: &str = include_str!("../../../agent/tests/sops/changed.yaml");
/// What is encrypted in them below `token`.
const VALUES: [&str; 2] = ["hunter2", "correct horse"];
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/sops/age.key");

fn fleet(witness: &Path) -> String {
    let run = "printf \"%s %s\" $$ \"$TOKEN\" > \"$WITNESS.new\"; mv \"$WITNESS.new\" \"$WITNESS\"; while true; do sleep 0.2; done";
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-07}}\nspec: {{edge: true}}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  targetCondition: '*'\n  modules:\n    \
         camera:\n      type: process\n      command: [/bin/sh, -c, '{run}']\n      env:\n        WITNESS: {}\n        \
         TOKEN: {{secretRef: {{name: cam, key: token}}}}\n        URL: {{secretRef: {{name: cam, key: unicode}}}}\n",
        witness.display()
    )
}

/// The second document with the token of the first, as a merge might make it: each value is genuine, the whole is not.
fn mixed() -> String {
    let line = |text: &'static str| {
        text.lines().find(|line| line.trim_start().starts_with("token:")).expect("a token")
    };
    SECOND.replace(line(SECOND), line(FIRST))
}

/// The process id of the module, once it has said that it has this value.
fn process_with(witness: &Path, value: &str) -> Option<String> {
    let said = fs::read_to_string(witness).ok()?;
    let (process, found) = said.split_once(' ')?;
    (found == value).then(|| process.to_owned())
}

fn is_there(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

fn outcome(hem: &Hem) -> (u64, String) {
    let twin = hem.json(&["twin", "get", "press-07", "$edgeAgent"]);
    let status = &twin["properties"]["reported"]["lastDesiredStatus"];
    (
        status["code"].as_u64().unwrap_or_default(),
        status["description"].as_str().unwrap_or_default().to_owned(),
    )
}

/// Every file below a folder, but for what agents keep to start their modules again, which is theirs alone.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("agents") {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn contains(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap_or_default().windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_secret_of_the_repository_reaches_the_module_and_nobody_else() {
    let witness = tempfile::tempdir().expect("a temporary folder");
    let witness = witness.path().join("token");
    let documents = fleet(&witness);
    let hem = Hem::up_with(&[("fleet.yaml", &documents), ("cam.yaml", FIRST)], &["--age-key-file", KEY]);
    let first = hem.eventually("the module has the value", |_| process_with(&witness, VALUES[0]));

    // Whoever looks sees what is encrypted, or its name.
    hem.eventually("all is well", |hem| (outcome(hem).0 == 200).then_some(()));
    let twin = hem.text(&["twin", "get", "press-07", "$edgeAgent"]);
    assert!(twin.contains("secretRef") && twin.contains("AES256_GCM"), "{twin}");
    let mut seen = vec![
        twin,
        hem.text(&["state"]),
        hem.status(),
        hem.text(&["why", &hem.fleet().display().to_string(), "press-07"]),
    ];

    // A new value: another module, with what it says now.
    fs::write(hem.fleet().join("cam.yaml"), SECOND).expect("writable");
    let second = hem.eventually("the module has the new value", |_| process_with(&witness, VALUES[1]));
    assert_ne!(second, first);
    hem.eventually("all is well again", |hem| (outcome(hem).0 == 200).then_some(()));

    // Put together by a merge: refused, told, and what runs goes on.
    fs::write(hem.fleet().join("cam.yaml"), mixed()).expect("writable");
    let why = hem.eventually("the refusal is told", |hem| {
        let (code, why) = outcome(hem);
        (code == 500).then_some(why)
    });
    assert!(why.contains("secret cam/token") && why.contains("MAC does not match"), "{why}");
    assert!(is_there(&second), "what runs goes on");
    seen.extend([why, hem.status(), hem.text(&["state"])]);

    fs::write(hem.fleet().join("cam.yaml"), SECOND).expect("writable");
    hem.eventually("all is well at the end", |hem| (outcome(hem).0 == 200).then_some(()));
    assert!(is_there(&second), "the same value is no reason to start again");
    assert_eq!(process_with(&witness, VALUES[1]).as_deref(), Some(&*second));

    for value in VALUES {
        assert!(seen.iter().all(|text| !text.contains(value)), "{seen:?}");
        let mut found = Vec::new();
        files(&hem.data(), &mut found);
        files(&hem.fleet(), &mut found);
        assert!(found.len() > 5, "{found:?}");
        let holding: Vec<&PathBuf> = found.iter().filter(|path| contains(path, value)).collect();
        assert!(holding.is_empty(), "{holding:?}");
    }
}

#[test]
fn a_device_without_the_key_says_what_it_lacks() {
    let witness = tempfile::tempdir().expect("a temporary folder");
    let token = witness.path().join("token");
    let documents = fleet(&token);
    let lacking = witness.path().join("age.key");
    let key = lacking.display().to_string();
    let hem = Hem::up_with(&[("fleet.yaml", &documents), ("cam.yaml", FIRST)], &["--age-key-file", &key]);
    let told = |what: &'static str| {
        move |hem: &Hem| {
            let (code, why) = outcome(hem);
            (code == 500 && why.contains(what)).then_some(())
        }
    };
    hem.eventually("no file", told("age.key cannot be read"));
    fs::write(&lacking, "# nothing yet\n").expect("writable");
    hem.eventually("no key in it", told("holds no age key"));
    fs::copy(Path::new(KEY).with_file_name("other.key"), &lacking).expect("writable");
    hem.eventually("another key", told("none of the 1 age keys of this device opens it"));
    // No restart is needed for the right one.
    fs::copy(KEY, &lacking).expect("writable");
    hem.eventually("it runs", |_| process_with(&token, VALUES[0]));
    hem.eventually("all is well", |hem| (outcome(hem).0 == 200).then_some(()));
}

#[test]
fn a_plan_says_that_a_secret_changes_and_not_to_what() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let commit = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("writable");
        git(folder.path(), &["add", "."]);
        git(folder.path(), &["commit", "--quiet", "-m", name]);
    };
    git(folder.path(), &["init", "--quiet", "-b", "main"]);
    commit("cam.yaml", FIRST);
    commit("fleet.yaml", &fleet(Path::new("/tmp/token")));
    commit("cam.yaml", SECOND);
    let plan = |arguments: &[&str]| {
        let mut command: Command = hem();
        let output = command
            .current_dir(folder.path())
            .args(["plan", ".", "--base", "HEAD~1", "--head", "HEAD"])
            .args(arguments)
            .output()
            .expect("hem starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    // Without the first and the last line, which name commits.
    let said = plan(&[]);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
    for format in ["human", "markdown", "json"] {
        let said = plan(&["--format", format]);
        assert!(said.contains("env.TOKEN"), "{said}");
        // The other variable of the same document stays as it is.
        assert!(!said.contains("env.URL"), "{said}");
        assert!(VALUES.iter().all(|value| !said.contains(value)) && !said.contains("AES256_GCM"), "{said}");
    }
}
