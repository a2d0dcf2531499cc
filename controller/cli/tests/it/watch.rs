//! `hem rollout status --watch` right after a push: the hub has not heard of the commit, and would not for an hour.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    credentials::{device, every},
    hem::Hem,
    repository::{git_is_here, origin_and_clone, push},
};

/// One device whose module sleeps so long, and how it is rolled out.
fn fleet(seconds: u32, rollout: &str) -> String {
    format!(
        "{}---\napiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-01}}\nspec: {{edge: true}}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  targetCondition: \"deviceId = 'press-01'\"\n  \
         modules:\n    camera: {{type: process, command: [/bin/sleep, '{seconds}']}}\n{rollout}",
        device("meter", seconds)
    )
}

const ROLLOUT: &str = "  rollout: {healthyFor: 1s}\n";

fn asleep() -> Option<(Hem, std::path::PathBuf, std::path::PathBuf)> {
    if !git_is_here() {
        return None;
    }
    let (folder, origin, clone) = origin_and_clone();
    push(&clone, &fleet(1001, ""), "first");
    let options = ["--branch", "main", "--interval", "1h", "--status-branch", "off"];
    let hem = Hem::up_from(folder, &format!("file://{}", origin.display()), &options);
    hem.eventually("the first commit is in force", |hem| (every(hem, "meter") == Some(1001)).then_some(()));
    Some((hem, origin, clone))
}

/// How it ends, and what it says on its output and beside it.
fn watch(hem: &Hem, more: &[&str]) -> (Option<i32>, String, String) {
    let output = watching(hem, more).output().expect("hem starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn watching(hem: &Hem, more: &[&str]) -> Command {
    hem.command(&[&["rollout", "status", "--watch"], more].concat())
}

fn short(commit: &str) -> &str {
    &commit[..7]
}

#[test]
fn it_waits_for_the_commit_that_was_just_pushed() {
    let Some((hem, _, clone)) = asleep() else { return };
    // There was no rollout yet, and none comes of what the source holds.
    let (code, text, _) = watch(&hem, &[]);
    assert_eq!((code, text.contains("there is no rollout")), (Some(0), true), "{text}");

    for seconds in [1002, 1003] {
        // The first of them before any rollout, the second when an older one is over.
        let commit = push(&clone, &fleet(seconds, ROLLOUT), "one more");
        let (code, text, beside) = watch(&hem, &[]);
        let whole = format!("vision: revision {} complete", short(&commit));
        assert!(code == Some(0) && text.contains(&whole), "{code:?} {whole}: {text}{beside}");
        assert_eq!(every(&hem, "meter"), Some(u64::from(seconds)));
    }
    // A second look finds nothing new, and ends; for programs too.
    let (code, text, _) = watch(&hem, &["vision", "-o", "json"]);
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, all[0]["phase"].as_str()), (Some(0), Some("complete")), "{all}");
    let (code, _, beside) = watch(&hem, &["nobody"]);
    assert!(code == Some(64) && beside.contains("no rollout of \"nobody\""), "{beside}");

    // One that is refused is no success, whatever the older one came to.
    let bad = push(&clone, "kind: Nonsense\n", "a slip");
    let (code, text, beside) = watch(&hem, &[]);
    let refused = format!("revision {} was refused", short(&bad));
    assert!(code == Some(1) && beside.contains(&refused), "{code:?} {text}{beside}");
}

#[test]
fn it_waits_while_the_source_does_not_answer() {
    let Some((hem, origin, clone)) = asleep() else { return };
    let commit = push(&clone, &fleet(1002, ROLLOUT), "second");
    let away: &Path = &origin.with_extension("away");
    fs::rename(&origin, away).expect("writable");
    let mut watching = watching(&hem, &[]);
    let mut child = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hem starts");
    let told = BufReader::new(child.stderr.take().expect("piped")).lines();
    let reason = told.map_while(Result::ok).find(|line| line.contains("waiting for the source default: "));
    assert!(reason.is_some(), "it ended without a word of the source");
    assert!(child.try_wait().expect("our child").is_none(), "{reason:?}");
    fs::rename(away, &origin).expect("writable");
    let output = child.wait_with_output().expect("our child");
    let text = String::from_utf8_lossy(&output.stdout);
    let whole = format!("vision: revision {} complete", short(&commit));
    assert!(output.status.success() && text.contains(&whole), "{whole}: {text}");
}
